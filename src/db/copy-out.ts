import type { Duplex } from 'node:stream';
import type pg from 'pg';

// A message of PostgreSQL's protocol begins with a letter and its length in four bytes, which includes those four.
const HEADER = 5;
const COPY_DATA = 0x64; // d, one message for each row
const COPY_DONE = 0x63; // c
/** Other messages before the end of the rows: CopyOutResponse, NoticeResponse, ParameterStatus, NotificationResponse. */
const SKIPPED: ReadonlySet<number> = new Set([...'HNSA'].map((letter) => letter.charCodeAt(0)));

/**
 * A statement for `client.query` that begins with COPY ... TO STDOUT. `rows()` returns the bytes that PostgreSQL writes, cut
 * anywhere, without the header of each row's message. The headers are removed in place, without an object for each row. Backpressure:
 * PostgreSQL waits until its rows are read. pg reads all messages after the rows, errors included, so that the connection can be
 * reused.
 */
export class CopyOut implements pg.Submittable {
  /** SQL of the statement, in the property that listeners of pg's queries read. */
  readonly text: string;
  #stream: Duplex | null = null;
  #frames: Frames = new Frames();
  /** pg's listener of the socket, while this class reads the socket instead; null before and after. */
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
    if (!reader || others.length > 0) throw new Error('The socket must have one `data` listener, the one of pg.');
    this.#stream = stream;
    this.#reader = reader;
    stream.off('data', reader);
    stream.pause();
    stream.on('readable', this.#onReadable);
    connection.query(this.text);
    this.#wake();
  }

  /**
   * Yields the rows. Call it once. Each chunk is valid until the next one is requested. Ends when the whole statement has
   * succeeded; throws if the statement or the connection fails.
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
      const { rows, rest } = this.#frames.extractRows(bytes);
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
    // After manual reads a stream resumes only if it is asked to, after the changes of its listeners have taken effect.
    process.nextTick(() => stream.resume());
  }

  // pg calls the methods below.
  handleError(error: Error): void {
    this.#failure = error;
    this.#wake();
  }

  handleReadyForQuery(): void {
    this.#isDone = this.#failure === null;
    this.#wake();
  }

  /** pg requires this method. It is called once for each statement of the text. */
  handleCommandComplete(): void {}
}

/**
 * Frees the memory of a chunk immediately. It is outside of V8's heap, and the few small objects that refer to it do not cause a
 * garbage collection: tens of megabytes were not freed for a long time.
 */
function release({ buffer, byteLength }: Buffer): void {
  // Small buffers share an ArrayBuffer of Node's pool with others.
  if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) buffer.transfer(0);
}

/** Extracts rows from chunks of messages, which are cut anywhere. */
class Frames {
  /** The bytes of an incomplete header at the end of the previous chunk. */
  #header = Buffer.alloc(0);
  #isRow = false;
  /** Bytes of the current message that have not arrived. */
  #left = 0;

  /**
   * Moves the rows to the start of `bytes` and returns them. The bytes after them are invalid afterwards. `rest` is the first
   * message that is pg's and everything after it; null while rows may follow.
   */
  extractRows(bytes: Buffer): { readonly rows: Buffer; readonly rest: Buffer | null } {
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
