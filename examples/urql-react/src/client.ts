import { createClient as createEventClient, type RequestParams } from 'graphql-sse';
import { cacheExchange, Client, fetchExchange, subscriptionExchange } from 'urql';
import type { Connection } from './connection.ts';

const ENDPOINT = '/graphql';

/** Waits before a subscription is retried: from 0.5 s, doubled each time, up to 10 s, with jitter. */
const waitBefore = (attempt: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, Math.min(10_000, 500 * 2 ** attempt) * (0.75 + Math.random() / 2)));

/** Creates a client for one key: queries and mutations over fetch, subscriptions over server-sent events. */
export const createUrqlClient = (key: string, connection: Connection): Client => {
  const headers = { 'X-API-Key': key };
  const events = createEventClient({
    url: ENDPOINT,
    headers,
    // Retry while the page is open: servers restart, laptops sleep.
    retryAttempts: Infinity,
    retry: waitBefore,
    on: { connecting: () => connection.set(false), connected: () => connection.set(true) },
  });
  return new Client({
    url: ENDPOINT,
    preferGetMethod: false,
    fetchOptions: { headers },
    exchanges: [
      cacheExchange,
      fetchExchange,
      subscriptionExchange({
        forwardSubscription: (request) => ({
          subscribe: (sink) => {
            let isUnsubscribed = false;
            let stop = () => {};
            const subscribe = (attempt: number) => {
              let isServerStopping = false;
              stop = events.subscribe(request as RequestParams, {
                next: (result) => {
                  // A server that shuts down sends UNAVAILABLE and completes the stream. Another server takes over.
                  isServerStopping =
                    result.errors?.some(({ extensions }) => extensions?.code === 'UNAVAILABLE') ?? false;
                  if (!isServerStopping) sink.next(result as Parameters<typeof sink.next>[0]);
                },
                error: (error) => sink.error(error),
                complete: () => {
                  if (!isServerStopping) return sink.complete();
                  connection.set(false);
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
};
