// Pure: the encoding of an input.
import { CommandError } from '../command-error.ts';

type Location = Pick<InputError, 'line' | 'cell' | 'location'>;

/** An error in the input, or in one of its rows. */
export class InputError extends CommandError {
  /** The line in which the row begins, counted from 1; null for an error of the whole input. */
  readonly line: number | null;
  /** The index of the cell. */
  readonly cell: number | null;
  /** The column, and the content of its cell. */
  readonly location: string | null;

  constructor(message: string, { line = null, cell = null, location = null }: Partial<Location> = {}) {
    super(message);
    this.line = line;
    this.cell = cell;
    this.location = location;
  }
}

export interface InputWithHead {
  readonly head: Buffer;
  /** All chunks, including the head. */
  readonly all: AsyncGenerator<Buffer>;
}

/** Reads chunks until they are enough or more than `maxBytes`, or the input ends. */
export async function withHead(
  chunks: AsyncIterable<Buffer>,
  maxBytes: number,
  isEnough: (head: Buffer) => boolean,
): Promise<InputWithHead> {
  const source = chunks[Symbol.asyncIterator]();
  let head: Buffer = Buffer.alloc(0);
  let isDone = false;
  while (!isDone && head.length < maxBytes && !isEnough(head)) {
    const next = await source.next();
    isDone = next.done === true;
    if (!next.done) head = Buffer.concat([head, next.value]);
  }
  async function* join(): AsyncGenerator<Buffer> {
    try {
      yield head;
      while (!isDone) {
        const next = await source.next();
        if (next.done) return;
        yield next.value;
      }
    } finally {
      await source.return?.();
    }
  }
  return { head, all: join() };
}

const BYTE_ORDER_MARK = Buffer.from('\ufeff');

export interface DecodedInput {
  /** Name of the WHATWG Encoding Standard, in upper case. */
  readonly encoding: string;
  /** UTF-8 without a byte order mark. */
  readonly chunks: AsyncGenerator<Buffer>;
}

/**
 * Decodes an input. If no encoding is given, it is UTF-8 or UTF-16, which is recognized by its byte order mark, or by the zero byte of its first character: neither NDJSON nor CSV in
 * UTF-8 begins with one.
 */
export async function decodeInput(chunks: AsyncIterable<Buffer>, given: string | null): Promise<DecodedInput> {
  const markBytes = BYTE_ORDER_MARK.length;
  const { head, all } = await withHead(chunks, markBytes, ({ length }) => length >= markBytes);
  const encoding = given?.toUpperCase() ?? detectEncoding(head);
  if (encoding !== 'UTF-8') return { encoding, chunks: decodeChunks(all, encoding, given !== null) };
  return { encoding, chunks: skipBytes(all, head.subarray(0, markBytes).equals(BYTE_ORDER_MARK) ? markBytes : 0) };
}

async function* decodeChunks(
  chunks: AsyncIterable<Buffer>,
  encoding: string,
  isGiven: boolean,
): AsyncGenerator<Buffer> {
  const decoder = new TextDecoder(encoding.toLowerCase(), { fatal: true });
  const decode = (chunk?: Buffer): Buffer => {
    try {
      return Buffer.from(decoder.decode(chunk, { stream: chunk !== undefined }));
    } catch {
      throw new InputError(
        isGiven ? `The file is not ${encoding}.` : `The file starts as ${encoding} but contains other bytes.`,
      );
    }
  };
  for await (const chunk of chunks) yield decode(chunk);
  yield decode();
}

export async function* skipBytes(chunks: AsyncIterable<Buffer>, bytes: number): AsyncGenerator<Buffer> {
  let left = bytes;
  for await (const chunk of chunks) {
    if (chunk.length > left) yield chunk.subarray(left);
    left = Math.max(0, left - chunk.length);
  }
}

function detectEncoding([first, second]: Buffer): string {
  if (first === undefined || second === undefined) return 'UTF-8';
  if ((first === 0xff && second === 0xfe) || (first !== 0 && second === 0)) return 'UTF-16LE';
  if ((first === 0xfe && second === 0xff) || (first === 0 && second !== 0)) return 'UTF-16BE';
  return 'UTF-8';
}
