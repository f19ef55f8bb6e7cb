import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Readable, Transform } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';
import type { Held, RequestMemory } from './request-memory.ts';

/** A body that is rejected, with the HTTP status of the response. */
export class BodyError extends Error {
  readonly status: 400 | 408 | 413 | 415;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: BodyError['status'], message: string, headers: Readonly<Record<string, string>> = {}) {
    super(message);
    this.status = status;
    this.headers = headers;
  }
}

/** The minimum rate of a body. Only time spent waiting for the client counts. */
export interface Pace {
  /** Bytes per second, as received, before decompression. */
  readonly minBytesPerSecond: number;
  /** Milliseconds of waiting over which the rate is measured. */
  readonly measuredMs: number;
  /** Maximum milliseconds for the whole body, waiting or not. */
  readonly maxMs: number;
}

export interface BodyLimits {
  readonly maxBytes: number;
  readonly pace: Pace;
  readonly memory: RequestMemory;
}

interface Decoder {
  readonly create: () => Transform;
  /** Memory of the decompressor, including the buffers of its stream. */
  readonly bytes: number;
  /** Maximum window of earlier output that it keeps. */
  readonly windowBytes: number;
}

const KIB = 1024;
const MIB = 1024 * KIB;
/** The window of 32 KiB is allocated immediately. */
const ZLIB = { bytes: 256 * KIB, windowBytes: 0 };
/** The code tables of a hostile stream take 3 MiB. */
const BROTLI = { bytes: 4 * MIB, windowBytes: 16 * MIB };

const DECODERS: ReadonlyMap<string, Decoder> = new Map([
  ['gzip', { create: createGunzip, ...ZLIB }],
  ['x-gzip', { create: createGunzip, ...ZLIB }],
  ['deflate', { create: createInflate, ...ZLIB }],
  ['br', { create: createBrotliDecompress, ...BROTLI }],
]);

/** Empty elements of the list do not count (RFC 9110, section 5.6.1), and `identity` means nothing. */
function encodingOf(request: IncomingMessage): string {
  return (
    (request.headers['content-encoding'] ?? '')
      .split(',')
      .map((coding) => coding.trim().toLowerCase())
      .filter((coding) => coding !== '' && coding !== 'identity')
      .join(', ') || 'identity'
  );
}

/** Header of a 415 because of the encoding (RFC 9110, section 15.5.16). */
const ACCEPT_ENCODING = { 'accept-encoding': 'gzip, deflate, br' } as const;

/** Whether the body has to be decompressed. */
export const isEncoded = (request: IncomingMessage): boolean => encodingOf(request) !== 'identity';

const awaitingContinue = new WeakMap<IncomingMessage, ServerResponse>();

/** The request has `Expect: 100-continue`: its client sends the body when the server begins to read it. */
export function continueWhenRead(request: IncomingMessage, response: ServerResponse): void {
  awaitingContinue.set(request, response);
}

function sendContinue(request: IncomingMessage): void {
  if (request.headers.expect === undefined) return;
  awaitingContinue.get(request)?.writeContinue();
  awaitingContinue.delete(request);
}

/**
 * Returns the decompressed body in chunks; the client has to wait while a chunk is processed. Throws BodyError. The connection
 * stays open even if the reader stops early, because the caller still has to respond. `held` counts the memory of the decompression.
 */
export const readChunks = async function* (request: IncomingMessage, pace: Pace, held: Held): AsyncGenerator<Buffer> {
  const known = DECODERS.get(encodingOf(request));
  if (known === undefined && isEncoded(request)) {
    throw new BodyError(415, 'This Content-Encoding is not known; send gzip, deflate, br or none.', ACCEPT_ENCODING);
  }
  held.resize(known?.bytes ?? 0);
  sendContinue(request);
  const decoder = known?.create();
  const source: Readable = decoder ? request.pipe(decoder) : request;
  const watch = watchPace(request, pace);
  // A request that closes before its end was read ends no decoder behind it, though it may have come whole. A request
  // that closed before its body was read emits no further event.
  const checkEnd = (): void => {
    if (!request.readableEnded) watch.fail(brokenOff());
  };
  if (request.closed) checkEnd();
  else request.once('close', checkEnd);
  // An iterator that destroys its stream would destroy the socket, and the response with it.
  const chunks = source.iterator({ destroyOnReturn: false }) as AsyncIterator<Buffer>;
  const next = (): Promise<IteratorResult<Buffer>> =>
    chunks.next().catch(() => {
      throw request.errored ? brokenOff() : new BodyError(400, 'The body is not compressed as Content-Encoding says.');
    });
  let outputBytes = 0;
  try {
    for (;;) {
      const result = await watch.wait(next);
      if (result.done) return;
      if (known && outputBytes < known.windowBytes) {
        outputBytes += result.value.length;
        held.resize(known.bytes + Math.min(outputBytes, known.windowBytes));
      }
      yield result.value;
    }
  } finally {
    held.release();
    watch.stop();
    request.pause();
    if (decoder) {
      request.unpipe(decoder);
      // The reader of the body may still be waiting, and gets the error.
      decoder.on('error', () => undefined).destroy();
    }
  }
};

/**
 * Returns the whole body, decompressed. A body beyond the limit is rejected as early as possible: by its Content-Length, or at the
 * first byte beyond the limit, before anything is parsed. Throws BodyError, or OverloadedError if REQUEST_MEMORY is used up, and
 * leaves the rest of the body unread. The memory stays counted after the return.
 */
export async function readBody(
  request: IncomingMessage,
  { maxBytes, pace, memory }: BodyLimits,
  held: Held,
): Promise<Buffer> {
  const tooLarge = () => new BodyError(413, `The body is larger than ${maxBytes} bytes. Send it in parts.`);
  if (Number(request.headers['content-length'] ?? 0) > maxBytes) throw tooLarge();
  // A small body usually arrives together with the headers.
  if (request.complete && request.headers['content-encoding'] === undefined && !request.readableDidRead) {
    const whole = (request.read() as Buffer | null) ?? Buffer.alloc(0);
    if (whole.length > maxBytes) throw tooLarge();
    held.resize(whole.length);
    return whole;
  }
  // One buffer that grows. A list of chunks takes far more memory than the body if a client sends small ones.
  let body = Buffer.alloc(0);
  let size = 0;
  for await (const chunk of readChunks(request, pace, memory.open())) {
    const before = size;
    size += chunk.length;
    if (size > maxBytes) throw tooLarge();
    if (size > body.length) {
      const capacity = before === 0 ? size : Math.min(Math.max(size, 2 * body.length, MIN_CAPACITY), maxBytes);
      held.resize(capacity);
      const grown = Buffer.allocUnsafeSlow(capacity);
      body.copy(grown, 0, 0, before);
      body = grown;
    }
    chunk.copy(body, before);
  }
  return body.subarray(0, size);
}

const MIN_CAPACITY = 64 * KIB;

const brokenOff = (): BodyError => new BodyError(400, 'The body broke off.');

/** Frequent enough to exceed a limit only slightly, and rare enough to cost nothing. */
const LOOKS_PER_MEASUREMENT = 10;

function watchPace(request: IncomingMessage, pace: Pace) {
  const { socket } = request;
  const begun = performance.now();
  let waitedMs = 0;
  let waitingSince: number | null = null;
  let bytesBefore = socket.bytesRead;
  let failure: BodyError | null = null;
  let rejectWaiter: ((error: BodyError) => void) | null = null;
  const fail = (error: BodyError): void => {
    failure ??= error;
    rejectWaiter?.(failure);
  };
  const look = (): void => {
    const now = performance.now();
    if (now - begun > pace.maxMs) {
      fail(new BodyError(408, `The body took longer than ${pace.maxMs / 1000} seconds. Send it in parts.`));
    }
    if (waitingSince === null) return;
    // Received bytes that are not decompressed yet are dropped.
    if (!request.complete && request.readableLength === 0) waitedMs += now - waitingSince;
    waitingSince = now;
    if (waitedMs < pace.measuredMs) return;
    if (socket.bytesRead - bytesBefore < (pace.minBytesPerSecond * waitedMs) / 1000) {
      const least = `${pace.minBytesPerSecond} bytes a second`;
      fail(new BodyError(408, `The body came more slowly than ${least}. Nothing was stored.`));
    }
    waitedMs = 0;
    bytesBefore = socket.bytesRead;
  };
  const timer = setInterval(look, Math.max(10, pace.measuredMs / LOOKS_PER_MEASUREMENT));
  return {
    fail,
    // Not Promise.race with one promise that fails them all: it would hold every result until the body ends.
    wait: async <Value>(ask: () => Promise<Value>): Promise<Value> => {
      waitingSince = performance.now();
      try {
        return await new Promise<Value>((resolve, reject) => {
          if (failure) throw failure;
          rejectWaiter = reject;
          ask().then(resolve, reject);
        });
      } finally {
        rejectWaiter = null;
        if (waitingSince !== null && !request.complete) waitedMs += performance.now() - waitingSince;
        waitingSince = null;
      }
    },
    stop: () => clearInterval(timer),
  };
}
