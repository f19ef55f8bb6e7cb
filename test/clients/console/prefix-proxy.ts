import { once } from 'node:events';
import { createServer, request as sendRequest } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface PrefixProxy {
  /** With the prefix. */
  readonly url: string;
  stop(): Promise<void>;
}

/** Starts a reverse proxy that serves the server below a path prefix, which it removes, and sets headers of the requests. */
export async function startPrefixProxy(
  target: string,
  prefix: string,
  set: Readonly<Record<string, string>> = {},
): Promise<PrefixProxy> {
  const proxy = createServer((request, response) => {
    const { url = '/', method, headers } = request;
    if (!url.startsWith(`${prefix}/`)) {
      response.writeHead(404).end('outside of the prefix');
      return;
    }
    const options = { method, headers: { ...headers, ...set } };
    const forwarded = sendRequest(`${target}${url.slice(prefix.length)}`, options, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    forwarded.on('error', () => response.destroy());
    response.on('close', () => forwarded.destroy());
    request.pipe(forwarded);
  }).listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  const { port } = proxy.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}${prefix}`,
    stop: async () => {
      proxy.closeAllConnections();
      proxy.close();
      await once(proxy, 'close');
    },
  };
}
