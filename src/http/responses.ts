import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';

/** Time for which a client whose body was rejected may continue to send before the connection is closed. */
const DRAIN_MS = 2000;
/** A stream whose client reads nothing for this time is closed. Sluice sends at least one byte every 12 s. */
const STALLED_MS = 60_000;
const PING_MS = 12_000;
/** A comment in an event stream, which shows proxies and clients that the connection is alive. */
const PING = ':\n\n';

/** Headers of event streams: nginx forwards each event immediately, and proxies do not compress, and thus buffer, the stream. */
const STREAM_HEADERS = { 'cache-control': 'no-cache, no-transform', 'x-accel-buffering': 'no' } as const;

/** Responds to a request whose body was not read completely, and closes the connection. */
export async function rejectRequest(
  request: IncomingMessage,
  response: ServerResponse,
  status: number,
  json: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<void> {
  response
    .writeHead(status, {
      ...headers,
      'content-type': 'application/json; charset=utf-8',
      'content-length': Buffer.byteLength(json),
      connection: 'close',
    })
    .write(json);
  // Closing a connection while bytes arrive resets it, and the client would lose the response. So what it still sends is
  // discarded for a while.
  if (!request.complete && !request.destroyed) {
    const done = new AbortController();
    request.resume();
    await Promise.race([once(request, 'close', done), sleep(DRAIN_MS, undefined, done)]).catch(() => undefined);
    done.abort();
  }
  response.end();
}

/** A complete response. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Buffer | null;
}

/** Text if possible: Node then sends headers and body in one write. */
export function sendAnswer({ status, headers, body }: Answer, response: ServerResponse): void {
  if (body === null) response.writeHead(status, headers).end();
  else response.writeHead(status, { ...headers, 'content-length': Buffer.byteLength(body) }).end(body);
}

export interface SendOptions {
  /** JSON body of a rejection that has no body of its own. */
  readonly errorBody: (status: number) => string;
  readonly stalledMs?: number;
}

/** Sends a fetch Response. A stream ends when its client disconnects or stops reading. */
export async function send(
  answer: Response,
  request: IncomingMessage,
  response: ServerResponse,
  { errorBody, stalledMs = STALLED_MS }: SendOptions,
): Promise<void> {
  if (response.destroyed) {
    await answer.body?.cancel();
    return;
  }
  for (const [spelled, value] of answer.headers) {
    const name = spelled.toLowerCase();
    // A stopping server has already set Connection: close. Yoga's Content-Encoding "none" is not an encoding.
    if (name !== 'connection' && (name !== 'content-encoding' || value !== 'none')) response.setHeader(name, value);
  }
  if (!answer.body) {
    const body = answer.status >= 400 && request.method !== 'HEAD' ? errorBody(answer.status) : '';
    if (body !== '') response.setHeader('content-type', 'application/json; charset=utf-8');
    response.writeHead(answer.status).end(body);
    return;
  }
  if (answer.headers.get('content-type')?.startsWith('text/event-stream')) {
    response.writeHead(answer.status, STREAM_HEADERS).flushHeaders();
    response.setTimeout(stalledMs, () => response.destroy());
    // A client that disconnects is not an error; pipeline ends the source then.
    await pipeline(answer.body as unknown as AsyncIterable<Uint8Array>, response).catch(() => undefined);
    return;
  }
  const body = Buffer.from(await answer.arrayBuffer());
  // Without the length, Node would use chunked encoding.
  response.writeHead(answer.status, { 'content-length': body.length }).end(body);
}

/** Writes events as they come, until there are no more or the client disconnects or stops reading. */
export async function sendEvents<Event>(
  answer: Response,
  events: AsyncIterable<Event>,
  textOf: (event: Event) => string,
  response: ServerResponse,
  stalledMs = STALLED_MS,
): Promise<void> {
  const iterator = events[Symbol.asyncIterator]();
  if (response.destroyed) {
    await iterator.return?.();
    return;
  }
  const gone = new Promise<void>((resolve) => {
    response.once('close', resolve);
  });
  // Ends the source immediately, not at the next event.
  response.once('close', () => void iterator.return?.().catch(() => undefined));
  for (const [name, value] of answer.headers) response.setHeader(name, value);
  response.writeHead(answer.status, STREAM_HEADERS).write(PING);
  response.setTimeout(stalledMs, () => response.destroy());
  const ping = setInterval(() => {
    if (!response.writableNeedDrain) response.write(PING);
  }, PING_MS);
  try {
    for (;;) {
      const next = await iterator.next();
      if (next.done || response.destroyed) break;
      if (response.write(textOf(next.value))) continue;
      await Promise.race([new Promise((resolve) => response.once('drain', resolve)), gone]);
    }
    response.end('event: complete\ndata:\n\n');
  } catch {
    // The client has received the error in an event.
    response.destroy();
  } finally {
    clearInterval(ping);
  }
}
