import { sql } from 'drizzle-orm';
import { arrayText, plainArrayText } from '../../db/array-text.ts';
import type { Db, Transaction } from '../../db/client.ts';
import { compareUtf8 } from '../../lib/compare-utf8.ts';
import { Interner } from '../../lib/interner.ts';
import { encodeBatch } from '../pipeline/encode-batch.ts';
import { BucketAggregator } from '../pipeline/bucket-aggregator.ts';
import type { CanonicalFilter } from '../pipeline/canonical.ts';
import { addFewTotals, areFewRows, insertFewOperations, insertFewRecords, type OwnedRecords } from '../sql/few-rows.ts';
import type { QueuedWrite } from './coalescer.ts';
import { insertRecords, limitLockWaits, type LockedStream, lockStream, takeOperationIds } from '../sql/ledger.ts';
import type { CanonicalRecords } from '../pipeline/records.ts';
import type { OperationRow, StreamRow } from '../stream-rows.ts';
import { addTotals } from '../totals/totals.ts';

// What small writes that share a transaction have in common. Each keeps an operation and a receipt of its own, and is answered
// when it is durable, as if it were alone.

/** A checked write of few records, or of selectors of whole keys, to a stream that is live as far as is known. */
export interface SmallWrite extends QueuedWrite {
  readonly kind: 'SUM' | 'REPLACE' | 'DELETE';
  readonly receivedAt: Date;
  readonly idempotencyKey: string | null;
  readonly digest: Buffer;
  /** The records; for a DELETE the keys, without values. */
  readonly records: CanonicalRecords;
  /** Of the filters of the records. */
  readonly filterIds: readonly string[];
}

/** More records than these fill a statement by themselves. */
export const MAX_SMALL_RECORDS = 100;
/** Writes in one transaction. */
export const MAX_BATCH = 500;

/** If one write has less time left than this, the others still get a fair attempt at the lock. */
const LEAST_ATTEMPT_MS = 250;

/** A write and its operation, which is stored in the same transaction. */
export interface TakenWrite {
  readonly write: SmallWrite;
  readonly operation: OperationRow;
}

/**
 * Writes them in one transaction that holds the stream's lock. Returns their operations; null for each write whose idempotency
 * key is taken, and for all of them if the stream was deleted.
 * @param apply gets the stream as it is under the lock, and returns how many records each operation hid, if any did
 */
export const writeGroup = async (
  db: Db,
  stream: StreamRow,
  writes: readonly SmallWrite[],
  lock: 'shared' | 'exclusive',
  apply: (
    tx: Transaction,
    taken: readonly TakenWrite[],
    locked: StreamRow,
  ) => Promise<ReadonlyMap<bigint, number> | null>,
): Promise<(OperationRow | null)[]> => {
  try {
    return await db.transaction(async (tx) => {
      const limited = limitLockWaits(
        tx,
        Math.max(LEAST_ATTEMPT_MS, Math.min(...writes.map(({ ticket }) => ticket.leftMs()))),
      );
      const [ids, locked] = await Promise.all([
        takeOperationIds(tx, writes.length),
        lockStream(tx, stream, lock),
        limited,
      ]);
      if (!locked) throw new StreamGoneError();
      const taken = writes.map((write, index) => ({
        write,
        operation: operationOf(locked, write, ids[index] as bigint),
      }));
      // Sent together. If a key turns out to be taken, nothing of it counts.
      const [stored, hidden] = await Promise.all([insertOperations(tx, locked, taken), apply(tx, taken, locked)]);
      if (stored < taken.length) throw new KeysTakenError(await areStored(tx, locked, taken));
      return taken.map(({ operation }) => ({ ...operation, hiddenRecords: hidden?.get(operation.id) ?? 0 }));
    });
  } catch (error) {
    if (error instanceof StreamGoneError) return writes.map(() => null);
    if (!(error instanceof KeysTakenError)) throw error;
    const { isNew } = error;
    const left = writes.filter((_, index) => isNew[index]);
    const operations = left.length > 0 ? await writeGroup(db, stream, left, lock, apply) : [];
    let next = 0;
    return isNew.map((is) => (is ? (operations[next++] ?? null) : null));
  }
};

/** Rolls the transaction back. */
class StreamGoneError extends Error {}

/** Rolls the transaction back: some of the idempotency keys belong to earlier requests, or to others of these writes. */
class KeysTakenError extends Error {
  readonly isNew: readonly boolean[];

  constructor(isNew: readonly boolean[]) {
    super('Idempotency keys are taken.');
    this.isNew = isNew;
  }
}

/** The records of several writes, one behind the other; buckets and filters that several have once. */
export type MergedRecords = OwnedRecords;

/** @param taken at least one */
export const mergeRecords = (taken: readonly TakenWrite[]): MergedRecords => {
  const buckets = new Interner<string>();
  const filters = new Interner<CanonicalFilter>();
  const operationIds: bigint[] = [];
  const columns = {
    indexes: [] as number[],
    bucketIndexes: [] as number[],
    filterIndexes: [] as number[],
    elements: [] as string[],
    values: [] as string[],
  };
  for (const { write, operation } of taken) {
    const { records } = write;
    const ofBuckets = records.buckets.map((start) => buckets.intern(start, start));
    const ofFilters = records.filters.map((filter) => filters.intern(filter.text, filter));
    for (const [index, element] of records.elements.entries()) {
      columns.indexes.push(columns.indexes.length);
      columns.bucketIndexes.push(ofBuckets[records.bucketIndexes[index] as number] as number);
      columns.filterIndexes.push(ofFilters[records.filterIndexes[index] as number] as number);
      columns.elements.push(element);
      columns.values.push(records.values[index] ?? '');
      operationIds.push(operation.id);
    }
  }
  const [{ write: first }] = taken as [TakenWrite];
  const { granularity, dimensions } = first.records;
  const filterIds = new Map(
    taken.flatMap(({ write }) => write.records.filters.map(({ text }, index) => [text, write.filterIds[index] ?? ''])),
  );
  return {
    records: { granularity, dimensions, buckets: buckets.items, filters: filters.items, ...columns },
    filterIds: filters.items.map(({ text }) => filterIds.get(text) ?? ''),
    operationIds,
  };
};

/**
 * Inserts records, and what they add to the totals.
 * @param hides as for addTotals
 */
export const insertMerged = async (
  tx: Transaction,
  stream: StreamRow,
  joined: MergedRecords,
  hides: boolean,
): Promise<void> => {
  const { records, filterIds, operationIds } = joined;
  const { columns } = new BucketAggregator().add(records);
  const [first] = operationIds;
  if (!columns || first === undefined) throw new Error('There is nothing to insert.');
  const [inserted] = await Promise.all([
    areFewRows(operationIds.length)
      ? insertFewRecords(tx, stream, joined)
      : insertRecords(tx, stream, operationIds, encodeBatch(records), filterIds),
    // The operations of a transaction are seen together, so the totals of all of them may count as the first one's.
    areFewRows(columns.buckets.length)
      ? addFewTotals(tx, stream, first, columns, filterIds, hides)
      : addTotals(tx, stream, first, columns, filterIds, hides),
  ]);
  if (inserted !== records.elements.length) {
    throw new Error(`Inserted ${inserted} of ${records.elements.length} records.`);
  }
};

const insertedBy = ({ kind, records }: SmallWrite): number => (kind === 'DELETE' ? 0 : records.elements.length);

const operationOf = (stream: StreamRow, write: SmallWrite, id: bigint): OperationRow => ({
  accountId: stream.accountId,
  id,
  streamId: stream.id,
  kind: write.kind,
  receivedAt: write.receivedAt,
  insertedRecords: insertedBy(write),
  hiddenRecords: 0,
  idempotencyKey: write.idempotencyKey,
  contentSha256: write.digest,
});

/** Returns how many are stored: of each idempotency key the first, unless an earlier request has it. */
const insertOperations = async (
  tx: Transaction,
  stream: LockedStream,
  taken: readonly TakenWrite[],
): Promise<number> => {
  // In one order everywhere: two servers, or two streams, that take the same keys in other orders would deadlock.
  const inOrder = taken
    .map(({ operation }) => operation)
    .sort((a, b) => compareUtf8(a.idempotencyKey ?? '', b.idempotencyKey ?? ''));
  if (areFewRows(inOrder.length)) return insertFewOperations(tx, stream.xid, inOrder);
  const { rowCount } = await tx.execute(sql`
    INSERT INTO operations (account_id, id, stream_id, kind, received_at, xid, totalled, inserted_records, hidden_records, idempotency_key, content_sha256)
    SELECT s.account_id, u.id, s.id, u.kind, u.received_at, ${stream.xid}::xid8, true, u.records, 0, u.idempotency_key, u.digest
    FROM streams s, unnest(
      ${plainArrayText(inOrder.map(({ id }) => String(id)))}::bigint[],
      ${plainArrayText(inOrder.map(({ kind }) => kind))}::text[],
      ${plainArrayText(inOrder.map(({ receivedAt }) => receivedAt.toISOString()))}::timestamptz[],
      ${plainArrayText(inOrder.map(({ insertedRecords }) => insertedRecords))}::bigint[],
      ${arrayText(inOrder.map(({ idempotencyKey }) => idempotencyKey))}::text[],
      ${arrayText(inOrder.map(({ contentSha256 }) => `\\x${contentSha256.toString('hex')}`))}::bytea[]
    ) WITH ORDINALITY AS u(id, kind, received_at, records, idempotency_key, digest, place)
    WHERE s.account_id = ${stream.accountId} AND s.id = ${stream.id}
    ORDER BY u.place
    ON CONFLICT (account_id, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING`);
  return rowCount ?? 0;
};

const areStored = async (
  tx: Transaction,
  { accountId }: StreamRow,
  taken: readonly TakenWrite[],
): Promise<boolean[]> => {
  const ids = taken.map(({ operation }) => operation.id);
  const { rows } = await tx.execute<{ id: string }>(sql`
    SELECT id FROM operations WHERE account_id = ${accountId} AND id = ANY(${plainArrayText(ids.map(String))}::bigint[])`);
  const stored = new Set(rows.map(({ id }) => BigInt(id)));
  return ids.map((id) => stored.has(id));
};
