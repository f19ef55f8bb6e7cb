import type { GraphQLSchema } from 'graphql';
import { createYoga, type Plugin } from 'graphql-yoga';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import type { Logger } from 'pino';
import { BodyError, readBody } from '../lib/request-body.ts';
import { createContext, type GraphQLContext, type Services } from './context.ts';
import { createErrorMapper } from './error-mapping.ts';
import { graphiqlTabs } from './graphiql-tabs.ts';
import { secretFrom, secretFromPayload } from './keys-in-requests.ts';

export interface GraphQLServerOptions {
  readonly schema: GraphQLSchema;
  readonly services: Services;
  readonly log: Logger;
  readonly maxBodyBytes: number;
  readonly corsOrigins: readonly string[];
  /** Filled into GraphiQL in local mode; null elsewhere, where a page must not hand out keys. */
  readonly localKey: string | null;
}

export interface GraphQLServer {
  readonly yoga: ReturnType<typeof createGraphQL>;
  handle(request: IncomingMessage, response: ServerResponse): Promise<void>;
}

export const GRAPHQL_PATH = '/graphql';

/** The API over HTTP: queries and mutations as JSON, subscriptions over SSE, GraphiQL for browsers. */
export const createGraphQLServer = (options: GraphQLServerOptions): GraphQLServer => {
  const yoga = createGraphQL(options);
  return {
    yoga,
    handle: async (request, response) => {
      const gone = new AbortController();
      response.once('close', () => gone.abort());
      const headers = new Headers();
      for (const [name, value] of Object.entries(request.headers)) {
        for (const one of Array.isArray(value) ? value : [value ?? '']) headers.append(name, one);
      }
      let body: Buffer | null = null;
      if (request.method === 'POST') {
        try {
          checkContentType(headers.get('content-type'));
          body = await readBody(request, options.maxBodyBytes);
        } catch (error) {
          if (!(error instanceof BodyError)) throw error;
          refuse(response, error);
          return;
        }
        // The body handed on is plain, whatever it was sent as.
        headers.delete('content-encoding');
        headers.delete('content-length');
      }
      const url = new URL(request.url ?? '/', `http://${request.headers.host ?? 'localhost'}`);
      const answer = await yoga.fetch(
        new yoga.fetchAPI.Request(url, {
          method: request.method ?? 'GET',
          headers,
          ...(body !== null && { body: body as Uint8Array<ArrayBuffer> }),
          signal: gone.signal,
        }),
      );
      await send(answer, response);
    },
  };
};

/** JSON alone: a form or plain text is what other sites can make a browser send without asking. */
const checkContentType = (contentType: string | null): void => {
  const type = contentType?.split(';')[0]?.trim().toLowerCase();
  if (type !== 'application/json' && type !== 'application/graphql-response+json') {
    throw new BodyError(415, 'Send the request as application/json.');
  }
};

const CODES = { 400: 'BAD_USER_INPUT', 413: 'BODY_TOO_LARGE', 415: 'UNSUPPORTED_MEDIA_TYPE' } as const;

const refuse = (response: ServerResponse, error: BodyError): void => {
  const body = JSON.stringify({ errors: [{ message: error.message, extensions: { code: CODES[error.status] } }] });
  // The rest of a body that is too large is not read, so the connection cannot serve another request.
  response
    .writeHead(error.status, { 'content-type': 'application/json; charset=utf-8', connection: 'close' })
    .end(body);
};

const send = async (answer: Response, response: ServerResponse): Promise<void> => {
  for (const [name, value] of answer.headers) response.setHeader(name, value);
  response.writeHead(answer.status);
  if (!answer.body) {
    response.end();
    return;
  }
  if (answer.headers.get('content-type')?.startsWith('text/event-stream')) {
    response.flushHeaders();
    // A reader that went away is no failure; pipeline ends the source with it.
    await pipeline(answer.body as unknown as AsyncIterable<Uint8Array>, response).catch(() => undefined);
    return;
  }
  response.end(Buffer.from(await answer.arrayBuffer()));
};

/** What an operation over WebSocket brings in the place of headers. */
interface SocketContext {
  readonly connectionParams?: Readonly<Record<string, unknown>> | undefined;
}

const createGraphQL = ({ schema, services, log, corsOrigins, localKey }: GraphQLServerOptions) =>
  createYoga<SocketContext, GraphQLContext>({
    schema,
    graphqlEndpoint: GRAPHQL_PATH,
    landingPage: false,
    multipart: false,
    batching: false,
    // Bytes are counted before yoga sees the body; its own counting halved the throughput.
    maxRequestBodySize: false,
    cors:
      corsOrigins.length === 0
        ? false
        : {
            origin: [...corsOrigins],
            credentials: false,
            methods: ['GET', 'POST', 'OPTIONS'],
            allowedHeaders: ['content-type', 'x-api-key', 'authorization'],
          },
    maskedErrors: { maskError: createErrorMapper(log) },
    logging: {
      debug: (...parts: unknown[]) => log.debug({ parts }, 'graphql'),
      info: (...parts: unknown[]) => log.debug({ parts }, 'graphql'),
      warn: (...parts: unknown[]) => log.warn({ parts }, 'graphql'),
      error: (...parts: unknown[]) => log.debug({ parts }, 'graphql'),
    },
    graphiql: {
      title: 'Sluice',
      subscriptionsProtocol: 'SSE',
      defaultTabs: graphiqlTabs(localKey),
      shouldPersistHeaders: true,
      ...(localKey !== null && { headers: JSON.stringify({ 'X-API-Key': localKey }, null, 2) }),
    },
    renderGraphiQL: async (page) => {
      // 9 MB of source: loaded when the first person asks for the page.
      const { renderGraphiQL } = await import('@graphql-yoga/render-graphiql');
      return renderGraphiQL(page);
    },
    plugins: [withCodes],
    context: async ({ request, connectionParams }) => {
      const secret = connectionParams
        ? secretFromPayload(connectionParams)
        : secretFrom(request.headers.get('x-api-key'), request.headers.get('authorization'));
      return createContext(
        services,
        secret,
        secret === null ? null : await services.authenticator.authenticate(secret),
      );
    },
  });

/** Errors of parsing and validation have no code of their own. */
const withCodes: Plugin = {
  onParse:
    () =>
    ({ result, replaceParseResult }) => {
      if (result instanceof Error && 'extensions' in result) {
        Object.assign(result.extensions as object, { code: 'GRAPHQL_PARSE_FAILED' });
        replaceParseResult(result as never);
      }
    },
  onValidate:
    () =>
    ({ valid, result }) => {
      if (valid) return;
      for (const error of result) Object.assign(error.extensions, { code: 'GRAPHQL_VALIDATION_FAILED' });
    },
};
