import { and, eq, sql } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/node-postgres';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type pg from 'pg';
import { takeWatermark } from '../../src/db/as-of.ts';
import type { Db, Transaction } from '../../src/db/client.ts';
import { ACCOUNT_SETTING } from '../../src/db/policies.ts';
import * as tables from '../../src/db/tables.ts';
import { ingest } from '../../src/streams/ingest.ts';
import { listRecords } from '../../src/streams/list-records.ts';
import { findObstacle } from '../../src/streams/sql/revert-records.ts';
import { findStream, listOperations, loadStreamBounds } from '../../src/streams/streams.ts';
import { usageInput } from '../../src/usage/inputs.ts';
import { readUsage } from '../../src/usage/usage.ts';
import { querySql } from '../support/job-steps.ts';
import { scopedTo } from '../support/scoped.ts';
import { startTestServer, type TestServer } from '../support/server.ts';
import { accountIdOf, within } from './held-transactions.ts';
import { type RecordInput, write, type WriteKind } from './writes.ts';

// Rows that PostgreSQL reads for a query, counted in its own plans, on a stream of 200,000 records: 2,000 hours of 100, in
// 2,000 filters. Both before the tables were ever analyzed (the first minute of a new database, and any that was
// restored and not analyzed) and after.
const HOURS = 2_000;
const PER_HOUR = 100;

let server: TestServer;
let accountId: bigint;
beforeAll(async () => {
  server = await startTestServer();
  accountId = await accountIdOf(server, 'default');
  const filter = [{ dimension: 'region', values: ['eu'] }];
  const first = { timestamp: '2026-01-01T00:00:00Z', granularity: 'HOURLY', elementName: 'e0', value: '0', filter };
  await write(server, 'Sum', { stream: 'large', records: [first] });
  // Else it may analyze the tables before the test has looked at them.
  for (const table of ['records', 'totals', 'filters', 'operations']) {
    await querySql(server, `ALTER TABLE ${table} SET (autovacuum_enabled = false)`);
  }
  await querySql(
    server,
    `
    INSERT INTO filters (account_id, stream_id, digest, dimensions)
    SELECT s.account_id, s.id, sha256(convert_to(i::text, 'UTF8')), jsonb_build_object('region', jsonb_build_array('r' || i))
    FROM streams s, generate_series(1, ${HOURS}) i`,
  );
  await querySql(
    server,
    `
    INSERT INTO records (account_id, stream_id, bucket_start, filter_id, element, value, operation_id)
    SELECT s.account_id, s.id, timestamptz '2026-01-01 00:00Z' + (i / ${PER_HOUR}) * interval '1 hour', f.id, 'e' || i % ${PER_HOUR}, 1, o.id
    FROM streams s JOIN operations o ON o.stream_id = s.id, generate_series(0, ${HOURS * PER_HOUR - 1}) i
    JOIN (SELECT id, row_number() OVER (ORDER BY id) - 1 AS place FROM filters) f ON f.place = i * 7 % ${HOURS}`,
  );
  await querySql(
    server,
    `
    INSERT INTO totals (account_id, stream_id, bucket_start, filter_id, operation_id, value, records)
    SELECT account_id, stream_id, bucket_start, filter_id, operation_id, sum(value), count(*) FROM records
    WHERE filter_id > 1 GROUP BY 1, 2, 3, 4, 5 ON CONFLICT DO NOTHING`,
  );
});
afterAll(() => server.stop());

interface PlanNode {
  readonly 'Relation Name'?: string;
  readonly 'Node Type': string;
  readonly 'Actual Rows': number;
  readonly 'Actual Loops': number;
  readonly 'Rows Removed by Filter'?: number;
  readonly 'Rows Removed by Index Recheck'?: number;
  readonly Plans?: readonly PlanNode[];
}

const readsRows = (text: string): boolean => /\b(?:records|operations)\b/.test(text) && !/\bledgers\b/.test(text);

/** Rows that the last statement of `ask` on records or operations, or the last that is meant, reads of each table, those that it throws away too. */
const rowsRead = async (
  ask: (db: Db) => Promise<unknown>,
  isMeant: (text: string) => boolean = readsRows,
): Promise<Record<string, number>> => {
  // As requests see the tables: row-level security must not cost a plan.
  const scoped = scopedTo(server.resources.database.pool, `${ACCOUNT_SETTING} = '${accountId}'`);
  const statements: { readonly text: string; readonly parameters: unknown[] }[] = [];
  const logQuery = (text: string, parameters: unknown[]): void => void statements.push({ text, parameters });
  await ask(drizzle({ client: scoped as unknown as pg.Pool, schema: tables, logger: { logQuery } }));
  const { text, parameters } = statements.findLast((statement) => isMeant(statement.text)) ?? {
    text: '',
    parameters: [],
  };
  const explained = await scoped.query({ text: `EXPLAIN (ANALYZE, FORMAT JSON) ${text}` }, parameters);
  const rows = explained.rows as { readonly 'QUERY PLAN': [{ readonly Plan: PlanNode }] }[];
  const read: Record<string, number> = {};
  const visit = (node: PlanNode): void => {
    const table = node['Relation Name'];
    if (table !== undefined) {
      const thrownAway = (node['Rows Removed by Filter'] ?? 0) + (node['Rows Removed by Index Recheck'] ?? 0);
      read[table] = (read[table] ?? 0) + Math.ceil((node['Actual Rows'] + thrownAway) * node['Actual Loops']);
    }
    node.Plans?.forEach(visit);
  };
  const [plan] = rows;
  if (plan) visit(plan['QUERY PLAN'][0].Plan);
  return read;
};

const large = async (db: Db) => {
  const stream = await findStream(db, accountId, 'large');
  if (!stream) throw new Error('There is no such stream.');
  return stream;
};

const limits = { maxRows: 50_000, maxFilledRows: 1_000_000 };
const oneDay = { from: '2026-02-01T00:00:00Z', to: '2026-02-02T00:00:00Z', timeZone: 'UTC', sparse: true } as const;

describe.each(['never analyzed', 'analyzed'])('on tables that were %s', (state) => {
  beforeAll(async () => {
    if (state === 'analyzed') await querySql(server, 'ANALYZE records, totals, filters, operations, streams');
  });

  test('plan > usage of one day by element reads the records of that day', async () => {
    const read = await rowsRead((db) =>
      readUsage(
        db,
        accountId,
        usageInput.parse({ ...oneDay, aggregationBucket: 'HOUR', groupBy: ['region', 'element'] }),
        limits,
      ),
    );
    expect(read['records']).toBeGreaterThan(0);
    expect(read['records']).toBeLessThanOrEqual(24 * PER_HOUR);
    // Each filter once: by its key, or all of them into a hash.
    expect(read['filters']).toBeLessThanOrEqual(HOURS + 1 + 24 * PER_HOUR);
    expect(read['totals']).toBeUndefined();
  });

  test('plan > usage of one day without elements reads the totals of that day and no records', async () => {
    const read = await rowsRead((db) =>
      readUsage(db, accountId, usageInput.parse({ ...oneDay, aggregationBucket: 'HOUR', groupBy: ['region'] }), limits),
    );
    expect(read['records']).toBe(0);
    expect(read['totals']).toBeGreaterThan(0);
    expect(read['totals']).toBeLessThanOrEqual(24 * PER_HOUR);
    // Each filter once: by its key, or all of them into a hash.
    expect(read['filters']).toBeLessThanOrEqual(HOURS + 1 + 24 * PER_HOUR);
  });

  test('plan > a page of records reads a few hours, at the start of the list and deep in it', async () => {
    for (const key of [null, ['2026-02-01T05:00:00.000Z', '1', 'e5']]) {
      const after = key && Buffer.from(JSON.stringify(key)).toString('base64url');
      const read = await rowsRead(async (db) => listRecords(db, await large(db), { first: 20, after }));
      expect(read['records']).toBeGreaterThan(20);
      // PostgreSQL 15 sorts a stream that it takes for one record whole, once its table is analyzed it knows better.
      if (state === 'analyzed') expect(read['records']).toBeLessThanOrEqual(12 * PER_HOUR);
      expect(read['filters']).toBeLessThanOrEqual(21);
    }
  });

  test("the bounds of a stream's buckets read one record each", async () => {
    expect(await rowsRead(async (db) => loadStreamBounds(db, await large(db)))).toEqual({ records: 2 });
  });

  test('plan > a page of operations reads only its operations', async () => {
    const read = await rowsRead(async (db) => listOperations(db, await large(db), { first: 1 }));
    expect(read['operations']).toBeLessThanOrEqual(2);
  });
});

test('plan > a watermark reads few operations of an account whose ids were repaired after the tables were analyzed', async () => {
  await querySql(
    server,
    `INSERT INTO operations (account_id, stream_id, kind, received_at, xid, totalled, inserted_records, hidden_records, content_sha256)
     SELECT account_id, id, 'SUM', now(), '9999999999', true, 0, 0, '' FROM streams, generate_series(1, 20000) WHERE name = 'large'`,
  );
  await querySql(server, 'ANALYZE operations');
  const ask = (db: Db) => takeWatermark(db, accountId);
  await ask(server.resources.database.forAccount(accountId));
  await querySql(server, 'VACUUM operations');
  // PostgreSQL still takes most ids for those of the future, and would read the whole table for the first of them.
  expect((await rowsRead(ask, (text) => text.includes('FROM ledgers')))['operations']).toBeLessThan(10);
});

test('plan > a delete of a complete filter looks up the filter once, and not for each record of the bucket', async () => {
  const timestamp = '2026-01-25T00:00:00Z';
  const filterAt = (index: number) => [{ dimension: 'region', values: [`r${index}`] }];
  const records = Array.from({ length: 600 }, (_, index) => ({
    timestamp,
    granularity: 'DAILY' as const,
    elementName: `e${index}`,
    filter: filterAt(index % 3),
    value: '1',
  }));
  await write(server, 'Sum', { stream: 'filtered', records });
  const looks = await server.resources.database.acrossAccounts.transaction(async (tx) => {
    const selector = { timestamp, granularity: 'DAILY' as const };
    const { operation } = await ingest(within(server, tx), {
      kind: 'DELETE',
      accountId,
      stream: 'filtered',
      records: [
        { ...selector, filter: filterAt(1) },
        { ...selector, filter: filterAt(2), elementName: 'e2' },
        { ...selector, filter: filterAt(9) },
      ],
      path: ['input'],
    });
    expect(operation.hiddenRecords).toBe(201);
    const { rows } = await tx.execute<{ looks: number }>(
      sql`SELECT (idx_scan + seq_scan)::int AS looks FROM pg_stat_xact_user_tables WHERE relname = 'filters'`,
    );
    return rows[0]?.looks;
  });
  expect(looks).toBeLessThan(20);
});

test('plan > a revert reads only records of the stream', async () => {
  const stream = 'reverted';
  const record = { timestamp: '2026-01-01T00:00:00Z', granularity: 'HOURLY', elementName: 'acme' };
  await write(server, 'Sum', { stream, records: [{ ...record, value: '1' }] });
  await write(server, 'Delete', { stream, records: [record] });
  const read = await rowsRead(async (db) => {
    const found = await findStream(db, accountId, stream);
    const [deletion] = await db
      .select()
      .from(tables.operations)
      .where(and(eq(tables.operations.streamId, found?.id ?? 0n), eq(tables.operations.kind, 'DELETE')));
    if (!found || !deletion) throw new Error('The stream has no deletion.');
    expect(await findObstacle(db as unknown as Transaction, found, deletion)).toBeNull();
  });
  expect(read['records']).toBeLessThan(10);
});

describe('10,000 selectors on a bucket of 10,000 records', () => {
  const record = (index: number): RecordInput => ({
    timestamp: '2026-01-25T00:00:00Z',
    granularity: 'DAILY',
    elementName: `e${index}`,
    filter: [
      { dimension: 'customer', values: [`c${index}`] },
      { dimension: 'region', values: ['eu', 'us'] },
    ],
    value: '1',
  });
  const records = Array.from({ length: 10_000 }, (_, index) => record(index));
  const timed = async (
    kind: WriteKind,
    counts: readonly [inserted: number, hidden: number],
    changed: (one: RecordInput) => RecordInput,
  ): Promise<number> => {
    const begun = performance.now();
    const { operation } = await write(server, kind, { stream: 'wide', records: records.map(changed) });
    expect([operation?.insertedRecords, operation?.hiddenRecords]).toEqual(counts);
    return performance.now() - begun;
  };

  // Comparing each with each took 8 to over 30 s; looking each up in a hash takes less time than their sum.
  test('are looked up in a hash, and not compared pair by pair', async () => {
    const sum = await timed('Sum', [10_000, 0], (one) => one);
    const took = [
      await timed('Delete', [0, 0], ({ value: _, filter: __, ...one }) => ({
        ...one,
        elementName: `${one.elementName}!`,
      })),
      await timed('Delete', [0, 0], ({ value: _, elementName: __, filter, ...one }) => ({
        ...one,
        filter: [{ dimension: 'customer', values: [`${filter?.[0]?.values[0]}!`] }],
      })),
      await timed('Replace', [10_000, 10_000], (one) => one),
      await timed('Delete', [0, 10_000], ({ value: _, ...one }) => one),
    ];
    expect(Math.max(...took)).toBeLessThan(2_000 + 5 * sum);
  });
});
