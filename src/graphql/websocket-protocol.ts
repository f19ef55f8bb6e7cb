import { type ExecutionArgs, getOperationAST, GraphQLError } from 'graphql';
import { CloseCode, type Context, makeServer, type SubscribePayload } from 'graphql-ws';
import type { Logger } from 'pino';
import type { WebSocket } from 'ws';
import { describeProblem } from '../http/callers.ts';
import { endedSignals } from '../http/closed-connections.ts';
import type { Edge } from '../http/edge.ts';
import type { WithinTime } from '../http/time-limit.ts';
import { repeat } from '../lib/lifecycle.ts';
import { TRY_AGAIN_LATER } from './received-messages.ts';
import type { Services } from './schema/context.ts';
import { RECHECK_MS } from './schema/subscriptions.ts';
import type { GraphQLServer } from './server.ts';

export interface ProtocolOptions {
  readonly graphql: GraphQLServer;
  readonly services: Services;
  readonly edge: Edge;
  readonly log: Logger;
  readonly withinTime: WithinTime;
  /** Maximum number of active queries and mutations of a socket, in addition to the subscriptions that a key may have. */
  readonly maxOperations: number;
  /** Whether the server shuts down. Then new operations are rejected. */
  readonly isStopping: () => boolean;
}

/** A socket and its state. */
export interface Connection {
  readonly socket: WebSocket;
  /** Whether connection_init contained a valid key. */
  isAuthenticated: boolean;
  /** Whether a query or mutation is active. */
  isBusy: () => boolean;
}

export type Protocol = ReturnType<typeof createProtocol>;
type ProtocolContext = Context<Record<string, unknown>, Connection>;

/** graphql-transport-ws: authenticates connections and executes their operations with the plugins of yoga. */
export function createProtocol(options: ProtocolOptions) {
  const { graphql, services, withinTime, isStopping } = options;
  const maxActive = services.limits.maxSubscriptions + options.maxOperations;
  return makeServer<Record<string, unknown>, Connection>({
    onConnect: (context) => authenticate(context, options),
    onSubscribe: async (context, _id, payload) => {
      if (isStopping()) return [shuttingDown()];
      // An HTTP client needs a connection for each active operation. A WebSocket client would have no limit.
      if (Object.keys(context.subscriptions).length > maxActive) return [tooManyOperations(maxActive)];
      try {
        return await prepareOperation(graphql, context, payload);
      } catch (error) {
        return [graphql.mapError(error)];
      }
    },
    // Errors are mapped as over HTTP.
    execute: (args) =>
      withinTime(async (limit) => {
        const signal = limit.signal();
        const { socket } = (args as PreparedArgs).rootValue;
        const ended = endedSignals(limit, socket, () => socket.readyState === socket.CLOSED);
        Object.assign(args.contextValue as object, { signal, ended });
        return (args as PreparedArgs).rootValue.execute(args);
      }).catch((error: unknown) => ({ errors: [graphql.mapError(error)] })),
    subscribe: (args) => (args as PreparedArgs).rootValue.subscribe(args),
    onNext: (_context, _id, _payload, _args, { errors, data, extensions }) => ({
      ...(data !== undefined && { data }),
      ...(errors && { errors: errors.map(withoutHttp) }),
      ...(extensions && { extensions }),
    }),
    // Also errors that a subscription threw after its start. Yoga does not map those.
    onError: (_context, _id, _payload, errors) => errors.map((error) => withoutHttp(graphql.mapError(error))),
  });
}

/** Checks the key of connection_init, and from then on until the socket closes. */
async function authenticate(context: ProtocolContext, { graphql, edge, log }: ProtocolOptions): Promise<boolean> {
  const { extra: connection, connectionParams } = context;
  const { socket } = connection;
  try {
    const caller = await edge.ofPayload(connectionParams);
    if (caller.principal === null) {
      socket.close(CloseCode.Unauthorized, describeProblem(caller.problem));
      return false;
    }
  } catch (error) {
    graphql.mapError(error);
    socket.close(TRY_AGAIN_LATER, 'Try again later');
    return false;
  }
  // graphql-ws stores null for an operation until it turns out to be a subscription.
  connection.isBusy = () => Object.values(context.subscriptions).includes(null);
  // A socket that closed during the look-up emits no further 'close', which would stop the checks below.
  if (socket.readyState !== socket.OPEN) return false;
  connection.isAuthenticated = true;
  const checks = repeat(
    async () => {
      if ((await edge.ofPayload(connectionParams)).principal === null) socket.close(CloseCode.Forbidden, 'Forbidden');
    },
    {
      everyMs: RECHECK_MS,
      onError: (error) => log.debug({ err: error }, 'the API key of a WebSocket could not be checked'),
    },
  );
  socket.once('close', () => void checks.stop());
  return true;
}

function shuttingDown(): GraphQLError {
  return new GraphQLError('The server is shutting down and did not start the operation. Reconnect and retry.', {
    extensions: { code: 'UNAVAILABLE' },
  });
}

function tooManyOperations(limit: number): GraphQLError {
  return new GraphQLError(`The WebSocket already has ${limit} active operations. Wait for one to end, then retry.`, {
    extensions: { code: 'LIMIT_EXCEEDED' },
  });
}

/** Arguments of an operation. The root value carries the functions of yoga and the socket to `execute` and `subscribe`. */
interface PreparedArgs extends ExecutionArgs {
  rootValue: {
    execute: (args: ExecutionArgs) => never;
    subscribe: (args: ExecutionArgs) => never;
    socket: WebSocket;
  };
}

/** Parses and validates an operation with the plugins of yoga. Throws GraphQLError. */
async function prepareOperation(
  { yoga, documents }: GraphQLServer,
  { connectionParams = {}, extra: { socket } }: ProtocolContext,
  payload: SubscribePayload,
): Promise<ExecutionArgs | readonly GraphQLError[]> {
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
  return {
    schema,
    document,
    operationName,
    variableValues: variables,
    contextValue: await contextFactory(),
    rootValue: { execute, subscribe, socket },
  };
}

/** Removes the HTTP status and headers, which are instructions for yoga. */
function withoutHttp(error: GraphQLError) {
  const { extensions: { http: _, spec: __, ...extensions } = {}, ...rest } = error.toJSON();
  return { ...rest, extensions };
}
