import { createHash, randomUUID } from 'node:crypto';
import { type FileHandle, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createGzip } from 'node:zlib';
import { createLineSplitter, eachLine } from '../../lib/line-splitter.ts';

/** As many records as one request takes, in a file that has no name: it is gone with the process, whatever ends that. */
export interface Part {
  readonly count: number;
  readonly compressed: boolean;
  /** As they are sent. */
  readonly bytes: number;
  /** Of everything in it, in its order. */
  readonly digest: string;
  open(): AsyncIterable<Buffer>;
  /** Where a record stands in the input, counted from 1. */
  lineOf(index: number): number;
  /** The records with these indices, by index. */
  recordsAt(indices: ReadonlySet<number>): Promise<ReadonlyMap<number, string>>;
  close(): Promise<void>;
}

export interface PartWriter {
  readonly count: number;
  add(record: string, line: number): void;
  /** Writes what has been added, where it is much; to be waited for now and then. */
  drain(): Promise<void>;
  /** Nothing is added any more. */
  finish(): Promise<Part>;
  close(): Promise<void>;
}

const PIECE_CHARACTERS = 256 * 1024;

/** The fastest: one record is much like the other, and most of them is gone at any level. */
const LEVEL = 1;

export interface PartOptions {
  /** What the digest begins with. */
  readonly seed: string;
  readonly compressed: boolean;
}

export const createPart = async ({ seed, compressed }: PartOptions): Promise<PartWriter> => {
  const file = await openUnnamed();
  const packed = compressed ? createGzip({ level: LEVEL }) : new PassThrough();
  const written = pipeline(packed, async (pieces: AsyncIterable<Buffer>) => {
    for await (const piece of pieces) await file.appendFile(piece);
  });
  written.catch(() => undefined);
  const hash = createHash('sha256').update(seed);
  let lines: string[] = [];
  let characters = 0;
  let count = 0;
  /** Where lines do not simply follow each other: from this record on, its line and those after it. */
  const steps: { index: number; line: number }[] = [];
  let expectedLine = Number.NaN;
  const flush = async (): Promise<void> => {
    if (characters === 0) return;
    const piece = Buffer.from(`${lines.join('\n')}\n`);
    lines = [];
    characters = 0;
    hash.update(piece);
    if (!packed.write(piece)) await Promise.race([new Promise((resolve) => packed.once('drain', resolve)), written]);
  };
  const close = async (): Promise<void> => {
    packed.destroy();
    await written.catch(() => undefined);
    await file.close();
  };
  return {
    get count() {
      return count;
    },
    add: (record, line) => {
      if (line !== expectedLine) steps.push({ index: count, line });
      expectedLine = line + 1;
      lines.push(record);
      characters += record.length + 1;
      count += 1;
    },
    drain: async () => {
      if (characters >= PIECE_CHARACTERS) await flush();
    },
    finish: async () => {
      await flush();
      packed.end();
      await written;
      const { size } = await file.stat();
      return {
        count,
        compressed,
        bytes: size,
        digest: hash.digest('hex'),
        open: () => piecesOf(file),
        lineOf: (index) => {
          const step = steps.findLast((one) => one.index <= index) ?? { index: 0, line: 1 };
          return step.line + index - step.index;
        },
        recordsAt: (indices) =>
          recordsAt(compressed ? Readable.from(piecesOf(file)).pipe(createGunzip()) : piecesOf(file), indices),
        close,
      };
    },
    close,
  };
};

const READ_BYTES = 64 * 1024;

/** Not by a stream of the file, which would hold it open beyond its own end. */
async function* piecesOf(file: FileHandle): AsyncGenerator<Buffer> {
  for (let position = 0; ;) {
    const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(READ_BYTES), 0, READ_BYTES, position);
    if (bytesRead === 0) return;
    position += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}

const recordsAt = async (
  pieces: AsyncIterable<Buffer>,
  indices: ReadonlySet<number>,
): Promise<ReadonlyMap<number, string>> => {
  const found = new Map<number, string>();
  const splitter = createLineSplitter(Number.POSITIVE_INFINITY);
  const last = Math.max(-1, ...indices);
  let index = 0;
  for await (const piece of pieces) {
    for (const line of eachLine(splitter.lines(piece))) {
      if (indices.has(index) && 'text' in line) found.set(index, line.text);
      index += 1;
    }
    if (index > last) break;
  }
  return found;
};

const openUnnamed = async (): Promise<FileHandle> => {
  const path = join(tmpdir(), `sluice-ingest-${randomUUID()}`);
  const file = await open(path, 'wx+', 0o600);
  await rm(path);
  return file;
};
