import { setTimeout as delay } from 'node:timers/promises';
import { ApiError, UnreachableError } from './graphql-client.ts';

export interface Patience {
  /** From the first failure on. */
  readonly patienceMs: number;
  readonly signal: AbortSignal;
  /** Told before each wait. */
  readonly onRetry: (error: Error, waitMs: number) => void;
}

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 30_000;

const PASSING_STATUS = new Set([408, 429, 502, 503, 504]);

/** Whether the same may be answered later without anybody changing anything; a server that stops says UNAVAILABLE. */
export const mayPass = (error: unknown): error is Error =>
  error instanceof UnreachableError ||
  (error instanceof ApiError && (error.code === 'UNAVAILABLE' || PASSING_STATUS.has(error.status)));

/** Asks again after what may pass, at longer and longer intervals, or as the server says. Throws the last error. */
export const patiently = async <Value>(
  ask: () => Promise<Value>,
  { patienceMs, signal, onRetry }: Patience,
): Promise<Value> => {
  let giveUpAt: number | null = null;
  for (let longest = FIRST_WAIT_MS; ; longest = Math.min(longest * 2, LONGEST_WAIT_MS)) {
    try {
      return await ask();
    } catch (error) {
      signal.throwIfAborted();
      giveUpAt ??= performance.now() + patienceMs;
      const asked = error instanceof ApiError ? (error.details.retryAfterMs ?? 0) : 0;
      // Not all at once where many wait for the same server.
      const waitMs = Math.max(asked, longest * (0.5 + Math.random() / 2));
      if (!mayPass(error) || performance.now() + waitMs > giveUpAt) throw error;
      onRetry(error, waitMs);
      await delay(waitMs, undefined, { signal });
    }
  }
};
