import type { Server, ServerResponse } from 'node:http';
import { Server as TcpServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

export interface DrainTimes {
  /** How long a connection without a request is left open. */
  readonly idleMs: number;
  /** When it is over, requests under way are cut off. */
  readonly graceMs: number;
}

export interface Draining {
  /**
   * Listens no more, and resolves when all connections are closed, without failing a request that was begun: what is under
   * way is answered, and each answer from now on says that it is the last of its connection. A client may have sent the
   * next request on a connection that only seems to be idle, so those stay open for idleMs. Upgraded connections are not
   * looked after.
   */
  drain(times: DrainTimes): Promise<void>;
}

/** To be called before the server listens. */
export const createDraining = (server: Server): Draining => {
  /** The answers under way on each connection. */
  const connections = new Map<Socket, Set<ServerResponse>>();
  let isLast = false;
  let isIdleClosed = false;

  server.on('connection', (socket: Socket) => {
    connections.set(socket, new Set());
    socket.once('close', () => connections.delete(socket));
  });
  server.on('upgrade', ({ socket }) => connections.delete(socket));
  // Before whoever answers.
  server.prependListener('request', ({ socket }, response) => {
    const responses = connections.get(socket);
    responses?.add(response);
    if (isLast) response.setHeader('connection', 'close');
    response.once('close', () => {
      responses?.delete(response);
      // It was begun before it was known to be the last, so it did not say so.
      if (isIdleClosed && responses?.size === 0) socket.destroySoon();
    });
  });

  return {
    drain: async ({ idleMs, graceMs }) => {
      // Not its own close(), which closes what seems to be idle at once.
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
      // What comes now is not begun.
      for (const [socket, responses] of connections) if (responses.size === 0) socket.destroy();
      await Promise.race([closed, late]);
      done.abort();
      server.closeAllConnections();
      await closed;
    },
  };
};
