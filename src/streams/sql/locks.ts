import { sql } from 'drizzle-orm';
import { OWN_ID } from '../../db/as-of.ts';
import type { Transaction } from '../../db/client.ts';
import type { StreamRow } from '../stream-rows.ts';

// Locks of a stream and of its name, held until the transaction ends.

/** A request whose time is over still waits this long, so that an uncontended lock of a table or an index never fails. */
const MIN_LOCK_WAIT_MS = 50;

/**
 * Limits each wait for a lock in the rest of the transaction: for the stream, and for an idempotency key or a filter that another
 * transaction inserts. A statement that waits longer fails with 55P03 (isLockTimeout).
 */
export async function limitLockWaits(tx: Transaction, milliseconds: number): Promise<void> {
  await tx.execute(sql.raw(`SET LOCAL lock_timeout = ${Math.max(MIN_LOCK_WAIT_MS, Math.ceil(milliseconds))}`));
}

/** A stream whose lock the transaction holds. */
export interface LockedStream extends StreamRow {
  /** Id of the transaction on the node of the stream. */
  readonly xid: string;
}

/**
 * Locks a stream: shared for sums, which run concurrently, and exclusively for replace, delete and deleteStream. Returns the
 * stream as it is under the lock; null if it is deleted.
 *
 * An advisory lock instead of FOR SHARE and FOR UPDATE: with six overlapping sharers, FOR UPDATE waited more than 8 s.
 */
export async function lockStream<Stream extends Pick<StreamRow, 'accountId' | 'id'>>(
  tx: Transaction,
  stream: Stream,
  mode: 'shared' | 'exclusive',
): Promise<(Stream & Pick<LockedStream, 'hashesKeys' | 'keysHashed' | 'xid'>) | null> {
  const lock = sql.raw(mode === 'shared' ? 'pg_advisory_xact_lock_shared' : 'pg_advisory_xact_lock');
  const [, live] = await Promise.all([
    tx.execute(sql`
      SELECT ${lock}(hashtextextended(id::text, 0)) FROM streams
      WHERE account_id = ${stream.accountId} AND id = ${stream.id}`),
    // A second statement, because the first one reads the stream before it waits for the lock.
    tx.execute<{ hashes_keys: boolean; keys_hashed: boolean; xid: string }>(sql`
      SELECT hashes_keys, keys_hashed, ${OWN_ID} AS xid FROM streams WHERE account_id = ${stream.accountId} AND id = ${stream.id} AND deleted_at IS NULL`),
  ]);
  const [row] = live.rows;
  return row ? { ...stream, hashesKeys: row.hashes_keys, keysHashed: row.keys_hashed, xid: row.xid } : null;
}

/**
 * Locks the name of a stream, so that no other transaction deletes the stream. Take this lock before any other: a transaction that
 * waits for it must hold no lock that another one waits for.
 */
export async function lockStreamName(tx: Transaction, accountId: bigint, name: string): Promise<void> {
  await tx.execute(sql`SELECT pg_advisory_xact_lock(hashtextextended(${`stream ${accountId}/${name}`}::text, 0))`);
}
