import { type SQL, sql } from 'drizzle-orm';
import { KEEPS_IDS, OLDEST_OPEN } from '../../db/as-of.ts';
import type { Db, Transaction } from '../../db/client.ts';
import { ADD_TO_EXISTING } from './totals.ts';

// Keeps the totals of a stream few, however many operations wrote them: those of all operations that every later reader sees
// become one row for each bucket and filter. A reader of an older moment notices (streams.totals_merged_xid) and asks the ledger.

interface StreamKey {
  readonly accountId: string;
  readonly streamId: string;
}

export interface MergeOptions {
  /** The totals of a stream are merged when at least this number of its operations are not. */
  readonly leastOperations: number;
}

/** A position in the order of accounts and streams. The sweep continues with the streams behind it. */
export interface SweepPosition {
  readonly accountId: bigint;
  readonly streamId: bigint;
}

export interface SweepSlice {
  /** Where the next slice continues; null after the last stream. */
  readonly next: SweepPosition | null;
  readonly lookedAt: number;
  readonly merged: number;
}

/** One statement over all records of a stream may be needed where an older server wrote to it. */
const STATEMENT_TIMEOUT = '1h';

// The sweep's cost is bounded by these two, however many accounts and streams there are: 50,000 idle streams in 3,000 accounts
// took 3 to 5 s of every 15 s when each look covered all of them.
const SLICE_ACCOUNTS = 100;
const SLICE_STREAMS = 500;

export const SWEEP_START: SweepPosition = { accountId: 0n, streamId: 0n };

/** The first stream of any account. */
export const randomPosition = async (db: Db): Promise<SweepPosition> => {
  const { rows } = await db.execute<{ id: string }>(sql`SELECT id FROM accounts ORDER BY random() LIMIT 1`);
  return { accountId: BigInt(rows[0]?.id ?? 0), streamId: 0n };
};

/** Merges the totals of all streams that need it, each in a transaction of its own. */
export const mergeTotals = async (db: Db, options: MergeOptions, signal?: AbortSignal): Promise<void> => {
  for (let from: SweepPosition | null = SWEEP_START; from && !signal?.aborted;) {
    from = (await mergeSlice(db, from, options, signal)).next;
  }
};

/** Merges the totals of the next streams behind the position that need it. */
export const mergeSlice = async (
  db: Db,
  from: SweepPosition,
  options: MergeOptions,
  signal?: AbortSignal,
): Promise<SweepSlice> => {
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
};

/** Merges the totals of those of the streams that need it. Returns the streams that still need it afterwards. */
export const mergeStreams = async (
  db: Db,
  accountId: bigint,
  streamIds: readonly bigint[],
  options: MergeOptions,
  signal?: AbortSignal,
): Promise<bigint[]> => {
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
  // Operations of transactions that are still open, or that began after the oldest of these, are left.
  return found.length === 0 ? [] : (await find(found.map(BigInt))).map(BigInt);
};

/**
 * Whether the stream `s` needs a merge: if even the n-th newest operation is not merged, n are waiting; operations
 * without totals need one in any case.
 */
const needsMerge = (accountId: string, { leastOperations }: MergeOptions): SQL => {
  const account = sql`${accountId}::bigint`;
  const nthIsOpen = (place: number) => sql`
    (SELECT o.xid FROM operations o WHERE o.account_id = ${account} AND o.stream_id = s.id
      ORDER BY o.id DESC OFFSET ${place - 1} LIMIT 1) >= coalesce(s.totals_merged_xid, '0'::xid8)`;
  return sql`s.deleted_at IS NULL AND coalesce(
    CASE WHEN ${nthIsOpen(1)} THEN ${nthIsOpen(leastOperations)} END
    OR EXISTS (SELECT 1 FROM operations o WHERE o.account_id = ${account} AND o.stream_id = s.id AND NOT o.totalled), false)`;
};

const findStreamsAfter = async (
  db: Db,
  accountId: string,
  after: bigint,
  most: number,
  options: MergeOptions,
): Promise<{ readonly streamId: string; readonly isMergeable: boolean }[]> => {
  const { rows } = await db.execute<{ id: string; is_mergeable: boolean }>(sql`
    SELECT s.id, ${needsMerge(accountId, options)} AS is_mergeable FROM (
      SELECT account_id, id, deleted_at, totals_merged_xid FROM streams
      WHERE account_id = ${accountId}::bigint AND id > ${after} ORDER BY id LIMIT ${most}) s
    ORDER BY s.id`);
  return rows.map((row) => ({ streamId: row.id, isMergeable: row.is_mergeable }));
};

const mergeStream = (db: Db, stream: StreamKey): Promise<void> =>
  db.transaction(async (tx) => {
    const { accountId, streamId } = stream;
    await tx.execute(sql.raw(`SET LOCAL statement_timeout = '${STATEMENT_TIMEOUT}'`));
    // Of a stream that is new the planner knows nothing yet, and takes thousands of operations for one: a loop over them, for
    // each of as many totals, took minutes.
    await tx.execute(sql`SET LOCAL enable_nestloop = off`);
    const { rows } = await tx.execute<{ locked: boolean; before: string }>(sql`
      SELECT ${KEEPS_IDS} AND pg_try_advisory_xact_lock(hashtextextended(${`totals ${streamId}`}::text, 0)) AS locked,
        ${OLDEST_OPEN} AS before
      FROM streams WHERE account_id = ${accountId}::bigint AND id = ${streamId}::bigint`);
    // Another server is at it, or repairs the ids.
    if (!rows[0]?.locked) return;
    const { before } = rows[0];
    await addMissingTotals(tx, stream, before);
    // Transactions before the oldest that is under way have ended, and the ids stay as they are, so both statements find the same
    // operations.
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
    // Never back: another server may have looked later and been done before the lock was had here.
    await tx.execute(sql`
      UPDATE streams SET totals_merged_xid = greatest(totals_merged_xid, ${before}::xid8)
      WHERE account_id = ${accountId}::bigint AND id = ${streamId}::bigint`);
  });

/** Makes the totals of operations that a server of an older version wrote. */
const addMissingTotals = async (tx: Transaction, { accountId, streamId }: StreamKey, before: string): Promise<void> => {
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
};
