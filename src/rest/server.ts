import { Hono } from 'hono';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { expandScopes } from '../accounts/scopes.ts';
import { NotFoundError, ValidationError } from '../errors.ts';
import type { TellFailure } from '../http/failures.ts';
import { secretFrom } from '../http/keys-in-requests.ts';
import { BodyError, readBody } from '../http/request-body.ts';
import { refuse, send } from '../http/responses.ts';
import type { TimeLimit, WithinTime } from '../http/time-limit.ts';
import { decodeBody, parseJson } from './allocation-bodies.ts';
import { createDocsPage } from './docs-page.ts';
import { type Failure, failureBody, refusalOf } from './failures.ts';
import { jobRoutes } from './job-routes.ts';
import { KnownSpellings } from './record-text.ts';
import type { Call, Family, RestServices, Route } from './route.ts';
import { runRoutes } from './run-routes.ts';
import { telemetryRoutes } from './telemetry-routes.ts';

const routes: readonly Route[] = [...telemetryRoutes, ...jobRoutes, ...runRoutes];

export interface RestServerOptions {
  readonly services: RestServices;
  readonly tell: TellFailure;
  readonly withinTime: WithinTime;
  /** Whether the routes are described, at /docs and /openapi.json. */
  readonly docs: boolean;
}

/** Whether a path is one of these routes, or may have been meant as one. */
export const isRestPath = (path: string): boolean => /^\/(?:unit-cost|jobs|runs|openapi\.json|docs)(?:\/|$)/.test(path);

interface Bindings {
  readonly incoming: IncomingMessage;
}

/** The routes that CloudZero's senders and Amberflo's scripts know. */
export const createRestServer = ({ services, tell, withinTime, docs }: RestServerOptions) => {
  const app = new Hono<{ Bindings: Bindings }>({ strict: false });
  const spellings = new KnownSpellings();
  for (const route of routes) {
    app.on(route.method.toUpperCase(), route.path.replace(/\{(\w+)\}/g, ':$1'), async (context) => {
      try {
        const { incoming } = context.env;
        const {
          status,
          body,
          headers = {},
        } = await withinTime(async (limit) =>
          route.handle(await admit(route, incoming, context.req.param(), services, spellings, limit)),
        );
        return new Response(body === undefined ? null : JSON.stringify(body), {
          status,
          headers: { ...(body !== undefined && { 'content-type': 'application/json; charset=utf-8' }), ...headers },
        });
      } catch (error) {
        return answerFailure(failureOf(error, route.family, tell));
      }
    });
  }
  let document: Promise<string> | undefined;
  if (docs) {
    app.get('/openapi.json', async () => {
      document ??= writeDocument();
      return new Response(await document, { headers: { 'content-type': 'application/json' } });
    });
    app.get('/docs/:file?', createDocsPage());
  }
  const advice = docs ? 'The routes are described at /docs.' : 'This server does not describe its routes.';
  app.notFound((context) => answerFailure(unknownPath(context.req.method, context.req.path, advice)));
  return {
    handle: async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
      const url = `http://localhost${request.url ?? '/'}`;
      const answer = await app.fetch(new Request(url, { method: request.method ?? 'GET' }), { incoming: request });
      // The rest of a body that was not read is read and thrown away, or the client would not see the answer.
      if (!request.complete && answer.status >= 400) {
        await refuse(request, response, answer.status, await answer.text(), Object.fromEntries(answer.headers));
        return;
      }
      await send(answer, request, response, { refusal: refusalOf });
    },
  };
};

/** Its generator is loaded when the first one asks. */
const writeDocument = async (): Promise<string> => {
  const { describeApi } = await import('./document.ts');
  return JSON.stringify(describeApi(routes));
};

/** The key and its scope, before anything of the body is read. Throws a Failure. */
const admit = async (
  route: Route,
  request: IncomingMessage,
  parameters: Readonly<Record<string, string>>,
  services: RestServices,
  spellings: KnownSpellings,
  { exclude }: TimeLimit,
): Promise<Call> => {
  const { headers } = request;
  const apiKey = headers['x-api-key'];
  const secret = secretFrom(typeof apiKey === 'string' ? apiKey : null, headers.authorization);
  const principal = secret === null ? null : await services.authenticator.authenticate(secret);
  if (!principal) throw new Refused(noKey(route.family));
  if (!expandScopes(principal.key.scopes).has(route.scope)) throw new Refused(noScope(route));
  const url = new URL(request.url ?? '/', 'http://localhost');
  const readText = async (): Promise<string> =>
    decodeBody(await exclude(() => readBody(request, services.limits.maxBodyBytes, services.pace)));
  return {
    services: { ...services, db: services.database.forAccount(principal.accountId), spellings },
    principal,
    request,
    parameters,
    query: url.searchParams,
    readText,
    readJson: async () => parseJson(await readText()),
    untimed: exclude,
  };
};

/** A failure that is known before the domain is asked. */
class Refused extends Error {
  readonly failure: Failure;
  constructor(failure: Failure) {
    super(failure.message);
    this.failure = failure;
  }
}

/** CloudZero answers 403 to a missing key, Amberflo 401. */
const noKey = (family: Family): Failure => ({
  status: family === 'telemetry' ? 403 : 401,
  code: 'UNAUTHENTICATED',
  message: 'A valid key is needed: send it as X-API-Key, or as Authorization.',
  headers: family === 'telemetry' ? {} : { 'WWW-Authenticate': 'ApiKey realm="sluice"' },
});

const noScope = ({ scope }: Route): Failure => ({
  status: 403,
  code: 'FORBIDDEN',
  message: `The key lacks the scope ${scope}.`,
});

const unknownPath = (method: string, path: string, advice: string): Failure => ({
  status: 404,
  code: 'NOT_FOUND',
  message: `There is no ${method} ${path}. ${advice}`,
});

const BODY_CODES: Readonly<Record<BodyError['status'], string>> = {
  400: 'BAD_REQUEST',
  408: 'REQUEST_TIMEOUT',
  413: 'BODY_TOO_LARGE',
  415: 'UNSUPPORTED_MEDIA_TYPE',
};

const failureOf = (error: unknown, family: Family, tell: TellFailure): Failure => {
  if (error instanceof Refused) return error.failure;
  if (error instanceof BodyError) {
    return { status: error.status, code: BODY_CODES[error.status], message: error.message };
  }
  const { code, message, status, retryAfterSeconds, errorId } = tell(error);
  return {
    // CloudZero has no 404: a stream that is not there is a bad request to it.
    status: error instanceof NotFoundError && family === 'telemetry' ? 400 : status,
    code,
    message,
    ...(error instanceof ValidationError && { issues: error.issues, issueCount: error.issueCount }),
    ...(errorId !== undefined && { errorId }),
    ...(retryAfterSeconds !== undefined && { headers: { 'Retry-After': String(retryAfterSeconds) } }),
  };
};

const answerFailure = (failure: Failure): Response =>
  new Response(JSON.stringify(failureBody(failure)), {
    status: failure.status,
    headers: { 'content-type': 'application/json; charset=utf-8', ...failure.headers },
  });
