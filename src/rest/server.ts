import findMyWay from 'find-my-way';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { allows } from '../accounts/scopes.ts';
import { DestinationError, MAX_LISTED_ISSUES, NotFoundError, ValidationError } from '../errors/errors.ts';
import type { ToPublicError } from '../http/public-errors.ts';
import { formatChallenge, describeProblem, type KeyProblem } from '../http/callers.ts';
import { endedSignals } from '../http/closed-connections.ts';
import type { Edge } from '../http/edge.ts';
import { pathOf, slashlessAddress } from '../http/paths.ts';
import { REJECTION_CODES } from '../http/rejection-codes.ts';
import { BodyError } from '../http/request-body.ts';
import type { Held } from '../http/request-memory.ts';
import { recordOperation } from '../http/request-context.ts';
import { type Answer, rejectRequest, sendAnswer } from '../http/responses.ts';
import type { TimeLimit, WithinTime } from '../http/time-limit.ts';
import { findNearestName } from '../lib/nearest-name.ts';
import { unknownField } from '../validation/zod-issues.ts';
import { decodeBody, parseJson } from '../http/json-body.ts';
import { DOCS_PAGE, docsFile } from './docs-page.ts';
import { type Failure, formatError } from './error-body.ts';
import { KnownSpellings } from './fast-path/repeated-values.ts';
import type { Call, Family, RestServices, Route } from './route.ts';
import { routes } from './routes/routes.ts';
import { unservedPaths } from './routes/telemetry-routes.ts';

export interface RestServerOptions {
  readonly services: RestServices;
  readonly edge: Edge;
  readonly toPublicError: ToPublicError;
  readonly withinTime: WithinTime;
  /** Whether /docs and /openapi.json are served. */
  readonly docs: boolean;
}

/** Returns whether a path belongs to these routes, even if no route matches it. */
const REST_PATH = /^\/(?:unit-cost|jobs|runs|backfills|openapi\.json|docs)(?:\/|$)/;

export const isRestPath = (path: string): boolean => REST_PATH.test(path);

type Parameters = Readonly<Record<string, string | undefined>>;

const JSON_TYPE = { 'content-type': 'application/json; charset=utf-8' };
/** Longer than any parameter that Node accepts: the code that uses a parameter reports that it is too long. */
const MAX_PARAMETER = 100_000;

/** Creates the server of the routes that CloudZero's and Amberflo's clients use. */
export function createRestServer({ services, edge, toPublicError, withinTime, docs }: RestServerOptions) {
  const advice = docs
    ? 'The routes are described at docs, below the base URL of this server.'
    : 'The description of the routes is disabled on this server (DOCS).';
  const notFound = (request: IncomingMessage, hint = advice): Answer =>
    failureAnswer({
      status: 404,
      code: 'NOT_FOUND',
      message: `There is no ${request.method ?? 'GET'} ${pathOf(request)}. ${hint}`,
    });
  const router = findMyWay({
    ignoreTrailingSlash: true,
    maxParamLength: MAX_PARAMETER,
    defaultRoute: (request, response): unknown => reply(request, response, notFound(request)),
    onBadUrl: (_path, request, response): unknown => reply(request, response, failureAnswer(BAD_PATH)),
  });
  const get = (path: string, answer: (request: IncomingMessage, parameters: Parameters) => Promise<Answer>): void =>
    router.on(['GET', 'HEAD'], path, async (request, response, parameters) =>
      reply(request, response, await answer(request, parameters)),
    );
  const spellings = new KnownSpellings();
  for (const route of routes) {
    const operation = `${route.method.toUpperCase()} ${route.path}`;
    const answer = async (request: IncomingMessage, parameters: Parameters): Promise<Answer> => {
      recordOperation('rest', operation);
      const held = edge.memory.open();
      try {
        const { body, headers } = await withinTime(async (limit) =>
          route.handle(await admit(route, request, parameters, { services, edge, spellings, held }, limit)),
        );
        const { status } = route.success;
        return body === undefined
          ? { status, headers: headers ?? {}, body: null }
          : { status, headers: { ...JSON_TYPE, ...headers }, body: JSON.stringify(body) };
      } catch (error) {
        return failureAnswer(toFailure(error, route.family, toPublicError));
      } finally {
        held.release();
      }
    };
    const path = route.path.replace(/\{(\w+)\}/g, ':$1');
    if (route.method === 'get') get(path, answer);
    else {
      router.on(METHODS[route.method], path, async (request, response, parameters) =>
        reply(request, response, await answer(request, parameters)),
      );
    }
  }
  for (const { methods, path, reason } of unservedPaths) {
    const handler = (request: IncomingMessage, response: ServerResponse): Promise<void> =>
      reply(request, response, notFound(request, `${reason}. ${advice}`));
    if (methods === 'all') router.all(path, handler);
    else router.on([...methods], path, handler);
  }
  if (docs) {
    let document: Promise<string> | undefined;
    const getDocument = (path: string, read: () => Promise<Answer>): void =>
      get(path, async (request) => {
        const location = slashlessAddress(request);
        return location === null ? read() : { status: 308, headers: { location }, body: null };
      });
    getDocument('/openapi.json', async () => {
      document ??= writeDocument();
      return { status: 200, headers: { 'content-type': 'application/json' }, body: await document };
    });
    getDocument('/docs', async () => DOCS_PAGE);
    get('/docs/:file', async (request, { file }) => (await docsFile(file)) ?? notFound(request));
  }
  return {
    handle: async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
      await (router.lookup(request, response) as Promise<void>);
    },
  };
}

const METHODS = { post: 'POST', put: 'PUT', delete: 'DELETE' } as const;

async function reply(request: IncomingMessage, response: ServerResponse, answer: Answer): Promise<void> {
  const { status, headers, body } = answer;
  // Drains the rest of the body; otherwise the client would not see the response.
  if (!request.complete && status >= 400) await rejectRequest(request, response, status, String(body), headers);
  else sendAnswer(answer, response);
}

/** Writes the OpenAPI document. Its generator is loaded at the first request. */
async function writeDocument(): Promise<string> {
  const { buildOpenApi } = await import('./openapi.ts');
  return JSON.stringify(buildOpenApi(routes));
}

interface Admission {
  readonly services: RestServices;
  readonly edge: Edge;
  readonly spellings: KnownSpellings;
  readonly held: Held;
}

/** Checks the API key and its scope before any of the body is read. Throws Rejection. */
async function admit(
  route: Route,
  request: IncomingMessage,
  parameters: Parameters,
  { services, edge, spellings, held }: Admission,
  limit: TimeLimit,
): Promise<Call> {
  const caller = await edge.ofHeaders(request.headers);
  const { principal } = caller;
  if (principal === null) throw new Rejection(noKey(route.family, caller.problem));
  if (!allows(principal.key.scopes, route.scope)) {
    throw new Rejection({ status: 403, code: 'FORBIDDEN', message: `The API key lacks the scope ${route.scope}.` });
  }
  const query = (): URLSearchParams => new URL(request.url ?? '/', 'http://localhost').searchParams;
  assertParameterNames(route, query);
  const readText = async (): Promise<string> =>
    decodeBody(await limit.exclude(() => edge.readBody(request, caller, held)));
  return {
    services: { ...services, db: services.database.forAccount(principal.accountId), spellings },
    memory: edge.memory,
    principal,
    request,
    parameters,
    query,
    readText,
    readJson: async () => parseJson(await readText()),
    ended: endedSignals(limit, request.socket, () => request.socket.destroyed),
    untimed: limit.exclude,
  };
}

/**
 * Throws ValidationError if a query parameter of the request is probably a misspelt one of the route. Others are ignored: proxies and
 * clients add parameters of their own.
 */
function assertParameterNames({ parameters = [] }: Route, query: () => URLSearchParams): void {
  const known = parameters.filter((one) => one.in === 'query').map(({ name }) => name);
  if (known.length === 0) return;
  const misspelt = [...new Set(query().keys())].filter(
    (name) => !known.includes(name) && findNearestName(name, known) !== null,
  );
  if (misspelt.length === 0) return;
  const listed = misspelt.slice(0, MAX_LISTED_ISSUES);
  throw new ValidationError(
    listed.map((name) => unknownField([name], known, 'query parameter')),
    misspelt.length,
  );
}

/** A failure that is known before the handler runs. */
class Rejection extends Error {
  readonly failure: Failure;
  constructor(failure: Failure) {
    super(failure.message);
    this.failure = failure;
  }
}

/** CloudZero responds 403 to a missing API key, Amberflo 401. */
function noKey(family: Family, problem: KeyProblem): Failure {
  return {
    status: family === 'telemetry' ? 403 : 401,
    code: 'UNAUTHENTICATED',
    message: describeProblem(problem),
    headers: family === 'telemetry' ? {} : { 'WWW-Authenticate': formatChallenge(problem) },
  };
}

const BAD_PATH: Failure = {
  status: 400,
  code: 'BAD_REQUEST',
  message: 'The path is not valid. Each "%" must be followed by two hexadecimal digits of UTF-8.',
};

function toFailure(error: unknown, family: Family, toPublicError: ToPublicError): Failure {
  if (error instanceof Rejection) return error.failure;
  if (error instanceof BodyError) {
    const { status, message, headers } = error;
    return { status, code: REJECTION_CODES[status], message, headers };
  }
  const { code, message, status, retryAfterSeconds, errorId } = toPublicError(error);
  return {
    // CloudZero has no 404: a request for a stream that does not exist is a bad request.
    status: error instanceof NotFoundError && family === 'telemetry' ? 400 : status,
    code,
    message,
    ...(error instanceof DestinationError && { reason: error.reason, bucketPolicy: error.bucketPolicy }),
    ...(error instanceof ValidationError && { issues: error.issues, issueCount: error.issueCount }),
    ...(errorId !== undefined && { errorId }),
    ...(retryAfterSeconds !== undefined && { headers: { 'Retry-After': String(retryAfterSeconds) } }),
  };
}

function failureAnswer(failure: Failure): Answer {
  return {
    status: failure.status,
    headers: { ...JSON_TYPE, ...failure.headers },
    body: JSON.stringify(formatError(failure)),
  };
}
