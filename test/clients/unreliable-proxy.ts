import { once } from 'node:events';
import { createServer, request } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';

/** 'forward' is a good connection; 'reset' one that is lost before the request arrives, 'lose-answer' one that is after it did. */
type Fate =
  | 'forward'
  | 'reset'
  | 'lose-answer'
  | { readonly status: number; readonly headers?: () => Readonly<Record<string, string>> };

interface ProxiedRequest {
  readonly at: number;
  readonly fate: Fate;
  readonly isStream: boolean;
  /** The name of the operation, where the client sends that; known when the body came. */
  operation?: string;
}

export interface UnreliableProxy {
  readonly url: string;
  /** Of each request so far, when it came and what became of it. WebSockets are not counted. */
  readonly requests: readonly ProxiedRequest[];
  /** How often a WebSocket was opened. */
  readonly sockets: number;
  /** Cuts those that are open. */
  breakSockets(): void;
  close(): Promise<void>;
}

/** Stands before a server; the requests that come first meet these fates, in their order, all later ones are forwarded. */
export const startUnreliableProxy = async (
  target: string,
  fates: readonly Fate[],
  options: {
    /** Event streams are cut off as soon as they began. */ readonly breaksStreams?: boolean;
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
      // Where the body has not been read, a sender may see a lost connection in the place of the answer.
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
  server.on('upgrade', ({ method, url, rawHeaders }, near: Socket, head: Buffer) => {
    sockets += 1;
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
  });
  await once(server, 'listening');
  const breakSockets = (): void => {
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
