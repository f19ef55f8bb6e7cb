import { sql } from 'drizzle-orm';
import { plainArrayText } from '../../db/array-text.ts';
import type { Transaction } from '../../db/client.ts';
import type { BucketTotals } from '../pipeline/bucket-aggregator.ts';
import type { StreamRow } from '../stream-rows.ts';

// The totals that stand beside the ledger. Each operation adds rows of its own, and touches no other's: sums of one stream
// never wait for each other, and as of which moment a total counts is told by its operation, as it is for records.

/** For operations that may have hidden records, which subtractHidden has written already. */
export const ON_TOP_OF_HIDDEN = sql`
  ON CONFLICT (account_id, stream_id, bucket_start, filter_id, operation_id)
  DO UPDATE SET value = totals.value + EXCLUDED.value, records = totals.records + EXCLUDED.records`;

/**
 * What the operation inserted.
 * @param hides whether it may have hidden records, which subtractHidden has written already: to look for these rows makes each
 * of the others dearer by half
 */
export const addTotals = async (
  tx: Transaction,
  stream: StreamRow,
  operationId: bigint,
  sums: BucketTotals,
  filterIds: readonly string[],
  hides: boolean,
): Promise<void> => {
  await tx.execute(sql`
    INSERT INTO totals (account_id, stream_id, bucket_start, filter_id, operation_id, value, records)
    SELECT s.account_id, s.id, u.bucket_start, u.filter_id, ${operationId}::bigint, u.value, u.records
    FROM streams s, unnest(
      ${plainArrayText(sums.buckets)}::timestamptz[],
      ${plainArrayText(sums.filterIndexes.map((index) => filterIds[index] ?? ''))}::bigint[],
      ${plainArrayText(sums.values)}::numeric[],
      ${plainArrayText(sums.counts)}::bigint[]
    ) AS u(bucket_start, filter_id, value, records)
    WHERE s.account_id = ${stream.accountId} AND s.id = ${stream.id}
    ${hides ? ON_TOP_OF_HIDDEN : sql``}`);
};

/** What the operations hid. Before addTotals. Returns how many records each hid, without those that hid none. */
export const subtractHidden = async (
  tx: Transaction,
  stream: StreamRow,
  operationIds: readonly bigint[],
): Promise<ReadonlyMap<bigint, number>> => {
  const { rows } = await tx.execute<{ operation_id: string; records: string }>(sql`
    INSERT INTO totals AS t (account_id, stream_id, bucket_start, filter_id, operation_id, value, records)
    SELECT r.account_id, r.stream_id, r.bucket_start, r.filter_id, r.hidden_by, -sum(r.value), -count(*)
    FROM records r
    WHERE r.account_id = ${stream.accountId} AND r.stream_id = ${stream.id} AND r.hidden_by = ANY(${plainArrayText(operationIds.map(String))}::bigint[])
    GROUP BY r.account_id, r.stream_id, r.bucket_start, r.filter_id, r.hidden_by
    RETURNING t.operation_id, t.records`);
  const hidden = new Map<bigint, number>();
  for (const { operation_id: id, records } of rows) {
    hidden.set(BigInt(id), (hidden.get(BigInt(id)) ?? 0) - Number(records));
  }
  return hidden;
};
