import type { IncomingMessage } from 'node:http';
import type { Transform } from 'node:stream';
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';

/** A body that cannot be taken; the status is the HTTP answer. */
export class BodyError extends Error {
  readonly status: 400 | 413 | 415;

  constructor(status: BodyError['status'], message: string) {
    super(message);
    this.status = status;
  }
}

const DECODERS: ReadonlyMap<string, () => Transform> = new Map([
  ['gzip', createGunzip],
  ['x-gzip', createGunzip],
  ['deflate', createInflate],
  ['br', createBrotliDecompress],
]);

/**
 * The whole body, decompressed. More than the limit is refused as soon as it is known: by the length announced, or at the
 * byte that is too many, before anything is parsed. Throws BodyError and leaves the rest of the body unread, the
 * connection open: whoever called still has to answer on it.
 */
export const readBody = async (request: IncomingMessage, maxBytes: number): Promise<Buffer> => {
  const tooLarge = new BodyError(413, `The body is larger than ${maxBytes} bytes. Send it in parts.`);
  if (Number(request.headers['content-length'] ?? 0) > maxBytes) throw tooLarge;
  const encoding = (request.headers['content-encoding'] ?? 'identity').trim().toLowerCase();
  const decoder = DECODERS.get(encoding)?.();
  if (decoder === undefined && encoding !== 'identity') {
    throw new BodyError(415, 'This Content-Encoding is not known; send gzip, deflate, br or none.');
  }
  const source = decoder ? request.pipe(decoder) : request;
  const chunks: Buffer[] = [];
  let size = 0;
  // Not `for await`: leaving such a loop early destroys the request with its socket, and the answer with it.
  try {
    await new Promise<void>((resolve, reject) => {
      const broken = (): void => reject(new BodyError(400, 'The body is not compressed as Content-Encoding says.'));
      source.on('data', (chunk: Buffer) => {
        size += chunk.length;
        if (size > maxBytes) reject(tooLarge);
        else chunks.push(chunk);
      });
      source.once('end', resolve);
      source.once('error', broken);
      // Where it came whole, the decoder is the one to say that it is done.
      request.once('close', () => {
        if (!request.complete) reject(new BodyError(400, 'The body broke off.'));
      });
    });
  } catch (error) {
    source.removeAllListeners('data');
    request.pause();
    if (decoder) {
      request.unpipe(decoder);
      decoder.destroy();
    }
    throw error;
  }
  return chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks, size);
};
