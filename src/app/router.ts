import { sql } from 'drizzle-orm';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Registry } from 'prom-client';
import type { Database } from '../db/client.ts';
import { GRAPHQL_PATH } from '../graphql/yoga.ts';
import { belongsToConsole } from '../http/console-page.ts';
import { type Console, CONSOLE_IS_OFF } from '../http/console.ts';
import { corsHeaders, PREFLIGHT_HEADERS, SAFE_HEADERS } from '../http/cors.ts';
import { frontPage } from '../http/front-page.ts';
import { pathOf, withoutSlash } from '../http/paths.ts';
import { recordOperation, type RequestApi } from '../http/request-context.ts';
import { createCachedRead } from '../lib/cached-read.ts';
import { isRestPath } from '../rest/server.ts';

type Handler = (request: IncomingMessage, response: ServerResponse) => Promise<void>;

/** The handlers of requests of clients. */
export interface Api {
  readonly graphql: { readonly handle: Handler };
  readonly rest: { readonly handle: Handler };
}

export interface Routes {
  readonly database: Database;
  readonly registry: Registry;
  readonly corsOrigins: readonly string[];
  /** Whether there is a page that describes the REST routes. */
  readonly docs: boolean;
  /** Whether browsers get GraphiQL. */
  readonly graphiql: boolean;
  /** The console for browsers; null if it is not served. */
  readonly console: Console | null;
  /** Null on a server that only works in the background. */
  readonly api: Api | null;
}

/** A probe waits this long for the database. */
const READY_MS = 10_000;
// No absolute paths: a proxy may have removed a prefix.
const NOT_FOUND = 'There is nothing at this path. Relative to the base URL of this server, the API is at graphql';
const NOT_READY = 'The database cannot be reached, or its tables do not exist yet.';

/** Selects the handler of a request. Every server serves the operator's paths: health, readiness and metrics. */
export function createRouter({ database, registry, corsOrigins, docs, graphiql, console, api }: Routes): Handler {
  const handleApi = async (
    api: RequestApi,
    request: IncomingMessage,
    response: ServerResponse,
    handler: Handler,
  ): Promise<void> => {
    for (const [name, value] of Object.entries(corsHeaders(corsOrigins, request.headers.origin))) {
      response.setHeader(name, value);
    }
    if (request.method === 'OPTIONS' && response.hasHeader('access-control-allow-origin')) {
      response.writeHead(204, PREFLIGHT_HEADERS).end();
      return;
    }
    // The operation is recorded later, if it becomes known.
    recordOperation(api, null);
    await handler(request, response);
  };
  // One question at a time for all probes: they need no key, and must not take the connections of the schedule.
  const isReady = createCachedRead({
    read: async () => {
      await database.acrossAccounts.execute(sql`SELECT 1 FROM runs LIMIT 0`);
      return true;
    },
    freshMs: 0,
    waitMs: READY_MS,
  });
  return async (request, response) => {
    for (const [name, value] of Object.entries(SAFE_HEADERS)) response.setHeader(name, value);
    const sent = pathOf(request);
    const path = withoutSlash(sent);
    if (path === '/healthz') {
      answer(response, 200, 'alive\n');
    } else if (path === '/readyz') {
      const ready = await isReady();
      answer(response, ready ? 200 : 503, ready ? 'ready\n' : `${NOT_READY}\n`);
    } else if (path === '/metrics') {
      answer(response, 200, await registry.metrics(), registry.contentType);
    } else if (sent === '/' && (request.method === 'GET' || request.method === 'HEAD')) {
      const { status, headers, body } = frontPage(
        { api: api !== null, graphiql, docs, console: console !== null },
        request.headers.accept,
      );
      response.writeHead(status, headers).end(body);
    } else if (!api) {
      answer(response, 404, 'This server only works in the background (ROLE=worker).\n');
    } else if (belongsToConsole(path)) {
      if (console) await console.handle(request, response);
      else answer(response, 404, CONSOLE_IS_OFF);
    } else if (path === GRAPHQL_PATH) {
      await handleApi('graphql', request, response, api.graphql.handle);
    } else if (isRestPath(path)) {
      await handleApi('rest', request, response, api.rest.handle);
    } else {
      answer(response, 404, docs ? `${NOT_FOUND}; the REST routes are described at docs.\n` : `${NOT_FOUND}.\n`);
    }
  };
}

function answer(
  response: ServerResponse,
  status: number,
  body: string,
  contentType = 'text/plain; charset=utf-8',
): void {
  response.writeHead(status, { 'content-type': contentType }).end(body);
}
