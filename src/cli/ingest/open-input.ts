import { open } from 'node:fs/promises';
import { addAbortSignal, pipeline, Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { CommandError } from '../command-error.ts';
import { withHead } from './input-encoding.ts';

/** An input of records, decompressed if it is gzip. */
export interface Input {
  /** Throws CommandError if the input cannot be read to its end. */
  readonly chunks: AsyncIterable<Buffer>;
  /** The size of the file, before decompression; null for pipes and standard input. */
  readonly size: number | null;
  /** The bytes that were read so far, before decompression. */
  readonly bytesRead: number;
}

/** Opens the file, or standard input for `-`. The signal ends it, also while nothing arrives: reading it then throws. */
export async function openInput(file: string, standardInput: Readable, signal?: AbortSignal): Promise<Input> {
  const { source, size } = file === '-' ? { source: standardInput, size: null } : await openFile(file);
  if (signal) addAbortSignal(signal, source);
  let bytesRead = 0;
  async function* count(): AsyncGenerator<Buffer> {
    for await (const chunk of source as AsyncIterable<Buffer>) {
      bytesRead += chunk.length;
      yield chunk;
    }
  }
  return {
    chunks: decompress(count(), file),
    size,
    get bytesRead() {
      return bytesRead;
    },
  };
}

async function openFile(file: string): Promise<{ source: Readable; size: number | null }> {
  try {
    const handle = await open(file);
    const stat = await handle.stat();
    if (stat.isDirectory()) {
      await handle.close();
      throw Object.assign(new Error('is a directory'), { code: 'EISDIR' });
    }
    // The size of a named pipe says nothing about its content.
    return { source: handle.createReadStream({ highWaterMark: 1024 * 1024 }), size: stat.isFile() ? stat.size : null };
  } catch (error) {
    throw unreadable(file, error);
  }
}

function unreadable(file: string, error: unknown): CommandError {
  const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
  return new CommandError(`${describeFile(file)} cannot be read (${code === 'ENOENT' ? 'no such file' : code}).`);
}

const describeFile = (file: string): string => (file === '-' ? 'Standard input' : `"${file}"`);

async function* decompress(source: AsyncIterable<Buffer>, file: string): AsyncGenerator<Buffer> {
  try {
    const { head, all } = await withHead(source, 2, ({ length }) => length >= 2);
    const isGzip = head[0] === 0x1f && head[1] === 0x8b;
    yield* isGzip ? (pipeline(Readable.from(all), createGunzip(), () => undefined) as AsyncIterable<Buffer>) : all;
  } catch (error) {
    if (error instanceof Error && 'code' in error && String(error.code).startsWith('Z_')) {
      throw new CommandError(`${describeFile(file)} is not a complete gzip file (${error.message}).`);
    }
    throw unreadable(file, error);
  }
}
