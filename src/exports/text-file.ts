// Builds files of CSV, JSON and NDJSON from lines, in constant memory.
import { once } from 'node:events';
import { constants, createGzip, createZstdCompress, type Gzip, type ZstdCompress } from 'node:zlib';
import type { ObjectCompression } from '../jobs/destination.ts';
import type { Framing } from './formats.ts';

/** A complete file. `body` is valid until the next call of the builder: its memory is reused. */
export interface BuiltFile {
  readonly body: Buffer;
  readonly rows: number;
  /** Rows whose value was rounded. Only in Parquet. */
  readonly roundedRows?: number;
}

/** Builds one file after another from lines that end in LF. */
export interface FileBuilder {
  /** Bytes before compression. */
  readonly size: number;
  /** Bytes of the object so far. */
  readonly bytes: number;
  readonly rows: number;
  append(lines: Buffer): Promise<void>;
  /** Returns the complete file and starts the next one. */
  finish(): Promise<BuiltFile>;
  /** Releases the memory. No other method may be called afterwards. */
  close(): void | Promise<void>;
}

const LF = 0x0a;

export function openTextFile(framing: Framing, compression: ObjectCompression, maxBytes: number): FileBuilder {
  return compression === 'NONE' ? new PlainFile(framing, maxBytes) : new CompressedFile(framing, compression);
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

  finish(): Promise<BuiltFile> {
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
const GZIP_LEVEL = 6;
/** The default of zstd. */
const ZSTD_LEVEL = 3;

/** Level of ZSTD, the same for all files. */
export const ZSTD_OPTIONS = { params: { [constants.ZSTD_c_compressionLevel]: ZSTD_LEVEL } };

class CompressedFile implements FileBuilder {
  readonly #framing: Framing;
  readonly #block = Buffer.allocUnsafeSlow(BLOCK);
  #blockUsed = 0;
  readonly #compression: Exclude<ObjectCompression, 'NONE'>;
  #compressor!: Gzip | ZstdCompress;
  #chunks: Buffer[] = [];
  #failure: Error | undefined;
  size = 0;
  bytes = 0;
  rows = 0;

  constructor(framing: Framing, compression: Exclude<ObjectCompression, 'NONE'>) {
    this.#framing = framing;
    this.#compression = compression;
    this.#open();
  }

  #open(): void {
    this.size = this.#framing.opening.length;
    this.bytes = 0;
    this.rows = 0;
    this.#chunks = [];
    this.#compressor =
      this.#compression === 'GZIP' ? createGzip({ level: GZIP_LEVEL }) : createZstdCompress(ZSTD_OPTIONS);
    this.#compressor.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.bytes += chunk.length;
    });
    this.#compressor.on('error', (error) => {
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
    if (!this.#compressor.write(Buffer.from(this.#block.subarray(0, length)))) await once(this.#compressor, 'drain');
  }

  async finish(): Promise<BuiltFile> {
    const { closing } = this.#framing;
    if (closing !== null) {
      if (this.rows === 0) this.#blockUsed += 1;
      this.#block[this.#blockUsed - 1] = closing;
    }
    if (this.#blockUsed > 0) await this.#flush(this.#blockUsed);
    const ended = once(this.#compressor, 'end');
    this.#compressor.end();
    await ended;
    const whole = { body: Buffer.concat(this.#chunks), rows: this.rows };
    this.#open();
    return whole;
  }

  close(): void {
    this.#compressor.destroy();
    this.#chunks = [];
  }
}
