import { sql } from 'drizzle-orm';
import { formatPlainArray } from '../../db/array-text.ts';
import { type Db, inOrder, type Transaction } from '../../db/client.ts';
import { Interner } from '../../lib/interner.ts';
import { aggregate } from '../pipeline/bucket-aggregator.ts';
import type { CanonicalFilter } from '../pipeline/canonical.ts';
import { type CanonicalRecords, emptyColumns } from '../pipeline/records.ts';
import type { OperationRecords } from '../sql/few-rows.ts';
import {
  buildOperation,
  insertOperations,
  insertRecords,
  type PlannedOperation,
  takeOperationIds,
} from '../sql/ledger.ts';
import { limitLockWaits, lockStream } from '../sql/locks.ts';
import type { OperationRow, StreamRow } from '../stream-rows.ts';
import { addTotals } from '../totals/totals.ts';
import type { QueuedWrite } from './coalescer.ts';

// The transaction of a group of small writes. Each write keeps its own operation and receipt, and is acknowledged after COMMIT.

/** A small plan for a cached stream whose filters are cached. */
export interface GroupedWrite extends QueuedWrite, PlannedOperation {
  /** `plan.small`: the records, or for a DELETE the keys, without values. */
  readonly records: CanonicalRecords;
  /** Ids of `records.filters`. */
  readonly filterIds: readonly string[];
}

/** Maximum number of writes in one transaction. */
export const MAX_GROUP = 500;

/** If a write has less time left than this, the group still tries this long to get the lock, for its other writes. */
const MIN_LOCK_WAIT_MS = 250;

export interface GroupMember {
  readonly write: GroupedWrite;
  readonly operation: OperationRow;
}

/**
 * Writes a group in one transaction that holds the lock of the stream. Returns the operations in the order of the writes: null
 * for each write whose idempotency key is taken, and for all writes if the stream is deleted.
 *
 * @param apply writes the content into the stream as it is under the lock. Returns how many records each operation hid, if any did.
 */
export async function writeGroup(
  db: Db,
  stream: StreamRow,
  writes: readonly GroupedWrite[],
  lock: 'shared' | 'exclusive',
  apply: (
    tx: Transaction,
    locked: StreamRow,
    group: readonly GroupMember[],
  ) => Promise<ReadonlyMap<bigint, number> | null>,
): Promise<(OperationRow | null)[]> {
  try {
    return await db.transaction(async (tx) => {
      const leftMs = Math.min(...writes.map(({ ticket }) => ticket.leftMs()));
      const [, locked, ids] = await inOrder([
        limitLockWaits(tx, Math.max(MIN_LOCK_WAIT_MS, leftMs)),
        lockStream(tx, stream, lock),
        // Under the lock, as in writePlan().
        takeOperationIds(tx, writes.length),
      ]);
      if (!locked) return writes.map(() => null);
      const group = writes.map((write, index) => ({
        write,
        operation: buildOperation(locked, ids[index] as bigint, write),
      }));
      const operations = group.map(({ operation }) => operation);
      // Sent together. If a key turns out to be taken, all of it is rolled back.
      const [inserted, hidden] = await Promise.all([
        insertOperations(tx, locked, operations),
        apply(tx, locked, group),
      ]);
      if (inserted < group.length) throw new KeysTakenError(await findInserted(tx, locked, operations));
      return operations.map((operation) => ({ ...operation, hiddenRecords: hidden?.get(operation.id) ?? 0 }));
    });
  } catch (error) {
    if (!(error instanceof KeysTakenError)) throw error;
    const { isNew } = error;
    const left = writes.filter((_, index) => isNew[index]);
    const operations = left.length > 0 ? await writeGroup(db, stream, left, lock, apply) : [];
    let next = 0;
    return isNew.map((is) => (is ? (operations[next++] ?? null) : null));
  }
}

/** Rolls the transaction back: some idempotency keys belong to earlier requests, or to other writes of the group. */
class KeysTakenError extends Error {
  /** For each write, whether its key is its own. */
  readonly isNew: readonly boolean[];

  constructor(isNew: readonly boolean[]) {
    super('Idempotency keys are taken.');
    this.isNew = isNew;
  }
}

async function findInserted(
  tx: Transaction,
  { accountId }: StreamRow,
  operations: readonly OperationRow[],
): Promise<boolean[]> {
  const ids = formatPlainArray(operations.map(({ id }) => String(id)));
  const { rows } = await tx.execute<{ id: string }>(sql`
    SELECT id FROM operations WHERE account_id = ${accountId} AND id = ANY(${ids}::bigint[])`);
  const inserted = new Set(rows.map(({ id }) => BigInt(id)));
  return operations.map(({ id }) => inserted.has(id));
}

/** The records of several operations, one after the other. */
export interface MergedRecords extends OperationRecords {
  /** Operation of each record. */
  readonly operationIds: readonly bigint[];
}

/** Merges the records of a group. Buckets and filters that several writes have occur once. */
export function mergeRecords(group: readonly GroupMember[]): MergedRecords {
  const [first] = group;
  if (!first) throw new Error('The group is empty.');
  const buckets = new Interner<string>();
  const filters = new Interner<CanonicalFilter>();
  const filterIds: string[] = [];
  const operationIds: bigint[] = [];
  const columns = emptyColumns();
  for (const { write, operation } of group) {
    const { records } = write;
    const bucketIndexes = records.buckets.map((start) => buckets.intern(start, start));
    const filterIndexes = records.filters.map((filter) => filters.intern(filter.text, filter));
    for (const [index, merged] of filterIndexes.entries()) filterIds[merged] = write.filterIds[index] as string;
    for (const [index, element] of records.elements.entries()) {
      columns.indexes.push(columns.indexes.length);
      columns.bucketIndexes.push(bucketIndexes[records.bucketIndexes[index] as number] as number);
      columns.filterIndexes.push(filterIndexes[records.filterIndexes[index] as number] as number);
      columns.elements.push(element);
      columns.values.push(records.values[index] ?? '');
      operationIds.push(operation.id);
    }
  }
  const { granularity, dimensions } = first.write.records;
  return {
    records: { granularity, dimensions, buckets: buckets.items, filters: filters.items, ...columns },
    filterIds,
    operationIds,
  };
}

/**
 * Inserts records and their totals.
 *
 * @param hides as for addTotals
 */
export async function insertMerged(
  tx: Transaction,
  stream: StreamRow,
  merged: MergedRecords,
  hides: boolean,
): Promise<void> {
  const { records, filterIds, operationIds } = merged;
  const [first] = operationIds;
  if (first === undefined) throw new Error('There is nothing to insert.');
  const [inserted] = await Promise.all([
    insertRecords(tx, stream, merged),
    // Readers see all operations of a transaction or none, so the totals of the group count as those of the first operation.
    addTotals(tx, stream, first, aggregate(records), filterIds, hides),
  ]);
  if (inserted !== records.elements.length) {
    throw new Error(`Inserted ${inserted} of ${records.elements.length} records.`);
  }
}
