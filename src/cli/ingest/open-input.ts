import { open } from 'node:fs/promises';
import { Readable, pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { NotFoundError } from '../../errors/errors.ts';

/** What is read, decompressed where it is gzip. */
export interface Input {
  /** Throws NotFoundError where the file breaks off. */
  readonly pieces: AsyncIterable<Buffer>;
  /** As it lies on the disk; null of standard input. */
  readonly size: number | null;
  /** So many bytes of it were read, before they were decompressed. */
  readonly bytesRead: number;
}

/** The file, or standard input for `-`. */
export const openInput = async (file: string, standardInput: Readable): Promise<Input> => {
  const { source, size } = file === '-' ? { source: standardInput, size: null } : await openFile(file);
  let bytesRead = 0;
  const counted = async function* count(): AsyncGenerator<Buffer> {
    for await (const piece of source as AsyncIterable<Buffer>) {
      bytesRead += piece.length;
      yield piece;
    }
  };
  return {
    pieces: decompressed(counted(), file),
    size,
    get bytesRead() {
      return bytesRead;
    },
  };
};

const openFile = async (file: string): Promise<{ source: Readable; size: number | null }> => {
  try {
    const handle = await open(file);
    const stat = await handle.stat();
    if (stat.isDirectory()) {
      await handle.close();
      throw Object.assign(new Error('it is a directory'), { code: 'EISDIR' });
    }
    // A pipe by name has no size that means anything.
    return { source: handle.createReadStream({ highWaterMark: 1024 * 1024 }), size: stat.isFile() ? stat.size : null };
  } catch (error) {
    throw unreadable(file, error);
  }
};

const unreadable = (file: string, error: unknown): NotFoundError => {
  const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
  return new NotFoundError(`${nameOf(file)} cannot be read (${code === 'ENOENT' ? 'there is no such file' : code}).`);
};

const nameOf = (file: string): string => (file === '-' ? 'Standard input' : `"${file}"`);

const isGzip = (head: Buffer): boolean => head[0] === 0x1f && head[1] === 0x8b;

const decompressed = async function* decompress(source: AsyncGenerator<Buffer>, file: string): AsyncGenerator<Buffer> {
  let head = Buffer.alloc(0);
  try {
    while (head.length < 2) {
      const { value, done } = await source.next();
      if (done) break;
      head = Buffer.concat([head, value]);
    }
    const whole = async function* join(): AsyncGenerator<Buffer> {
      yield head;
      yield* source;
    };
    if (!isGzip(head)) {
      yield* whole();
      return;
    }
    yield* pipeline(Readable.from(whole()), createGunzip(), () => undefined) as AsyncIterable<Buffer>;
  } catch (error) {
    if (error instanceof Error && 'code' in error && String(error.code).startsWith('Z_')) {
      throw new NotFoundError(`${nameOf(file)} is no whole gzip file (${error.message}).`);
    }
    throw unreadable(file, error);
  }
};
