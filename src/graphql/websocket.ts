import { type ExecutionArgs, getOperationAST, GraphQLError } from 'graphql';
import { CloseCode, type Context, handleProtocols, makeServer, type SubscribePayload } from 'graphql-ws';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { type RawData, type WebSocket, WebSocketServer } from 'ws';
import { createUnderWay, repeat, type UnderWay } from '../lib/lifecycle.ts';
import { JsonBoundsError } from '../lib/json-bounds.ts';
import { keepLongNumbersOf } from '../lib/long-numbers.ts';
import type { Services } from './schema/context.ts';
import type { WithinTime } from '../http/time-limit.ts';
import { describeProblem } from '../http/callers.ts';
import { endedSignals } from '../http/closed-connections.ts';
import type { Edge } from '../http/edge.ts';
import { asRequest, requestIdOf, type RequestUnderWay } from '../http/request-context.ts';
import { limitReceived, TRY_AGAIN_LATER } from './received-messages.ts';
import type { GraphQLServer } from './server.ts';
import { RECHECK_MS } from './schema/subscriptions.ts';

export interface GraphQLSockets {
  handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
  /** Begins nothing new, answers queries and mutations that are under way within the time of grace, and closes the sockets. */
  close(graceMs: number): Promise<void>;
}

export interface GraphQLSocketsOptions {
  readonly graphql: GraphQLServer;
  readonly services: Services;
  readonly edge: Edge;
  readonly log: Logger;
  readonly maxMessageBytes: number;
  readonly withinTime: WithinTime;
  /** Queries and mutations under way on one socket, beside the subscriptions that a key may have. */
  readonly maxOperations: number;
  /** Of each operation, and of each message that was refused. */
  readonly onEnded: (request: RequestUnderWay) => void;
}

interface Extra {
  readonly socket: WebSocket;
  /** Whether connection_init brought a valid key. */
  isKnown: boolean;
  /** Whether a query or mutation is under way. */
  isAnswering: () => boolean;
}

/** The sockets of one server. */
interface Sockets {
  readonly open: Set<Extra>;
  isStopping: boolean;
}
type SocketContext = Context<Record<string, unknown>, Extra>;

/** A socket that has not answered a ping when the next is due is dead, or reads nothing. */
const PING_MS = 12_000;
/** Answers that wait for a socket which does not read them. */
const MAX_UNREAD_BYTES = 4 * 1024 * 1024;
/** How often a socket that is to close is looked at whether its answers have left. */
const ANSWERED_MS = 20;
/** How long sockets may take to say goodbye when the server stops. */
const GOODBYE_MS = 1000;

/** Subscriptions, queries and mutations over WebSocket (graphql-transport-ws). The key comes with connection_init. */
export const createGraphQLSockets = (options: GraphQLSocketsOptions): GraphQLSockets => {
  const sockets: Sockets = { open: new Set(), isStopping: false };
  const protocol = createProtocol(options, sockets);
  const underWay = createUnderWay();
  // Not the glue of graphql-ws: it writes errors to the console as they are, and their messages into close frames.
  const server = new WebSocketServer({
    noServer: true,
    maxPayload: options.maxMessageBytes,
    handleProtocols: (protocols) => handleProtocols(protocols),
  });
  return {
    handleUpgrade: (request, socket, head) => {
      server.handleUpgrade(request, socket, head, (opened) => {
        const extra: Extra = { socket: opened, isKnown: false, isAnswering: () => false };
        sockets.open.add(extra);
        opened.once('close', () => sockets.open.delete(extra));
        serve(extra, socket, protocol, underWay, options);
      });
    },
    close: async (graceMs) => {
      sockets.isStopping = true;
      await Promise.all([...sockets.open].map((one) => closeWhenAnswered(one, graceMs)));
      const late = setTimeout(() => {
        for (const socket of server.clients) socket.terminate();
      }, GOODBYE_MS);
      await new Promise<void>((resolve) => server.close(() => resolve()));
      clearTimeout(late);
      await underWay.settled(GOODBYE_MS);
    },
  };
};

const closeWhenAnswered = async ({ socket, isAnswering }: Extra, graceMs: number): Promise<void> => {
  const deadline = performance.now() + graceMs;
  while (socket.readyState === socket.OPEN && isAnswering() && performance.now() < deadline) await sleep(ANSWERED_MS);
  socket.close(1001, 'Going away');
};

const serve = (
  extra: Extra,
  connection: Duplex,
  protocol: ReturnType<typeof createProtocol>,
  underWay: UnderWay,
  { log, edge, onEnded }: Pick<GraphQLSocketsOptions, 'log' | 'edge' | 'onEnded'>,
): void => {
  const { socket } = extra;
  const fail = (error: unknown): void => {
    // graphql-ws throws this at a message that is a server's to send; it is the client that is wrong, and nothing to log.
    if (error instanceof Error && error.message.startsWith('Unexpected message of type ')) {
      socket.close(CloseCode.BadRequest, 'Invalid message received');
      return;
    }
    if (error instanceof JsonBoundsError) {
      socket.close(CloseCode.BadRequest, error.message);
      return;
    }
    log.error({ err: error }, 'a message over WebSocket could not be handled');
    socket.close(CloseCode.InternalServerError, 'Internal server error');
  };
  /** Each message has an id of its own, since a socket stays open for hours. */
  const answer = (work: () => Promise<void>): Promise<void> =>
    asRequest(
      requestIdOf(undefined),
      () => work().catch(fail),
      (request) => {
        // Most messages are no operations.
        if (request.operation !== null || request.outcome !== 'ok') onEnded({ ...request, api: 'graphql' });
      },
    );
  const received = limitReceived(extra, connection, edge.memory.open());
  let isAlive = true;
  const pulse = setInterval(() => {
    if (!isAlive) socket.terminate();
    isAlive = false;
    socket.ping();
  }, PING_MS);
  socket.on('pong', () => {
    isAlive = true;
  });
  // What the client sent was no WebSocket, or too large: ws closes with the code for it, and 'close' follows.
  socket.on('error', (error) => log.debug({ err: error }, 'a WebSocket broke'));
  const closed = protocol.opened(
    {
      protocol: socket.protocol,
      // Waits until the bytes have left: so a subscription is as fast as its reader. A socket that is gone takes no
      // more, and is no failure: its end follows.
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
          underWay.add(answer(async () => handle(textOf(data))).finally(release));
        });
      },
    },
    extra,
  );
  socket.once('close', (code, reason) => {
    clearInterval(pulse);
    received.end();
    underWay.add(closed(code, String(reason)).catch(fail));
  });
};

/** ws hands over a message as one buffer, unless it is asked for pieces. Throws JsonBoundsError. */
const textOf = (data: RawData): string => (Buffer.isBuffer(data) ? keepLongNumbersOf(data).bytes.toString('utf8') : '');

const createProtocol = (
  { graphql, services, edge, log, withinTime, maxOperations }: GraphQLSocketsOptions,
  sockets: Sockets,
) => {
  const mostAtOnce = services.limits.maxSubscriptions + maxOperations;
  const connect = async (context: SocketContext): Promise<boolean> => {
    const { socket } = context.extra;
    const ask = () => edge.ofPayload(context.connectionParams);
    try {
      const caller = await ask();
      if (caller.principal === null) {
        socket.close(CloseCode.Unauthorized, describeProblem(caller.problem));
        return false;
      }
    } catch (error) {
      graphql.mapError(error);
      socket.close(TRY_AGAIN_LATER, 'Try again later');
      return false;
    }
    // Until it is known to be a subscription an operation has no stream.
    context.extra.isAnswering = () => Object.values(context.subscriptions).includes(null);
    // It may have gone while the key was looked up; its 'close' would never come again.
    if (socket.readyState !== socket.OPEN) return false;
    context.extra.isKnown = true;
    // A socket outlives its key: once that is revoked, the connection is closed as forbidden.
    const watch = repeat(
      async () => {
        if ((await ask()).principal === null) socket.close(CloseCode.Forbidden, 'Forbidden');
      },
      {
        everyMs: RECHECK_MS,
        onError: (error) => log.debug({ err: error }, 'the key of a socket could not be checked'),
      },
    );
    socket.once('close', () => void watch.stop());
    return true;
  };

  return makeServer<Record<string, unknown>, Extra>({
    // What a failed operation tells is decided by yoga's own mapping, as over HTTP.
    execute: (args) =>
      withinTime(async (limit) => {
        const signal = limit.signal();
        const { socket } = (args as WrappedArgs).rootValue;
        const ended = endedSignals(limit, socket, () => socket.readyState === socket.CLOSED);
        Object.assign(args.contextValue as object, { signal, ended });
        return (args as WrappedArgs).rootValue.execute(args);
      }).catch((error: unknown) => ({ errors: [graphql.mapError(error)] })),
    subscribe: (args) => (args as WrappedArgs).rootValue.subscribe(args),
    onConnect: connect,
    onSubscribe: async (context, _id, payload) => {
      if (sockets.isStopping) return [stopping()];
      // Over HTTP each operation under way holds a connection; here they would cost a client nothing.
      if (Object.keys(context.subscriptions).length > mostAtOnce) return [tooMuchAtOnce(mostAtOnce)];
      try {
        return await prepare(graphql, context, payload);
      } catch (error) {
        return [graphql.mapError(error)];
      }
    },
    onNext: (_context, _id, _payload, _args, { errors, data, extensions }) => ({
      ...(data !== undefined && { data }),
      ...(errors && { errors: errors.map(withoutHttp) }),
      ...(extensions && { extensions }),
    }),
    // Among them what a subscription threw in the middle: that went past yoga.
    onError: (_context, _id, _payload, errors) => errors.map((error) => withoutHttp(graphql.mapError(error))),
  });
};

const stopping = (): GraphQLError =>
  new GraphQLError('The server is shutting down and did not start the operation. Reconnect and retry.', {
    extensions: { code: 'UNAVAILABLE' },
  });

const tooMuchAtOnce = (limit: number): GraphQLError =>
  new GraphQLError(`The WebSocket already has ${limit} active operations. Wait for one to end, then retry.`, {
    extensions: { code: 'LIMIT_EXCEEDED' },
  });

const prepare = async (
  { yoga, documents }: GraphQLServer,
  { connectionParams = {}, extra: { socket } }: SocketContext,
  payload: SubscribePayload,
): Promise<ExecutionArgs | readonly GraphQLError[]> => {
  const params = documents.resolve({ ...payload });
  const { schema, execute, subscribe, contextFactory, parse, validate } = yoga.getEnveloped({
    connectionParams,
    params,
  } as never);
  const { operationName, variables } = payload;
  const document = parse(params['query']);
  const errors = validate(schema, document);
  if (errors.length > 0) return errors as readonly GraphQLError[];
  if (!getOperationAST(document, operationName)) {
    return [
      new GraphQLError('Could not determine what operation to execute.', {
        extensions: { code: 'OPERATION_RESOLUTION_FAILURE' },
      }),
    ];
  }
  const args = {
    schema,
    document,
    operationName,
    variableValues: variables,
    contextValue: await contextFactory(),
    rootValue: { execute, subscribe, socket },
  };
  return args;
};

/** Status and headers are instructions for an HTTP answer, which this is not. */
const withoutHttp = (error: GraphQLError) => {
  const { extensions: { http: _, spec: __, ...extensions } = {}, ...rest } = error.toJSON();
  return { ...rest, extensions };
};

interface WrappedArgs extends ExecutionArgs {
  rootValue: {
    execute: (args: ExecutionArgs) => never;
    subscribe: (args: ExecutionArgs) => never;
    socket: WebSocket;
  };
}
