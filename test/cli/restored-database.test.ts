import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { migrate } from '../../src/db/migrate.ts';
import { withClient } from '../support/postgres-admin.ts';
import {
  addRecords,
  createJob,
  endedRun,
  filterOf,
  innerId,
  querySql,
  readExport,
  runJob,
} from '../support/job-steps.ts';
import { accountIdOf } from '../streams/held-transactions.ts';
import { readEpoch } from '../support/moved-accounts.ts';
import { startTestServer, type TestServer } from '../support/server.ts';
import { scrape } from '../support/scrape.ts';
import { runSluice } from '../support/sluice-process.ts';

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer({ env: { ROLE: 'api' } });
});
afterAll(() => server.stop());

/** How far the transaction ids of the cluster that the copy was taken from were ahead of this one's. */
const AHEAD = 1_000_000_000_000n;

/**
 * Changes the ledger as pg_dump and a restore into a new cluster do: the rows are copied, the transaction counter is not. With -1 the
 * ids are in the future of this cluster, with 1 in its distant past.
 */
const moveToAnotherCluster = (countOfNewCluster: -1 | 1) =>
  withClient(server.database.url, async (client) => {
    const moved = (column: string) =>
      countOfNewCluster === -1
        ? `(${column}::text::numeric + ${AHEAD})::text::xid8`
        : `CASE WHEN ${column} IS NOT NULL THEN '10'::xid8 END`;
    await client.query(`UPDATE operations SET xid = ${moved('xid')}`);
    await client.query(
      `UPDATE streams SET created_xid = ${moved('created_xid')}, deleted_xid = ${moved('deleted_xid')}, totals_merged_xid = ${moved('totals_merged_xid')}`,
    );
    await client.query('UPDATE ledgers SET system_identifier = system_identifier + 1');
  });

const usageOf = async (stream: string): Promise<string | undefined> => {
  const { usage } = await server.graphql<{ usage: { series: { total: string }[] } }>(
    `query ($input: UsageInput!) { usage(input: $input) { ... on Usage { series { total } } } }`,
    {
      input: {
        meterApiNames: [stream],
        from: '2026-01-01T00:00:00Z',
        to: '2026-02-01T00:00:00Z',
        aggregationBucket: 'MONTH',
      },
    },
  );
  return usage.series[0]?.total;
};

const recordOf = (elementName: string, value: string) => ({
  timestamp: '2026-01-25T00:00:00Z',
  filter: filterOf({ region: 'eu' }),
  elementName,
  value,
});

const deleteStream = (name: string) =>
  server.graphql(`mutation ($name: String!) { deleteStream(name: $name) { __typename } }`, { name });

const repairs = async (): Promise<number> => (await scrape(server.url)).value('sluice_ledger_repairs_total', {}) ?? 0;

const moves = [
  ['whose count is far behind', () => moveToAnotherCluster(-1)],
  ['whose count is far ahead', () => moveToAnotherCluster(1)],
] as const;

describe('database restored into another cluster', () => {
  test.each(moves)('returns the same usage %s, without a restart, and is repaired once', async (_, move) => {
    await addRecords(server, 'kept', 'DAILY', [recordOf('hooli', '5')]);
    await addRecords(server, 'kept', 'DAILY', [recordOf('hooli', '2')]);
    await addRecords(server, 'gone', 'DAILY', [recordOf('hooli', '1')]);
    await deleteStream('gone');
    expect([await usageOf('kept'), await usageOf('gone')]).toEqual(['7', undefined]);
    const before = await repairs();

    await move();
    const many = await Promise.all(Array.from({ length: 20 }, () => usageOf('kept')));
    expect(many).toEqual(Array.from({ length: 20 }, () => '7'));
    expect(await usageOf('gone')).toBeUndefined();
    expect(await repairs()).toBe(before + 1);

    await addRecords(server, 'kept', 'DAILY', [recordOf('hooli', '3')]);
    expect(await usageOf('kept')).toBe('10');
    await deleteStream('kept');
    expect(await usageOf('kept')).toBeUndefined();
    expect(await repairs()).toBe(before + 1);
  });

  test('is reported by doctor, and repaired by migrate', async () => {
    await addRecords(server, 'checked', 'DAILY', [recordOf('hooli', '5')]);
    expect(await usageOf('checked')).toBe('5');
    await moveToAnotherCluster(-1);
    const settings = { DATABASE_URL: server.database.url };
    const doctor = await runSluice('cli', ['doctor'], settings);
    expect(doctor.stdout).toMatch(/^ledger +warn +restored from a copy .*: default\. .*migrate/m);

    const repair = await runSluice('cli', ['migrate'], settings);
    expect(repair).toMatchObject({
      code: 0,
      stderr: expect.stringContaining('1 account was restored from a copy of another cluster'),
    });
    expect((await runSluice('cli', ['doctor'], settings)).stdout).toMatch(/^ledger +ok/m);
    expect(await migrate(server.database.url)).toEqual({ applied: 0, repaired: 0 });
    expect(await usageOf('checked')).toBe('5');
  });

  test('gives an unfinished run a new watermark', async () => {
    await addRecords(server, 'exported', 'DAILY', [recordOf('hooli', '5')]);
    const jobId = await createJob(server, { meterApiNames: ['exported'], range: 'ago(40d)', groupBy: ['element'] });
    const runId = await runJob(server, jobId, '2026-01-28T00:00:00Z');
    const accountId = await accountIdOf(server, 'default');
    await usageOf('exported');
    const moved = `${AHEAD}:${AHEAD}:`;
    // As between two attempts, the first of which began in the other cluster.
    const between =
      'UPDATE runs SET attempt = 1, watermark = $2, watermark_epoch = $3, watermark_at = now() WHERE id = $1';
    await querySql(server, between, [innerId(runId), moved, await readEpoch(server, accountId)]);
    await moveToAnotherCluster(-1);
    await addRecords(server, 'exported', 'DAILY', [recordOf('initech', '1')]);

    const worker = await startTestServer({ env: { ROLE: 'worker' }, database: server.database, s3: server.s3 });
    const run = await endedRun(server, runId);
    await worker.stop();
    const { text, manifest } = readExport(server, run);
    expect(text.trimEnd().split('\n').slice(1)).toEqual([
      'exported,2026-01-25T00:00:00Z,2026-01-26T00:00:00Z,hooli,5',
      'exported,2026-01-25T00:00:00Z,2026-01-26T00:00:00Z,initech,1',
    ]);
    expect(manifest.watermark.snapshot).not.toBe(moved);
  });

  test('hashes record keys again when the encoding or byte order differs', async () => {
    await addRecords(server, 'hashed', 'DAILY', [recordOf('hooli', '5')]);
    await usageOf('hashed');
    await querySql(
      server,
      `UPDATE streams SET hashes_keys = true, keys_hashed = true WHERE account_id = account_id AND name = 'hashed'`,
      [],
    );
    // A hash that no look-up of this cluster computes.
    await querySql(
      server,
      `UPDATE records r SET key_hash = 16384 FROM streams s WHERE r.account_id = s.account_id AND r.stream_id = s.id AND s.name = 'hashed'`,
      [],
    );
    await querySql(
      server,
      `UPDATE ledgers SET system_identifier = 1, key_hashing = 'EUC_JP 1' WHERE account_id = account_id`,
      [],
    );
    expect(await usageOf('hashed')).toBe('5');
    await server.graphql(`mutation ($input: AllocationInput!) { allocationReplace(input: $input) { __typename } }`, {
      input: { stream: 'hashed', records: [{ ...recordOf('hooli', '6'), granularity: 'DAILY' }] },
    });
    expect(await usageOf('hashed')).toBe('6');
  });
});

test('migrate > does not repair a database that is still in its cluster', async () => {
  const read = () => querySql(server, 'SELECT id, xid::text FROM operations ORDER BY id');
  await addRecords(server, 'kept', 'DAILY', [recordOf('hooli', '4')]);
  const before = await read();
  expect(await migrate(server.database.url)).toEqual({ applied: 0, repaired: 0 });
  expect(await read()).toEqual(before);
});
