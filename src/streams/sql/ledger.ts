import { sql } from 'drizzle-orm';
import { formatPlainArray } from '../../db/array-text.ts';
import type { Transaction } from '../../db/client.ts';
import { compareUtf8 } from '../../lib/compare-utf8.ts';
import { type EncodedBatch, encodeBatch } from '../pipeline/encode-batch.ts';
import type { WritePlan } from '../pipeline/plan.ts';
import type { OperationRow, StreamRow } from '../stream-rows.ts';
import { areFewRows, insertFewOperations, insertFewRecords, type OperationRecords } from './few-rows.ts';
import type { LockedStream } from './locks.ts';
import { insertOperationArrays, insertRecordArrays } from './row-arrays.ts';

// Inserts operations and records, in one statement for all rows: few rows as VALUES, more as arrays.

/**
 * Takes ids for operations, in ascending order. Not a default of the column: on a distributed database the coordinator would
 * evaluate it, which makes three steps and a two-phase commit of each INSERT.
 */
export async function takeOperationIds(tx: Transaction, count: number): Promise<bigint[]> {
  const { rows } = await tx.execute<{ ids: string }>(
    // As one text: one row per id would cost as much as inserting the operation.
    sql`SELECT string_agg(nextval('operation_ids')::text, ',') AS ids FROM generate_series(1, ${count}::int)`,
  );
  return (rows[0]?.ids ?? '').split(',').map(BigInt);
}

export interface PlannedOperation {
  readonly plan: WritePlan;
  readonly receivedAt: Date;
  readonly idempotencyKey: string | null;
}

export function buildOperation(
  stream: StreamRow,
  id: bigint,
  { plan, receivedAt, idempotencyKey }: PlannedOperation,
): OperationRow {
  return {
    accountId: stream.accountId,
    id,
    streamId: stream.id,
    kind: plan.kind,
    receivedAt,
    insertedRecords: plan.recordCount,
    hiddenRecords: 0,
    idempotencyKey,
    contentSha256: plan.digest,
    firstBucket: plan.bounds && new Date(plan.bounds.first),
    lastBucket: plan.bounds && new Date(plan.bounds.last),
    completeThrough: null,
    reverts: null,
    scope: plan.scope && {
      from: plan.scope.from,
      to: plan.scope.to,
      filter: plan.scope.filter?.entries ?? null,
      elementName: plan.scope.element,
    },
  };
}

/** Returns how many are inserted: none whose idempotency key is taken, and of several with one key the first. */
export function insertOperations(
  tx: Transaction,
  stream: LockedStream,
  operations: readonly OperationRow[],
): Promise<number> {
  // Sorted: two servers, or writes to two streams, that insert the same keys in different orders would deadlock.
  const sorted = operations.toSorted((a, b) => compareUtf8(a.idempotencyKey ?? '', b.idempotencyKey ?? ''));
  return (areFewRows(sorted.length) ? insertFewOperations : insertOperationArrays)(tx, stream, sorted);
}

/** Returns the number of inserted records. */
export function insertRecords(tx: Transaction, stream: StreamRow, inserted: OperationRecords): Promise<number> {
  const { records, filterIds, operationIds } = inserted;
  if (records.elements.length === 0) return Promise.resolve(0);
  return areFewRows(records.elements.length)
    ? insertFewRecords(tx, stream, inserted)
    : insertRecordArrays(tx, stream, operationIds, encodeBatch(records), filterIds);
}

/**
 * Inserts the records of all batches; each is sent while the one before is inserted. Returns the number of inserted records.
 *
 * @param filterIds ids of the filters by their text
 */
export async function insertBatches(
  tx: Transaction,
  stream: StreamRow,
  operationId: bigint,
  batches: readonly EncodedBatch[],
  filterIds: ReadonlyMap<string, string>,
): Promise<number> {
  let count = 0;
  let earlier: Promise<number> = Promise.resolve(0);
  for (const batch of batches) {
    const ids = batch.filters.map(({ text }) => filterIds.get(text) as string);
    const inserting = insertRecordArrays(tx, stream, operationId, batch, ids);
    // Awaited, and its error thrown, below; not if the batch before failed.
    inserting.catch(() => undefined);
    count += await earlier;
    earlier = inserting;
  }
  return count + (await earlier);
}

/** Stores how many records each operation hid, shortly before COMMIT. */
export async function storeHiddenCounts(
  tx: Transaction,
  { accountId }: StreamRow,
  hidden: ReadonlyMap<bigint, number>,
  at: Date,
): Promise<void> {
  const ids = formatPlainArray([...hidden.keys()].map(String));
  await tx.execute(sql`
    UPDATE operations o SET hidden_records = u.hidden_records, ended_at = ${at.toISOString()}::timestamptz
    FROM unnest(${ids}::bigint[], ${formatPlainArray([...hidden.values()])}::bigint[]) AS u(id, hidden_records)
    WHERE o.account_id = ${accountId} AND o.id = ANY(${ids}::bigint[]) AND o.id = u.id`);
}
