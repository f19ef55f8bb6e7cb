// Pure: what a file begins with, its encoding first.

type ProblemPlace = Pick<InputProblem, 'line' | 'cell' | 'place'>;

/** What is wrong with a file or with one of its rows, for the user whose file it is. */
export class InputProblem extends Error {
  /** The line in which the row begins, counted from 1; null for what concerns the whole file. */
  readonly line: number | null;
  /** The index of the cell. */
  readonly cell: number | null;
  /** The column, and what its cell contains. */
  readonly place: string | null;
  constructor(message: string, { line = null, cell = null, place = null }: Partial<ProblemPlace> = {}) {
    super(message);
    this.line = line;
    this.cell = cell;
    this.place = place;
  }
}

export interface Headed {
  readonly head: Buffer;
  /** Everything, the head too. */
  readonly all: AsyncGenerator<Buffer>;
}

/** Reads pieces until they are enough, or more than `maxBytes`, or there are no more. */
export const withHead = async (
  pieces: AsyncIterable<Buffer>,
  maxBytes: number,
  isEnough: (head: Buffer) => boolean,
): Promise<Headed> => {
  const source = pieces[Symbol.asyncIterator]();
  let head: Buffer = Buffer.alloc(0);
  let isDone = false;
  while (!isDone && head.length < maxBytes && !isEnough(head)) {
    const next = await source.next();
    isDone = next.done === true;
    if (!next.done) head = Buffer.concat([head, next.value]);
  }
  const all = async function* join(): AsyncGenerator<Buffer> {
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
  };
  return { head, all: all() };
};

const UTF8_MARK = Buffer.from('\ufeff');

/**
 * The text as UTF-8 without a byte order mark. UTF-16 is recognized by its mark, or by the zero byte of its first character:
 * no file in UTF-8 that can be read here begins with one.
 */
export const utf8Pieces = async function* transcode(pieces: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const { head, all } = await withHead(pieces, UTF8_MARK.length, (bytes) => bytes.length >= UTF8_MARK.length);
  const encoding = utf16Of(head);
  if (encoding !== null) {
    const decoder = new TextDecoder(encoding, { fatal: true });
    const decode = (piece?: Buffer): Buffer => {
      try {
        return Buffer.from(decoder.decode(piece, { stream: piece !== undefined }));
      } catch {
        throw new InputProblem(`The file begins as ${encoding.toUpperCase()} and contains something else.`);
      }
    };
    for await (const piece of all) yield decode(piece);
    yield decode();
    return;
  }
  let isFirst = head.subarray(0, UTF8_MARK.length).equals(UTF8_MARK);
  for await (const piece of all) {
    yield isFirst ? piece.subarray(UTF8_MARK.length) : piece;
    isFirst = false;
  }
};

const utf16Of = ([first, second]: Buffer): 'utf-16le' | 'utf-16be' | null => {
  if (first === undefined || second === undefined) return null;
  if ((first === 0xff && second === 0xfe) || (first !== 0 && second === 0)) return 'utf-16le';
  if ((first === 0xfe && second === 0xff) || (first === 0 && second !== 0)) return 'utf-16be';
  return null;
};
