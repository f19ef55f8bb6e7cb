import { type SQL, sql } from 'drizzle-orm';
import type { Transaction } from '../../db/client.ts';
import type { BucketTotals } from '../pipeline/bucket-aggregator.ts';
import { keyHash, UNHASHED } from '../key-hashes/key-hash.ts';
import type { CanonicalRecords } from '../pipeline/records.ts';
import type { OperationRow, StreamRow } from '../stream-rows.ts';
import { ON_TOP_OF_HIDDEN } from '../totals/totals.ts';

// The INSERTs of small writes as lists of VALUES. For few rows that costs less than a SELECT from arrays: of one row half on one
// PostgreSQL, and a fifth on Citus, which plans an INSERT .. SELECT once for each of its shards (1.2 ms for 32 of them).

/** From 20 rows on, arrays cost less on one PostgreSQL; on Citus from 60 on. */
const MOST_ROWS = 16;

export const areFewRows = (count: number): boolean => count <= MOST_ROWS;

const valuesOf = (rows: readonly (readonly SQL[])[]): SQL =>
  sql.join(
    rows.map((row) => sql`(${sql.join([...row], sql`, `)})`),
    sql`, `,
  );

/** Returns how many are stored: of each idempotency key the first, unless an earlier request has it. */
export const insertFewOperations = async (
  tx: Transaction,
  xid: string,
  operations: readonly OperationRow[],
): Promise<number> => {
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
  ]);
  const { rowCount } = await tx.execute(sql`
    INSERT INTO operations (account_id, id, stream_id, kind, received_at, xid, totalled, inserted_records, hidden_records, idempotency_key, content_sha256)
    VALUES ${valuesOf(rows)}
    ON CONFLICT (account_id, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING`);
  return rowCount ?? 0;
};

/** The records of several operations. */
export interface OwnedRecords {
  readonly records: CanonicalRecords;
  /** Of the filters of the records. */
  readonly filterIds: readonly string[];
  /** Of each record. */
  readonly operationIds: readonly bigint[];
}

/** Returns how many. */
export const insertFewRecords = async (
  tx: Transaction,
  { accountId, id, hashesKeys }: StreamRow,
  { records, filterIds, operationIds }: OwnedRecords,
): Promise<number> => {
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
      sql`${operationIds[index]}::bigint`,
      hashesKeys ? keyHash(filterId, element) : sql.raw(String(UNHASHED)),
    ];
  });
  const { rowCount } = await tx.execute(sql`
    INSERT INTO records (account_id, stream_id, bucket_start, filter_id, element, value, operation_id, key_hash)
    VALUES ${valuesOf(rows)}`);
  return rowCount ?? 0;
};

/** As addTotals. */
export const addFewTotals = async (
  tx: Transaction,
  { accountId, id }: StreamRow,
  operationId: bigint,
  { buckets, filterIndexes, values, counts }: BucketTotals,
  filterIds: readonly string[],
  hides: boolean,
): Promise<void> => {
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
    VALUES ${valuesOf(rows)}
    ${hides ? ON_TOP_OF_HIDDEN : sql``}`);
};
