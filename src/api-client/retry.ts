import { setTimeout as delay } from 'node:timers/promises';
import pRetry from 'p-retry';
import { ApiError, UnreachableError } from './errors.ts';
import type { GraphQLClient } from './graphql-client.ts';

const RETRYABLE_STATUSES = new Set([408, 429, 502, 503, 504]);

/** Whether the same request may succeed later without a change. Servers that shut down respond with UNAVAILABLE. */
function isRetryable(error: Error): boolean {
  return (
    error instanceof UnreachableError ||
    (error instanceof ApiError && (error.code === 'UNAVAILABLE' || RETRYABLE_STATUSES.has(error.status)))
  );
}

export interface RetryOptions {
  /** Time after the first failure in which attempts are repeated. */
  readonly maxRetryMs: number;
  readonly signal: AbortSignal;
  /** Called before the wait for the next attempt. */
  readonly onRetry: (error: Error) => void;
}

/**
 * Repeats the attempt after retryable errors, with waits from 0.5 to 30 s, or longer if the server asks for it by Retry-After.
 * Throws the last error.
 */
export function withRetry<Value>(
  attempt: () => Promise<Value>,
  { maxRetryMs, signal, onRetry }: RetryOptions,
): Promise<Value> {
  let deadline: number | null = null;
  return pRetry(attempt, {
    retries: Number.POSITIVE_INFINITY,
    minTimeout: 500,
    maxTimeout: 30_000,
    // Clients that wait for the same server do not return at the same time.
    randomize: true,
    signal,
    shouldRetry: async ({ error }) => {
      deadline ??= performance.now() + maxRetryMs;
      const retryAfterMs = error instanceof ApiError ? (error.details.retryAfterMs ?? 0) : 0;
      if (!isRetryable(error) || performance.now() + retryAfterMs >= deadline) return false;
      onRetry(error);
      await delay(retryAfterMs, undefined, { signal });
      return true;
    },
  });
}

export interface FollowOptions<Data, Result> {
  readonly query: string;
  readonly variables: Readonly<Record<string, unknown>>;
  readonly signal: AbortSignal;
  /** Called with the data of each event. The first result that is not undefined ends the subscription. */
  readonly onData: (data: Data) => Result | undefined;
  /** Called before each wait, of at most 5 s, for a new subscription. */
  readonly onReconnect: () => void;
}

/**
 * Subscribes, and subscribes again each time the server stops or the connection breaks. The first event of a subscription is the
 * current state, so only states in between are missed. Throws if the server rejects the subscription. A server that was never
 * there is waited for too, so make a request first.
 */
export function followSubscription<Data, Result>(
  client: GraphQLClient,
  { query, variables, signal, onData, onReconnect }: FollowOptions<Data, Result>,
): Promise<Result> {
  const subscribe = async (): Promise<Result> => {
    for await (const data of client.subscribe<Data>(query, variables)) {
      const result = onData(data);
      if (result !== undefined) return result;
    }
    throw new ApiError('The server ended the subscription.', 'UNAVAILABLE', 200);
  };
  return pRetry(subscribe, {
    retries: Number.POSITIVE_INFINITY,
    minTimeout: 500,
    maxTimeout: 5000,
    signal,
    shouldRetry: ({ error }) => {
      if (isRetryable(error)) onReconnect();
      return isRetryable(error);
    },
  });
}
