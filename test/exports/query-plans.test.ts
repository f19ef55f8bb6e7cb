import { expect, test } from 'vitest';
import { takeWatermark } from '../../src/db/as-of.ts';
import { usageQuery } from '../../src/usage/query.ts';
import type { UsageSpec } from '../../src/usage/sums-query.ts';
import { buildUsageSpec, readUsageRows } from '../../src/usage/usage.ts';
import { accountIdOf } from '../streams/held-transactions.ts';
import { addRecords, exportOnce, filterOf, multiplyRecords, querySql, type Settings } from '../support/job-steps.ts';
import { withClient } from '../support/postgres-admin.ts';
import { createTestDatabase } from '../support/postgres.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

const SLOT = '2026-01-28T02:00:00Z';

/** A filter that runs a sub-select for each row, as PostgreSQL 15 and 18 show it. */
const UNHASHED = /NOT \(SubPlan|operation_id = \(SubPlan/;

/** Settings with which PostgreSQL reads, groups and sorts in different ways. */
const PLANS = {
  'its own': [],
  parallel: ['parallel_setup_cost=0', 'parallel_tuple_cost=0', 'min_parallel_table_scan_size=0'],
  'without hashing': ['enable_hashagg=off', 'enable_hashjoin=off'],
  'without sorting': ['enable_sort=off', 'enable_incremental_sort=off', 'enable_mergejoin=off'],
};

test('export > writes the same bytes in order with any plan of PostgreSQL', { timeout: 60_000 }, async () => {
  const database = await createTestDatabase();
  const texts: Record<string, string[]> = {};
  for (const [name, settings] of Object.entries(PLANS)) {
    const url = new URL(database.url);
    if (settings.length > 0) url.searchParams.set('options', settings.map((setting) => `-c ${setting}`).join(' '));
    const server = await startTestServer({ database: { url: url.href, drop: async () => {} } });
    try {
      if (name === 'its own') {
        for (const stream of ['late', 'early']) {
          await addRecords(
            server,
            stream,
            'DAILY',
            ['2026-01-24', '2026-01-25'].flatMap((day) =>
              ['b', 'a', '\u00e9'].map((element) => ({
                timestamp: `${day}T00:00:00Z`,
                elementName: element,
                value: '0.1',
                filter: filterOf({ x: [element, 'z'] }),
              })),
            ),
          );
          await multiplyRecords(server, stream, 500);
        }
      }
      const jobs: Settings[] = [['element'], ['x', 'element'], ['x'], []].map((groupBy, index) => ({
        jobName: `${name} ${index}`,
        meterApiNames: ['late', 'early'],
        format: 'NDJSON',
        groupBy,
      }));
      const files = [];
      for (const job of jobs) files.push((await exportOnce(server, job, SLOT)).text);
      texts[name] = files;
    } finally {
      await server.stop();
    }
  }
  await database.drop();
  const [own, ...others] = Object.values(texts);
  for (const other of others) expect(other).toEqual(own);
  const elements = (own?.[0] ?? '').split('\n').slice(0, -1);
  expect(elements).toHaveLength(2 * 2 * 3 * 501);
  const keys = elements.map((line) => {
    const row = JSON.parse(line) as Record<'meterApiName' | 'bucketStart' | 'element', string>;
    return Buffer.from(`${row.meterApiName}\0${row.bucketStart}\0${row.element}`);
  });
  expect(keys).toEqual(keys.toSorted(Buffer.compare));
});

test('usage > finds the operations of its streams once by an anti join when there are many later operations', async () => {
  const server = await startTestServer();
  try {
    await addRecords(server, 'late', 'DAILY', [
      { timestamp: '2026-01-24T00:00:00Z', elementName: 'a', value: '1', filter: filterOf({ x: ['y'] }) },
    ]);
    await multiplyRecords(server, 'late', 20_000);
    const accountId = await accountIdOf(server, 'default');
    const db = server.resources.database.acrossAccounts;
    const { snapshot } = await takeWatermark(db, accountId);
    const window = { start: new Date('2026-01-24'), end: new Date('2026-01-25') };
    const buildSpec = (groupBy: string[]) =>
      buildUsageSpec(
        db,
        accountId,
        {
          meterApiNames: ['late'],
          aggregationBucket: 'DAY',
          timeZone: 'UTC',
          groupBy,
          filter: null,
          sparse: true,
          rescaleFunction: null,
        },
        window,
        snapshot,
      );
    expect((await buildSpec([])).hasManyLater).toBe(false);
    const insertLater = `INSERT INTO operations
        (account_id, id, stream_id, kind, received_at, xid, inserted_records, hidden_records, content_sha256, totalled)
      SELECT o.account_id, o.id + n, o.stream_id, 'SUM', o.received_at, (pg_current_xact_id()::text::bigint + n)::text::xid8, 1, 0,
        '', true FROM operations o, generate_series($1::int, $2::int) n WHERE o.id = (SELECT min(id) FROM operations)`;
    // An open transaction may make the operations that the watermark sees count too.
    await querySql(server, insertLater, [1, 9_990]);
    expect((await buildSpec([])).hasManyLater).toBe(false);
    await querySql(server, insertLater, [9_991, 30_000]);
    await querySql(server, `SELECT setval('operation_ids', 100000)`);
    await addRecords(server, 'late', 'DAILY', [
      { timestamp: '2026-01-24T00:00:00Z', elementName: 'a', value: '1', filter: filterOf({ x: ['y'] }) },
    ]);
    await querySql(server, 'ANALYZE');
    for (const groupBy of [['element'], ['x']]) {
      const spec = await buildSpec(groupBy);
      expect(spec.hasManyLater).toBe(true);
      const plan = await explain(server, spec);
      expect(plan).toMatch(/ Anti Join/);
      expect(plan).not.toMatch(UNHASHED);
      // Without the anti join, PostgreSQL reads the later operations again for each record.
      expect(await explain(server, { ...spec, hasManyLater: false })).toMatch(UNHASHED);
      const rows = await readUsageRows(db, spec, 30_000);
      expect(rows.reduce((sum, { value }) => sum + Number(value), 0)).toBe(20_001);
    }
  } finally {
    await server.stop();
  }
});

test('usage > lets PostgreSQL expect several filters when a dimension is filtered', async () => {
  const server = await startTestServer();
  try {
    const names = Array.from({ length: 30 }, (_, index) => `n${index}`);
    await addRecords(
      server,
      'filtered',
      'DAILY',
      names.map((name) => ({
        timestamp: '2026-01-24T00:00:00Z',
        elementName: 'a',
        value: '1',
        filter: filterOf({ x: [name] }),
      })),
    );
    await querySql(server, 'ANALYZE');
    const accountId = await accountIdOf(server, 'default');
    const db = server.resources.database.acrossAccounts;
    const spec = await buildUsageSpec(
      db,
      accountId,
      {
        meterApiNames: ['filtered'],
        aggregationBucket: 'DAY',
        timeZone: 'UTC',
        groupBy: ['element'],
        filter: [{ dimension: 'x', values: names }],
        sparse: true,
        rescaleFunction: null,
      },
      { start: new Date('2026-01-24'), end: new Date('2026-01-25') },
      (await takeWatermark(db, accountId)).snapshot,
    );
    // If it expects one filter, it may sum the records again for each filter that passes.
    const [, rows] = / on filters f .*?rows=(\d+)/.exec(await explain(server, spec)) ?? [];
    expect(Number(rows)).toBeGreaterThan(names.length / 4);
  } finally {
    await server.stop();
  }
});

/** With a work_mem that is too small for the ids of the later operations, as 4 MB is for those of a million. */
async function explain(server: TestServer, spec: UsageSpec): Promise<string> {
  const { text, parameters } = usageQuery(spec);
  return withClient(server.database.url, async (client) => {
    await client.query(`SET work_mem = '64kB'`);
    const { rows } = await client.query<Record<'QUERY PLAN', string>>(`EXPLAIN ${text}`, [...parameters]);
    return rows.map((row) => row['QUERY PLAN']).join('\n');
  });
}
