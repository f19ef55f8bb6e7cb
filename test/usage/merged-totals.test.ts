import { afterAll, beforeAll, expect, test } from 'vitest';
import { mergeTotals } from '../../src/streams/totals/merge-totals.ts';
import { type RecordInput, verdict, write } from '../streams/writes.ts';
import { forgetTotals, querySql } from '../support/job-steps.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';
import { readUsage } from './questions.ts';

let database: TestDatabase;
let servers: readonly [TestServer, TestServer];
beforeAll(async () => {
  database = await createTestDatabase();
  servers = [await startTestServer({ database }), await startTestServer({ database })];
});
afterAll(async () => {
  for (const server of servers) await server.stop();
  await database.drop();
});
const server = (index: number): TestServer => servers[index % 2] as TestServer;

const DAY = '2026-01-25T00:00:00Z';
const record = (region: string, value: string, elementName = 'hooli'): RecordInput => ({
  timestamp: DAY,
  granularity: 'DAILY',
  elementName,
  filter: [{ dimension: 'region', values: [region] }],
  value,
});
const both = (value: string): RecordInput[] => [record('eu', value), record('us', value)];

/** Returns the total of each group. */
const totals = async (at: TestServer, stream: string, groupBy: string[] = []): Promise<number[]> => {
  const window = { from: DAY, to: '2026-01-26T00:00:00Z', aggregationBucket: 'DAY' };
  const { series } = await readUsage(at, { meterApiNames: [stream], ...window, groupBy });
  return series.map(({ total }) => Number(total));
};
/** Merges totals on both servers concurrently and repeatedly until the work is done. */
const whileMerging = async (work: Promise<unknown>): Promise<void> => {
  let working = true;
  const merging = servers.map(async ({ resources }) => {
    while (working) await mergeTotals(resources.database.acrossAccounts, { minOperations: 1 });
  });
  try {
    await work;
  } finally {
    working = false;
    await Promise.all(merging);
  }
};
const again = async (count: number, step: (round: number) => Promise<void>): Promise<void> => {
  for (let round = 0; round < count; round += 1) await step(round);
};
const mergedRows = (stream: string) =>
  querySql(
    servers[0],
    `SELECT 1 FROM totals t JOIN streams s ON s.id = t.stream_id WHERE s.name = $1 AND t.operation_id = 0`,
    [stream],
  );
const untilMerged = (stream: string) =>
  eventually(
    async () => {
      await mergeTotals(servers[0].resources.database.acrossAccounts, { minOperations: 1 });
      return mergedRows(stream);
    },
    (rows) => rows.length > 0,
  );

test('usage > contains every acknowledged sum and nothing that was not sent while two servers merge totals', async () => {
  const stream = 'growing';
  await write(servers[0], 'Sum', { stream, records: both('0') });
  let sent = 0;
  let acknowledged = 0;
  const senders = Array.from({ length: 8 }, (_, index) =>
    again(25, async () => {
      sent += 2;
      expect(verdict(await write(server(index), 'Sum', { stream, records: both('1') }))).toBe('taken');
      acknowledged += 2;
    }),
  );
  let writing = true;
  const asking = servers.map(async (one) => {
    let last = 0;
    while (writing) {
      const least = acknowledged;
      const [total = NaN] = await totals(one, stream);
      expect(total).toBeGreaterThanOrEqual(Math.max(least, last));
      expect(total).toBeLessThanOrEqual(sent);
      last = total;
    }
  });
  await whileMerging(
    Promise.all(senders).finally(() => {
      writing = false;
    }),
  );
  await Promise.all(asking);
  await untilMerged(stream);
  expect(await totals(servers[1], stream)).toEqual([400]);
  expect(await totals(servers[1], stream, ['element'])).toEqual([400]);
});

test('usage > never contains part of a replace or delete while two servers merge totals', async () => {
  const stream = 'changing';
  await write(servers[0], 'Sum', { stream, records: both('1') });
  const writers = Array.from({ length: 6 }, (_, index) =>
    again(16, async (round) => {
      const kind = (['Sum', 'Replace', 'Sum', 'Sum', 'Delete'] as const)[(index + round) % 5] ?? 'Sum';
      const records = kind === 'Delete' ? [{ timestamp: DAY, granularity: 'DAILY' }] : both(String(round + 1));
      expect(verdict(await write(server(index), kind, { stream, records }))).toBe('taken');
    }),
  );
  let writing = true;
  let shown = 0;
  const asking = servers.map(async (one) => {
    while (writing) {
      const [eu = 0, us = 0] = await totals(one, stream, ['region']);
      expect(eu).toBe(us);
      if (eu > 0) shown += 1;
    }
  });
  await whileMerging(
    Promise.all(writers).finally(() => {
      writing = false;
    }),
  );
  await Promise.all(asking);
  expect(shown).toBeGreaterThan(0);
  await write(servers[0], 'Sum', { stream, records: both('1') });
  await untilMerged(stream);
  const [byElement = NaN] = await totals(servers[0], stream, ['element']);
  expect(await totals(servers[1], stream)).toEqual([byElement]);
  expect(await totals(servers[1], stream, ['region'])).toEqual([byElement / 2, byElement / 2]);
});

test('mergeTotals > does not move totals_merged_xid back when another merge with a newer snapshot ended first', async () => {
  const stream = 'ahead';
  await write(servers[0], 'Sum', { stream, records: both('1') });
  await forgetTotals(servers[0], stream);
  // Simulates another merge that began later and ended earlier.
  const [ahead] = await querySql<{ xid: string }>(
    servers[0],
    `UPDATE streams SET totals_merged_xid = (pg_snapshot_xmax(pg_current_snapshot())::text::bigint + 1000000)::text::xid8
     WHERE name = $1 RETURNING totals_merged_xid::text AS xid`,
    [stream],
  );
  await untilMerged(stream);
  const [after] = await querySql(servers[0], 'SELECT totals_merged_xid::text AS xid FROM streams WHERE name = $1', [
    stream,
  ]);
  expect(after).toEqual(ahead);
});

test('mergeTotals > merges 40,000 operations in time when the planner has no statistics of them', async () => {
  const stream = 'burst';
  await write(servers[0], 'Sum', { stream, records: both('1') });
  const count = 40_000;
  // Autovacuum would collect statistics after a minute; a new database has none until then.
  for (const table of ['operations', 'totals'])
    await querySql(servers[0], `ALTER TABLE ${table} SET (autovacuum_enabled = false)`);
  await querySql(
    servers[0],
    `WITH made AS (
       INSERT INTO operations (account_id, stream_id, kind, received_at, xid, totalled, inserted_records, hidden_records, content_sha256)
       SELECT account_id, id, 'SUM', now(), pg_current_xact_id(), true, 1, 0, '' FROM streams, generate_series(1, ${count}) WHERE name = $1
       RETURNING account_id, stream_id, id)
     INSERT INTO totals (account_id, stream_id, bucket_start, filter_id, operation_id, value, records)
     SELECT m.account_id, m.stream_id, $2::timestamptz, (SELECT min(f.id) FROM filters f WHERE f.stream_id = m.stream_id), m.id, 1, 1 FROM made m`,
    [stream, DAY],
  );
  // A transaction that another test opened before the burst prevents the merge until it ends.
  const merged = await eventually(
    async () => {
      await mergeTotals(servers[0].resources.database.acrossAccounts, { minOperations: 1 });
      return querySql<{ value: string; records: number; rows: number }>(
        servers[0],
        `SELECT sum(value)::text AS value, sum(records)::int AS records, count(*)::int AS rows
         FROM totals t JOIN streams s ON s.id = t.stream_id WHERE s.name = $1`,
        [stream],
      );
    },
    ([row]) => (row?.rows ?? Infinity) < count,
  );
  expect(merged).toEqual([{ value: String(count + 2), records: count + 2, rows: 2 }]);
});
