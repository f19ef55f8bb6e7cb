// Splits a stream of rows into complete files of bounded size, in constant memory.
import { once } from 'node:events';
import { createGzip, type Gzip } from 'node:zlib';
import type { Framing } from './formats.ts';

export interface PartOptions {
  readonly framing: Framing;
  /** Maximum size of a part before compression, in bytes. A larger row is a part of its own. */
  readonly maxBytes: number;
  readonly compressed: boolean;
  /** Called when rows are added to the current part, with its rows and bytes so far. */
  readonly onProgress?: (rows: number, bytes: number) => void;
}

/** One complete file. `body` is valid until the next part is requested: its memory is reused. */
export interface Part {
  readonly body: Buffer;
  readonly rows: number;
  /** 1 for the first. */
  readonly number: number;
  readonly last: boolean;
}

const LF = 0x0a;

/**
 * Splits chunks of lines (cut at any byte) into parts. The end of a part depends only on the rows, never on the chunks, so the same
 * rows give the same parts. There is always at least one part, even for no rows.
 */
export async function* splitIntoParts(chunks: AsyncIterable<Buffer>, options: PartOptions): AsyncGenerator<Part, void> {
  const { framing, maxBytes } = options;
  const file: FileBuilder = options.compressed ? new GzipFile(framing) : new PlainFile(framing, maxBytes);
  let number = 1;
  try {
    for await (const whole of wholeLines(chunks)) {
      let lines = whole;
      while (lines.length > 0) {
        const room = maxBytes - file.size;
        // Cut at the last line end that fits. A line longer than a part gets a part of its own.
        const cut = lines.length <= room ? lines.length : lines.lastIndexOf(LF, Math.max(room - 1, 0)) + 1;
        const fits = room > 0 && cut > 0 && cut <= room;
        if (!fits && file.rows > 0) {
          yield { ...(await file.finish()), number, last: false };
          number += 1;
          continue;
        }
        const taken = fits ? cut : lines.indexOf(LF) + 1;
        await file.append(lines.subarray(0, taken));
        options.onProgress?.(file.rows, file.bytes);
        lines = lines.subarray(taken);
      }
    }
    yield { ...(await file.finish()), number, last: true };
  } finally {
    file.close();
  }
}

/** Yields whole lines. A line that spans two chunks is yielded alone, so that only its bytes are copied. */
async function* wholeLines(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void> {
  let carry: Buffer = Buffer.alloc(0);
  for await (const chunk of chunks) {
    const start = chunk.indexOf(LF) + 1;
    const end = chunk.lastIndexOf(LF) + 1;
    const shared = Buffer.concat([carry, chunk.subarray(0, start || chunk.length)]);
    if (start > 0) {
      yield shared;
      yield chunk.subarray(start, end);
    }
    carry = start > 0 ? Buffer.from(chunk.subarray(end)) : shared;
  }
  if (carry.length > 0) throw new Error('The rows ended in the middle of a line.');
}

interface FileBuilder {
  /** Bytes before compression. */
  readonly size: number;
  /** Bytes of the object so far. */
  readonly bytes: number;
  readonly rows: number;
  append(lines: Buffer): Promise<void>;
  /** Returns the complete file and starts the next one. */
  finish(): Promise<{ body: Buffer; rows: number }>;
  close(): void;
}

/** Copies lines with the separator instead of each LF. Returns the number of lines. */
function copyLines(lines: Buffer, target: Buffer, offset: number, separator: number): number {
  lines.copy(target, offset);
  let rows = 0;
  for (let at = lines.indexOf(LF); at >= 0; at = lines.indexOf(LF, at + 1)) {
    target[offset + at] = separator;
    rows += 1;
  }
  return rows;
}

/**
 * Initial size of the buffer of a file. Allocating the maximum for each export triggered a garbage collection per small export,
 * because V8 counts memory outside of its heap as pressure, written or not.
 */
const INITIAL_BYTES = 256 * 1024;

class PlainFile implements FileBuilder {
  readonly #framing: Framing;
  readonly #maxBytes: number;
  #buffer: Buffer;
  #used = 0;
  rows = 0;

  constructor(framing: Framing, maxBytes: number) {
    this.#framing = framing;
    this.#maxBytes = maxBytes;
    this.#buffer = Buffer.allocUnsafeSlow(Math.min(maxBytes, INITIAL_BYTES) + framing.opening.length + 1);
    this.#open();
  }

  get size(): number {
    return this.#used;
  }

  get bytes(): number {
    return this.#used;
  }

  #open(): void {
    this.rows = 0;
    this.#used = this.#framing.opening.copy(this.#buffer);
  }

  append(lines: Buffer): Promise<void> {
    if (this.#used + lines.length + 1 > this.#buffer.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(this.#maxBytes, this.#used + lines.length) + 1);
      this.#buffer.copy(larger, 0, 0, this.#used);
      this.#buffer = larger;
    }
    this.rows += copyLines(lines, this.#buffer, this.#used, this.#framing.separator);
    this.#used += lines.length;
    return Promise.resolve();
  }

  finish(): Promise<{ body: Buffer; rows: number }> {
    const { closing } = this.#framing;
    if (closing !== null) {
      if (this.rows === 0) this.#used += 1;
      this.#buffer[this.#used - 1] = closing;
    }
    const whole = { body: this.#buffer.subarray(0, this.#used), rows: this.rows };
    this.#open();
    return Promise.resolve(whole);
  }

  close(): void {
    this.#buffer = Buffer.alloc(0);
  }
}

/** The compressor gets blocks of this size, so that its output does not depend on how the rows arrived. */
const BLOCK = 256 * 1024;
/** The default of gzip. */
const LEVEL = 6;

class GzipFile implements FileBuilder {
  readonly #framing: Framing;
  readonly #block = Buffer.allocUnsafeSlow(BLOCK);
  #blockUsed = 0;
  #gzip!: Gzip;
  #chunks: Buffer[] = [];
  #failure: Error | undefined;
  size = 0;
  bytes = 0;
  rows = 0;

  constructor(framing: Framing) {
    this.#framing = framing;
    this.#open();
  }

  #open(): void {
    this.size = this.#framing.opening.length;
    this.bytes = 0;
    this.rows = 0;
    this.#chunks = [];
    this.#gzip = createGzip({ level: LEVEL });
    this.#gzip.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.bytes += chunk.length;
    });
    this.#gzip.on('error', (error) => {
      this.#failure = error;
    });
    this.#blockUsed = this.#framing.opening.copy(this.#block);
  }

  async append(lines: Buffer): Promise<void> {
    const framed = Buffer.allocUnsafe(lines.length);
    this.rows += copyLines(lines, framed, 0, this.#framing.separator);
    this.size += lines.length;
    let from = 0;
    while (from < framed.length) {
      // A full block waits for one more byte, because the closing may still replace the last byte of the file.
      if (this.#blockUsed === BLOCK) await this.#flush(BLOCK);
      const copied = framed.copy(this.#block, this.#blockUsed, from);
      this.#blockUsed += copied;
      from += copied;
    }
  }

  async #flush(length: number): Promise<void> {
    if (this.#failure) throw this.#failure;
    this.#blockUsed = 0;
    // Copied, because the compressor reads it later, when the block is reused.
    if (!this.#gzip.write(Buffer.from(this.#block.subarray(0, length)))) await once(this.#gzip, 'drain');
  }

  async finish(): Promise<{ body: Buffer; rows: number }> {
    const { closing } = this.#framing;
    if (closing !== null) {
      if (this.rows === 0) this.#blockUsed += 1;
      this.#block[this.#blockUsed - 1] = closing;
    }
    if (this.#blockUsed > 0) await this.#flush(this.#blockUsed);
    const ended = once(this.#gzip, 'end');
    this.#gzip.end();
    await ended;
    const whole = { body: Buffer.concat(this.#chunks), rows: this.rows };
    this.#open();
    return whole;
  }

  close(): void {
    this.#gzip.destroy();
    this.#chunks = [];
  }
}
