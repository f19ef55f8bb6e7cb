import { isUtf8 } from 'node:buffer';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Caller } from '../http/callers.ts';
import { withoutWeights } from '../http/accept.ts';
import type { Edge } from '../http/edge.ts';
import { BodyError } from '../http/request-body.ts';
import type { Held } from '../http/request-memory.ts';
import type { TimeLimit } from '../http/time-limit.ts';
import { JsonBoundsError } from '../lib/json-bounds.ts';
import { markLongNumbers, markLongNumbersInBytes } from '../lib/json-numbers.ts';
import { yieldToEventLoop, BYTES_PER_TICK } from '../lib/event-loop.ts';
import { GRAPHQL_PATH, type Yoga } from './yoga.ts';

export interface ReadOptions {
  readonly yoga: Yoga;
  readonly edge: Edge;
  /** Memory of the request. */
  readonly held: Held;
  readonly limit: TimeLimit;
}

export interface ReadRequest {
  /** Request for yoga, with a body of plain JSON. */
  readonly yogaRequest: Request;
  readonly caller: Caller;
  /** Whether reading the body takes longer than a turn of the event loop should. */
  readonly hasLargeBody: boolean;
}

/** Authenticates a request, then reads and checks its parameters and body. Throws BodyError and what `edge` throws. */
export async function readRequest(
  request: IncomingMessage,
  response: ServerResponse,
  { yoga, edge, held, limit }: ReadOptions,
): Promise<ReadRequest> {
  const { method = 'GET', headers } = request;
  const caller = await edge.ofHeaders(headers);
  edge.admit(caller, response);
  const url = new URL(`http://localhost${request.url ?? '/'}`);
  // Yoga compares the whole path, and would not ignore a trailing slash.
  url.pathname = GRAPHQL_PATH;
  // Yoga would also read the parameters of the fragment, which are not checked here.
  url.hash = '';
  let body: Buffer | null = null;
  if (method === 'GET') checkParameters(url.searchParams);
  if (method === 'POST') {
    checkContentType(headers['content-type']);
    body = await readJson(await limit.exclude(() => edge.readBody(request, caller, held)), held);
  }
  const yogaRequest = new yoga.fetchAPI.Request(url, {
    method,
    headers: toYogaHeaders(request, body !== null),
    ...(body !== null && { body: body as Uint8Array<ArrayBuffer> }),
  });
  return { yogaRequest, caller, hasLargeBody: body !== null && body.length > BYTES_PER_TICK };
}

/** Checks the bounds of a JSON body, and marks the numbers that JSON.parse would change. Counts the memory of the parsed body. */
async function readJson(body: Buffer, held: Held): Promise<Buffer> {
  const isLarge = body.length > BYTES_PER_TICK;
  if (isLarge) await yieldToEventLoop();
  if (!isUtf8(body)) throw new BodyError(400, 'The body is not valid UTF-8.');
  const { bytes, parsedBytes } = withinBounds(() => markLongNumbersInBytes(body));
  // Yoga holds the parsed variables until the request ends.
  held.resize(bytes.length + parsedBytes);
  if (isLarge) await yieldToEventLoop();
  return bytes;
}

/** Checks parameters of the URL that are JSON, in the same way. Yoga parses them later. */
function checkParameters(parameters: URLSearchParams): void {
  for (const name of ['variables', 'extensions']) {
    const text = parameters.get(name);
    if (!text) continue;
    const kept = withinBounds(() => markLongNumbers(text));
    try {
      JSON.parse(text);
    } catch {
      throw new BodyError(400, `The parameter ${name} is not valid JSON.`);
    }
    parameters.set(name, kept);
  }
}

function withinBounds<Json>(keep: () => Json): Json {
  try {
    return keep();
  } catch (error) {
    throw error instanceof JsonBoundsError ? new BodyError(400, error.message) : error;
  }
}

/** Accepts JSON only: browsers send forms and plain text to other sites without a preflight request. */
function checkContentType(contentType = ''): void {
  const [type, ...parameters] = contentType.split(';').map((part) => part.trim().toLowerCase());
  const charset = parameters.find((parameter) => parameter.startsWith('charset='))?.slice('charset='.length);
  if (type !== 'application/json' || (charset !== undefined && charset.replaceAll('"', '') !== 'utf-8')) {
    throw new BodyError(415, 'Send the body as application/json in UTF-8.');
  }
}

/** Browsers and libraries send shorter ones. A longer header is ignored, which RFC 9110 allows. */
const MAX_ACCEPT = 1000;

/** Returns the headers for yoga. A body for yoga is decoded JSON, so its headers are those of plain JSON. */
function toYogaHeaders(request: IncomingMessage, hasBody: boolean): Headers {
  const headers = new Headers();
  for (const [name, value] of Object.entries(request.headers)) {
    for (const one of Array.isArray(value) ? value : [value ?? '']) headers.append(name, one);
  }
  const accept = headers.get('accept') ?? '*/*';
  // Yoga takes the first media type that it knows, and ignores weights. If it accepts none, it repeats its own media types in a
  // header of the response for each one in the request.
  headers.set('accept', accept.length > MAX_ACCEPT ? '*/*' : withoutWeights(accept));
  if (hasBody) {
    headers.set('content-type', 'application/json');
    headers.delete('content-encoding');
    headers.delete('content-length');
  }
  return headers;
}
