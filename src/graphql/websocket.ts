import type { ExecutionArgs } from 'graphql';
import { CloseCode } from 'graphql-ws';
import { useServer } from 'graphql-ws/use/ws';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import { repeat } from '../lib/lifecycle.ts';
import type { Services } from './context.ts';
import { secretFromPayload } from './keys-in-requests.ts';
import type { GraphQLServer } from './server.ts';

export interface GraphQLSockets {
  handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
  close(): Promise<void>;
}

const RECHECK_MS = 400;

/** Subscriptions, queries and mutations over WebSocket (graphql-transport-ws). The key comes with connection_init. */
export const createGraphQLSockets = (
  { yoga }: GraphQLServer,
  services: Services,
  maxMessageBytes: number,
): GraphQLSockets => {
  const server = new WebSocketServer({ noServer: true, maxPayload: maxMessageBytes });
  const disposable = useServer<Record<string, unknown>>(
    {
      // What a failed operation tells is decided by yoga's own mapping, as over HTTP.
      execute: (args) => (args as WrappedArgs).rootValue.execute(args),
      subscribe: (args) => (args as WrappedArgs).rootValue.subscribe(args),
      onConnect: async (context) => {
        const secret = secretFromPayload(context.connectionParams);
        const { socket } = context.extra;
        if (secret === null || (await services.authenticator.authenticate(secret)) === null) {
          socket.close(CloseCode.Unauthorized, 'Unauthorized');
          return;
        }
        // A socket outlives its key: once that is revoked, the connection is closed as forbidden.
        const watch = repeat(
          async () => {
            if ((await services.authenticator.authenticate(secret)) === null)
              socket.close(CloseCode.Forbidden, 'Forbidden');
          },
          { everyMs: RECHECK_MS, onError: () => undefined },
        );
        socket.once('close', () => void watch.stop());
      },
      onSubscribe: async (context, _id, params) => {
        const { schema, execute, subscribe, contextFactory, parse, validate } = yoga.getEnveloped({
          connectionParams: context.connectionParams ?? {},
        } as never);
        const document = parse(params.query);
        const args = {
          schema,
          document,
          operationName: params.operationName,
          variableValues: params.variables,
          contextValue: await contextFactory(),
          rootValue: { execute, subscribe },
        };
        const errors = validate(schema, document);
        return errors.length > 0 ? errors : (args as unknown as ExecutionArgs);
      },
    },
    server,
  );
  return {
    handleUpgrade: (request, socket, head) => {
      server.handleUpgrade(request, socket, head, (opened) => server.emit('connection', opened, request));
    },
    close: async () => {
      await disposable.dispose();
    },
  };
};

interface WrappedArgs extends ExecutionArgs {
  rootValue: { execute: (args: ExecutionArgs) => never; subscribe: (args: ExecutionArgs) => never };
}
