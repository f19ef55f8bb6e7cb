import { ApolloClient, ApolloLink, HttpLink } from '@apollo/client';
import { GraphQLWsLink } from '@apollo/client/link/subscriptions';
import { createClient as createSocketClient } from 'graphql-ws';
import { OperationTypeNode } from 'graphql';
import { createCache } from './cache.ts';

export interface Connection {
  readonly client: ApolloClient;
  /** Resolves when the socket has been opened for the first time. */
  readonly connected: Promise<void>;
  readonly close: () => Promise<void>;
}

export interface ConnectionOptions {
  readonly url: string;
  readonly key: string;
  /** Called after a reconnect. Events between the two connections were missed. */
  readonly onReconnected: () => void;
}

/** Queries and mutations over HTTP, subscriptions over graphql-ws. */
export const connect = ({ url, key, onReconnected }: ConnectionOptions): Connection => {
  const { promise: connected, resolve, reject } = Promise.withResolvers<void>();
  const socket = createSocketClient({
    url: `${url.replace(/^http/, 'ws')}/graphql`,
    // The key is in connection_init, because browsers cannot set headers of a WebSocket.
    connectionParams: { 'X-API-Key': key },
    lazy: false,
    retryAttempts: 20,
    // graphql-ws does not call this after fatal close codes, such as 4401 for an unknown key.
    shouldRetry: () => true,
    onNonLazyError: (closed) =>
      reject(new Error(closed instanceof CloseEvent ? closed.reason : `The server at ${url} is unavailable.`)),
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
