import { ApolloClient, ApolloLink, HttpLink } from '@apollo/client';
import { GraphQLWsLink } from '@apollo/client/link/subscriptions';
import { createClient as createSocketClient } from 'graphql-ws';
import { OperationTypeNode } from 'graphql';
import { createCache } from './cache.ts';

export interface Connection {
  readonly client: ApolloClient;
  /** Settles when the socket is open for the first time. */
  readonly connected: Promise<void>;
  readonly close: () => Promise<void>;
}

export interface ConnectionOptions {
  readonly url: string;
  readonly key: string;
  /** The socket was lost and is there again: what happened in between was told to nobody. */
  readonly onReconnected: () => void;
}

/** Queries and mutations over HTTP, subscriptions over graphql-ws. */
export const connect = ({ url, key, onReconnected }: ConnectionOptions): Connection => {
  const { promise: connected, resolve, reject } = Promise.withResolvers<void>();
  const socket = createSocketClient({
    url: `${url.replace(/^http/, 'ws')}/graphql`,
    // A socket has no headers of its own in a browser: here and there the key is in connection_init.
    connectionParams: { 'X-API-Key': key },
    lazy: false,
    retryAttempts: 20,
    // After any close but those that say that it is of no use, such as 4401: the key is not known.
    shouldRetry: () => true,
    onNonLazyError: (closed) =>
      reject(new Error(closed instanceof CloseEvent ? closed.reason : `There is no server at ${url}.`)),
    on: {
      connected: (_socket, _payload, wasRetry) => {
        resolve();
        if (wasRetry) onReconnected();
      },
    },
  });
  const http = new HttpLink({ uri: `${url}/graphql`, headers: { 'X-API-Key': key } });
  return {
    client: new ApolloClient({
      cache: createCache(),
      link: ApolloLink.split(
        ({ operationType }) => operationType === OperationTypeNode.SUBSCRIPTION,
        new GraphQLWsLink(socket),
        http,
      ),
    }),
    connected,
    close: async () => {
      await socket.dispose();
    },
  };
};
