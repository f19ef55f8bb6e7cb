import { isCanceled, isLockTimeout } from '../../db/failures.ts';
import type { Db } from '../../db/client.ts';
import type { OperationRow, StreamRow } from '../stream-rows.ts';
import { NoTimeLeftError, type StreamTicket } from '../stream-queue.ts';

// Writes of many clients share a transaction: while one is in flight, those that arrive for the same stream gather, and the next
// transaction takes them together. A transaction costs nearly the same for one as for a hundred.

/** A write that can share a transaction. */
export interface QueuedWrite {
  /** In the queue of the stream; its turn has come. */
  readonly ticket: Pick<StreamTicket, 'leftMs'>;
}

export interface CoalescerOptions<Item> {
  /** Writes all of them in one transaction. Returns their operations in order; null for each that must be written by itself. */
  readonly write: (db: Db, stream: StreamRow, items: readonly Item[]) => Promise<(OperationRow | null)[]>;
  /** The number of waiting items, from the first one on, that may share the next transaction. At least 1. */
  readonly countNext: (items: readonly Item[]) => number;
}

/**
 * Returns the operation when it is committed; null if the item must be written by itself. Throws NoTimeLeftError if the item waited
 * for others until its time was over.
 */
export type Coalesce<Item> = (db: Db, stream: StreamRow, item: Item) => Promise<OperationRow | null>;

interface Waiting<Item> {
  readonly item: Item;
  readonly resolve: (operation: OperationRow | null) => void;
  readonly reject: (error: unknown) => void;
}

/** Returns false, and rejects the write, if its time is over. */
const hasTimeLeft = ({ item, reject }: Waiting<QueuedWrite>): boolean => {
  if (item.ticket.leftMs() > 0) return true;
  reject(new NoTimeLeftError());
  return false;
};

export const createCoalescer = <Item extends QueuedWrite>({
  write,
  countNext,
}: CoalescerOptions<Item>): Coalesce<Item> => {
  /** Writes waiting for the transaction in flight, by the id of the stream. */
  const queues = new Map<bigint, Waiting<Item>[]>();

  const writeAll = async (db: Db, stream: StreamRow, queue: Waiting<Item>[]): Promise<void> => {
    let most = Infinity;
    for (;;) {
      for (const waiting of queue.splice(0)) if (hasTimeLeft(waiting)) queue.push(waiting);
      if (queue.length === 0) break;
      const batch = queue.splice(0, Math.min(most, countNext(queue.map(({ item }) => item))));
      most = Infinity;
      try {
        const operations = await write(
          db,
          stream,
          batch.map(({ item }) => item),
        );
        for (const [index, { resolve }] of batch.entries()) resolve(operations[index] ?? null);
      } catch (error) {
        // A statement that failed ended the transaction, so those that have time left are written with the next batch. If the
        // answer to COMMIT was lost, nobody knows whether it was made, and none of them is tried again here.
        if (isLockTimeout(error)) {
          queue.unshift(...batch);
        }
        // A single write may exceed the statement timeout, and must not fail the others: they are tried in halves.
        else if (isCanceled(error) && batch.length > 1) {
          queue.unshift(...batch);
          most = Math.floor(batch.length / 2);
        } else for (const { reject } of batch) reject(error);
      }
    }
    // At once: what arrives from here on begins a transaction of its own.
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
        // None may be left waiting for a transaction that never comes.
        queues.delete(stream.id);
        for (const left of first) left.reject(error);
      });
    });
};
