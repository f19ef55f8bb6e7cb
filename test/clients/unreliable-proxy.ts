import { once } from 'node:events';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';

/** 'forward' is a good connection; 'reset' one that is lost before the request arrives, 'lose-answer' one that is after it did. */
type Fate =
  | 'forward'
  | 'reset'
  | 'lose-answer'
  | { readonly status: number; readonly headers?: () => Readonly<Record<string, string>> };

export interface UnreliableProxy {
  readonly url: string;
  /** Of each request so far, when it came and what became of it. */
  readonly requests: readonly { readonly at: number; readonly fate: Fate; readonly isStream: boolean }[];
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
  const requests: { at: number; fate: Fate; isStream: boolean }[] = [];
  const server = createServer((incoming, outgoing) => {
    const isStream = incoming.headers.accept === 'text/event-stream';
    const fate = isStream ? 'forward' : (left.shift() ?? 'forward');
    requests.push({ at: performance.now(), fate, isStream });
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
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    close: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
};
