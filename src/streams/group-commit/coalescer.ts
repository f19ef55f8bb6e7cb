import { isCanceled, isLockTimeout } from '../../db/failures.ts';
import type { Db } from '../../db/client.ts';
import type { OperationRow, StreamRow } from '../stream-rows.ts';
import { NoTimeLeftError, type StreamTicket } from '../stream-queue.ts';

// While a transaction for a stream is in flight, the writes that arrive wait, and the next transaction takes them together. A transaction
// of a hundred writes costs nearly the same as one of a single write. Guarded by test/streams/coalescer.test.ts.

/** A write that can share a transaction. */
export interface QueuedWrite {
  /** Its turn in the queue of the stream has come. */
  readonly ticket: Pick<StreamTicket, 'leftMs'>;
}

export interface CoalescerOptions<Item> {
  /** Writes all items in one transaction. Returns their operations in order; null for each item that must be written alone. */
  readonly write: (db: Db, stream: StreamRow, items: readonly Item[]) => Promise<(OperationRow | null)[]>;
  /** Returns how many of the waiting items, from the first one on, may share the next transaction: at least 1. */
  readonly countNext: (items: readonly Item[]) => number;
}

/**
 * Returns the operation when it is committed; null if the item must be written alone. Throws NoTimeLeftError if the item waited for
 * other transactions until its time was over.
 */
export type Coalesce<Item> = (db: Db, stream: StreamRow, item: Item) => Promise<OperationRow | null>;

interface Waiting<Item> {
  readonly item: Item;
  readonly resolve: (operation: OperationRow | null) => void;
  readonly reject: (error: unknown) => void;
}

/** Rejects the write and returns true if its time is over. */
function rejectIfExpired({ item, reject }: Waiting<QueuedWrite>): boolean {
  if (item.ticket.leftMs() > 0) return false;
  reject(new NoTimeLeftError());
  return true;
}

export function createCoalescer<Item extends QueuedWrite>({
  write,
  countNext,
}: CoalescerOptions<Item>): Coalesce<Item> {
  /** Writes waiting for the transaction in flight, by the id of the stream. */
  const queues = new Map<bigint, Waiting<Item>[]>();

  const writeAll = async (db: Db, stream: StreamRow, queue: Waiting<Item>[]): Promise<void> => {
    let maxBatch = Infinity;
    for (;;) {
      for (const waiting of queue.splice(0)) if (!rejectIfExpired(waiting)) queue.push(waiting);
      if (queue.length === 0) break;
      const batch = queue.splice(0, Math.min(maxBatch, countNext(queue.map(({ item }) => item))));
      maxBatch = Infinity;
      try {
        const operations = await write(
          db,
          stream,
          batch.map(({ item }) => item),
        );
        for (const [index, { resolve }] of batch.entries()) resolve(operations[index] ?? null);
      } catch (error) {
        // A lock timeout rolled the transaction back, so the items that have time left are retried. They are not retried if the
        // response to COMMIT was lost, because whether it took effect is unknown.
        if (isLockTimeout(error)) {
          queue.unshift(...batch);
        }
        // One write may have exceeded the statement timeout. Retry in halves, so that it does not fail the others.
        else if (isCanceled(error) && batch.length > 1) {
          queue.unshift(...batch);
          maxBatch = Math.floor(batch.length / 2);
        } else for (const { reject } of batch) reject(error);
      }
    }
    // Synchronously after the check that the queue is empty: the next item starts a new transaction.
    queues.delete(stream.id);
  };

  return (db, stream, item) =>
    new Promise((resolve, reject) => {
      const waiting = { item, resolve, reject };
      const queue = queues.get(stream.id);
      if (queue) {
        queue.push(waiting);
        return;
      }
      const first = [waiting];
      queues.set(stream.id, first);
      writeAll(db, stream, first).catch((error: unknown) => {
        // No item may wait for a transaction that never starts.
        queues.delete(stream.id);
        for (const left of first) left.reject(error);
      });
    });
}
