import { createClient as createEventClient, type RequestParams } from 'graphql-sse';
import { cacheExchange, Client, fetchExchange, subscriptionExchange } from 'urql';
import type { Connection } from './connection.ts';

const ENDPOINT = '/graphql';

/** How long to wait before a subscription is begun anew: half a second, then longer, at most ten, each with some chance. */
const pauseBefore = (attempt: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, Math.min(10_000, 500 * 2 ** attempt) * (0.75 + Math.random() / 2)));

/** A client of one key: queries and mutations over fetch, subscriptions over server-sent events. */
export const createUrqlClient = (key: string, connection: Connection): Client => {
  const headers = { 'X-API-Key': key };
  const events = createEventClient({
    url: ENDPOINT,
    headers,
    // For as long as the page is open: servers are restarted, laptops sleep.
    retryAttempts: Infinity,
    retry: pauseBefore,
    on: { connecting: () => connection.tell(false), connected: () => connection.tell(true) },
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
            let isOver = false;
            let stop = () => {};
            const begin = (attempt: number) => {
              let isServerStopping = false;
              stop = events.subscribe(request as RequestParams, {
                next: (result) => {
                  // A server that stops ends the stream in good order and says so; another one takes over.
                  isServerStopping =
                    result.errors?.some(({ extensions }) => extensions?.code === 'UNAVAILABLE') ?? false;
                  if (!isServerStopping) sink.next(result as Parameters<typeof sink.next>[0]);
                },
                error: (error) => sink.error(error),
                complete: () => {
                  if (!isServerStopping) return sink.complete();
                  connection.tell(false);
                  void pauseBefore(attempt).then(() => {
                    if (!isOver) begin(attempt + 1);
                  });
                },
              });
            };
            begin(0);
            return {
              unsubscribe: () => {
                isOver = true;
                stop();
              },
            };
          },
        }),
      }),
    ],
  });
};
