import { createClient as createEventClient, type RequestParams } from 'graphql-sse';
import { cacheExchange, Client, type CombinedError, fetchExchange, mapExchange, subscriptionExchange } from 'urql';
import { setConnected } from './connection.ts';

/** Waits before an event stream is retried: from 0.5 s, doubled each time, up to 10 s, with jitter. */
function waitBefore(attempt: number): Promise<void> {
  return new Promise((resolve) =>
    setTimeout(resolve, Math.min(10_000, 500 * 2 ** attempt) * (0.75 + Math.random() / 2)),
  );
}

interface EventResult {
  readonly errors?: readonly { readonly extensions?: Readonly<Record<string, unknown>> | undefined }[] | undefined;
}

function hasCode(result: EventResult, code: string): boolean {
  return result.errors?.some(({ extensions }) => extensions?.['code'] === code) ?? false;
}

function isRefused(error: CombinedError): boolean {
  const response = error.response as Response | undefined;
  return (
    response?.status === 401 || error.graphQLErrors.some(({ extensions }) => extensions['code'] === 'UNAUTHENTICATED')
  );
}

export interface ClientOptions {
  readonly endpoint: string;
  readonly key: string;
  /** Called when the server rejects the key. */
  readonly onRefused: () => void;
}

/** Creates a client for one key: queries and mutations over fetch, subscriptions over server-sent events with retries. */
export function createClient({ endpoint, key, onRefused }: ClientOptions): Client {
  const headers = { 'X-API-Key': key };
  const events = createEventClient({
    url: endpoint,
    headers,
    // Retry while the page is open: servers restart, laptops sleep.
    retryAttempts: Infinity,
    retry: (attempt) => {
      setConnected(false);
      return waitBefore(attempt);
    },
    on: { connected: () => setConnected(true) },
  });
  return new Client({
    url: endpoint,
    preferGetMethod: false,
    fetchOptions: { headers },
    requestPolicy: 'cache-and-network',
    exchanges: [
      mapExchange({ onError: (error) => isRefused(error) && onRefused() }),
      cacheExchange,
      fetchExchange,
      subscriptionExchange({
        forwardSubscription: (request) => ({
          subscribe: (sink) => {
            let isUnsubscribed = false;
            let stop = (): void => {};
            const subscribe = (attempt: number): void => {
              let isServerStopping = false;
              stop = events.subscribe(request as RequestParams, {
                next: (result) => {
                  // A server that shuts down sends UNAVAILABLE and completes the stream. Another server takes over.
                  isServerStopping = hasCode(result, 'UNAVAILABLE');
                  if (!isServerStopping) sink.next(result as Parameters<typeof sink.next>[0]);
                },
                error: (error) => sink.error(error),
                complete: () => {
                  if (!isServerStopping) return sink.complete();
                  setConnected(false);
                  void waitBefore(attempt).then(() => {
                    if (!isUnsubscribed) subscribe(attempt + 1);
                  });
                },
              });
            };
            subscribe(0);
            return {
              unsubscribe: () => {
                isUnsubscribed = true;
                stop();
              },
            };
          },
        }),
      }),
    ],
  });
}
