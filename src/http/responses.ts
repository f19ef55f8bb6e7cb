import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';

/** How long a client whose body was refused may go on sending before the connection is closed. */
const DRAIN_MS = 2000;
/** A stream that takes nothing for so long is given up; a reader gets a byte at least every 12 s. */
const STALLED_MS = 60_000;
const PING_MS = 12_000;
/** A comment of an event stream: proxies and clients see that it lives. */
const PING = ':\n\n';

/** For event streams: nginx passes each event on when it comes, and proxies do not compress, that is buffer, the stream. */
const STREAM_HEADERS = { 'cache-control': 'no-cache, no-transform', 'x-accel-buffering': 'no' } as const;

/** Answers a request whose body was not read to its end, and closes the connection. */
export const refuse = async (
  request: IncomingMessage,
  response: ServerResponse,
  status: number,
  json: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<void> => {
  response
    .writeHead(status, {
      ...headers,
      'content-type': 'application/json; charset=utf-8',
      'content-length': Buffer.byteLength(json),
      connection: 'close',
    })
    .write(json);
  // A connection that is closed while bytes come in is reset, and the client loses the answer that it was about to
  // read. So what it still sends is thrown away for a while.
  if (!request.complete && !request.destroyed) {
    const done = new AbortController();
    request.resume();
    await Promise.race([once(request, 'close', done), sleep(DRAIN_MS, undefined, done)]).catch(() => undefined);
    done.abort();
  }
  response.end();
};

/** An answer that is whole. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | Buffer | null;
}

/** As text, where it is one: node sends head and body in one write then. */
export const sendAnswer = ({ status, headers, body }: Answer, response: ServerResponse): void => {
  if (body === null) response.writeHead(status, headers).end();
  else response.writeHead(status, { ...headers, 'content-length': Buffer.byteLength(body) }).end(body);
};

export interface SendOptions {
  /** What stands in the place of a body that a refusal lacks, as JSON. */
  readonly refusal: (status: number) => string;
  readonly stalledMs?: number;
}

/** Hands a fetch Response on. Streams end with their reader, and give up one that does not read. */
export const send = async (
  answer: Response,
  request: IncomingMessage,
  response: ServerResponse,
  { refusal, stalledMs = STALLED_MS }: SendOptions,
): Promise<void> => {
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
    const body = answer.status >= 400 && request.method !== 'HEAD' ? refusal(answer.status) : '';
    if (body !== '') response.setHeader('content-type', 'application/json; charset=utf-8');
    response.writeHead(answer.status).end(body);
    return;
  }
  if (answer.headers.get('content-type')?.startsWith('text/event-stream')) {
    response.writeHead(answer.status, STREAM_HEADERS).flushHeaders();
    response.setTimeout(stalledMs, () => response.destroy());
    // A reader that went away is no failure; pipeline ends the source with it.
    await pipeline(answer.body as unknown as AsyncIterable<Uint8Array>, response).catch(() => undefined);
    return;
  }
  const body = Buffer.from(await answer.arrayBuffer());
  // Told here, or node writes it in chunks.
  response.writeHead(answer.status, { 'content-length': body.length }).end(body);
};

/** Writes events as they come, until there are no more or the reader goes; one that does not read is given up. */
export const sendEvents = async <Event>(
  answer: Response,
  events: AsyncIterable<Event>,
  textOf: (event: Event) => string,
  response: ServerResponse,
  stalledMs = STALLED_MS,
): Promise<void> => {
  const iterator = events[Symbol.asyncIterator]();
  if (response.destroyed) {
    await iterator.return?.();
    return;
  }
  const gone = new Promise<void>((resolve) => {
    response.once('close', resolve);
  });
  // At once, and not at the next event.
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
    // What a client is to be told of has been told in an event.
    response.destroy();
  } finally {
    clearInterval(ping);
  }
};
