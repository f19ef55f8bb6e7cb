import { createHash, randomUUID } from 'node:crypto';
import { type FileHandle, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createGzip } from 'node:zlib';
import type { RecordsBody } from '../../api-client/send-records.ts';
import { createLineSplitter, eachLine } from '../../lib/line-splitter.ts';

/** The records of one request, in an unnamed temporary file, which disappears with the process. */
export interface RequestPart extends RecordsBody {
  readonly count: number;
  /** SHA-256 of the seed and of all records in their order. */
  readonly digest: string;
  /** Returns the line of the input that a record came from, counted from 1. */
  readonly lineOf: (index: number) => number;
  /** Reads the records with these indices. */
  readRecords(indices: ReadonlySet<number>): Promise<ReadonlyMap<number, string>>;
  close(): Promise<void>;
}

export interface PartWriter {
  readonly count: number;
  add(record: string, line: number): void;
  /** Writes what was added if it is more than 256 K characters. To be awaited regularly. */
  drain(): Promise<void>;
  /** Ends the part. Nothing can be added after it. */
  finish(): Promise<RequestPart>;
  close(): Promise<void>;
}

const CHUNK_CHARACTERS = 256 * 1024;

/** The fastest level: records resemble each other, so every level removes most of their size. */
const GZIP_LEVEL = 1;

export interface PartOptions {
  /** The beginning of the digested text. */
  readonly seed: string;
  readonly compressed: boolean;
}

export async function createPart({ seed, compressed }: PartOptions): Promise<PartWriter> {
  const file = await openUnnamedFile();
  const encoder = compressed ? createGzip({ level: GZIP_LEVEL }) : new PassThrough();
  const written = pipeline(encoder, async (chunks: AsyncIterable<Buffer>) => {
    for await (const chunk of chunks) await file.appendFile(chunk);
  });
  written.catch(() => undefined);
  const hash = createHash('sha256').update(seed);
  let pending: string[] = [];
  let characters = 0;
  let count = 0;
  /** The records that are not on the line after the previous record. */
  const jumps: { index: number; line: number }[] = [];
  let nextLine = Number.NaN;
  const flush = async (): Promise<void> => {
    if (characters === 0) return;
    const chunk = Buffer.from(`${pending.join('\n')}\n`);
    pending = [];
    characters = 0;
    hash.update(chunk);
    if (!encoder.write(chunk)) await Promise.race([new Promise((resolve) => encoder.once('drain', resolve)), written]);
  };
  const close = async (): Promise<void> => {
    encoder.destroy();
    await written.catch(() => undefined);
    await file.close();
  };
  return {
    get count() {
      return count;
    },
    add: (record, line) => {
      if (line !== nextLine) jumps.push({ index: count, line });
      nextLine = line + 1;
      pending.push(record);
      characters += record.length + 1;
      count += 1;
    },
    drain: async () => {
      if (characters >= CHUNK_CHARACTERS) await flush();
    },
    finish: async () => {
      await flush();
      encoder.end();
      await written;
      const { size } = await file.stat();
      return {
        count,
        compressed,
        bytes: size,
        digest: hash.digest('hex'),
        open: () => readChunks(file),
        lineOf: (index) => {
          const jump = jumps.findLast((one) => one.index <= index) ?? { index: 0, line: 1 };
          return jump.line + index - jump.index;
        },
        readRecords: (indices) => {
          const chunks = readChunks(file);
          return findRecords(compressed ? Readable.from(chunks).pipe(createGunzip()) : chunks, indices);
        },
        close,
      };
    },
    close,
  };
}

const READ_BYTES = 64 * 1024;

/** Reads the file from its start. A read stream would close the file at its end. */
async function* readChunks(file: FileHandle): AsyncGenerator<Buffer> {
  for (let position = 0; ;) {
    const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(READ_BYTES), 0, READ_BYTES, position);
    if (bytesRead === 0) return;
    position += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}

async function findRecords(
  chunks: AsyncIterable<Buffer>,
  indices: ReadonlySet<number>,
): Promise<ReadonlyMap<number, string>> {
  const found = new Map<number, string>();
  const splitter = createLineSplitter(Number.POSITIVE_INFINITY);
  const last = Math.max(-1, ...indices);
  let index = 0;
  for await (const chunk of chunks) {
    for (const line of eachLine(splitter.lines(chunk))) {
      if (indices.has(index) && 'text' in line) found.set(index, line.text);
      index += 1;
    }
    if (index > last) break;
  }
  return found;
}

async function openUnnamedFile(): Promise<FileHandle> {
  const path = join(tmpdir(), `sluice-ingest-${randomUUID()}`);
  const file = await open(path, 'wx+', 0o600);
  await rm(path);
  return file;
}
