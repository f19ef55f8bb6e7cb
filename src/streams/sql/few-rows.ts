import { type SQL, sql } from 'drizzle-orm';
import type { Transaction } from '../../db/client.ts';
import { keyHash, UNHASHED } from '../key-hashes/key-hash.ts';
import type { BucketTotals } from '../pipeline/bucket-aggregator.ts';
import type { CanonicalRecords } from '../pipeline/records.ts';
import type { OperationRow, StreamRow } from '../stream-rows.ts';
import type { LockedStream } from './locks.ts';

// The INSERTs of at most 16 rows, as lists of VALUES; row-arrays.ts has those of more. The INSERTs of a sum of one record take 0.39 ms,
// and 0.75 ms as a SELECT from arrays. On Citus 13.2 they take 1.0 instead of 4.3 ms, because Citus plans an INSERT .. SELECT once
// per shard (1.2 ms for 32 shards; November 2026). Guarded by test/streams/grouped-sums.test.ts and test/citus/writes.test.ts.

/** Arrays cost less from 20 rows on with one PostgreSQL, and from 60 on with Citus. */
const MAX_FEW_ROWS = 16;

export const areFewRows = (count: number): boolean => count <= MAX_FEW_ROWS;

/** Returns how many are inserted. */
export async function insertFewOperations(
  tx: Transaction,
  { xid }: Pick<LockedStream, 'xid'>,
  operations: readonly OperationRow[],
): Promise<number> {
  const rows = operations.map((row) => [
    sql`${row.accountId}::bigint`,
    sql`${row.id}::bigint`,
    sql`${row.streamId}::bigint`,
    sql`${row.kind}::text`,
    sql`${row.receivedAt.toISOString()}::timestamptz`,
    sql`${xid}::xid8`,
    sql`true`,
    sql`${row.insertedRecords}::bigint`,
    sql`${row.hiddenRecords}::bigint`,
    sql`${row.idempotencyKey}::text`,
    sql`${row.contentSha256}::bytea`,
    sql`${row.firstBucket?.toISOString() ?? null}::timestamptz`,
    sql`${row.lastBucket?.toISOString() ?? null}::timestamptz`,
    sql`${row.scope && JSON.stringify(row.scope)}::jsonb`,
    sql`${row.reverts}::bigint`,
  ]);
  const { rowCount } = await tx.execute(sql`
    INSERT INTO operations (account_id, id, stream_id, kind, received_at, xid, totalled, inserted_records, hidden_records, idempotency_key, content_sha256, first_bucket, last_bucket, scope, reverts)
    VALUES ${joinRows(rows)}
    ON CONFLICT (account_id, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING`);
  return rowCount ?? 0;
}

export interface OperationRecords {
  readonly records: CanonicalRecords;
  /** Ids of `records.filters`. */
  readonly filterIds: readonly string[];
  /** The operation of all records, or of each. */
  readonly operationIds: bigint | readonly bigint[];
}

/** Returns how many are inserted. */
export async function insertFewRecords(
  tx: Transaction,
  { accountId, id, hashesKeys }: StreamRow,
  { records, filterIds, operationIds }: OperationRecords,
): Promise<number> {
  const { buckets, bucketIndexes, filterIndexes, elements, values } = records;
  const rows = elements.map((text, index) => {
    const filterId = sql`${filterIds[filterIndexes[index] as number]}::bigint`;
    const element = sql`${text}::text`;
    return [
      sql`${accountId}::bigint`,
      sql`${id}::bigint`,
      sql`${buckets[bucketIndexes[index] as number]}::timestamptz`,
      filterId,
      element,
      sql`${values[index]}::numeric`,
      sql`${typeof operationIds === 'bigint' ? operationIds : operationIds[index]}::bigint`,
      hashesKeys ? keyHash(filterId, element) : sql.raw(String(UNHASHED)),
    ];
  });
  const { rowCount } = await tx.execute(sql`
    INSERT INTO records (account_id, stream_id, bucket_start, filter_id, element, value, operation_id, key_hash)
    VALUES ${joinRows(rows)}`);
  return rowCount ?? 0;
}

export async function insertFewTotals(
  tx: Transaction,
  { accountId, id }: StreamRow,
  operationId: bigint,
  { buckets, filterIndexes, values, counts }: BucketTotals,
  filterIds: readonly string[],
  onConflict: SQL,
): Promise<void> {
  const rows = buckets.map((bucket, index) => [
    sql`${accountId}::bigint`,
    sql`${id}::bigint`,
    sql`${bucket}::timestamptz`,
    sql`${filterIds[filterIndexes[index] as number]}::bigint`,
    sql`${operationId}::bigint`,
    sql`${values[index]}::numeric`,
    sql`${counts[index]}::bigint`,
  ]);
  await tx.execute(sql`
    INSERT INTO totals (account_id, stream_id, bucket_start, filter_id, operation_id, value, records)
    VALUES ${joinRows(rows)}
    ${onConflict}`);
}

function joinRows(rows: readonly (readonly SQL[])[]): SQL {
  const texts = rows.map((row) => sql`(${sql.join([...row], sql`, `)})`);
  return sql.join(texts, sql`, `);
}
