import { type SQL, sql } from 'drizzle-orm';
import type { Transaction } from '../../db/client.ts';
import { keyHashOfInsert } from '../key-hashes/key-hash.ts';
import type { OperationRow, StreamRow } from '../stream-rows.ts';
import { ADD_TO_EXISTING } from '../totals/totals.ts';

// The statements of a REVERT. The transaction holds the exclusive lock of the stream, under which ids of operations are taken: an
// operation with a greater id was written later.

/** The reason why an operation cannot be reverted. */
export interface Obstacle {
  /** A sentence without a period. */
  readonly reason: string;
  /** The operation that depends on it; null if there is none. */
  readonly operationId: string | null;
  /** The effect of the operation cannot be corrected by another write. */
  readonly isFinal?: boolean;
}

/** SQL: the bucket of the record `r` is one that the operation may have touched. Null bounds: every bucket. */
function isInBounds({ firstBucket, lastBucket }: OperationRow): SQL {
  return firstBucket && lastBucket
    ? sql`AND r.bucket_start BETWEEN ${firstBucket.toISOString()}::timestamptz AND ${lastBucket.toISOString()}::timestamptz`
    : sql``;
}

/** Returns the first obstacle to a REVERT; null if there is none. */
export async function findObstacle(
  tx: Transaction,
  stream: StreamRow,
  operation: OperationRow,
): Promise<Obstacle | null> {
  const { kind, insertedRecords, hiddenRecords } = operation;
  if (kind === 'DELETE_STREAM') return { reason: 'A deletion of a stream is final', operationId: null, isFinal: true };
  if (kind === 'COMPLETE')
    return { reason: 'A declaration of completeness is final', operationId: null, isFinal: true };
  const { rows } = await tx.execute<Record<'live' | 'hid' | 'hider' | 'successor' | 'remover', string | null>>(sql`
    SELECT
      (SELECT count(*) FROM records r
        WHERE ${ofStream(stream)} AND r.operation_id = ${operation.id} AND r.hidden_by IS NULL ${isInBounds(operation)}) AS live,
      (SELECT count(*) FROM records r WHERE ${ofStream(stream)} AND r.hidden_by = ${operation.id}) AS hid,
      (SELECT min(r.hidden_by) FROM records r
        WHERE ${ofStream(stream)} AND r.hidden_by > ${operation.id} AND r.operation_id = ${operation.id}) AS hider,
      (SELECT min(r.operation_id) FROM (${insertedLater(stream, operation)}) r
        JOIN records h ON h.account_id = ${stream.accountId} AND h.stream_id = ${stream.id} AND h.hidden_by = ${operation.id}
          AND h.bucket_start = r.bucket_start AND h.filter_id = r.filter_id AND h.element = r.element
        JOIN operations o ON o.account_id = ${stream.accountId} AND o.id = r.operation_id AND o.kind IN ('REPLACE', 'REVERT')) AS successor,
      (SELECT min(o.id) FROM operations o
        WHERE o.account_id = ${stream.accountId} AND o.stream_id = ${stream.id} AND o.id > ${operation.id}
          AND (o.kind = 'DELETE' OR o.scope IS NOT NULL) ${overlaps(operation)}) AS remover`);
  const [found] = rows;
  if (Number(found?.live) < insertedRecords) {
    return { reason: 'A later write hid records that it inserted', operationId: found?.hider ?? null };
  }
  if (found?.successor != null) {
    return { reason: 'A later write has records with keys that it hid', operationId: found.successor };
  }
  if (found?.remover != null) {
    return { reason: 'A later delete or replace with a scope covers its buckets', operationId: found.remover };
  }
  if (Number(found?.hid) < hiddenRecords) return { reason: 'Records that it hid are purged', operationId: null };
  return null;
}

/**
 * SQL: the records in the buckets of the operation that were inserted after it. Those that are hidden were hidden after it too. Each of
 * the two selects has the condition of one of the partial indexes of `records`, without which the whole table would be read.
 */
function insertedLater(stream: StreamRow, operation: OperationRow): SQL {
  const select = (condition: SQL): SQL => sql`
    SELECT r.bucket_start, r.filter_id, r.element, r.operation_id FROM records r
    WHERE ${ofStream(stream)} AND ${condition} AND r.operation_id > ${operation.id} ${isInBounds(operation)}`;
  return sql`${select(sql`r.hidden_by IS NULL`)} UNION ALL ${select(sql`r.hidden_by > ${operation.id}`)}`;
}

const ofStream = ({ accountId, id }: StreamRow): SQL => sql`r.account_id = ${accountId} AND r.stream_id = ${id}`;

/** SQL: the operation `o` may have touched a bucket that this one may have touched. */
function overlaps({ firstBucket, lastBucket }: OperationRow): SQL {
  return firstBucket && lastBucket
    ? sql`AND (o.first_bucket IS NULL OR (o.first_bucket <= ${lastBucket.toISOString()}::timestamptz AND o.last_bucket >= ${firstBucket.toISOString()}::timestamptz))`
    : sql``;
}

/** Hides the live records that an operation inserted. Returns how many. */
export async function hideInserted(
  tx: Transaction,
  stream: StreamRow,
  operation: OperationRow,
  revertId: bigint,
): Promise<number> {
  const { rowCount } = await tx.execute(sql`
    UPDATE records r SET hidden_by = ${revertId}
    WHERE ${ofStream(stream)} AND r.operation_id = ${operation.id} AND r.hidden_by IS NULL ${isInBounds(operation)}`);
  return rowCount ?? 0;
}

/** Inserts again what an operation hid, with its totals. Returns the number of records. Must run after subtractHidden. */
export async function insertHiddenAgain(
  tx: Transaction,
  stream: StreamRow,
  operationId: bigint,
  revertId: bigint,
): Promise<number> {
  const hidden = sql`FROM records r JOIN streams s ON s.account_id = ${stream.accountId} AND s.id = r.stream_id
    WHERE ${ofStream(stream)} AND r.hidden_by = ${operationId}`;
  const [{ rowCount }] = await Promise.all([
    tx.execute(sql`
      INSERT INTO records (account_id, stream_id, bucket_start, filter_id, element, value, operation_id, key_hash)
      SELECT r.account_id, r.stream_id, r.bucket_start, r.filter_id, r.element, r.value, ${revertId}::bigint,
        ${keyHashOfInsert(sql`r.filter_id`, sql`r.element`)}
      ${hidden}`),
    tx.execute(sql`
      INSERT INTO totals (account_id, stream_id, bucket_start, filter_id, operation_id, value, records)
      SELECT r.account_id, r.stream_id, r.bucket_start, r.filter_id, ${revertId}::bigint, sum(r.value), count(*)
      ${hidden}
      GROUP BY r.account_id, r.stream_id, r.bucket_start, r.filter_id
      ${ADD_TO_EXISTING}`),
  ]);
  return rowCount ?? 0;
}
