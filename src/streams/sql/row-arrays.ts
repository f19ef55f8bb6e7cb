import { type SQL, sql } from 'drizzle-orm';
import { formatArray, formatPlainArray } from '../../db/array-text.ts';
import type { Transaction } from '../../db/client.ts';
import { keyHashOfInsert } from '../key-hashes/key-hash.ts';
import type { BucketTotals } from '../pipeline/bucket-aggregator.ts';
import type { EncodedBatch } from '../pipeline/encode-batch.ts';
import type { OperationRow, StreamRow } from '../stream-rows.ts';
import type { LockedStream } from './locks.ts';

// The INSERTs of many rows: a SELECT from one array per column. few-rows.ts has those of at most 16 rows.

/** Returns how many are inserted. */
export async function insertOperationArrays(
  tx: Transaction,
  stream: LockedStream,
  operations: readonly OperationRow[],
): Promise<number> {
  const { rowCount } = await tx.execute(sql`
    INSERT INTO operations (account_id, id, stream_id, kind, received_at, xid, totalled, inserted_records, hidden_records, idempotency_key, content_sha256, first_bucket, last_bucket, scope, reverts)
    SELECT s.account_id, u.id, s.id, u.kind, u.received_at, ${stream.xid}::xid8, true, u.records, 0, u.idempotency_key, u.digest, u.first_bucket, u.last_bucket, u.scope, u.reverts
    FROM streams s, unnest(
      ${formatPlainArray(operations.map(({ id }) => String(id)))}::bigint[],
      ${formatPlainArray(operations.map(({ kind }) => kind))}::text[],
      ${formatPlainArray(operations.map(({ receivedAt }) => receivedAt.toISOString()))}::timestamptz[],
      ${formatPlainArray(operations.map(({ insertedRecords }) => insertedRecords))}::bigint[],
      ${formatArray(operations.map(({ idempotencyKey }) => idempotencyKey))}::text[],
      ${formatArray(operations.map(({ contentSha256 }) => `\\x${contentSha256.toString('hex')}`))}::bytea[],
      ${formatArray(operations.map(({ firstBucket }) => firstBucket?.toISOString() ?? null))}::timestamptz[],
      ${formatArray(operations.map(({ lastBucket }) => lastBucket?.toISOString() ?? null))}::timestamptz[],
      ${formatArray(operations.map(({ scope }) => scope && JSON.stringify(scope)))}::jsonb[],
      ${formatArray(operations.map(({ reverts }) => (reverts === null ? null : String(reverts))))}::bigint[]
    ) WITH ORDINALITY AS u(id, kind, received_at, records, idempotency_key, digest, first_bucket, last_bucket, scope, reverts, ordinal)
    WHERE s.account_id = ${stream.accountId} AND s.id = ${stream.id}
    ORDER BY u.ordinal
    ON CONFLICT (account_id, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING`);
  return rowCount ?? 0;
}

/** Returns how many are inserted. */
export async function insertRecordArrays(
  tx: Transaction,
  stream: StreamRow,
  operationIds: bigint | readonly bigint[],
  { buckets, bucketIndexes, filterIndexes, elements, values }: EncodedBatch,
  filterIds: readonly string[],
): Promise<number> {
  const isOne = typeof operationIds === 'bigint';
  const filterId = sql`(${formatPlainArray(filterIds)}::bigint[])[u.filter_index]`;
  const { rowCount } = await tx.execute(sql`
    INSERT INTO records (account_id, stream_id, bucket_start, filter_id, element, value, operation_id, key_hash)
    SELECT s.account_id, s.id, (${buckets}::timestamptz[])[u.bucket_index], ${filterId},
      u.element, u.value, ${isOne ? sql`${operationIds}::bigint` : sql`u.operation_id`},
      ${keyHashOfInsert(filterId, sql`u.element`)}
    FROM streams s, unnest(
      ${bucketIndexes}::int[], ${filterIndexes}::int[], ${elements}::text[],
      ${values}::numeric[]${isOne ? sql`` : sql`, ${formatPlainArray(operationIds.map(String))}::bigint[]`}
    ) AS u(bucket_index, filter_index, element, value${isOne ? sql`` : sql`, operation_id`})
    WHERE s.account_id = ${stream.accountId} AND s.id = ${stream.id}`);
  return rowCount ?? 0;
}

export async function insertTotalArrays(
  tx: Transaction,
  stream: StreamRow,
  operationId: bigint,
  { buckets, filterIndexes, values, counts }: BucketTotals,
  filterIds: readonly string[],
  onConflict: SQL,
): Promise<void> {
  await tx.execute(sql`
    INSERT INTO totals (account_id, stream_id, bucket_start, filter_id, operation_id, value, records)
    SELECT s.account_id, s.id, u.bucket_start, u.filter_id, ${operationId}::bigint, u.value, u.records
    FROM streams s, unnest(
      ${formatPlainArray(buckets)}::timestamptz[],
      ${formatPlainArray(filterIndexes.map((index) => filterIds[index] ?? ''))}::bigint[],
      ${formatPlainArray(values)}::numeric[],
      ${formatPlainArray(counts)}::bigint[]
    ) AS u(bucket_start, filter_id, value, records)
    WHERE s.account_id = ${stream.accountId} AND s.id = ${stream.id}
    ${onConflict}`);
}
