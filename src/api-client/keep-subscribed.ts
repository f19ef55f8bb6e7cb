import { setTimeout as delay } from 'node:timers/promises';
import type { GraphQLClient } from './graphql-client.ts';
import { mayPass } from './retry.ts';

export interface KeptSubscription {
  readonly query: string;
  readonly variables: Readonly<Record<string, unknown>>;
  readonly signal: AbortSignal;
  /** Told each time it has to be begun again, and after how long that is tried. */
  readonly onLost: (waitMs: number) => void;
}

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 5000;

/**
 * Subscribes again whenever the server stops, restarts or is away, until the caller has heard enough. What the server
 * tells first is the present state, so nothing is missed but states that have passed. Throws where it refuses. A server that
 * never was there is waited for too: ask it something before.
 */
export async function* keepSubscribed<Data>(
  client: GraphQLClient,
  { query, variables, signal, onLost }: KeptSubscription,
): AsyncGenerator<Data, void> {
  for (let waitMs = FIRST_WAIT_MS; ; waitMs = Math.min(waitMs * 2, LONGEST_WAIT_MS)) {
    try {
      for await (const data of client.subscribe<Data>(query, variables)) {
        waitMs = FIRST_WAIT_MS;
        yield data;
      }
    } catch (error) {
      signal.throwIfAborted();
      if (!mayPass(error)) throw error;
    }
    onLost(waitMs);
    await delay(waitMs, undefined, { signal });
  }
}
