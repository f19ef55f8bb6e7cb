import { sql } from 'drizzle-orm';
import { arrayText, plainArrayText } from '../db/array-text.ts';
import type { Db, Transaction } from '../db/client.ts';
import { compareBytewise } from '../lib/bytewise.ts';
import { Distinct } from '../lib/distinct.ts';
import { batchTexts } from './batch-texts.ts';
import { BucketSums } from './bucket-sums.ts';
import type { CanonicalFilter } from './canonical.ts';
import { isLockTimeout } from '../db/failures.ts';
import { insertRecords, limitLockWaits, lockStream } from './ledger.ts';
import type { CanonicalRecords } from './records.ts';
import type { OperationRow, StreamRow } from './rows.ts';
import type { StreamPlace } from './stream-queue.ts';
import { addTotals } from './totals.ts';

// Small sums of many senders share a transaction: while one is under way, those that come for the same stream gather, and the
// next takes all of them. Each keeps an operation and a receipt of its own, and is answered when it is durable, as if it were
// alone; a transaction costs the same for one as for a hundred.

/** A checked sum of few records into a stream that lives, as far as is known. */
export interface SmallSum {
  readonly receivedAt: Date;
  readonly idempotencyKey: string | null;
  readonly digest: Buffer;
  readonly records: CanonicalRecords;
  /** Of the filters of the records. */
  readonly filterIds: readonly string[];
  /** In the queue of the stream; its turn has come. */
  readonly place: Pick<StreamPlace, 'leftMs'>;
}

export interface SumBatches {
  /** The operation; null where the sum is to be written by itself: its key is taken, or the stream is not there any more. */
  add(db: Db, stream: StreamRow, sum: SmallSum): Promise<OperationRow | null>;
}

/** More records than these fill a statement by themselves. */
export const MAX_SMALL_RECORDS = 100;
/** Sums in one transaction. */
const MAX_BATCH = 500;

interface Waiting {
  readonly sum: SmallSum;
  readonly resolve: (operation: OperationRow | null) => void;
  readonly reject: (error: unknown) => void;
}

export const createSumBatches = (): SumBatches => {
  /** By stream, what waits for the transaction under way; absent where there is none. */
  const queues = new Map<bigint, Waiting[]>();

  const writeAll = async (db: Db, stream: StreamRow, queue: Waiting[]): Promise<void> => {
    while (queue.length > 0) {
      const batch = queue.splice(0, MAX_BATCH);
      try {
        const operations = await writeBatch(
          db,
          stream,
          batch.map(({ sum }) => sum),
        );
        for (const [index, { resolve }] of batch.entries()) resolve(operations[index] ?? null);
      } catch (error) {
        // A statement that failed ended the transaction, so the sums that may wait longer are written with the next batch. If
        // the answer to COMMIT was lost, nobody knows whether it was made, and none of them is tried again here.
        const mayWait = isLockTimeout(error) ? batch.filter(({ sum }) => sum.place.leftMs() > 0) : [];
        for (const waiting of batch) if (!mayWait.includes(waiting)) waiting.reject(error);
        queue.unshift(...mayWait);
      }
    }
    queues.delete(stream.id);
  };

  return {
    add: (db, stream, sum) =>
      new Promise((resolve, reject) => {
        const waiting = { sum, resolve, reject };
        const queue = queues.get(stream.id);
        if (queue) {
          queue.push(waiting);
          return;
        }
        const first = [waiting];
        queues.set(stream.id, first);
        void writeAll(db, stream, first);
      }),
  };
};

/** Null for each sum whose idempotency key is taken, and for all of them where the stream was deleted. */
const writeBatch = async (db: Db, stream: StreamRow, sums: readonly SmallSum[]): Promise<(OperationRow | null)[]> => {
  try {
    return await db.transaction(async (tx) => {
      const limited = limitLockWaits(tx, Math.min(...sums.map(({ place }) => place.leftMs())));
      const [operations, live] = await Promise.all([
        insertOperations(tx, stream, sums),
        lockStream(tx, stream, 'shared'),
        limited,
      ]);
      if (!live) throw new StreamGoneError();
      const taken = sums.flatMap((sum, index) => {
        const operation = operations[index];
        return operation ? [{ sum, operation }] : [];
      });
      const [first] = taken;
      if (!first) return operations;
      const { records, filterIds, operationIds } = joinSums(taken);
      const { columns } = new BucketSums().add(records);
      if (!columns) throw new Error('Sums without a limit went beyond it.');
      const [inserted] = await Promise.all([
        insertRecords(tx, stream, operationIds, batchTexts(records), filterIds),
        // The operations of a transaction are seen together, so the totals of all of them may count as the first one's.
        addTotals(tx, stream, first.operation.id, columns, filterIds),
      ]);
      if (inserted !== records.elements.length)
        throw new Error(`Inserted ${inserted} of ${records.elements.length} records.`);
      return operations;
    });
  } catch (error) {
    if (error instanceof StreamGoneError) return sums.map(() => null);
    throw error;
  }
};

/** Rolls the transaction back. */
class StreamGoneError extends Error {}

/** The records of all, one behind the other, each with its operation; buckets and filters that several have once. */
const joinSums = (taken: readonly { readonly sum: SmallSum; readonly operation: OperationRow }[]) => {
  const buckets = new Distinct<string>();
  const filters = new Distinct<CanonicalFilter>();
  const operationIds: bigint[] = [];
  const columns = {
    indexes: [] as number[],
    bucketIndexes: [] as number[],
    filterIndexes: [] as number[],
    elements: [] as string[],
    values: [] as string[],
  };
  for (const { sum, operation } of taken) {
    const { records } = sum;
    const ofBuckets = records.buckets.map((start) => buckets.indexOf(start, start));
    const ofFilters = records.filters.map((filter) => filters.indexOf(filter.text, filter));
    for (const [place, element] of records.elements.entries()) {
      columns.indexes.push(columns.indexes.length);
      columns.bucketIndexes.push(ofBuckets[records.bucketIndexes[place] as number] as number);
      columns.filterIndexes.push(ofFilters[records.filterIndexes[place] as number] as number);
      columns.elements.push(element);
      columns.values.push(records.values[place] as string);
      operationIds.push(operation.id);
    }
  }
  const [{ sum: first }] = taken as [(typeof taken)[number]];
  const { granularity, dimensions } = first.records;
  const filterIds = new Map(
    taken.flatMap(({ sum }) => sum.records.filters.map(({ text }, index) => [text, sum.filterIds[index] ?? ''])),
  );
  return {
    records: { granularity, dimensions, buckets: buckets.items, filters: filters.items, ...columns },
    filterIds: filters.items.map(({ text }) => filterIds.get(text) ?? ''),
    operationIds,
  };
};

/** In the order of the sums; null where the idempotency key is taken, by another of them or by an earlier request. */
const insertOperations = async (
  tx: Transaction,
  stream: StreamRow,
  sums: readonly SmallSum[],
): Promise<(OperationRow | null)[]> => {
  // In one order everywhere: two servers, or two streams, that take the same keys in other orders would deadlock.
  const inOrder = sums.toSorted((a, b) => compareBytewise(a.idempotencyKey ?? '', b.idempotencyKey ?? ''));
  const { rows } = await tx.execute<{ id: string; idempotency_key: string | null; content_sha256: Buffer }>(sql`
    INSERT INTO operations (account_id, stream_id, kind, received_at, xid, totalled, inserted_records, hidden_records, idempotency_key, content_sha256)
    SELECT s.account_id, s.id, 'SUM', u.received_at, pg_current_xact_id(), true, u.records, 0, u.idempotency_key, u.digest
    FROM streams s, unnest(
      ${plainArrayText(inOrder.map(({ receivedAt }) => receivedAt.toISOString()))}::timestamptz[],
      ${plainArrayText(inOrder.map(({ records }) => records.elements.length))}::bigint[],
      ${arrayText(inOrder.map(({ idempotencyKey }) => idempotencyKey))}::text[],
      ${arrayText(inOrder.map(({ digest }) => `\\x${digest.toString('hex')}`))}::bytea[]
    ) WITH ORDINALITY AS u(received_at, records, idempotency_key, digest, place)
    WHERE s.account_id = ${stream.accountId} AND s.id = ${stream.id} AND s.deleted_at IS NULL
    ORDER BY u.place
    ON CONFLICT (account_id, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
    RETURNING id, idempotency_key, content_sha256`);
  // By key and content: sums without a key and with the same content are as good as each other.
  const nameOf = (key: string | null, digest: Buffer): string => `${digest.toString('hex')} ${key ?? ''}`;
  const ids = new Map<string, string[]>();
  for (const { id, idempotency_key: key, content_sha256: digest } of rows) {
    const name = nameOf(key, digest);
    ids.set(name, [...(ids.get(name) ?? []), id]);
  }
  return sums.map(({ receivedAt, idempotencyKey, digest, records }) => {
    const id = ids.get(nameOf(idempotencyKey, digest))?.shift();
    if (id === undefined) return null;
    return {
      accountId: stream.accountId,
      id: BigInt(id),
      streamId: stream.id,
      kind: 'SUM',
      receivedAt,
      insertedRecords: records.elements.length,
      hiddenRecords: 0,
      idempotencyKey,
      contentSha256: digest,
    };
  });
};
