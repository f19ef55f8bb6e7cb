import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import WebSocket from 'ws';

export interface SocketMessage {
  readonly type: string;
  readonly id?: string;
  readonly payload?: unknown;
}

/** A client of graphql-transport-ws that sends any message, including those that violate the protocol. */
export interface SocketClient {
  readonly socket: WebSocket;
  readonly messages: readonly SocketMessage[];
  /** Resolves with the close code. */
  readonly closed: Promise<number>;
  readonly reason: () => string;
  send(message: SocketMessage): void;
  /** Returns the first message that fits, including earlier ones. Throws if none arrives in time. */
  until(fits: (message: SocketMessage) => boolean, deadlineMs?: number): Promise<SocketMessage>;
  close(): void;
}

/** Connects, and sends connection_init if a payload is given. */
export async function openSocket(url: string, payload?: Readonly<Record<string, unknown>>): Promise<SocketClient> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/graphql`, 'graphql-transport-ws');
  const messages: SocketMessage[] = [];
  let closeReason = '';
  socket.on('message', (data: Buffer) => messages.push(JSON.parse(data.toString('utf8')) as SocketMessage));
  socket.on('error', () => {}); // The close event that follows is handled below.
  const closed = new Promise<number>((resolve) => {
    socket.once('close', (code, reason) => {
      closeReason = reason.toString();
      resolve(code);
    });
  });
  await once(socket, 'open');
  const send = (message: SocketMessage): void => socket.send(JSON.stringify(message));
  if (payload) send({ type: 'connection_init', payload });
  return {
    socket,
    messages,
    closed,
    reason: () => closeReason,
    send,
    until: async (fits, deadlineMs = 30_000) => {
      const deadline = performance.now() + deadlineMs;
      for (;;) {
        const found = messages.find(fits);
        if (found) return found;
        if (performance.now() > deadline) {
          throw new Error(`No such message came; those that did: ${JSON.stringify(messages)}`);
        }
        await delay(10);
      }
    },
    close: () => socket.terminate(),
  };
}
