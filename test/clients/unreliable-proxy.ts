import { once } from 'node:events';
import { createServer, type IncomingMessage, request } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';

/** 'forward' forwards the request; 'reset' breaks the connection before the request arrives, 'lose-answer' after it has arrived. */
type Fate =
  | 'forward'
  | 'reset'
  | 'lose-answer'
  | { readonly status: number; readonly headers?: () => Readonly<Record<string, string>> };

interface ProxiedRequest {
  readonly at: number;
  readonly fate: Fate;
  readonly isStream: boolean;
  /** The operation name, if the client sends it. Set when the body has arrived. */
  operation?: string;
}

export interface UnreliableProxy {
  readonly url: string;
  /** All requests so far, except WebSockets, with their time and fate. */
  readonly requests: readonly ProxiedRequest[];
  /** Number of opened WebSockets. */
  readonly sockets: number;
  /** Closes open WebSockets. New ones are connected when the promise is fulfilled. */
  breakSockets(until?: Promise<unknown>): void;
  close(): Promise<void>;
}

/** Starts a proxy in front of a server. The first requests have the given fates in order; later ones are forwarded. */
export const startUnreliableProxy = async (
  target: string,
  fates: readonly Fate[],
  options: {
    /** Breaks event streams after their headers. */ readonly breaksStreams?: boolean;
  } = {},
): Promise<UnreliableProxy> => {
  const left = [...fates];
  const requests: ProxiedRequest[] = [];
  const server = createServer((incoming, outgoing) => {
    const isStream = incoming.headers.accept === 'text/event-stream';
    const fate = isStream ? 'forward' : (left.shift() ?? 'forward');
    const asked: ProxiedRequest = { at: performance.now(), fate, isStream };
    requests.push(asked);
    const body: Buffer[] = [];
    incoming.on('data', (chunk: Buffer) => body.push(chunk));
    incoming.on('end', () => {
      const operation = /"operationName":"(\w+)"/.exec(Buffer.concat(body).toString())?.[1];
      if (operation !== undefined) asked.operation = operation;
    });
    if (fate === 'reset') {
      incoming.socket.resetAndDestroy();
      return;
    }
    if (typeof fate === 'object') {
      // Reads the body first, because otherwise the client may see a lost connection instead of the response.
      incoming.resume().once('end', () => outgoing.writeHead(fate.status, fate.headers?.()).end('{}'));
      return;
    }
    const { hostname, port } = new URL(target);
    const onward = request(
      { hostname, port, path: incoming.url, method: incoming.method, headers: incoming.headers },
      (answer) => {
        if (fate === 'lose-answer') {
          answer.resume().once('end', () => incoming.socket.resetAndDestroy());
          return;
        }
        outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
        if (isStream && options.breaksStreams) {
          answer.destroy();
          outgoing.flushHeaders();
          incoming.socket.destroy();
          return;
        }
        answer.pipe(outgoing);
      },
    );
    onward.on('error', () => incoming.socket.destroy());
    outgoing.on('close', () => onward.destroy());
    incoming.pipe(onward);
  }).listen(0, '127.0.0.1');
  const open = new Set<Socket>();
  let sockets = 0;
  let accepting: Promise<unknown> = Promise.resolve();
  const forwardSocket = async (
    { method, url, rawHeaders }: IncomingMessage,
    near: Socket,
    head: Buffer,
  ): Promise<void> => {
    sockets += 1;
    near.on('error', () => near.destroy());
    await accepting;
    const { hostname, port } = new URL(target);
    const far = connect(Number(port), hostname);
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      open.add(one);
      one.on('error', () => other.destroy());
      one.on('close', () => {
        open.delete(one);
        other.destroy();
      });
    }
    const headers = rawHeaders.flatMap((name, index) => (index % 2 === 0 ? [`${name}: ${rawHeaders[index + 1]}`] : []));
    far.write(`${[`${method} ${url} HTTP/1.1`, ...headers].join('\r\n')}\r\n\r\n`);
    far.write(head);
    near.pipe(far).pipe(near);
  };
  server.on('upgrade', (incoming, near: Socket, head) => void forwardSocket(incoming, near, head));
  await once(server, 'listening');
  const breakSockets = (until: Promise<unknown> = Promise.resolve()): void => {
    accepting = until;
    for (const socket of open) socket.destroy();
  };
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    get sockets() {
      return sockets;
    },
    breakSockets,
    close: async () => {
      breakSockets();
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
};
