import type { Server, ServerResponse } from 'node:http';
import { Server as TcpServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

export interface DrainTimes {
  /** Time for which connections without a request stay open. */
  readonly idleMs: number;
  /** Requests that still run after this time are cut off. */
  readonly graceMs: number;
}

export interface Draining {
  /**
   * Stops listening and resolves when all connections are closed. Started requests complete, and each response from now on
   * has `Connection: close`. A client may already have sent the next request on a connection that seems idle, so idle
   * connections stay open for idleMs. Upgraded connections are not included.
   */
  drain(times: DrainTimes): Promise<void>;
}

/** Must be called before the server listens. */
export function createDraining(server: Server): Draining {
  /** The unfinished responses of each connection. */
  const connections = new Map<Socket, Set<ServerResponse>>();
  let isLast = false;
  let isIdleClosed = false;

  server.on('connection', (socket: Socket) => {
    connections.set(socket, new Set());
    socket.once('close', () => connections.delete(socket));
  });
  server.on('upgrade', ({ socket }) => connections.delete(socket));
  // Before the handler of requests.
  server.prependListener('request', ({ socket }, response) => {
    const responses = connections.get(socket);
    responses?.add(response);
    if (isLast) response.setHeader('connection', 'close');
    response.once('close', () => {
      responses?.delete(response);
      // The response started before the drain, so it has no `Connection: close`.
      if (isIdleClosed && responses?.size === 0) socket.destroySoon();
    });
  });

  return {
    drain: async ({ idleMs, graceMs }) => {
      // Not server.close() of node:http, which closes seemingly idle connections immediately.
      const closed = new Promise<void>((resolve) => void TcpServer.prototype.close.call(server, () => resolve()));
      isLast = true;
      for (const responses of connections.values()) {
        for (const response of responses) if (!response.headersSent) response.setHeader('connection', 'close');
      }
      const done = new AbortController();
      const after = (milliseconds: number): Promise<void> =>
        sleep(milliseconds, undefined, { signal: done.signal }).catch(() => undefined);
      const late = after(graceMs);
      await Promise.race([closed, after(Math.min(idleMs, graceMs))]);
      isIdleClosed = true;
      // New requests are not started.
      for (const [socket, responses] of connections) if (responses.size === 0) socket.destroy();
      await Promise.race([closed, late]);
      done.abort();
      server.closeAllConnections();
      await closed;
    },
  };
}
