import { setFlagsFromString } from 'node:v8';
import { Worker } from 'node:worker_threads';
import type { ParquetFormat } from './parquet-schema.ts';
import { ValueTooLargeError } from './parquet-values.ts';
import type { ParquetReply, ParquetRequest } from './parquet-worker.ts';
import type { BuiltFile, FileBuilder } from './text-file.ts';

/**
 * Bytes of rows in a message to the thread, unless a row is longer. V8 puts strings of more than 128 KiB into a space that only full
 * collections free.
 */
const MESSAGE_BYTES = 32 * 1024;

/** Initial size of the buffer of a file, which suffices for a small export: see PlainFile. */
const INITIAL_BYTES = 256 * 1024;

/** Memory that the thread takes: its code and heap, a row group as objects, and encoded pages (decision 14). */
export const THREAD_BYTES = 64 * 1024 * 1024;

/** Limits the heap of the thread, beyond which it ends with an error instead of the server. */
const LIMITS = { maxOldGenerationSizeMb: 256 };

/**
 * Limits the young generation of threads that start later to 12 MB. Those that run keep theirs, as the main thread its 33 MB
 * (package.json), which a thread would otherwise have too: the flag of the process overrides resourceLimits.
 */
const THREAD_FLAGS = '--max-semi-space-size=6';

const LF = 0x0a;

/**
 * Builds Parquet files in a thread of its own, which encodes rows while PostgreSQL sends the next ones. At most one message is in
 * flight, so that the thread holds no more rows than that and its row group.
 */
export class ParquetFile implements FileBuilder {
  readonly #worker: Worker;
  readonly #maxBytes: number;
  /** Why the thread ended; null while it runs. */
  #failure: Error | null = null;
  #message: Buffer<ArrayBuffer> = Buffer.alloc(0);
  #messageUsed = 0;
  /** Reply to the message in flight; null if there is none. */
  #reply: PromiseWithResolvers<ParquetReply> | null = null;
  #buffer = Buffer.alloc(0);
  #roundedRows = 0;
  bytes = 0;
  /** Bytes of the rows as PostgreSQL writes them: in all formats the end of a part depends on the rows alone. */
  size = 0;
  rows = 0;

  /** @param maxBytes maximum `size` of a file, and the expected maximum of its bytes */
  constructor(format: ParquetFormat, maxBytes: number) {
    this.#maxBytes = maxBytes;
    setFlagsFromString(THREAD_FLAGS);
    this.#worker = new Worker(new URL('parquet-worker.ts', import.meta.url), {
      workerData: format,
      resourceLimits: LIMITS,
      name: 'parquet',
    });
    this.#worker.on('message', (reply: ParquetReply) => this.#reply?.resolve(reply));
    this.#worker.on('error', (error) => this.#fail(error));
    this.#worker.on('exit', () => this.#fail(new Error('The thread of a Parquet file ended early.')));
  }

  #fail(error: unknown): void {
    this.#failure ??=
      error instanceof Error ? error : new Error('The thread of a Parquet file failed.', { cause: error });
    this.#reply?.reject(this.#failure);
  }

  async append(lines: Buffer): Promise<void> {
    if (this.#messageUsed + lines.length > this.#message.length) {
      await this.#send();
      this.#message = Buffer.allocUnsafeSlow(Math.max(MESSAGE_BYTES, lines.length));
    }
    lines.copy(this.#message, this.#messageUsed);
    this.#messageUsed += lines.length;
    this.size += lines.length;
    for (let at = lines.indexOf(LF); at >= 0; at = lines.indexOf(LF, at + 1)) this.rows += 1;
  }

  /** Sends the rows of the message, after the reply to the one in flight. */
  async #send(): Promise<void> {
    await this.#receive();
    if (this.#messageUsed === 0) return;
    this.#post({ lines: this.#message.subarray(0, this.#messageUsed) });
    this.#message = Buffer.alloc(0);
    this.#messageUsed = 0;
  }

  #post(request: ParquetRequest): void {
    if (this.#failure) throw this.#failure;
    this.#reply = Promise.withResolvers();
    // Handled here too, because it may be rejected before append() or finish() awaits it.
    this.#reply.promise.catch(() => undefined);
    this.#worker.postMessage(request, request.lines ? [request.lines.buffer] : []);
  }

  /** Waits for the reply to the message in flight, and adds its pieces to the file. */
  async #receive(): Promise<void> {
    const reply = await this.#reply?.promise;
    this.#reply = null;
    if (!reply) return;
    if ('tooLarge' in reply) throw new ValueTooLargeError(reply.tooLarge);
    for (const piece of reply.pieces) {
      this.#makeRoom(piece.length);
      this.#buffer.set(piece, this.bytes);
      this.bytes += piece.length;
      // Frees the memory immediately: see release() of src/db/copy-out.ts.
      piece.buffer.transfer(0);
    }
    this.#roundedRows = reply.roundedRows;
  }

  #makeRoom(length: number): void {
    const needed = this.bytes + length;
    if (needed <= this.#buffer.length) return;
    // Untouched memory is not resident, so the largest expected size costs no more than what is written.
    const size = needed <= INITIAL_BYTES ? INITIAL_BYTES : needed <= this.#maxBytes ? this.#maxBytes : needed * 1.5;
    const larger = Buffer.allocUnsafeSlow(Math.ceil(size));
    this.#buffer.copy(larger, 0, 0, this.bytes);
    this.#buffer = larger;
  }

  async finish(): Promise<BuiltFile> {
    await this.#send();
    await this.#receive();
    this.#post({ lines: null });
    await this.#receive();
    const file = { body: this.#buffer.subarray(0, this.bytes), rows: this.rows, roundedRows: this.#roundedRows };
    this.bytes = 0;
    this.size = 0;
    this.rows = 0;
    return file;
  }

  /** Ends the thread, also while it encodes. */
  async close(): Promise<void> {
    this.#buffer = Buffer.alloc(0);
    await this.#worker.terminate();
  }
}
