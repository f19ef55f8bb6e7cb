import { type SQL, sql } from 'drizzle-orm';
import { inOrder, type Transaction } from '../../db/client.ts';
import type { FilterEntry } from '../pipeline/inputs.ts';
import type { ChangedKey } from '../pipeline/correction-summary.ts';
import type { StreamRow } from '../stream-rows.ts';
import { formatIsoSql } from '../streams.ts';

/**
 * Returns the keys that an operation of this transaction changed, sorted by bucket.
 * @param inBuckets SQL: limits the records `r` to the buckets in which the operation inserted records
 */
export async function readChangedKeys(
  tx: Transaction,
  { accountId, id }: StreamRow,
  operationId: bigint,
  inBuckets: SQL,
): Promise<ChangedKey[]> {
  const ofStream = sql`r.account_id = ${accountId} AND r.stream_id = ${id}`;
  const live = sql`FROM records r WHERE ${ofStream} AND r.hidden_by IS NULL AND ${inBuckets}`;
  const hidden = sql`FROM records r WHERE ${ofStream} AND r.hidden_by = ${operationId}`;
  const key = sql`r.bucket_start, r.filter_id, r.element`;
  const [, { rows }] = await inOrder([
    // The planner has no statistics of what this transaction wrote, and would join the keys by a nested loop.
    tx.execute(sql`SET LOCAL enable_nestloop = off`),
    tx.execute<Record<'bucket' | 'filter_id' | 'element', string> & Record<'before' | 'after', string | null>>(sql`
      SELECT ${formatIsoSql(sql`bucket_start`)} AS bucket, filter_id, element,
        trim_scale(before)::text AS before, trim_scale(after)::text AS after
      FROM (
        SELECT bucket_start, filter_id, element, sum(value) FILTER (WHERE was) AS before, sum(value) FILTER (WHERE remains) AS after,
          count(*) FILTER (WHERE was) AS records_before, count(*) FILTER (WHERE remains) AS records_after
        FROM (
          SELECT ${key}, r.value, r.operation_id <> ${operationId} AS was, true AS remains ${live}
            AND (${key}) IN (SELECT ${key} ${hidden} UNION ALL SELECT ${key} ${live} AND r.operation_id = ${operationId})
          UNION ALL
          SELECT ${key}, r.value, true, false ${hidden}
        ) both_states GROUP BY bucket_start, filter_id, element
      ) keys
      WHERE before IS DISTINCT FROM after OR records_before <> records_after
      ORDER BY bucket_start, filter_id, element`),
  ]);
  return rows.map((row) => ({
    bucketStart: new Date(row.bucket),
    filterId: row.filter_id,
    element: row.element,
    valueBefore: row.before,
    valueAfter: row.after,
  }));
}

/** Returns the dimensions of the filters of keys, by id. */
export async function readFilters(
  tx: Transaction,
  { accountId, id, dimensions }: StreamRow,
  keys: readonly ChangedKey[],
): Promise<ReadonlyMap<string, readonly FilterEntry[]>> {
  const ids = [...new Set(keys.map(({ filterId }) => filterId))];
  if (ids.length === 0) return new Map();
  const { rows } = await tx.execute<{ id: string; dimensions: Record<string, string[]> }>(sql`
    SELECT f.id, f.dimensions FROM filters f
    WHERE f.account_id = ${accountId} AND f.stream_id = ${id} AND f.id = ANY(${sql.param(ids)}::bigint[])`);
  return new Map(
    rows.map((row) => [
      row.id,
      dimensions.map((dimension) => ({ dimension, values: row.dimensions[dimension] ?? [] })),
    ]),
  );
}
