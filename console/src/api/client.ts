import type { RequestParams } from 'graphql-sse';
import {
  cacheExchange,
  Client,
  type CombinedError,
  type Exchange,
  fetchExchange,
  mapExchange,
  subscriptionExchange,
} from 'urql';
import { openEventStream } from './event-stream.ts';

function isRefused(error: CombinedError): boolean {
  const response = error.response as Response | undefined;
  return (
    response?.status === 401 || error.graphQLErrors.some(({ extensions }) => extensions['code'] === 'UNAUTHENTICATED')
  );
}

/** Queries whose data is kept: more than a page has. */
const MAX_KEPT = 50;

/** Keeps the data of a query when reading it again fails: the result then has the data and the error, and the page shows both. */
function createKeepExchange(): Exchange {
  const kept = new Map<number, unknown>();
  const keep = (key: number, data: unknown): void => {
    // The newest is last.
    kept.delete(key);
    kept.set(key, data);
    const [oldest] = kept.keys();
    if (kept.size > MAX_KEPT && oldest !== undefined) kept.delete(oldest);
  };
  return mapExchange({
    onResult: (result) => {
      const { operation, data, error } = result;
      if (operation.kind !== 'query') return;
      if (error === undefined) keep(operation.key, data);
      else if (data === undefined || data === null) return { ...result, data: kept.get(operation.key) };
    },
  });
}

export interface ConsoleClientOptions {
  readonly endpoint: string;
  readonly key: string;
  /** Called when the server rejects the key. */
  readonly onRefused: () => void;
}

/** Creates a client for one key: queries and mutations over fetch, subscriptions over server-sent events with retries. */
export function createClient({ endpoint, key, onRefused }: ConsoleClientOptions): Client {
  const headers = { 'X-API-Key': key };
  return new Client({
    url: endpoint,
    preferGetMethod: false,
    fetchOptions: { headers },
    requestPolicy: 'cache-and-network',
    exchanges: [
      mapExchange({ onError: (error) => isRefused(error) && onRefused() }),
      createKeepExchange(),
      cacheExchange,
      fetchExchange,
      subscriptionExchange({
        forwardSubscription: (request) => ({
          subscribe: (sink) => ({
            unsubscribe: openEventStream({ url: endpoint, headers }, request as RequestParams, sink),
          }),
        }),
      }),
    ],
  });
}
