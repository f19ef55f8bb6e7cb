import { openEventStream } from '../support/event-stream.ts';
import type { GraphQLAnswer, TestServer } from '../support/server.ts';
import { openSocket, type SocketClient } from '../support/socket-client.ts';
import type { Asked } from './selections.ts';

/** The result of a call over either transport. */
export interface Outcome {
  /** The HTTP status. Over WebSocket: 200, or the close code. */
  readonly status: number;
  readonly codes: readonly unknown[];
  /** Data of the field with the alias `it`. */
  readonly data: unknown;
  /** The whole response, or the first result of a subscription. */
  readonly text: string;
}

export interface Transport {
  readonly name: 'HTTP' | 'WebSocket';
  /** Status and codes of a call without a valid key. */
  readonly withoutKey: readonly unknown[];
  ask(asked: Asked, key: string | null): Promise<Outcome>;
  close(): void;
}

const outcomeOf = (status: number, answer: GraphQLAnswer<Record<string, unknown>> | undefined): Outcome => ({
  status,
  codes: (answer?.errors ?? []).map(({ extensions }) => extensions?.['code']),
  data: answer?.data?.['it'] ?? null,
  text: JSON.stringify(answer ?? {}),
});

/** Sends operations by POST and subscriptions by SSE, of which it reads the first result. */
export const overHttp = (server: TestServer): Transport => ({
  name: 'HTTP',
  withoutKey: [401, 'UNAUTHENTICATED'],
  ask: async ({ query, variables }, key) => {
    if (!query.startsWith('subscription')) {
      const { status, ...answer } = await server.request(query, variables, key);
      return outcomeOf(status, answer);
    }
    const stream = await openEventStream<Record<string, unknown>>({ url: server.url, key, query, variables });
    const first = await stream.until(() => true);
    stream.close();
    return outcomeOf(stream.status, first);
  },
  close: () => undefined,
});

/** Uses one socket for each key until it is closed. */
export const overWebSocket = (server: TestServer): Transport => {
  const sockets = new Map<string | null, Promise<SocketClient>>();
  let asked = 0;
  const socketFor = (key: string | null): Promise<SocketClient> => {
    const socket = sockets.get(key) ?? openSocket(server.url, key === null ? {} : { 'X-API-Key': key });
    sockets.set(key, socket);
    return socket;
  };
  return {
    name: 'WebSocket',
    withoutKey: [4401],
    ask: async (payload, key) => {
      const socket = await socketFor(key);
      asked += 1;
      const id = String(asked);
      const acknowledged = socket.until(({ type }) => type === 'connection_ack');
      acknowledged.catch(() => undefined);
      const closed = await Promise.race([acknowledged.then(() => null), socket.closed]);
      if (closed !== null) {
        sockets.delete(key);
        return { status: closed, codes: [], data: null, text: JSON.stringify(socket.messages) };
      }
      socket.send({ type: 'subscribe', id, payload });
      const { type, payload: answer } = await socket.until((message) => message.id === id);
      socket.send({ type: 'complete', id });
      return outcomeOf(200, (type === 'error' ? { errors: answer } : answer) as GraphQLAnswer<Record<string, unknown>>);
    },
    close: () => {
      for (const socket of sockets.values()) void socket.then((client) => client.close());
    },
  };
};
