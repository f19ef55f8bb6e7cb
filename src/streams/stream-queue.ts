import { isLockTimeout } from '../db/failures.ts';
import { StreamBusyError } from '../errors/errors.ts';
import type { RequestSignals } from '../lib/lifecycle.ts';

/**
 * A sum shares the stream with other sums. Small replaces and deletes are grouped: they share it with each other, because they
 * are written in common transactions, one at a time. Other replaces and deletes, and deleteStream, need it alone.
 */
export type StreamAccess = 'shared' | 'grouped' | 'exclusive';

/** One request's place in the queue of a stream. */
export interface StreamTicket {
  /** Resolves when the request may write; rejects with StreamBusyError, or with the reason of the request's signal. */
  readonly turn: Promise<void>;
  /** Milliseconds that the request may still wait, in the queue and for locks of other servers. */
  leftMs(): number;
}

/** Thrown by the work of a request that found no time left: it fails with StreamBusyError. */
export class NoTimeLeftError extends Error {}

/** What a request queues for. */
export interface StreamRequest {
  readonly accountId: bigint;
  /** The name, because a request addresses a stream by its name: the queue serves streams that do not exist yet. */
  readonly stream: string;
  readonly access: StreamAccess;
  /** Milliseconds that a request may still wait which has waited in the queue before. */
  readonly leftMs?: number | undefined;
  /** Signals that are aborted when nobody waits for the answer any more. Called when the request must wait. */
  readonly ended?: RequestSignals | undefined;
}

export interface StreamQueue {
  /**
   * Calls `work` with a place in the queue, and releases it when the work has ended. Throws StreamBusyError if the turn or a
   * lock took too long; nothing was written then.
   */
  enter<Value>(request: StreamRequest, work: (ticket: StreamTicket) => Promise<Value>): Promise<Value>;
  /** Requests that wait for their turn. */
  readonly waiting: number;
  /** Streams that requests use or wait for; a stream without requests takes no memory. */
  readonly streams: number;
}

export interface StreamQueueOptions {
  readonly waitMs: number;
  /** Called for each StreamBusyError. */
  readonly onBusy: () => void;
}

interface Waiter {
  readonly access: StreamAccess;
  readonly start: () => void;
}

interface Line {
  /** Requests whose turn it is: one that is exclusive, or any number that are all shared or all grouped. */
  active: number;
  /** The access of the active requests. */
  access: StreamAccess;
  /** In order of arrival. */
  readonly waiters: Set<Waiter>;
}

const IMMEDIATELY = Promise.resolve();

/**
 * Queues the writes of this process by stream, in order of arrival, so that they do not wait for each other in the database,
 * where each would hold a connection. A request waits only while one that it cannot run beside is active or ahead of it. Keyed
 * by account and name: a name that deleteStream frees keeps its queue, and the locks of the database tell the old stream from
 * the new one.
 */
export const createStreamQueue = ({ waitMs, onBusy }: StreamQueueOptions): StreamQueue => {
  const lines = new Map<string, Line>();
  let waiting = 0;

  const busy = (stream: string, cause?: unknown): StreamBusyError => {
    onBusy();
    return new StreamBusyError(stream, waitMs, { cause });
  };

  const mayStart = (line: Line, access: StreamAccess): boolean =>
    line.active === 0 || (access !== 'exclusive' && access === line.access);

  const start = (line: Line, access: StreamAccess): void => {
    line.active += 1;
    line.access = access;
  };

  const startNext = (key: string, line: Line): void => {
    for (const waiter of line.waiters) {
      if (!mayStart(line, waiter.access)) return;
      start(line, waiter.access);
      waiter.start();
    }
    // A request that gave up comes here twice, and another line may be in its place by then.
    if (line.active === 0 && lines.get(key) === line) lines.delete(key);
  };

  /** Returns the turn, and how to leave the queue if the request ends before its turn. */
  const wait = (key: string, line: Line, { stream, access, ended }: StreamRequest, milliseconds: number) => {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    // The request may fail for another reason before it awaits its turn.
    promise.catch(() => undefined);
    const signals = ended?.() ?? [];
    const leave = (): void => {
      if (!line.waiters.delete(waiter)) return;
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
      startNext(key, line);
    };
    const abandon = (): void => giveUp(signals.find(({ aborted }) => aborted)?.reason);
    const timer = setTimeout(() => giveUp(busy(stream)), milliseconds);
    line.waiters.add(waiter);
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
      const { accountId, stream, access, leftMs = waitMs } = request;
      const key = `${accountId}/${stream}`;
      let line = lines.get(key);
      if (!line) lines.set(key, (line = { active: 0, access, waiters: new Set() }));
      const deadline = performance.now() + leftMs;
      let waiter: ReturnType<typeof wait> | undefined;
      if (line.waiters.size === 0 && mayStart(line, access)) start(line, access);
      else waiter = wait(key, line, request, leftMs);
      try {
        return await work({ turn: waiter?.turn ?? IMMEDIATELY, leftMs: () => deadline - performance.now() });
      } catch (error) {
        throw isLockTimeout(error) || error instanceof NoTimeLeftError ? busy(stream, error) : error;
      } finally {
        if (waiter && !waiter.isActive) {
          waiter.leave();
        } else {
          line.active -= 1;
        }
        startNext(key, line);
      }
    },
    get waiting() {
      return waiting;
    },
    get streams() {
      return lines.size;
    },
  };
};
