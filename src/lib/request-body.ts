import type { IncomingMessage } from 'node:http';
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib';
import { pipeline } from 'node:stream';

/** A body that cannot be taken; the status is the HTTP answer. */
export class BodyError extends Error {
  readonly status: 400 | 413 | 415;

  constructor(status: BodyError['status'], message: string) {
    super(message);
    this.status = status;
  }
}

const DECODERS = { gzip: createGunzip, 'x-gzip': createGunzip, deflate: createInflate, br: createBrotliDecompress };

/**
 * The whole body, decompressed. More than the limit is refused as soon as it is known: by the length announced, or at the
 * byte that is too many, before anything is parsed. Throws BodyError.
 */
export const readBody = async (request: IncomingMessage, maxBytes: number): Promise<Buffer> => {
  const tooLarge = new BodyError(413, `The body is larger than ${maxBytes} bytes. Send it in parts.`);
  const encoding = (request.headers['content-encoding'] ?? 'identity').trim().toLowerCase();
  const announced = Number(request.headers['content-length'] ?? 0);
  if (announced > maxBytes) throw tooLarge;
  if (encoding !== 'identity' && !(encoding in DECODERS)) {
    throw new BodyError(415, `Content-Encoding "${encoding}" is not known; send gzip, deflate, br or none.`);
  }
  const source =
    encoding === 'identity'
      ? request
      : pipeline(request, DECODERS[encoding as keyof typeof DECODERS](), () => undefined);
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of source as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > maxBytes) throw tooLarge;
      chunks.push(chunk);
    }
  } catch (error) {
    if (error instanceof BodyError) throw error;
    throw new BodyError(400, 'The body broke off, or is not compressed as Content-Encoding says.');
  }
  return chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks, size);
};
