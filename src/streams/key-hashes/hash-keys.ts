import { sql } from 'drizzle-orm';
import type { Db, Transaction } from '../../db/client.ts';
import { preferTidScans } from '../sql/hide-records.ts';
import { keyHash, UNHASHED } from './key-hash.ts';
import { limitLockWaits, lockStream } from '../sql/locks.ts';
import type { StreamRow } from '../stream-rows.ts';
import type { StreamQueue } from '../stream-queue.ts';

// Gives the records of a stream the hashes of their keys, once single keys are looked for in a large bucket of it. First the
// records that are inserted from then on get them, then those that are there, and then look-ups rely on them.

export interface HashingContext {
  /** As the account of the stream sees it. */
  readonly db: Db;
  readonly streamQueue: StreamQueue;
  readonly signal: AbortSignal;
  /** How long a step may wait for others that use the stream. Writes that arrive meanwhile wait behind it. */
  readonly waitMs: number;
}

type HashedStream = Pick<StreamRow, 'accountId' | 'id' | 'name'>;

/** Records hashed per transaction. A replace waits about 50 ms for it. */
const RECORDS_AT_A_TIME = 5000;

/** HASHED for ever; LARGE if a bucket has this number of live records. */
export type KeyState = 'HASHED' | 'HASHING' | 'LARGE' | 'SMALL';

/** Null if the stream is deleted. */
export const findKeyState = async (
  db: Db,
  { accountId, id }: HashedStream,
  records: number,
): Promise<KeyState | null> => {
  const { rows } = await db.execute<{ state: KeyState }>(sql`
    SELECT CASE WHEN s.keys_hashed THEN 'HASHED' WHEN s.hashes_keys THEN 'HASHING' WHEN EXISTS (
      SELECT 1 FROM totals t WHERE t.account_id = ${accountId} AND t.stream_id = ${id}
      GROUP BY t.bucket_start HAVING sum(t.records) >= ${records}) THEN 'LARGE' ELSE 'SMALL' END AS state
    FROM streams s WHERE s.account_id = ${accountId} AND s.id = ${id} AND s.deleted_at IS NULL`);
  return rows[0]?.state ?? null;
};

/**
 * Ends early if the stream is deleted, or if another server is hashing it.
 * Throws StreamBusyError if others use the stream: they are not held up for longer than a moment.
 */
export const hashStreamKeys = async (context: HashingContext, stream: HashedStream, state: KeyState): Promise<void> => {
  const { accountId, id } = stream;
  if (state === 'LARGE') {
    // Alone: all transactions that insert without hashes have ended when hashing starts.
    await withStreamLock(context, stream, 'exclusive', (tx) =>
      tx.execute(sql`UPDATE streams SET hashes_keys = true WHERE account_id = ${accountId} AND id = ${id}`),
    );
  }
  let from: string | null = '-infinity';
  while (from !== null && !context.signal.aborted) {
    const bucket: string = from;
    from = await withStreamLock(context, stream, 'shared', (tx) => hashNextRecords(tx, stream, bucket));
  }
};

/** A transaction that holds the stream's lock; null if the stream is deleted. */
const withStreamLock = async <Value>(
  { db, streamQueue, signal, waitMs }: HashingContext,
  stream: HashedStream,
  access: 'shared' | 'exclusive',
  work: (tx: Transaction) => Promise<Value>,
): Promise<Value | null> =>
  streamQueue.enter(
    { accountId: stream.accountId, stream: stream.name, access, ended: () => [signal], leftMs: waitMs },
    async (ticket) => {
      await ticket.turn;
      return db.transaction(async (tx) => {
        const [, live] = await Promise.all([limitLockWaits(tx, ticket.leftMs()), lockStream(tx, stream, access)]);
        return live && work(tx);
      });
    },
  );

/**
 * Hashes the next records from a bucket on, and notes when there are no more. Returns where to go on; null at the end.
 * The shared lock keeps out what else updates records, so that nobody waits for a row in the middle of a transaction.
 */
const hashNextRecords = async (
  tx: Transaction,
  { accountId, id }: HashedStream,
  from: string,
): Promise<string | null> => {
  const { rows: locked } = await tx.execute<{ locked: boolean }>(
    sql`SELECT pg_try_advisory_xact_lock(hashtextextended(${`key hashes ${id}`}::text, 0)) AS locked`,
  );
  if (!locked[0]?.locked) return null;
  await preferTidScans(tx);
  const { rows } = await tx.execute<{ bucket: string }>(sql`
    UPDATE records r SET key_hash = ${keyHash(sql`r.filter_id`, sql`r.element`)}
    WHERE r.account_id = ${accountId} AND r.stream_id = ${id} AND r.key_hash = ${UNHASHED} AND r.ctid = ANY(ARRAY(
      SELECT n.ctid FROM records n
      WHERE n.account_id = ${accountId} AND n.stream_id = ${id} AND n.hidden_by IS NULL
        AND n.bucket_start >= ${from}::timestamptz AND n.key_hash = ${UNHASHED}
      ORDER BY n.bucket_start LIMIT ${RECORDS_AT_A_TIME}))
    RETURNING r.bucket_start AS bucket`);
  if (rows.length === RECORDS_AT_A_TIME)
    return rows
      .map(({ bucket }) => bucket)
      .sort()
      .at(-1) as string;
  await tx.execute(sql`
    UPDATE streams SET keys_hashed = true WHERE account_id = ${accountId} AND id = ${id} AND hashes_keys`);
  return null;
};
