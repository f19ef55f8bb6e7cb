import type { IncomingMessage } from 'node:http';
import type { Readable, Transform } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';

/** A body that cannot be taken; the status is the HTTP answer. */
export class BodyError extends Error {
  readonly status: 400 | 408 | 413 | 415;

  constructor(status: BodyError['status'], message: string) {
    super(message);
    this.status = status;
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

const DECODERS: ReadonlyMap<string, () => Transform> = new Map([
  ['gzip', createGunzip],
  ['x-gzip', createGunzip],
  ['deflate', createInflate],
  ['br', createBrotliDecompress],
]);

/**
 * The body in pieces, decompressed; the sender waits while a piece is worked on. Throws BodyError. Ends early or not, the
 * connection stays open: whoever called still has to answer on it.
 */
export const readChunks = async function* (request: IncomingMessage, pace: Pace): AsyncGenerator<Buffer> {
  const encoding = (request.headers['content-encoding'] ?? 'identity').trim().toLowerCase();
  const decoder = DECODERS.get(encoding)?.();
  if (decoder === undefined && encoding !== 'identity') {
    throw new BodyError(415, 'This Content-Encoding is not known; send gzip, deflate, br or none.');
  }
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
  try {
    for (;;) {
      const result = await watch.wait(next);
      if (result.done) return;
      yield result.value;
    }
  } finally {
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
 * byte that is too many, before anything is parsed. Throws BodyError and leaves the rest of the body unread.
 */
export const readBody = async (request: IncomingMessage, maxBytes: number, pace: Pace): Promise<Buffer> => {
  const tooLarge = () => new BodyError(413, `The body is larger than ${maxBytes} bytes. Send it in parts.`);
  if (Number(request.headers['content-length'] ?? 0) > maxBytes) throw tooLarge();
  // A small one has mostly come with its head.
  if (request.complete && request.headers['content-encoding'] === undefined && !request.readableDidRead) {
    const whole = (request.read() as Buffer | null) ?? Buffer.alloc(0);
    if (whole.length > maxBytes) throw tooLarge();
    return whole;
  }
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of readChunks(request, pace)) {
    size += chunk.length;
    if (size > maxBytes) throw tooLarge();
    chunks.push(chunk);
  }
  return chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks, size);
};

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
