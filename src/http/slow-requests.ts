import type { Server } from 'node:http';
import type { Socket } from 'node:net';

/** Ends connections on which the headers of a request, or a body that is not being read, take too long. */
export interface SlowRequests {
  /** Must be called before the server listens. */
  watch(server: Server): void;
  /** For how long the headers of the request on this connection were arriving, to a tenth of the limit. */
  headersMs(socket: Socket): number;
}

interface Connection {
  /** Requests without a complete response. */
  unanswered: number;
  /** Bytes that were received when the last response was complete. */
  bytesBefore: number;
  /** When the first bytes of the next request were noticed. */
  since: number | null;
  headersMs: number;
  /** Whether a response was sent before the body of its request had arrived. */
  hasUnreadBody: boolean;
}

const LOOKS_PER_LIMIT = 10;
const TIMEOUT_RESPONSE = 'HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n';

/** The limit is in milliseconds. Node's own timer also counts the time until the first byte, for which idle connections may wait. */
export function createSlowRequests(limitMs: number): SlowRequests {
  const connections = new Map<Socket, Connection>();
  const look = (): void => {
    const now = performance.now();
    for (const [socket, connection] of connections) {
      if (connection.unanswered > 0) continue;
      if (connection.since === null && socket.bytesRead > connection.bytesBefore) connection.since = now;
      if (connection.since === null || now - connection.since < limitMs) continue;
      connections.delete(socket);
      if (socket.writable && !connection.hasUnreadBody) socket.write(TIMEOUT_RESPONSE);
      socket.destroySoon();
    }
  };
  return {
    watch: (server) => {
      server.on('connection', (socket: Socket) => {
        connections.set(socket, { unanswered: 0, bytesBefore: 0, since: null, headersMs: 0, hasUnreadBody: false });
        socket.once('close', () => connections.delete(socket));
      });
      server.on('upgrade', ({ socket }) => connections.delete(socket));
      server.prependListener('request', (request, response) => {
        const { socket } = request;
        const connection = connections.get(socket);
        if (!connection) return;
        connection.headersMs = connection.since === null ? 0 : performance.now() - connection.since;
        connection.unanswered += 1;
        connection.since = null;
        response.once('close', () => {
          connection.unanswered -= 1;
          connection.bytesBefore = socket.bytesRead;
          connection.hasUnreadBody = !request.complete;
          if (connection.hasUnreadBody) connection.since = performance.now();
        });
      });
      const timer = setInterval(look, Math.max(10, limitMs / LOOKS_PER_LIMIT)).unref();
      server.once('close', () => clearInterval(timer));
    },
    headersMs: (socket) => connections.get(socket)?.headersMs ?? 0,
  };
}
