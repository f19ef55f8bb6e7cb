import type { GraphQLSchema } from 'graphql';
import { createYoga, type Plugin } from 'graphql-yoga';
import { isUtf8 } from 'node:buffer';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Logger } from 'pino';
import type { RequestSignals } from '../lib/lifecycle.ts';
import { JsonBoundsError } from '../lib/json-bounds.ts';
import { keepLongNumbers, keepLongNumbersOf } from '../lib/long-numbers.ts';
import { afterOthers, BYTES_IN_ONE_GO } from '../lib/turns.ts';
import { withoutWeights } from '../http/accept.ts';
import type { TellFailure, ToldFailure } from '../http/failures.ts';
import type { Caller } from '../http/callers.ts';
import { endedSignals } from '../http/closed-connections.ts';
import type { Edge } from '../http/edge.ts';
import { slashlessAddress } from '../http/paths.ts';
import { BodyError } from '../http/request-body.ts';
import type { Held } from '../http/request-memory.ts';
import { refuse, send, sendEvents } from '../http/responses.ts';
import type { TimeLimit, WithinTime } from '../http/time-limit.ts';
import { createContext, type GraphQLContext, type Services } from './schema/context.ts';
import { createDocumentCache } from './plugins/document-cache.ts';
import { checkDocuments } from './plugins/use-document-limits.ts';
import type { DocumentLimits } from './plugins/document-limits.ts';
import { createErrorMapper, type ErrorMapper } from './error-mapping.ts';
import { createEventStreams } from './plugins/sse-bypass.ts';
import { executeOperations } from './plugins/use-fast-path.ts';
import { asksForPage, createGraphiqlPage } from './graphiql/page.ts';
import { noteOperations } from './plugins/use-operation-names.ts';
import {
  createPersistedDocuments,
  type PersistedDocuments,
  type PersistedDocumentsOptions,
} from './plugins/use-persisted-documents.ts';
import { refusal } from './error-body.ts';
import { shareEvents } from './plugins/use-event-deduplication.ts';
import { takesJson, tellStatuses } from './plugins/use-http-status.ts';

export interface GraphQLServerOptions {
  readonly schema: GraphQLSchema;
  readonly services: Services;
  readonly log: Logger;
  readonly tell: TellFailure;
  readonly edge: Edge;
  readonly withinTime: WithinTime;
  readonly documentLimits: DocumentLimits;
  readonly documents: PersistedDocumentsOptions;
  readonly graphiql: boolean;
  readonly introspection: boolean;
}

export interface GraphQLServer {
  readonly yoga: ReturnType<typeof createGraphQL>;
  readonly mapError: ErrorMapper;
  readonly documents: PersistedDocuments;
  handle(request: IncomingMessage, response: ServerResponse): Promise<void>;
}

export const GRAPHQL_PATH = '/graphql';

/** The API over HTTP: queries and mutations as JSON, subscriptions over SSE, GraphiQL for browsers. */
export const createGraphQLServer = (options: GraphQLServerOptions): GraphQLServer => {
  const { edge } = options;
  const mapError = createErrorMapper(options.tell);
  const streams = createEventStreams();
  const documents = createPersistedDocuments(options.documents);
  const yoga = createGraphQL(options, mapError, documents.plugin, streams.plugin);
  const sendPage = createGraphiqlPage(options.services.clock);
  /** The request for yoga, once its key is known. Throws BodyError. */
  const readRequest = async (
    request: IncomingMessage,
    response: ServerResponse,
    held: Held,
    limit: TimeLimit,
  ): Promise<{ readonly asked: Request; readonly caller: Caller }> => {
    const { method = 'GET', headers } = request;
    const caller = await edge.ofHeaders(headers);
    edge.admit(caller, response);
    const url = new URL(`http://localhost${request.url ?? '/'}`);
    // Yoga compares the path, and does not ignore a trailing slash.
    url.pathname = GRAPHQL_PATH;
    // Yoga would read on behind it, where no parameter was checked.
    url.hash = '';
    let body: Buffer | null = null;
    if (method === 'GET') checkParameters(url.searchParams);
    if (method === 'POST') {
      checkContentType(headers['content-type']);
      body = await limit.exclude(() => edge.readBody(request, caller, held));
      if (body.length > BYTES_IN_ONE_GO) await afterOthers();
      if (!isUtf8(body)) throw new BodyError(400, 'The body is not valid UTF-8.');
      const sent = body;
      const kept = withinBounds(() => keepLongNumbersOf(sent));
      body = kept.bytes;
      // Yoga holds the parsed variables until the request ends.
      held.resize(body.length + kept.parsedBytes);
      if (body.length > BYTES_IN_ONE_GO) await afterOthers();
    }
    const asked = new yoga.fetchAPI.Request(url, {
      method,
      headers: headersOf(request, body !== null),
      ...(body !== null && { body: body as Uint8Array<ArrayBuffer> }),
    });
    return { asked, caller };
  };
  /** Null if the request was refused. Separate, so that a subscription does not hold what this needs. */
  const answerTo = async (request: IncomingMessage, response: ServerResponse, held: Held): Promise<Response | null> => {
    try {
      // Without a signal for the client that goes: what was begun is ended, and a stream ends with its reader in send().
      return await options.withinTime(async (limit) => {
        const { asked, caller } = await readRequest(request, response, held, limit);
        const signal = limit.signal();
        const found = await yoga.fetch(asked, {
          signal,
          caller,
          ended: endedSignals(limit, request.socket, () => request.socket.destroyed),
        });
        // Nobody will read it any more.
        if (signal.aborted) {
          await found.body?.cancel();
          await streams.resultsOf(found)?.[Symbol.asyncIterator]().return?.();
        }
        return found;
      });
    } catch (error) {
      if (error instanceof BodyError) {
        await refuse(request, response, error.status, refusal(error.status, error.message), error.headers);
        return null;
      }
      const answer = answerOf(options.tell(error), request.headers.accept);
      if (request.complete) return answer;
      await refuse(request, response, answer.status, await answer.text(), Object.fromEntries(answer.headers));
      return null;
    }
  };
  return {
    yoga,
    mapError,
    documents,
    handle: async (request, response) => {
      if (options.graphiql && asksForPage(request)) {
        const location = slashlessAddress(request);
        if (location === null) await sendPage(request, response);
        else response.writeHead(308, { location }).end();
        return;
      }
      const held = edge.memory.open();
      try {
        const answer = await answerTo(request, response, held);
        if (!answer) return;
        const results = streams.resultsOf(answer);
        if (results) await sendEvents(answer, results, streams.textOf, response);
        else await send(answer, request, response, { refusal });
      } finally {
        held.release();
      }
    },
  };
};

/** An error instead of an answer that yoga did not come to, in the form that the client takes. */
const answerOf = ({ code, message, status, retryAfterSeconds }: ToldFailure, accept = ''): Response => {
  const json = JSON.stringify({ errors: [{ message, extensions: { code } }] });
  const isStream = accept.includes('text/event-stream') && !takesJson(accept);
  return new Response(isStream ? `event: next\ndata: ${json}\n\nevent: complete\ndata:\n\n` : json, {
    status,
    headers: {
      'content-type': isStream ? 'text/event-stream' : 'application/json; charset=utf-8',
      ...(retryAfterSeconds !== undefined && { 'retry-after': String(retryAfterSeconds) }),
    },
  });
};

/** Longer than browsers and libraries send it. A server may disregard the header (RFC 9110). */
const MAX_ACCEPT = 1000;

/** As yoga is to see them: a body that is handed on is plain JSON, whatever it was sent as. */
const headersOf = (request: IncomingMessage, hasBody: boolean): Headers => {
  const headers = new Headers();
  for (const [name, value] of Object.entries(request.headers)) {
    for (const one of Array.isArray(value) ? value : [value ?? '']) headers.append(name, one);
  }
  const accept = headers.get('accept') ?? '*/*';
  // Yoga takes the first media type that it knows and ignores weights. Its refusal repeats its own media types for each one
  // asked for, in a header of the response.
  headers.set('accept', accept.length > MAX_ACCEPT ? '*/*' : withoutWeights(accept));
  if (hasBody) {
    headers.set('content-type', 'application/json');
    headers.delete('content-encoding');
    headers.delete('content-length');
  }
  return headers;
};

/** JSON alone: a form or plain text is what other sites can make a browser send without asking. */
const checkContentType = (contentType = ''): void => {
  const [type, ...parameters] = contentType.split(';').map((part) => part.trim().toLowerCase());
  const charset = parameters.find((parameter) => parameter.startsWith('charset='))?.slice('charset='.length);
  if (type !== 'application/json' || (charset !== undefined && charset.replaceAll('"', '') !== 'utf-8')) {
    throw new BodyError(415, 'Send the body as application/json in UTF-8.');
  }
};

/** Yoga parses JSON; before that its bounds are checked, and the numbers kept that parsing would change. Throws BodyError. */
const withinBounds = <Json>(keep: () => Json): Json => {
  try {
    return keep();
  } catch (error) {
    throw error instanceof JsonBoundsError ? new BodyError(400, error.message) : error;
  }
};

const checkParameters = (parameters: URLSearchParams): void => {
  for (const name of ['variables', 'extensions']) {
    const text = parameters.get(name);
    if (!text) continue;
    const kept = withinBounds(() => keepLongNumbers(text));
    try {
      JSON.parse(text);
    } catch {
      throw new BodyError(400, `The parameter ${name} is not valid JSON.`);
    }
    parameters.set(name, kept);
  }
};

/** What comes with a request: over WebSocket connectionParams in the place of headers. */
interface RequestContext {
  readonly connectionParams?: Readonly<Record<string, unknown>> | undefined;
  /** Over HTTP. On a socket each operation asks again whose key it is. */
  readonly caller?: Caller | undefined;
  /** Aborted where the request has taken too long. */
  readonly signal?: AbortSignal | undefined;
  /** The same, and aborted when the client has gone: a request that still waits leaves the queue. */
  readonly ended?: RequestSignals | undefined;
}

const createGraphQL = (
  { schema, services, edge, log, documentLimits: limits, introspection }: GraphQLServerOptions,
  mapError: ErrorMapper,
  documents: PersistedDocuments['plugin'],
  streams: Plugin,
) =>
  createYoga<RequestContext, GraphQLContext>({
    schema,
    graphqlEndpoint: GRAPHQL_PATH,
    landingPage: false,
    graphiql: false,
    multipart: false,
    batching: false,
    // Bytes are counted before yoga sees the body; its own counting halved the throughput.
    maxRequestBodySize: false,
    // It answers origins that are not on the list with "null", which is what sandboxed pages are called.
    cors: false,
    maskedErrors: { maskError: mapError },
    // Errors are logged where they are mapped, scrubbed; yoga would write them down as they are, with SQL and values.
    logging: {
      debug: () => undefined,
      info: () => undefined,
      warn: (...parts: unknown[]) => log.warn({ parts: parts.filter((part) => typeof part === 'string') }, 'graphql'),
      error: () => undefined,
    },
    parserAndValidationCache: { documentCache: createDocumentCache(), errorCache: createDocumentCache() },
    // Beside those of the specification.
    extraParamNames: ['documentId'],
    plugins: [
      documents,
      checkDocuments({ schema, limits, introspection }),
      noteOperations,
      executeOperations,
      shareEvents(),
      streams,
      tellStatuses,
    ],
    context: async ({ caller, connectionParams }) =>
      createContext(services, caller ?? (await edge.ofPayload(connectionParams))),
  });
