import { sql } from 'drizzle-orm';
import type { Db, Transaction } from '../../db/client.ts';
import { preferTidScans } from '../sql/hide-records.ts';
import { keyHash, UNHASHED } from './key-hash.ts';
import { limitLockWaits, lockStream } from '../sql/locks.ts';
import type { StreamRow } from '../stream-rows.ts';
import type { StreamQueue } from '../stream-queue.ts';

// Adds key hashes to a stream, once single keys of a large bucket are looked up: first to new records, then to existing records; then
// look-ups use them.

export interface HashingContext {
  /** The database as the account of the stream sees it. */
  readonly db: Db;
  readonly streamQueue: StreamQueue;
  readonly signal: AbortSignal;
  /** Maximum milliseconds that a step waits for writes to the stream. Writes that arrive meanwhile wait behind it. */
  readonly waitMs: number;
}

type HashedStream = Pick<StreamRow, 'accountId' | 'id' | 'name'>;

/** Maximum records hashed in one transaction, for which a replace waits about 50 ms. */
const RECORDS_AT_A_TIME = 5000;

/** HASHED is final. LARGE: the keys are not hashed, and a bucket is large. */
export type KeyState = 'HASHED' | 'HASHING' | 'LARGE' | 'SMALL';

/**
 * Returns null if the stream is deleted.
 *
 * @param records number of live records of a large bucket
 */
export async function findKeyState(db: Db, { accountId, id }: HashedStream, records: number): Promise<KeyState | null> {
  const { rows } = await db.execute<{ state: KeyState }>(sql`
    SELECT CASE WHEN s.keys_hashed THEN 'HASHED' WHEN s.hashes_keys THEN 'HASHING' WHEN EXISTS (
      SELECT 1 FROM totals t WHERE t.account_id = ${accountId} AND t.stream_id = ${id}
      GROUP BY t.bucket_start HAVING sum(t.records) >= ${records}) THEN 'LARGE' ELSE 'SMALL' END AS state
    FROM streams s WHERE s.account_id = ${accountId} AND s.id = ${id} AND s.deleted_at IS NULL`);
  return rows[0]?.state ?? null;
}

/**
 * Hashes the keys of the stream. Returns early if the stream is deleted, or if another server hashes its keys. Throws StreamBusyError if
 * writes used the stream for longer than `waitMs`.
 */
export async function hashStreamKeys(context: HashingContext, stream: HashedStream, state: KeyState): Promise<void> {
  const { accountId, id } = stream;
  if (state === 'LARGE') {
    // The exclusive lock waits for all transactions that insert without hashes.
    await withStreamLock(context, stream, 'exclusive', (tx) =>
      tx.execute(sql`UPDATE streams SET hashes_keys = true WHERE account_id = ${accountId} AND id = ${id}`),
    );
  }
  let from: string | null = '-infinity';
  while (from !== null && !context.signal.aborted) {
    const bucket: string = from;
    from = await withStreamLock(context, stream, 'shared', (tx) => hashNextRecords(tx, stream, bucket));
  }
}

/** Runs a transaction that holds the lock of the stream. Returns null if the stream is deleted. */
async function withStreamLock<Value>(
  { db, streamQueue, signal, waitMs }: HashingContext,
  stream: HashedStream,
  access: 'shared' | 'exclusive',
  work: (tx: Transaction) => Promise<Value>,
): Promise<Value | null> {
  return streamQueue.enter(
    { accountId: stream.accountId, stream: stream.name, access, ended: () => [signal], leftMs: waitMs },
    async (ticket) => {
      await ticket.turn;
      return db.transaction(async (tx) => {
        const [, live] = await Promise.all([limitLockWaits(tx, ticket.leftMs()), lockStream(tx, stream, access)]);
        return live && work(tx);
      });
    },
  );
}

/**
 * Hashes the next records, from a bucket on. Returns the bucket to continue at; null after the last record, when the stream is marked as
 * hashed. The shared lock excludes all other updates of records, so that no transaction waits for a row.
 */
async function hashNextRecords(tx: Transaction, { accountId, id }: HashedStream, from: string): Promise<string | null> {
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
}
