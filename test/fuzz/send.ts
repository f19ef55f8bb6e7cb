import { Agent, request } from 'node:http';
import { connect } from 'node:net';
import type { Duplex } from 'node:stream';
import WebSocket from 'ws';

// Sends invalid input and waits for the result.

export interface HttpInput {
  readonly method: string;
  /** With its query string. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Buffer;
}

/** A frame is bytes for the socket below, past everything that would make them right. */
export interface SocketMessage {
  readonly data: Buffer;
  readonly as: 'text' | 'binary' | 'frame';
}

export interface Answer {
  /** Null if the connection was closed without a response. */
  readonly status: number | null;
  readonly contentType: string;
  readonly body: string;
}

export class Hang extends Error {}

export interface Target {
  readonly url: string;
  readonly key: string;
}

/** No answer within it is a hang; far beyond what a busy machine needs. */
const PATIENCE_MS = 30_000;
/** How long a subscription is read, because it never ends automatically. */
const LISTEN_MS = 20;
/** How long a request that may never be whole is held open. */
const WAIT_MS = 250;

export const createSender = ({ url, key }: Target) => {
  const agent = new Agent({ keepAlive: true, maxSockets: 64 });
  const { hostname, port } = new URL(url);

  const http = (input: HttpInput, isAgain = false): Promise<Answer> =>
    new Promise((resolve, reject) => {
      // Node's client leaves the length out of a DELETE, whose body would be taken for the next request.
      const headers = { ...input.headers, ...(input.body && { 'content-length': String(input.body.length) }) };
      const sending = request(
        { agent: isAgain ? false : agent, hostname, port, method: input.method, path: input.path, headers },
        (response) => {
          const status = response.statusCode ?? 0;
          const contentType = response.headers['content-type'] ?? '';
          let body = '';
          const answer = (): void => {
            clearTimeout(impatience);
            resolve({ status, contentType, body });
          };
          if (contentType.startsWith('text/event-stream')) {
            setTimeout(() => {
              answer();
              sending.destroy();
            }, LISTEN_MS);
          }
          response.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
          response.on('end', answer);
          response.on('error', answer);
        },
      );
      const impatience = setTimeout(() => {
        reject(new Hang());
        sending.destroy();
      }, PATIENCE_MS);
      sending.on('error', () => {
        clearTimeout(impatience);
        // The server closes a connection that was idle for 5 s, and on a busy machine just then it is used again. One of its
        // own is closed by what was sent on it alone.
        if (sending.reusedSocket && !isAgain) http(input, true).then(resolve, reject);
        else resolve({ status: null, contentType: '', body: '' });
      });
      sending.end(input.body);
    });

  /** Bytes as they are, right or wrong. */
  const bytes = (sent: Buffer): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const socket = connect(Number(port), hostname);
      const impatience = setTimeout(() => {
        reject(new Hang());
        socket.destroy();
      }, PATIENCE_MS);
      let received = '';
      let listening: NodeJS.Timeout | undefined;
      socket.setEncoding('latin1').on('data', (chunk: string) => {
        received += chunk;
        // A stream of events, or a WebSocket.
        if (/^HTTP\/1\.1 101|^content-type: text\/event-stream/im.test(received)) {
          listening ??= setTimeout(() => socket.destroy(), LISTEN_MS);
        }
      });
      socket.on('error', () => undefined);
      socket.on('close', () => {
        clearTimeout(impatience);
        clearTimeout(listening);
        clearTimeout(ending);
        const [head = '', ...rest] = received.split('\r\n\r\n');
        // Several requests may have been made out of one: the worst answer counts.
        const statuses = [...received.matchAll(/^HTTP\/1\.1 (\d{3})/gm)].map(([, status]) => Number(status));
        resolve({
          status: statuses.length === 0 ? null : Math.max(...statuses),
          contentType: /^content-type: (.*)$/im.exec(head)?.[1] ?? '',
          body: rest.join('\r\n\r\n'),
        });
      });
      socket.write(sent);
      // Node does not respond to a client that has ended its side, so the socket is ended only after WAIT_MS, for a server that waits for more.
      const ending = setTimeout(() => socket.end(), WAIT_MS);
    });

  /** Messages of one socket, after which a right one has to be answered where the socket is still open. */
  const messages = async (
    payload: Readonly<Record<string, unknown>> | null,
    sent: readonly SocketMessage[],
  ): Promise<Answer> => {
    const socket = new WebSocket(`${url.replace('http', 'ws')}/graphql`, 'graphql-transport-ws');
    const received: string[] = [];
    return new Promise<Answer>((resolve, reject) => {
      const impatience = setTimeout(() => {
        reject(new Hang());
        socket.terminate();
      }, PATIENCE_MS);
      const end = (code: number): void => {
        clearTimeout(impatience);
        resolve({ status: code, contentType: 'websocket', body: received.join('\n') });
      };
      socket.on('error', () => undefined);
      socket.on('close', (code) => end(code));
      socket.on('message', (data: Buffer) => {
        const text = data.toString('utf8');
        received.push(text);
        if (text.includes('"connection_ack"')) go();
        if (text.includes('"id":"the end"')) socket.close(1000);
      });
      const go = (): void => {
        for (const { data, as } of sent) {
          if (as === 'frame') (socket as unknown as { _socket: Duplex })._socket.write(data);
          else socket.send(data, { binary: as === 'binary' });
        }
        const raw = (socket as unknown as { _socket: Duplex })._socket;
        // Behind the half of a frame nothing can be said any more.
        if (sent.some(({ as }) => as === 'frame')) raw.end();
        else socket.send(JSON.stringify({ type: 'subscribe', id: 'the end', payload: { query: '{ __typename }' } }));
      };
      socket.on('open', () => {
        socket.send(JSON.stringify({ type: 'connection_init', payload: payload ?? { 'X-API-Key': key } }));
      });
    });
  };

  return { http: (input: HttpInput) => http(input), bytes, messages, close: () => agent.destroy() };
};

export type Sender = ReturnType<typeof createSender>;
