import { sql } from 'drizzle-orm';
import { formatPlainArray } from '../../db/array-text.ts';
import type { Transaction } from '../../db/client.ts';
import type { BucketTotals } from '../pipeline/bucket-aggregator.ts';
import { areFewRows, insertFewTotals } from '../sql/few-rows.ts';
import { insertTotalArrays } from '../sql/row-arrays.ts';
import type { StreamRow } from '../stream-rows.ts';

// The totals beside the ledger. Each operation inserts rows of its own and updates none of another operation, so sums of one
// stream never wait for each other, and readers decide by the operation whether they see a total, as they do for records.

/** Adds to rows that exist, such as those that subtractHidden inserted for the same operation. */
export const ADD_TO_EXISTING = sql`
  ON CONFLICT (account_id, stream_id, bucket_start, filter_id, operation_id)
  DO UPDATE SET value = totals.value + EXCLUDED.value, records = totals.records + EXCLUDED.records`;

/**
 * Inserts the totals of the records that an operation inserted.
 *
 * @param hides whether the operation may have hidden records, whose totals subtractHidden has inserted. Looking for those rows
 * makes each row 50 % more expensive.
 */
export async function addTotals(
  tx: Transaction,
  stream: StreamRow,
  operationId: bigint,
  totals: BucketTotals,
  filterIds: readonly string[],
  hides: boolean,
): Promise<void> {
  if (totals.buckets.length === 0) return;
  const insert = areFewRows(totals.buckets.length) ? insertFewTotals : insertTotalArrays;
  await insert(tx, stream, operationId, totals, filterIds, hides ? ADD_TO_EXISTING : sql``);
}

/**
 * Inserts negative totals for the records that the operations hid. Must run before addTotals. Returns the number of hidden records
 * by operation, without operations that hid none.
 */
export async function subtractHidden(
  tx: Transaction,
  stream: StreamRow,
  operationIds: readonly bigint[],
): Promise<ReadonlyMap<bigint, number>> {
  const { rows } = await tx.execute<{ operation_id: string; records: string }>(sql`
    INSERT INTO totals AS t (account_id, stream_id, bucket_start, filter_id, operation_id, value, records)
    SELECT r.account_id, r.stream_id, r.bucket_start, r.filter_id, r.hidden_by, -sum(r.value), -count(*)
    FROM records r
    WHERE r.account_id = ${stream.accountId} AND r.stream_id = ${stream.id} AND r.hidden_by = ANY(${formatPlainArray(operationIds.map(String))}::bigint[])
    GROUP BY r.account_id, r.stream_id, r.bucket_start, r.filter_id, r.hidden_by
    RETURNING t.operation_id, t.records`);
  const hidden = new Map<bigint, number>();
  for (const { operation_id: id, records } of rows) {
    hidden.set(BigInt(id), (hidden.get(BigInt(id)) ?? 0) - Number(records));
  }
  return hidden;
}
