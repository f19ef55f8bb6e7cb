import { type SQL, sql } from 'drizzle-orm';
import { formatPlainArray } from '../../db/array-text.ts';
import type { Db, Transaction } from '../../db/client.ts';
import type { Clock } from '../../lib/clock.ts';
import { encodeBatch } from '../pipeline/encode-batch.ts';
import { areFewKeys, matchKeyHashes } from '../key-hashes/key-hash.ts';
import { disableSequentialScans, preferTidScans } from '../sql/hide-records.ts';
import { storeHiddenCounts } from '../sql/ledger.ts';
import type { OperationRow, StreamRow } from '../stream-rows.ts';
import {
  type GroupedWrite,
  type GroupMember,
  insertMerged,
  MAX_GROUP,
  type MergedRecords,
  mergeRecords,
  writeGroup,
} from './write-group.ts';
import { subtractHidden } from '../totals/totals.ts';

// Small replaces and deletes of whole keys that share a transaction. No two of them have a key in common, so their order does not
// matter: each hides records that were live before the transaction, and none hides records that another one inserts.

/** Returns how many writes, from the first one on, have no key in common and few enough keys for one statement. */
export function countDisjointWrites(writes: readonly GroupedWrite[]): number {
  const keys = new Set<string>();
  for (const [index, write] of writes.entries()) {
    const own = formatKeys(write);
    const count = keys.size + own.length;
    const isTooMuch = index === MAX_GROUP || !areFewKeys(count);
    if (index > 0 && (isTooMuch || own.some((key) => keys.has(key)))) return index;
    for (const key of own) keys.add(key);
  }
  return writes.length;
}

function formatKeys({ records, filterIds }: GroupedWrite): string[] {
  return records.elements.map(
    (element, index) =>
      `${records.buckets[records.bucketIndexes[index] as number]} ${filterIds[records.filterIndexes[index] as number]} ${element}`,
  );
}

/** Writes a group in one transaction. Returns the operations; null for each write that must be made alone. */
export function writeKeyed(
  db: Db,
  clock: Clock,
  stream: StreamRow,
  writes: readonly GroupedWrite[],
): Promise<(OperationRow | null)[]> {
  return writeGroup(db, stream, writes, 'exclusive', async (tx, locked, group) => {
    const replaces = group.filter(({ write }) => write.plan.kind === 'REPLACE');
    const [hidden] = await Promise.all([
      hideKeys(tx, locked, group),
      // Sent together; the UPDATE runs before these records are inserted.
      replaces.length > 0 && insertMerged(tx, locked, mergeRecords(replaces), true),
    ]);
    if (hidden.size > 0) await storeHiddenCounts(tx, locked, hidden, clock.now());
    return hidden;
  });
}

/** Hides the live records of the keys. Returns the number of hidden records by operation, without operations that hid none. */
async function hideKeys(
  tx: Transaction,
  stream: StreamRow,
  group: readonly GroupMember[],
): Promise<ReadonlyMap<bigint, number>> {
  const merged = mergeRecords(group);
  const [, , , , hidden] = await Promise.all([
    // The planner expects ten keys. A nested loop over them, or a merge by bucket, would compare each with all records found.
    tx.execute(sql`SET LOCAL enable_nestloop = off`),
    tx.execute(sql`SET LOCAL enable_mergejoin = off`),
    stream.keysHashed ? preferTidScans(tx) : disableSequentialScans(tx),
    updateKeys(tx, stream, merged),
    subtractHidden(
      tx,
      stream,
      group.map(({ operation }) => operation.id),
    ),
  ]);
  return hidden;
}

async function updateKeys(
  tx: Transaction,
  stream: StreamRow,
  { records, filterIds, operationIds }: MergedRecords,
): Promise<void> {
  const { buckets, bucketIndexes, filterIndexes, elements } = encodeBatch(records);
  const keys = (columns: SQL): SQL => sql`
    (SELECT ${columns} FROM (
      SELECT (${buckets}::timestamptz[])[u.bucket_index] AS bucket_start, (${formatPlainArray(filterIds)}::bigint[])[u.filter_index] AS filter_id,
        u.element, u.operation_id
      FROM unnest(${bucketIndexes}::int[], ${filterIndexes}::int[], ${elements}::text[], ${formatPlainArray(operationIds.map(String))}::bigint[])
        AS u(bucket_index, filter_index, element, operation_id)) k OFFSET 0)`;
  // Looked up in a hash of the keys, as in applyByKey, and joined with the operations afterwards: otherwise the planner may build a hash of
  // all records of the buckets.
  await tx.execute(sql`
    UPDATE records r SET hidden_by = o.operation_id
    FROM ${keys(sql`k.*`)} o
    WHERE r.account_id = ${stream.accountId} AND r.stream_id = ${stream.id} AND r.hidden_by IS NULL
      AND r.bucket_start = ANY(${buckets}::timestamptz[])
      ${stream.keysHashed ? matchKeyHashes(stream, sql`${keys(sql`k.*`)} AS k`) : sql``}
      AND ((r.bucket_start, r.filter_id, r.element) IN ${keys(sql`k.bucket_start, k.filter_id, k.element`)}) IS TRUE
      AND o.bucket_start = r.bucket_start AND o.filter_id = r.filter_id AND o.element = r.element`);
}
