import { CloseCode, handleProtocols } from 'graphql-ws';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { type RawData, WebSocketServer } from 'ws';
import { runInRequestContext, chooseRequestId, type ActiveRequest } from '../http/request-context.ts';
import { JsonBoundsError } from '../lib/json-bounds.ts';
import { createTaskTracker, type TaskTracker } from '../lib/lifecycle.ts';
import { markLongNumbersInBytes } from '../lib/json-numbers.ts';
import { limitReceived } from './received-messages.ts';
import { type Connection, createProtocol, type Protocol, type ProtocolOptions } from './websocket-protocol.ts';

export interface GraphQLSockets {
  handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
  /** Rejects new operations, waits up to `graceMs` for active queries and mutations, and closes the sockets. */
  close(graceMs: number): Promise<void>;
}

export interface GraphQLSocketsOptions extends Omit<ProtocolOptions, 'isStopping'> {
  readonly maxMessageBytes: number;
  /** Called after each operation, and after each message that was rejected. */
  readonly onEnded: (request: ActiveRequest) => void;
}

/** A socket that has not answered a ping when the next one is due is closed: it is dead, or its client does not read. */
const PING_MS = 12_000;
/** Maximum of bytes that wait for a client that does not read. */
const MAX_UNREAD_BYTES = 4 * 1024 * 1024;
/** Interval at which a socket that is to be closed is checked for active operations. */
const POLL_MS = 20;
/** Time that a client has to answer the close frame when the server shuts down. */
const CLOSE_MS = 1000;

/** The API over WebSocket (graphql-transport-ws). The API key is in the payload of connection_init. */
export function createGraphQLSockets(options: GraphQLSocketsOptions): GraphQLSockets {
  const connections = new Set<Connection>();
  let isStopping = false;
  const protocol = createProtocol({ ...options, isStopping: () => isStopping });
  const tasks = createTaskTracker();
  // The adapter of graphql-ws for ws logs errors to the console, and sends their messages in close frames.
  const server = new WebSocketServer({
    noServer: true,
    maxPayload: options.maxMessageBytes,
    handleProtocols: (protocols) => handleProtocols(protocols),
  });
  return {
    handleUpgrade: (request, duplex, head) => {
      server.handleUpgrade(request, duplex, head, (socket) => {
        const connection: Connection = { socket, isAuthenticated: false, isBusy: () => false };
        connections.add(connection);
        socket.once('close', () => connections.delete(connection));
        serve(connection, duplex, protocol, tasks, options);
      });
    },
    close: async (graceMs) => {
      isStopping = true;
      await Promise.all([...connections].map((connection) => closeWhenIdle(connection, graceMs)));
      const late = setTimeout(() => {
        for (const socket of server.clients) socket.terminate();
      }, CLOSE_MS);
      await new Promise<void>((resolve) => server.close(() => resolve()));
      clearTimeout(late);
      await tasks.settled(CLOSE_MS);
    },
  };
}

async function closeWhenIdle({ socket, isBusy }: Connection, graceMs: number): Promise<void> {
  const deadline = performance.now() + graceMs;
  while (socket.readyState === socket.OPEN && isBusy() && performance.now() < deadline) await sleep(POLL_MS);
  socket.close(1001, 'Going away');
}

/** Passes the messages of a socket to the protocol, within limits, and pings the client. */
function serve(
  connection: Connection,
  duplex: Duplex,
  protocol: Protocol,
  tasks: TaskTracker,
  { log, edge, onEnded }: GraphQLSocketsOptions,
): void {
  const { socket } = connection;

  function fail(error: unknown): void {
    // graphql-ws throws this if a client sends a message that only servers send.
    if (error instanceof Error && error.message.startsWith('Unexpected message of type ')) {
      socket.close(CloseCode.BadRequest, 'Invalid message received');
      return;
    }
    if (error instanceof JsonBoundsError) {
      socket.close(CloseCode.BadRequest, error.message);
      return;
    }
    log.error({ err: error }, 'a WebSocket message could not be handled');
    socket.close(CloseCode.InternalServerError, 'Internal server error');
  }

  /** Handles a message as a request with an id of its own, because a socket stays open for hours. */
  function handleMessage(handle: () => Promise<void>): Promise<void> {
    return runInRequestContext(
      chooseRequestId(undefined),
      () => handle().catch(fail),
      (request) => {
        // Most messages do not start an operation.
        if (request.operation !== null || request.outcome !== 'ok') onEnded({ ...request, api: 'graphql' });
      },
    );
  }

  const received = limitReceived(connection, duplex, edge.memory.open());
  let isAlive = true;
  const ping = setInterval(() => {
    if (!isAlive) socket.terminate();
    isAlive = false;
    socket.ping();
  }, PING_MS);
  socket.on('pong', () => {
    isAlive = true;
  });
  // The client sent a malformed or too large frame. ws closes the socket with the code for it, and emits 'close'.
  socket.on('error', (error) => log.debug({ err: error }, 'a WebSocket failed'));
  const close = protocol.opened(
    {
      protocol: socket.protocol,
      // Resolves when the bytes were written, so that a subscription is as fast as its client. A message for a closed socket is
      // dropped: 'close' follows.
      send: (data) =>
        new Promise((resolve) => {
          if (socket.readyState === socket.OPEN) socket.send(data, () => resolve());
          else resolve();
        }),
      close: (code, reason) => socket.close(code, reason),
      onMessage: (handle) => {
        socket.on('message', (data) => {
          const release = received.begin(data);
          if (release === null) return;
          if (socket.bufferedAmount > MAX_UNREAD_BYTES) socket.terminate();
          tasks.add(handleMessage(async () => handle(decodeMessage(data))).finally(release));
        });
      },
    },
    connection,
  );
  socket.once('close', (code, reason) => {
    clearInterval(ping);
    received.end();
    tasks.add(close(code, String(reason)).catch(fail));
  });
}

/** Returns the text of a message. ws passes a message as one buffer unless it is configured otherwise. Throws JsonBoundsError. */
function decodeMessage(data: RawData): string {
  return Buffer.isBuffer(data) ? markLongNumbersInBytes(data).bytes.toString('utf8') : '';
}
