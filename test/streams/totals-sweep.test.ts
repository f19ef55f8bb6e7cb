import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTotalsMerger } from '../../src/background/totals-merger.ts';
import { SWEEP_START, mergeSlice, type SweepPosition } from '../../src/streams/totals/merge-totals.ts';
import { createMergeCandidates } from '../../src/streams/totals/merge-candidates.ts';
import { querySql } from '../support/job-steps.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';
import { accountIdOf } from './held-transactions.ts';
import { type RecordInput, verdict, write } from './writes.ts';

// How totals are found that need a merge, when almost all streams of a deployment are idle.

const ACCOUNTS = 250;
const STREAMS_PER_ACCOUNT = 5;
const MIN_OPERATIONS = 3;

const record: RecordInput = {
  timestamp: '2026-01-25T00:00:00Z',
  granularity: 'DAILY',
  elementName: 'hooli',
  filter: [{ dimension: 'region', values: ['eu'] }],
  value: '1',
};

let server: TestServer;
let accountId: bigint;
beforeAll(async () => {
  server = await startTestServer();
  accountId = await accountIdOf(server, 'default');
  await querySql(server, `INSERT INTO accounts (name) SELECT 'idle ' || i FROM generate_series(1, ${ACCOUNTS}) i`);
  await querySql(
    server,
    `INSERT INTO streams (account_id, name, granularity, dimensions, created_at, created_xid)
     SELECT a.id, 'idle-' || i, 'DAILY', '{region}', now(), pg_current_xact_id()
     FROM accounts a, generate_series(1, ${STREAMS_PER_ACCOUNT}) i WHERE a.name LIKE 'idle %'`,
  );
});
afterAll(() => server.stop());

const writeOften = async (stream: string, times: number): Promise<bigint> => {
  for (let time = 0; time < times; time += 1) {
    expect(verdict(await write(server, 'Sum', { stream, records: [record] }))).toBe('taken');
  }
  const [row] = await querySql<{ id: string }>(server, 'SELECT id FROM streams WHERE name = $1', [stream]);
  return BigInt(row?.id ?? 0);
};

const unmerged = async (streamId: bigint): Promise<number> => {
  const [row] = await querySql<{ rows: number }>(
    server,
    'SELECT count(*)::int AS rows FROM totals WHERE stream_id = $1 AND operation_id <> 0',
    [String(streamId)],
  );
  return row?.rows ?? NaN;
};

/** Transactions of other tests, which share the server, keep operations that are younger from being merged. */
const untilMergeable = (streamId: bigint) =>
  eventually(
    () =>
      querySql<{ mergeable: boolean }>(
        server,
        'SELECT max(xid::text::bigint) < pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS mergeable FROM operations WHERE stream_id = $1',
        [String(streamId)],
      ),
    ([row]) => row?.mergeable === true,
  );

test('sweep > looks at each stream once in slices of bounded size, and merges totals where needed', async () => {
  const often = await writeOften('swept', MIN_OPERATIONS);
  const seldom = await writeOften('left', MIN_OPERATIONS - 1);
  await untilMergeable(often);
  const [all] = await querySql<{ streams: number }>(server, 'SELECT count(*)::int AS streams FROM streams');
  const lookedAt: number[] = [];
  let merged = 0;
  for (let position: SweepPosition | null = SWEEP_START; position;) {
    const slice = await mergeSlice(server.resources.database.acrossAccounts, position, {
      minOperations: MIN_OPERATIONS,
    });
    lookedAt.push(slice.lookedAt);
    merged += slice.merged;
    position = slice.next;
  }
  expect(lookedAt.reduce((sum, count) => sum + count, 0)).toBe(all?.streams);
  expect(lookedAt.length).toBeGreaterThan(2);
  expect(Math.max(...lookedAt)).toBeLessThanOrEqual(500);
  expect(merged).toBe(1);
  expect([await unmerged(often), await unmerged(seldom)]).toEqual([0, MIN_OPERATIONS - 1]);
});

test('sweep > continues in the middle of an account whose streams do not fit into one slice', async () => {
  await querySql(
    server,
    `INSERT INTO streams (account_id, name, granularity, dimensions, created_at, created_xid)
     SELECT id, 'many-' || i, 'DAILY', '{region}', now(), pg_current_xact_id() FROM accounts, generate_series(1, 1200) i
     WHERE name = 'idle 7'`,
  );
  const [account] = await querySql<{ id: string; streams: number }>(
    server,
    `SELECT a.id, count(*)::int AS streams FROM accounts a JOIN streams s ON s.account_id = a.id WHERE a.name = 'idle 7' GROUP BY a.id`,
  );
  const id = BigInt(account?.id ?? 0);
  let looked = 0;
  let slices = 0;
  for (let position: SweepPosition = { accountId: id, streamId: 0n }; position.accountId === id; slices += 1) {
    const slice = await mergeSlice(server.resources.database.acrossAccounts, position, { minOperations: 200 });
    looked += slice.lookedAt;
    position = slice.next ?? SWEEP_START;
  }
  expect(slices).toBe(3);
  expect(looked).toBeGreaterThanOrEqual(account?.streams ?? NaN);
});

test('merger > merges the streams that its process wrote to often, when no open transaction is older than their writes', async () => {
  const candidates = createMergeCandidates({ minOperations: MIN_OPERATIONS, maxCounted: 100 });
  const often = await writeOften('noted', MIN_OPERATIONS);
  const seldom = await writeOften('noted-once', 1);
  for (let time = 0; time < MIN_OPERATIONS; time += 1) candidates.countOperation(accountId, often);
  candidates.countOperation(accountId, seldom);
  // An open transaction older than a write keeps its operation from being merged until it ends.
  const holder = await server.resources.database.pool.connect();
  await holder.query('BEGIN');
  await holder.query('SELECT pg_current_xact_id()');
  const errors: unknown[] = [];
  const late = await writeOften('held-back', MIN_OPERATIONS);
  candidates.markDue(accountId, late);
  const merger = startTotalsMerger({
    db: server.resources.database.acrossAccounts,
    mergeCandidates: candidates,
    everyMs: 10,
    minOperations: MIN_OPERATIONS,
    onError: (error) => errors.push(error),
  });
  const isMerged = (rows: number): boolean => rows === 0;
  try {
    await eventually(() => unmerged(often), isMerged);
    expect(await unmerged(late)).toBe(MIN_OPERATIONS);
    await holder.query('COMMIT');
    await eventually(() => unmerged(late), isMerged);
  } finally {
    await merger.stop();
    holder.release(true);
  }
  expect(errors).toEqual([]);
  expect(await unmerged(seldom)).toBe(1);
});

test('merge candidates > drops counts of streams that are not due when it counts too many', () => {
  const candidates = createMergeCandidates({ minOperations: 2, maxCounted: 3 });
  candidates.countOperation(1n, 1n);
  candidates.countOperation(1n, 1n);
  candidates.countOperation(1n, 2n);
  candidates.countOperation(2n, 3n);
  candidates.countOperation(2n, 4n);
  candidates.countOperation(2n, 4n);
  expect(candidates.takeDue()).toEqual(
    new Map([
      [1n, [1n]],
      [2n, [4n]],
    ]),
  );
  expect(candidates.takeDue()).toEqual(new Map());
});
