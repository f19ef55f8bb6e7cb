import { sql } from 'drizzle-orm';
import { plainArrayText } from '../../db/array-text.ts';
import { OWN_ID } from '../../db/as-of.ts';
import type { Transaction } from '../../db/client.ts';
import { compareUtf8 } from '../../lib/compare-utf8.ts';
import type { EncodedBatch } from '../pipeline/encode-batch.ts';
import { insertFewOperations } from './few-rows.ts';
import { type CanonicalFilter, encodeDimensions, hashFilter } from '../pipeline/canonical.ts';
import { keyHashOfInsert } from '../key-hashes/key-hash.ts';
import type { StreamCache } from '../stream-cache.ts';
import type { OperationRow, StreamRow } from '../stream-rows.ts';

// The statements of a write, in the order in which they run. Each names the account, and none loops over records.

/** A wait that is over is still given some time, so that an uncontended lock of a table or an index never fails. */
const LEAST_LOCK_WAIT_MS = 50;

/**
 * Limits each wait for a lock in the rest of the transaction: for the stream, for an idempotency key or a filter that another
 * transaction inserts. A statement that waits longer fails with 55P03 (isLockTimeout).
 */
export const limitLockWaits = async (tx: Transaction, milliseconds: number): Promise<void> => {
  await tx.execute(sql.raw(`SET LOCAL lock_timeout = ${Math.max(LEAST_LOCK_WAIT_MS, Math.ceil(milliseconds))}`));
};

/** A stream whose lock the transaction holds. */
export interface LockedStream extends StreamRow {
  /** The id of this transaction, on the node of the stream. */
  readonly xid: string;
}

/**
 * Sums of one stream run side by side under the shared lock; replace, delete and deleteStream take it alone.
 * An advisory lock and not FOR SHARE / FOR UPDATE: under six overlapping sharers FOR UPDATE waited over 8 s.
 * Returns null if the stream was deleted before.
 */
export const lockStream = async <Stream extends Pick<StreamRow, 'accountId' | 'id'>>(
  tx: Transaction,
  stream: Stream,
  mode: 'shared' | 'exclusive',
): Promise<(Stream & Pick<LockedStream, 'hashesKeys' | 'keysHashed' | 'xid'>) | null> => {
  const lock = sql.raw(mode === 'shared' ? 'pg_advisory_xact_lock_shared' : 'pg_advisory_xact_lock');
  const [, live] = await Promise.all([
    tx.execute(sql`
      SELECT ${lock}(hashtextextended(id::text, 0)) FROM streams
      WHERE account_id = ${stream.accountId} AND id = ${stream.id}`),
    // A statement of its own: the one above read the stream before it waited for the lock.
    tx.execute<{ hashes_keys: boolean; keys_hashed: boolean; xid: string }>(sql`
      SELECT hashes_keys, keys_hashed, ${OWN_ID} AS xid FROM streams WHERE account_id = ${stream.accountId} AND id = ${stream.id} AND deleted_at IS NULL`),
  ]);
  const [row] = live.rows;
  return row ? { ...stream, hashesKeys: row.hashes_keys, keysHashed: row.keys_hashed, xid: row.xid } : null;
};

/**
 * Keeps the stream of this name from being deleted for the transaction. deleteStream takes it too, before any other lock, so
 * whoever waits for it holds nothing that somebody else waits for.
 */
export const lockName = async (tx: Transaction, accountId: bigint, name: string): Promise<void> => {
  await tx.execute(sql`SELECT pg_advisory_xact_lock(hashtextextended(${`stream ${accountId}/${name}`}::text, 0))`);
};

/**
 * Ids for operations, in ascending order. Taken before the operations are inserted: a default of the table would be evaluated by the
 * coordinator of a distributed database, which makes three steps and a two-phase commit of each INSERT.
 */
export const takeOperationIds = async (tx: Transaction, count: number): Promise<bigint[]> => {
  const { rows } = await tx.execute<{ ids: string }>(
    // As one text: a row for each would cost as much as inserting it.
    sql`SELECT string_agg(nextval('operation_ids')::text, ',') AS ids FROM generate_series(1, ${count}::int)`,
  );
  return (rows[0]?.ids ?? '').split(',').map(BigInt);
};

/** Null if the idempotency key is taken. */
export const insertOperation = async (
  tx: Transaction,
  stream: LockedStream,
  id: bigint,
  kind: OperationRow['kind'],
  idempotencyKey: string | null,
  content: { readonly digest: Buffer; readonly recordCount: number },
  now: Date,
): Promise<OperationRow | null> => {
  const { accountId } = stream;
  const operation: OperationRow = {
    accountId,
    id,
    streamId: stream.id,
    kind,
    receivedAt: now,
    insertedRecords: content.recordCount,
    hiddenRecords: 0,
    idempotencyKey,
    contentSha256: content.digest,
  };
  return (await insertFewOperations(tx, stream.xid, [operation])) === 1 ? operation : null;
};

/** The ids of the filters that the stream has, by their digests in hexadecimal. */
export const findFilterIds = async (
  tx: Transaction,
  stream: StreamRow,
  digests: readonly Buffer[],
): Promise<Map<string, string>> => {
  const { rows } = await tx.execute<{ digest: Buffer; id: string }>(sql`
    SELECT digest, id FROM filters
    WHERE account_id = ${stream.accountId} AND stream_id + 0 = ${stream.id} AND digest = ANY(${sql.param(digests)}::bytea[])`);
  return new Map(rows.map((row) => [row.digest.toString('hex'), row.id]));
};

/** The ids of the filters in their order; new ones are stored. */
export const resolveFilterIds = async (
  tx: Transaction,
  stream: StreamRow,
  filters: readonly CanonicalFilter[],
  streamCache: StreamCache,
): Promise<string[]> => {
  const remembered = filters.flatMap((filter) => streamCache.getFilterId(stream.id, filter) ?? []);
  if (remembered.length === filters.length) return remembered;
  const digests = filters.map(hashFilter);
  const find = () => findFilterIds(tx, stream, digests);
  let ids = await find();
  if (ids.size < filters.length) {
    const missing = filters
      .map((filter, index) => ({ filter, digest: (digests[index] as Buffer).toString('hex') }))
      .filter(({ digest }) => !ids.has(digest))
      // In one order everywhere: two writers that bring the same new filters in other orders would deadlock.
      .sort((a, b) => compareUtf8(a.digest, b.digest));
    const entries = missing.map(({ filter }) => encodeDimensions(filter));
    await tx.execute(sql`
      INSERT INTO filters (account_id, stream_id, digest, dimensions)
      SELECT s.account_id, s.id, decode(u.digest, 'hex'), u.dimensions::jsonb
      FROM streams s, unnest(${sql.param(missing.map(({ digest }) => digest))}::text[], ${sql.param(entries)}::text[]) AS u(digest, dimensions)
      WHERE s.account_id = ${stream.accountId} AND s.id = ${stream.id}
      ORDER BY u.digest
      ON CONFLICT (account_id, digest, (stream_id + 0)) DO NOTHING`);
    ids = await find();
  }
  return digests.map((digest) => ids.get(digest.toString('hex')) as string);
};

/**
 * Answers how many.
 * @param operation of all records, or of each of them
 */
export const insertRecords = async (
  tx: Transaction,
  stream: StreamRow,
  operation: bigint | readonly bigint[],
  { buckets, bucketIndexes, filterIndexes, elements, values }: EncodedBatch,
  filterIds: readonly string[],
): Promise<number> => {
  const isOne = typeof operation === 'bigint';
  const filterId = sql`(${plainArrayText(filterIds)}::bigint[])[u.filter_place]`;
  const { rowCount } = await tx.execute(sql`
    INSERT INTO records (account_id, stream_id, bucket_start, filter_id, element, value, operation_id, key_hash)
    SELECT s.account_id, s.id, (${buckets}::timestamptz[])[u.bucket_place], ${filterId},
      u.element, u.value, ${isOne ? sql`${operation}::bigint` : sql`u.operation_id`},
      ${keyHashOfInsert(filterId, sql`u.element`)}
    FROM streams s, unnest(
      ${bucketIndexes}::int[], ${filterIndexes}::int[], ${elements}::text[],
      ${values}::numeric[]${isOne ? sql`` : sql`, ${plainArrayText(operation.map(String))}::bigint[]`}
    ) AS u(bucket_place, filter_place, element, value${isOne ? sql`` : sql`, operation_id`})
    WHERE s.account_id = ${stream.accountId} AND s.id = ${stream.id}`);
  return rowCount ?? 0;
};

/** Inserts the records of all batches, the next being sent while one is under way. Answers how many. */
export const insertBatches = async (
  tx: Transaction,
  stream: StreamRow,
  operationId: bigint,
  batches: readonly EncodedBatch[],
  idOf: (filter: CanonicalFilter) => string,
): Promise<number> => {
  let count = 0;
  let earlier: Promise<number> = Promise.resolve(0);
  for (const batch of batches) {
    const inserting = insertRecords(tx, stream, operationId, batch, batch.filters.map(idOf));
    // Whoever waits for it hears of a failure; where the one before failed, nobody does.
    inserting.catch(() => undefined);
    count += await earlier;
    earlier = inserting;
  }
  return count + (await earlier);
};

/** Notes how many records each operation hid, shortly before COMMIT. */
export const recordHiddenCounts = async (
  tx: Transaction,
  { accountId }: StreamRow,
  hidden: ReadonlyMap<bigint, number>,
  at: Date,
): Promise<void> => {
  const ids = plainArrayText([...hidden.keys()].map(String));
  await tx.execute(sql`
    UPDATE operations o SET hidden_records = u.hidden_records, ended_at = ${at.toISOString()}::timestamptz
    FROM unnest(${ids}::bigint[], ${plainArrayText([...hidden.values()])}::bigint[]) AS u(id, hidden_records)
    WHERE o.account_id = ${accountId} AND o.id = ANY(${ids}::bigint[]) AND o.id = u.id`);
};
