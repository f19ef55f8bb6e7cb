import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Readable, Transform } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';
import type { Held, RequestMemory } from './request-memory.ts';

/** A body that cannot be taken; the status is the HTTP answer. */
export class BodyError extends Error {
  readonly status: 400 | 408 | 413 | 415;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: BodyError['status'], message: string, headers: Readonly<Record<string, string>> = {}) {
    super(message);
    this.status = status;
    this.headers = headers;
  }
}

/** How slowly a body may come. Only the time counts that is spent waiting for the sender. */
export interface Pace {
  /** Bytes a second, as they come over the wire. */
  readonly minBytesPerSecond: number;
  /** Milliseconds of waiting over which that is measured. */
  readonly measuredMs: number;
  /** Milliseconds that the whole body may take, waiting or not. */
  readonly maxMs: number;
}

export interface BodyLimits {
  readonly maxBytes: number;
  readonly pace: Pace;
  readonly memory: RequestMemory;
}

interface Decoder {
  readonly create: () => Transform;
  /** What it allocates, with the buffers of its stream. */
  readonly bytes: number;
  /** How much of its output it keeps to refer back to. */
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
const encodingOf = (request: IncomingMessage): string =>
  (request.headers['content-encoding'] ?? '')
    .split(',')
    .map((coding) => coding.trim().toLowerCase())
    .filter((coding) => coding !== '' && coding !== 'identity')
    .join(', ') || 'identity';

/** Goes with a 415 because of the encoding (RFC 9110, section 15.5.16). */
const ACCEPT_ENCODING = { 'accept-encoding': 'gzip, deflate, br' } as const;

/** Whether the body has to be decompressed. */
export const isEncoded = (request: IncomingMessage): boolean => encodingOf(request) !== 'identity';

const awaitingContinue = new WeakMap<IncomingMessage, ServerResponse>();

/** The request has `Expect: 100-continue`: its client sends the body when the server begins to read it. */
export const continueWhenRead = (request: IncomingMessage, response: ServerResponse): void => {
  awaitingContinue.set(request, response);
};

const sendContinue = (request: IncomingMessage): void => {
  if (request.headers.expect === undefined) return;
  awaitingContinue.get(request)?.writeContinue();
  awaitingContinue.delete(request);
};

/**
 * The body in pieces, decompressed; the sender waits while a piece is worked on. Throws BodyError. Ends early or not, the
 * connection stays open: the caller still has to answer on it. `held` counts what the decompression holds.
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
  // A request that closes before its end was read ends no decoder behind it, though it may have come whole. It may also have
  // closed before anybody asked for its body: then it says so no more.
  const checkEnd = (): void => {
    if (!request.readableEnded) watch.fail(brokenOff());
  };
  if (request.closed) checkEnd();
  else request.once('close', checkEnd);
  // An iterator that destroys what it reads would take the socket with it, and the answer with that.
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
      // Its reader may still wait for it, and hears of this.
      decoder.on('error', () => undefined).destroy();
    }
  }
};

/**
 * The whole body, decompressed. More than the limit is refused as soon as it is known: by the length announced, or at the
 * byte that is too many, before anything is parsed. Throws BodyError, or OverloadedError if the memory of all requests is
 * used up, and leaves the rest of the body unread. The body is counted as held when this has returned, too.
 */
export const readBody = async (
  request: IncomingMessage,
  { maxBytes, pace, memory }: BodyLimits,
  held: Held,
): Promise<Buffer> => {
  const tooLarge = () => new BodyError(413, `The body is larger than ${maxBytes} bytes. Send it in parts.`);
  if (Number(request.headers['content-length'] ?? 0) > maxBytes) throw tooLarge();
  // A small one has mostly come with its head.
  if (request.complete && request.headers['content-encoding'] === undefined && !request.readableDidRead) {
    const whole = (request.read() as Buffer | null) ?? Buffer.alloc(0);
    if (whole.length > maxBytes) throw tooLarge();
    held.resize(whole.length);
    return whole;
  }
  // One buffer that grows. A list of chunks holds far more than the body if a sender makes them small.
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
};

const MIN_CAPACITY = 64 * KIB;

const brokenOff = (): BodyError => new BodyError(400, 'The body broke off.');

/** Often enough that a limit is passed by little, and seldom enough to cost nothing. */
const LOOKS_PER_MEASUREMENT = 10;

const watchPace = (request: IncomingMessage, pace: Pace) => {
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
    // What has come and is not unpacked yet is not waited for.
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
};
