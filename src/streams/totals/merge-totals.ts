import { type SQL, sql } from 'drizzle-orm';
import { TRY_LOCK_IDS, OLDEST_OPEN } from '../../db/as-of.ts';
import type { Db, Transaction } from '../../db/client.ts';
import { ADD_TO_EXISTING } from './totals.ts';

// Merges the totals of all operations that every later reader sees into one row per bucket and filter, so that a stream has few totals
// after any number of operations. A reader of an older state compares streams.totals_merged_xid, and reads the ledger instead.
// Guarded by test/streams/totals-sweep.test.ts and test/usage/merged-totals.test.ts.

interface StreamKey {
  readonly accountId: string;
  readonly streamId: string;
}

export interface MergeOptions {
  /** The totals of a stream are merged when at least this number of its operations are not. */
  readonly minOperations: number;
}

/** A position in the order of accounts and streams. The sweep continues after it. */
export interface SweepPosition {
  readonly accountId: bigint;
  readonly streamId: bigint;
}

export interface SweepSlice {
  /** Position at which the next slice continues; null after the last stream. */
  readonly next: SweepPosition | null;
  readonly lookedAt: number;
  readonly merged: number;
}

/** Long enough for a statement over all records of a stream, which operations of an older server may need. */
const STATEMENT_TIMEOUT = '1h';

// These limit the cost of a slice for any number of accounts and streams: when a slice covered all of them, 50,000 idle streams in 3,000
// accounts took 3 to 5 s of every 15 s.
const SLICE_ACCOUNTS = 100;
const SLICE_STREAMS = 500;

export const SWEEP_START: SweepPosition = { accountId: 0n, streamId: 0n };

/** Returns the position before the first stream of a random account. */
export async function pickRandomPosition(db: Db): Promise<SweepPosition> {
  const { rows } = await db.execute<{ id: string }>(sql`SELECT id FROM accounts ORDER BY random() LIMIT 1`);
  return { accountId: BigInt(rows[0]?.id ?? 0), streamId: 0n };
}

/** Merges the totals of all streams that need it, each in its own transaction. */
export async function mergeTotals(db: Db, options: MergeOptions, signal?: AbortSignal): Promise<void> {
  for (let from: SweepPosition | null = SWEEP_START; from && !signal?.aborted;) {
    from = (await mergeSlice(db, from, options, signal)).next;
  }
}

/** Looks at the next streams after the position, and merges the totals of those that need it. */
export async function mergeSlice(
  db: Db,
  from: SweepPosition,
  options: MergeOptions,
  signal?: AbortSignal,
): Promise<SweepSlice> {
  const { rows: accounts } = await db.execute<{ id: string }>(
    sql`SELECT id FROM accounts WHERE id >= ${from.accountId} ORDER BY id LIMIT ${SLICE_ACCOUNTS}`,
  );
  let position = from;
  let lookedAt = 0;
  let merged = 0;
  for (const { id } of accounts) {
    const accountId = BigInt(id);
    const after: bigint = accountId === from.accountId ? from.streamId : 0n;
    const most = SLICE_STREAMS - lookedAt;
    const streams = await findStreamsAfter(db, id, after, most, options);
    for (const { streamId, isMergeable } of streams) {
      if (!isMergeable) continue;
      if (signal?.aborted) return { next: position, lookedAt, merged };
      await mergeStream(db, { accountId: id, streamId });
      merged += 1;
    }
    lookedAt += streams.length;
    const last = streams.at(-1);
    if (last && streams.length === most) {
      return { next: { accountId, streamId: BigInt(last.streamId) }, lookedAt, merged };
    }
    position = { accountId: accountId + 1n, streamId: 0n };
  }
  return { next: accounts.length < SLICE_ACCOUNTS ? null : position, lookedAt, merged };
}

/** Merges the totals of the given streams, if they need it. Returns the streams that still need it afterwards. */
export async function mergeStreams(
  db: Db,
  accountId: bigint,
  streamIds: readonly bigint[],
  options: MergeOptions,
  signal?: AbortSignal,
): Promise<bigint[]> {
  const account = String(accountId);
  const find = async (ids: readonly bigint[]): Promise<string[]> => {
    const among = sql`s.account_id = ${account}::bigint AND s.id = ANY(${sql.param(ids.map(String))}::bigint[])`;
    const { rows } = await db.execute<{ id: string }>(sql`
      SELECT s.id FROM streams s WHERE ${among} AND ${needsMerge(account, options)} ORDER BY s.id`);
    return rows.map(({ id }) => id);
  };
  const found = await find(streamIds);
  for (const streamId of found) {
    if (signal?.aborted) break;
    await mergeStream(db, { accountId: account, streamId });
  }
  // Operations remain if their transactions are open, or began after the oldest open transaction.
  return found.length === 0 ? [] : (await find(found.map(BigInt))).map(BigInt);
}

/**
 * SQL: whether the stream `s` needs a merge, because its n-th newest operation is not merged, so that n operations wait, or because it has
 * operations without totals.
 */
function needsMerge(accountId: string, { minOperations }: MergeOptions): SQL {
  const account = sql`${accountId}::bigint`;
  const nthIsOpen = (n: number) => sql`
    (SELECT o.xid FROM operations o WHERE o.account_id = ${account} AND o.stream_id = s.id
      ORDER BY o.id DESC OFFSET ${n - 1} LIMIT 1) >= coalesce(s.totals_merged_xid, '0'::xid8)`;
  return sql`s.deleted_at IS NULL AND coalesce(
    CASE WHEN ${nthIsOpen(1)} THEN ${nthIsOpen(minOperations)} END
    OR EXISTS (SELECT 1 FROM operations o WHERE o.account_id = ${account} AND o.stream_id = s.id AND NOT o.totalled), false)`;
}

async function findStreamsAfter(
  db: Db,
  accountId: string,
  after: bigint,
  most: number,
  options: MergeOptions,
): Promise<{ readonly streamId: string; readonly isMergeable: boolean }[]> {
  const { rows } = await db.execute<{ id: string; is_mergeable: boolean }>(sql`
    SELECT s.id, ${needsMerge(accountId, options)} AS is_mergeable FROM (
      SELECT account_id, id, deleted_at, totals_merged_xid FROM streams
      WHERE account_id = ${accountId}::bigint AND id > ${after} ORDER BY id LIMIT ${most}) s
    ORDER BY s.id`);
  return rows.map((row) => ({ streamId: row.id, isMergeable: row.is_mergeable }));
}

function mergeStream(db: Db, stream: StreamKey): Promise<void> {
  return db.transaction(async (tx) => {
    const { accountId, streamId } = stream;
    await tx.execute(sql.raw(`SET LOCAL statement_timeout = '${STATEMENT_TIMEOUT}'`));
    // Without statistics of a new stream, the planner expects one operation instead of thousands: a nested loop over them took minutes.
    await tx.execute(sql`SET LOCAL enable_nestloop = off`);
    const { rows } = await tx.execute<{ locked: boolean; before: string }>(sql`
      SELECT ${TRY_LOCK_IDS} AND pg_try_advisory_xact_lock(hashtextextended(${`totals ${streamId}`}::text, 0)) AS locked,
        ${OLDEST_OPEN} AS before
      FROM streams WHERE account_id = ${accountId}::bigint AND id = ${streamId}::bigint`);
    // Another server merges the totals, or repairs the transaction ids.
    if (!rows[0]?.locked) return;
    const { before } = rows[0];
    await addMissingTotals(tx, stream, before);
    // Transactions before the oldest open one have ended, and their ids do not change, so both statements find the same operations.
    const merged = sql`
      t.account_id = ${accountId}::bigint AND t.stream_id = ${streamId}::bigint AND t.operation_id IN (
        SELECT o.id FROM operations o WHERE o.account_id = ${accountId}::bigint AND o.stream_id = ${streamId}::bigint
          AND o.xid < ${before}::xid8)`;
    await tx.execute(sql`
      INSERT INTO totals (account_id, stream_id, bucket_start, filter_id, operation_id, value, records)
      SELECT t.account_id, t.stream_id, t.bucket_start, t.filter_id, 0, sum(t.value), sum(t.records)
      FROM totals t WHERE ${merged}
      GROUP BY t.account_id, t.stream_id, t.bucket_start, t.filter_id
      ${ADD_TO_EXISTING}`);
    await tx.execute(sql`DELETE FROM totals t WHERE ${merged}`);
    // Never decreases: another server may have read a later id, and merged before this one got the lock.
    await tx.execute(sql`
      UPDATE streams SET totals_merged_xid = greatest(totals_merged_xid, ${before}::xid8)
      WHERE account_id = ${accountId}::bigint AND id = ${streamId}::bigint`);
  });
}

/** Inserts the totals of operations that a server of an older version wrote without them. */
async function addMissingTotals(tx: Transaction, { accountId, streamId }: StreamKey, before: string): Promise<void> {
  const { rows } = await tx.execute<{ id: string }>(sql`
    SELECT o.id FROM operations o
    WHERE o.account_id = ${accountId}::bigint AND o.stream_id = ${streamId}::bigint AND NOT o.totalled AND o.xid < ${before}::xid8`);
  if (rows.length === 0) return;
  const operations = sql`${sql.param(rows.map(({ id }) => id))}::bigint[]`;
  const ofStream = sql`r.account_id = ${accountId}::bigint AND r.stream_id = ${streamId}::bigint`;
  await tx.execute(sql`
    INSERT INTO totals (account_id, stream_id, bucket_start, filter_id, operation_id, value, records)
    SELECT c.account_id, c.stream_id, c.bucket_start, c.filter_id, c.operation_id, sum(c.value), sum(c.records)
    FROM (
      SELECT r.account_id, r.stream_id, r.bucket_start, r.filter_id, r.operation_id, r.value, 1 AS records
      FROM records r WHERE ${ofStream} AND r.operation_id = ANY(${operations})
      UNION ALL
      SELECT r.account_id, r.stream_id, r.bucket_start, r.filter_id, r.hidden_by, -r.value, -1
      FROM records r WHERE ${ofStream} AND r.hidden_by = ANY(${operations})
    ) c
    GROUP BY c.account_id, c.stream_id, c.bucket_start, c.filter_id, c.operation_id`);
  await tx.execute(sql`
    UPDATE operations o SET totalled = true WHERE o.account_id = ${accountId}::bigint AND o.id = ANY(${operations})`);
}
