import type { Duplex } from 'node:stream';
import type pg from 'pg';

// Messages of PostgreSQL: a letter, then their length in four bytes, which counts itself.
const HEADER = 5;
const COPY_DATA = 0x64; // d, one for each row
const COPY_DONE = 0x63; // c
/** What else may come before the rows have ended: CopyOutResponse, NoticeResponse, ParameterStatus, NotificationResponse. */
const SKIPPED: ReadonlySet<number> = new Set([...'HNSA'].map((letter) => letter.charCodeAt(0)));

/**
 * A statement for `client.query` whose first part is COPY ... TO STDOUT: `rows()` are the bytes that Postgres writes, cut
 * anywhere, without the frame that it sends around each row. The frames are taken out where the bytes lie: no object is
 * made for a row. What is not read stays at the other side: Postgres waits.
 * Whatever follows the rows (an error among it) is pg's own again, so the connection serves others afterwards.
 */
export class CopyOut implements pg.Submittable {
  /** As other statements of pg have it: whoever listens to what is sent reads it here. */
  readonly text: string;
  #stream: Duplex | null = null;
  #frames: Frames = new Frames();
  /** pg's own reader of the connection, as long as the rows take its place. */
  #reader: ((bytes: Buffer) => void) | null = null;
  #failure: Error | null = null;
  #isDone = false;
  #wake: () => void = () => undefined;
  readonly #onReadable = (): void => this.#wake();

  constructor(text: string) {
    this.text = text;
  }

  submit(connection: pg.Connection): void {
    const { stream } = connection;
    const [reader, ...others] = stream.listeners('data') as ((bytes: Buffer) => void)[];
    if (!reader || others.length > 0) throw new Error('The connection has not one reader, as pg gives it.');
    this.#stream = stream;
    this.#reader = reader;
    stream.off('data', reader);
    stream.pause();
    stream.on('readable', this.#onReadable);
    connection.query(this.text);
    this.#wake();
  }

  /**
   * Once. Each piece is valid until the next is asked for. Ends when the whole statement has ended well; throws where it,
   * or the connection, did not.
   */
  async *rows(): AsyncGenerator<Buffer, void> {
    while (!this.#isDone) {
      if (this.#failure) throw this.#failure;
      const bytes = this.#reader ? (this.#stream?.read() as Buffer | null | undefined) : null;
      if (!bytes) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        continue;
      }
      const { rows, rest } = this.#frames.takeOut(bytes);
      if (rest) this.#giveBack(rest);
      if (rows.length > 0) yield rows;
      if (!rest) release(bytes);
    }
  }

  #giveBack(rest: Buffer): void {
    const stream = this.#stream;
    const reader = this.#reader;
    if (!stream || !reader) throw new Error('The statement was not submitted.');
    this.#reader = null;
    stream.off('readable', this.#onReadable);
    stream.on('data', reader);
    reader(rest);
    // A stream that somebody read by hand goes on by itself only where it is told to, once its listeners are settled.
    process.nextTick(() => stream.resume());
  }

  // What pg tells of the statement under way.
  handleError(error: Error): void {
    this.#failure = error;
    this.#wake();
  }

  handleReadyForQuery(): void {
    this.#isDone = this.#failure === null;
    this.#wake();
  }

  // Told for each statement of the text; there is nothing to be done for them.
  handleCommandComplete(): void {}
}

/**
 * Gives memory back at once that a read of the socket was given. It lies outside of the heap, which tells the collector
 * little of it: tens of megabytes waited for a collection that the few objects around them did not ask for.
 */
const release = ({ buffer, byteLength }: Buffer): void => {
  // Small ones are parts of a memory that others use too.
  if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) buffer.transfer(0);
};

interface Taken {
  readonly rows: Buffer;
  /** From the first message on that is pg's; null while rows may follow. */
  readonly rest: Buffer | null;
}

/** Messages as they come, cut anywhere. */
class Frames {
  /** Of the header under way, what an earlier piece ended with. */
  #header = Buffer.alloc(0);
  #isRow = false;
  /** Bytes that the message under way still has. */
  #left = 0;

  /** Moves the rows together within `bytes`, whose end is of no use afterwards. */
  takeOut(bytes: Buffer): Taken {
    let from = 0;
    let to = 0;
    for (;;) {
      const length = Math.min(this.#left, bytes.length - from);
      if (this.#isRow) {
        if (to !== from) bytes.copyWithin(to, from, from + length);
        to += length;
      }
      this.#left -= length;
      from += length;
      if (from === bytes.length) break;

      const earlier = this.#header.length;
      const header =
        earlier === 0 ? bytes : Buffer.concat([this.#header, bytes.subarray(from, from + HEADER - earlier)]);
      const at = earlier === 0 ? from : 0;
      if (header.length - at < HEADER) {
        this.#header = Buffer.from(header.subarray(at));
        break;
      }
      const kind = header[at] as number;
      this.#isRow = kind === COPY_DATA;
      if (!this.#isRow && kind !== COPY_DONE && !SKIPPED.has(kind)) {
        const rest = Buffer.concat([this.#header, bytes.subarray(from)]);
        return { rows: bytes.subarray(0, to), rest };
      }
      this.#left = header.readUInt32BE(at + 1) + 1 - HEADER;
      from += HEADER - earlier;
      if (earlier > 0) this.#header = Buffer.alloc(0);
    }
    return { rows: bytes.subarray(0, to), rest: null };
  }
}
