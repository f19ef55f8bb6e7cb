// Splits a stream of rows into complete files of bounded size, in constant memory.
import type { BuiltFile, FileBuilder } from './text-file.ts';

export interface PartOptions {
  /** Opens the builder of the files. It is closed when the last part was consumed, and when its consumer stops. */
  readonly openFile: () => FileBuilder;
  /** Whether each LF becomes CRLF. */
  readonly crlf?: boolean;
  /** Maximum size of a part before compression, in bytes. A larger row is a part of its own. */
  readonly maxBytes: number;
  /** Called when rows are added to the current part, with its rows and bytes so far. */
  readonly onProgress?: (rows: number, bytes: number) => void;
}

/** One complete file. `body` is valid until the next part is requested: its memory is reused. */
export interface Part extends BuiltFile {
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
  const { maxBytes } = options;
  const file = options.openFile();
  let number = 1;
  try {
    for await (const whole of wholeLines(options.crlf ? withCrlf(chunks) : chunks)) {
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
    await file.close();
  }
}

/** Replaces each LF by CRLF. */
async function* withCrlf(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void> {
  // As latin1, a character for each byte, because a chunk may begin or end within a character of UTF-8.
  for await (const chunk of chunks) yield Buffer.from(chunk.toString('latin1').replaceAll('\n', '\r\n'), 'latin1');
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
