import { type SQL, sql } from 'drizzle-orm';
import { formatPlainArray } from '../db/array-text.ts';
import type { Db, Transaction } from '../db/client.ts';
import type { ChangedKey, StreamChange } from './compare-changes.ts';

/** A stream with corrections. */
export interface CorrectedStream {
  readonly id: bigint;
  readonly name: string;
  readonly isCalendar: boolean;
  readonly isDeleted: boolean;
  /** Records that were hidden before this time may be purged; null if none are. */
  readonly purgedBefore: string | null;
}

export interface ChangeQuery {
  readonly accountId: bigint;
  readonly stream: CorrectedStream;
  /** Bounds of the buckets, as RFC 3339 or as dates. */
  readonly from: string;
  readonly to: string;
  /** Ids of the operations. */
  readonly operations: readonly bigint[];
  readonly maxKeys: number;
  readonly timeoutMs: number;
}

/**
 * Returns what the operations changed together in the buckets of a stream, by bucket, filter and element. Records that other operations
 * have hidden since count as they are now: the scan marks the deliveries of those again.
 */
export function readNetChange(db: Db, query: ChangeQuery): Promise<StreamChange> {
  const { accountId, stream, maxKeys, timeoutMs } = query;
  const { isCalendar } = stream;
  return db.transaction(async (tx) => {
    await tx.execute(sql.raw(`SET LOCAL statement_timeout = ${timeoutMs}`));
    const { rows } = await tx.execute<{ bucket: number; filter_id: string; element: string }>(sql`
      SELECT (extract(epoch FROM bucket_start) * 1000)::float8 AS bucket, filter_id, element FROM (${selectChanges(query)}) c
      GROUP BY bucket_start, filter_id, element HAVING sum(value) <> 0 OR sum(n) <> 0 LIMIT ${maxKeys + 1}`);
    if (rows.length > maxKeys || (await mayBePurged(tx, query)))
      return { isCalendar, keys: null, dimensions: new Map() };
    const keys = rows.map((row): ChangedKey => ({ bucket: row.bucket, filterId: row.filter_id, element: row.element }));
    return { isCalendar, keys, dimensions: await readDimensions(tx, accountId, stream.id, keys) };
  });
}

/**
 * Whether records that an operation hid, or those of the deleted stream, may be purged: then the change cannot be computed. A purge stores
 * its time before it removes records, so this must run after the read.
 */
async function mayBePurged(tx: Transaction, { accountId, stream, operations }: ChangeQuery): Promise<boolean> {
  const { rows } = await tx.execute(sql`
    SELECT 1 FROM operations o JOIN streams s ON s.account_id = ${accountId} AND s.id = ${stream.id}
    WHERE o.account_id = ${accountId} AND o.id = ANY(${idArray(operations)}::bigint[])
      AND o.received_at < s.purged_before AND (o.hidden_records > 0 OR o.kind = 'DELETE_STREAM') LIMIT 1`);
  return rows.length > 0;
}

const idArray = (ids: readonly bigint[]): string => formatPlainArray(ids.map(String));

function selectChanges({ accountId, stream, from, to, operations }: ChangeQuery): SQL {
  const ids = sql`${idArray(operations)}::bigint[]`;
  const inSpan = sql`r.account_id = ${accountId} AND r.stream_id = ${stream.id}
    AND r.bucket_start >= ${from}::timestamptz AND r.bucket_start < ${to}::timestamptz`;
  // Nothing of a deleted stream is left, and everything is gone that the watermark saw.
  if (stream.isDeleted) {
    return sql`
      SELECT r.bucket_start, r.filter_id, r.element, -r.value AS value, -1 AS n FROM records r
      WHERE ${inSpan} AND r.operation_id <> ALL(${ids}) AND (r.hidden_by IS NULL OR r.hidden_by = ANY(${ids}))`;
  }
  return sql`
    SELECT r.bucket_start, r.filter_id, r.element, r.value, 1 AS n FROM records r
    WHERE ${inSpan} AND r.hidden_by IS NULL AND r.operation_id = ANY(${ids})
    UNION ALL
    SELECT r.bucket_start, r.filter_id, r.element, -r.value, -1 FROM records r
    WHERE ${inSpan} AND r.hidden_by = ANY(${ids}) AND r.operation_id <> ALL(${ids})`;
}

async function readDimensions(
  tx: Transaction,
  accountId: bigint,
  streamId: bigint,
  keys: readonly ChangedKey[],
): Promise<StreamChange['dimensions']> {
  const ids = formatPlainArray([...new Set(keys.map(({ filterId }) => filterId))]);
  const { rows } = await tx.execute<{ id: string; dimensions: Record<string, string[]> }>(sql`
    SELECT id, dimensions FROM filters
    WHERE account_id = ${accountId} AND stream_id = ${streamId} AND id = ANY(${ids}::bigint[])`);
  return new Map(rows.map(({ id, dimensions }) => [id, dimensions]));
}
