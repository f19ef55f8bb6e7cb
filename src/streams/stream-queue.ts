import { isLockTimeout } from '../db/failures.ts';
import { StreamBusyError } from '../errors/errors.ts';
import type { RequestSignals } from '../lib/lifecycle.ts';

/**
 * Sums share a stream with other sums. Small replaces and deletes are grouped: they share it with each other, because they share
 * transactions, which run one at a time. Other replaces and deletes, and deleteStream, have it exclusively.
 */
export type StreamAccess = 'shared' | 'grouped' | 'exclusive';

/** A request in the queue of a stream. */
export interface StreamTicket {
  /** Resolves when the request may write. Rejects with StreamBusyError, or with the reason of the signal that aborted. */
  readonly turn: Promise<void>;
  /** Returns the milliseconds that the request may still wait, in the queue and for locks of other servers. */
  leftMs(): number;
}

/** Thrown by the work of a request that has no time left. The request fails with StreamBusyError. */
export class NoTimeLeftError extends Error {}

export interface StreamRequest {
  readonly accountId: bigint;
  /** The name, so that requests can queue for a stream that does not exist yet. */
  readonly stream: string;
  readonly access: StreamAccess;
  /** Maximum milliseconds to wait, for a request that has waited before. Defaults to the full time. */
  readonly leftMs?: number | undefined;
  /** The full time in milliseconds. Defaults to that of the queue. */
  readonly maxMs?: number | undefined;
  /** Signals that abort when no client waits for the response. Called if the request has to wait. */
  readonly ended?: RequestSignals | undefined;
}

export interface StreamQueue {
  /**
   * Enters the queue, calls `work`, and leaves the queue when the work has ended. Throws StreamBusyError if the turn or a lock took too
   * long; nothing was written then.
   */
  enter<Value>(request: StreamRequest, work: (ticket: StreamTicket) => Promise<Value>): Promise<Value>;
  /** Number of requests that wait for their turn. */
  readonly waiting: number;
  /** Number of streams that requests use or wait for; others take no memory. */
  readonly streams: number;
}

export interface StreamQueueOptions {
  readonly waitMs: number;
  /** Called before each StreamBusyError. */
  readonly onBusy: () => void;
}

interface Waiter {
  readonly access: StreamAccess;
  readonly start: () => void;
}

interface Queue {
  /** Number of requests that write: one with exclusive access, or any number with the same other access. */
  active: number;
  /** Access of the active requests. */
  access: StreamAccess;
  /** In order of arrival. */
  readonly waiters: Set<Waiter>;
}

const IMMEDIATELY = Promise.resolve();

/**
 * Queues the writes of this process by stream, first in, first out, so that they do not wait for each other in the database, where each
 * would hold a connection. A request waits while one with a conflicting access is active or ahead of it. The key is the account and
 * the name: a name that deleteStream frees keeps its queue, and the database lock distinguishes the old stream from the new one.
 * Guarded by test/streams/stream-queue.test.ts.
 */
export function createStreamQueue({ waitMs, onBusy }: StreamQueueOptions): StreamQueue {
  const queues = new Map<string, Queue>();
  let waiting = 0;

  const busy = ({ stream, maxMs = waitMs }: StreamRequest, cause?: unknown): StreamBusyError => {
    onBusy();
    return new StreamBusyError(stream, maxMs, { cause });
  };

  const mayStart = (queue: Queue, access: StreamAccess): boolean =>
    queue.active === 0 || (access !== 'exclusive' && access === queue.access);

  const start = (queue: Queue, access: StreamAccess): void => {
    queue.active += 1;
    queue.access = access;
  };

  const startNext = (key: string, queue: Queue): void => {
    for (const waiter of queue.waiters) {
      if (!mayStart(queue, waiter.access)) return;
      start(queue, waiter.access);
      waiter.start();
    }
    // A request that gave up calls this twice: by then, another queue may have this key.
    if (queue.active === 0 && queues.get(key) === queue) queues.delete(key);
  };

  /** Returns the turn, and a function that leaves the queue if the request ends before its turn. */
  const wait = (key: string, queue: Queue, request: StreamRequest, milliseconds: number) => {
    const { access, ended } = request;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    // Unhandled if the request fails before it awaits its turn.
    promise.catch(() => undefined);
    const signals = ended?.() ?? [];
    const leave = (): void => {
      if (!queue.waiters.delete(waiter)) return;
      waiting -= 1;
      clearTimeout(timer);
      for (const signal of signals) signal.removeEventListener('abort', abandon);
    };
    const waiter: Waiter = {
      access,
      start: () => {
        leave();
        isActive = true;
        resolve();
      },
    };
    let isActive = false;
    const giveUp = (error: unknown): void => {
      leave();
      reject(error);
      startNext(key, queue);
    };
    const abandon = (): void => giveUp(signals.find(({ aborted }) => aborted)?.reason);
    const timer = setTimeout(() => giveUp(busy(request)), milliseconds);
    queue.waiters.add(waiter);
    waiting += 1;
    if (signals.some(({ aborted }) => aborted)) abandon();
    else for (const signal of signals) signal.addEventListener('abort', abandon, { once: true });
    return {
      turn: promise,
      get isActive() {
        return isActive;
      },
      leave,
    };
  };

  return {
    enter: async (request, work) => {
      const { accountId, stream, access, maxMs = waitMs, leftMs = maxMs } = request;
      const key = `${accountId}/${stream}`;
      let queue = queues.get(key);
      if (!queue) queues.set(key, (queue = { active: 0, access, waiters: new Set() }));
      const deadline = performance.now() + leftMs;
      let waiter: ReturnType<typeof wait> | undefined;
      if (queue.waiters.size === 0 && mayStart(queue, access)) start(queue, access);
      else waiter = wait(key, queue, request, leftMs);
      try {
        return await work({ turn: waiter?.turn ?? IMMEDIATELY, leftMs: () => deadline - performance.now() });
      } catch (error) {
        throw isLockTimeout(error) || error instanceof NoTimeLeftError ? busy(request, error) : error;
      } finally {
        if (waiter && !waiter.isActive) {
          waiter.leave();
        } else {
          queue.active -= 1;
        }
        startNext(key, queue);
      }
    },
    get waiting() {
      return waiting;
    },
    get streams() {
      return queues.size;
    },
  };
}
