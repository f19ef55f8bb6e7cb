import type { IncomingMessage, ServerResponse } from 'node:http';
import { endedSignals } from '../http/closed-connections.ts';
import type { ToPublicError, PublicError } from '../http/public-errors.ts';
import { slashlessAddress } from '../http/paths.ts';
import { BodyError } from '../http/request-body.ts';
import type { Held } from '../http/request-memory.ts';
import { rejectRequest, send, sendEvents } from '../http/responses.ts';
import type { WithinTime } from '../http/time-limit.ts';
import { errorBody } from './error-body.ts';
import { createErrorMapper, type ErrorMapper } from './error-mapping.ts';
import { requestsPage, createGraphiqlPage } from './graphiql/page.ts';
import {
  createPersistedDocuments,
  type PersistedDocuments,
  type PersistedDocumentsOptions,
} from './plugins/persisted-documents.ts';
import { createSseBypass } from './plugins/sse-bypass.ts';
import { acceptsJson } from './plugins/use-http-status.ts';
import { readRequest } from './read-request.ts';
import { createYogaServer, type Yoga, type YogaOptions } from './yoga.ts';

export interface GraphQLServerOptions extends YogaOptions {
  readonly toPublicError: ToPublicError;
  readonly withinTime: WithinTime;
  readonly documents: PersistedDocumentsOptions;
  readonly graphiql: boolean;
}

export interface GraphQLServer {
  readonly yoga: Yoga;
  readonly mapError: ErrorMapper;
  readonly documents: PersistedDocuments;
  handle(request: IncomingMessage, response: ServerResponse): Promise<void>;
}

/** The API over HTTP: queries and mutations as JSON, subscriptions over SSE, GraphiQL for browsers. */
export function createGraphQLServer(options: GraphQLServerOptions): GraphQLServer {
  const { edge } = options;
  const mapError = createErrorMapper(options.toPublicError);
  const sse = createSseBypass();
  const documents = createPersistedDocuments(options.documents);
  const yoga = createYogaServer(options, mapError, documents, sse.plugin);
  const sendPage = createGraphiqlPage(options.services.clock);

  /** Returns null if the response was sent. A function of its own, so that a subscription does not hold its memory. */
  async function execute(request: IncomingMessage, response: ServerResponse, held: Held): Promise<Response | null> {
    try {
      // A client that disconnects does not abort the operation: a mutation completes. send() ends a subscription.
      return await options.withinTime(async (limit) => {
        const { yogaRequest, caller, hasLargeBody } = await readRequest(request, response, { yoga, edge, held, limit });
        const signal = limit.signal();
        const result = await yoga.fetch(yogaRequest, {
          signal,
          caller,
          hasLargeBody,
          ended: endedSignals(limit, request.socket, () => request.socket.destroyed),
        });
        // The time limit has already answered the request, so nothing reads this response.
        if (signal.aborted) {
          await result.body?.cancel();
          await sse.findResults(result)?.[Symbol.asyncIterator]().return?.();
        }
        return result;
      });
    } catch (error) {
      if (error instanceof BodyError) {
        await rejectRequest(request, response, error.status, errorBody(error.status, error.message), error.headers);
        return null;
      }
      const failed = toErrorResponse(options.toPublicError(error), request.headers.accept);
      if (request.complete) return failed;
      await rejectRequest(request, response, failed.status, await failed.text(), Object.fromEntries(failed.headers));
      return null;
    }
  }

  return {
    yoga,
    mapError,
    documents,
    handle: async (request, response) => {
      if (options.graphiql && requestsPage(request)) {
        const location = slashlessAddress(request);
        if (location === null) await sendPage(request, response);
        else response.writeHead(308, { location }).end();
        return;
      }
      const held = edge.memory.open();
      try {
        const result = await execute(request, response, held);
        if (!result) return;
        const events = sse.findResults(result);
        if (events) await sendEvents(result, events, sse.formatEvent, response);
        else await send(result, request, response, { errorBody });
      } finally {
        held.release();
      }
    },
  };
}

/** Returns the response for an error outside of yoga, as JSON or as an event stream, whichever the client accepts. */
function toErrorResponse({ code, message, status, retryAfterSeconds }: PublicError, accept = ''): Response {
  const json = JSON.stringify({ errors: [{ message, extensions: { code } }] });
  const isStream = accept.includes('text/event-stream') && !acceptsJson(accept);
  return new Response(isStream ? `event: next\ndata: ${json}\n\nevent: complete\ndata:\n\n` : json, {
    status,
    headers: {
      'content-type': isStream ? 'text/event-stream' : 'application/json; charset=utf-8',
      ...(retryAfterSeconds !== undefined && { 'retry-after': String(retryAfterSeconds) }),
    },
  });
}
