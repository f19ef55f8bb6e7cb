import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { API_KEY } from './server-process.ts';

// Bodies are built before the measurement, and sent as bytes over kept connections, so that the client costs little compared
// with the server. node:http took 105 µs of CPU time per request, a third of the cost of a small sum.

export interface Answer {
  readonly status: number;
  readonly text: string;
}

interface Waiting {
  readonly socket: Socket;
  readonly since: number;
}
/** Idle connections by host and port, the most recently used at the end. */
const idle = new Map<string, Waiting[]>();
/** Shorter than the idle timeout of servers, because a request on a closed connection has no response. */
const KEPT_MS = 2000;

function openSocket(waiting: Waiting[], hostname: string, port: string): Socket {
  const last = waiting.pop();
  if (last && performance.now() - last.since < KEPT_MS) return last.socket;
  // All others have been idle for longer.
  for (const { socket } of [...waiting.splice(0), ...(last ? [last] : [])]) socket.destroy();
  return connect(Number(port), hostname).setNoDelay().unref();
}

/** Sends a body, or its pieces in chunks, and reads the response, which must have a Content-Length. */
export async function post(
  url: string,
  path: string,
  body: Buffer | Iterable<Buffer>,
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  const { host, hostname, port } = new URL(url);
  const waiting = idle.get(host) ?? [];
  idle.set(host, waiting);
  const socket = openSocket(waiting, hostname, port);
  const length = Buffer.isBuffer(body) ? `content-length: ${body.length}` : 'transfer-encoding: chunked';
  const lines = Object.entries({ 'content-type': 'application/json', 'x-api-key': API_KEY, ...headers });
  const head = `POST ${path} HTTP/1.1\r\nhost: ${host}\r\n${length}\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`;
  const answered = readAnswer(socket);
  answered.catch(() => undefined);
  if (Buffer.isBuffer(body)) {
    socket.write(body.length < 4096 ? Buffer.concat([Buffer.from(head), body]) : head);
    if (body.length >= 4096) socket.write(body);
  } else {
    socket.write(head);
    for (const chunk of body) {
      socket.write(`${chunk.length.toString(16)}\r\n`);
      socket.write(chunk);
      if (!socket.write('\r\n')) await Promise.race([once(socket, 'drain'), answered]);
    }
    socket.write('0\r\n\r\n');
  }
  const answer = await answered;
  waiting.push({ socket, since: performance.now() });
  return answer;
}

function readAnswer(socket: Socket): Promise<Answer> {
  return new Promise((resolve, reject) => {
    socket.ref();
    let bytes: Buffer = Buffer.alloc(0);
    const end = (): void => {
      socket.off('data', read).off('error', fail).off('close', fail);
    };
    const fail = (): void => {
      end();
      reject(new Error('The server closed the connection.'));
    };
    const read = (chunk: Buffer): void => {
      bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk]);
      const head = bytes.indexOf('\r\n\r\n');
      if (head < 0) return;
      const text = bytes.toString('latin1', 0, head);
      const length = /\r\ncontent-length: (\d+)/i.exec(text);
      const from = head + 4;
      if (!length || bytes.length < from + Number(length[1])) return;
      end();
      socket.unref();
      resolve({ status: Number(text.slice(9, 12)), text: bytes.toString('utf8', from, from + Number(length[1])) });
    };
    socket.on('data', read).on('error', fail).on('close', fail);
  });
}

/** Sends a GraphQL request. Throws if the response has errors or an error result. */
export async function ask<Data>(url: string, query: string, variables: object = {}): Promise<Data> {
  const { text } = await post(url, '/graphql', Buffer.from(JSON.stringify({ query, variables })));
  const { data, errors } = JSON.parse(text) as { data?: Data; errors?: unknown };
  if (errors !== undefined || data == null) throw new Error(`${query} ${text}`);
  return data;
}

/** Repeats `send` from several clients for a time. Returns the number of successful calls per second. */
export async function measureRate(
  senders: number,
  seconds: number,
  send: (call: number) => Promise<unknown>,
): Promise<number> {
  let calls = 0;
  let done = 0;
  const begun = performance.now();
  const until = begun + seconds * 1000;
  const one = async (): Promise<void> => {
    while (performance.now() < until) {
      calls += 1;
      await send(calls);
      done += 1;
    }
  };
  await Promise.all(Array.from({ length: senders }, one));
  return (done / (performance.now() - begun)) * 1000;
}
