// Pure: splits bytes that arrive in chunks into lines of text.
import { isUtf8 } from 'node:buffer';
import { ChunkBuffer } from './chunk-buffer.ts';

/** Reported instead of a line that cannot be read. */
export type LineProblem = 'TOO_LONG' | 'NOT_UTF8';
export type Line = { readonly text: string } | { readonly problem: LineProblem };

/** One line or several, without the end of the last. */
export type Lines = { readonly text: string } | { readonly problem: LineProblem };

export interface LineSplitter {
  /** Bytes of the incomplete last line. */
  readonly heldBytes: number;
  /** Returns the lines that this chunk completes. */
  lines(piece: Buffer): Generator<Lines>;
  /** Returns the text after the last end of a line. */
  rest(): Generator<Lines>;
}

/** Returns the lines one by one. */
export const eachLine = function* (some: Iterable<Lines>): Generator<Line> {
  for (const lines of some) {
    if ('problem' in lines) yield lines;
    else for (const text of lines.text.split('\n')) yield { text };
  }
};

const NEWLINE = 10;

/** Holds at most `maxBytes`. A longer line is dropped up to its end. */
export function createLineSplitter(maxBytes: number): LineSplitter {
  const held = new ChunkBuffer();
  let isTooLong = false;
  const hold = (piece: Buffer): void => {
    isTooLong ||= held.bytes + piece.length > maxBytes;
    if (isTooLong) held.clear();
    else held.push(piece);
  };
  const takeHeld = (): Line => {
    const line: Line = isTooLong ? { problem: 'TOO_LONG' } : decodeLine(held.take(), maxBytes);
    isTooLong = false;
    return line;
  };
  return {
    get heldBytes() {
      return held.bytes;
    },
    *lines(piece) {
      let start = 0;
      if (isTooLong || held.bytes > 0) {
        const end = piece.indexOf(NEWLINE);
        hold(end < 0 ? piece : piece.subarray(0, end));
        if (end < 0) return;
        yield takeHeld();
        start = end + 1;
      }
      const end = piece.lastIndexOf(NEWLINE);
      if (end >= start) yield* splitLines(piece.subarray(start, end), maxBytes);
      const open = piece.subarray(Math.max(start, end + 1));
      if (open.length > 0) hold(open);
    },
    *rest() {
      if (isTooLong || held.bytes > 0) yield takeHeld();
    },
  };
}

/** Decodes the lines as one text, because a Buffer for each line takes twice the time and many times the memory. */
const splitLines = function* (bytes: Buffer, maxBytes: number): Generator<Lines> {
  if (isUtf8(bytes) && bytes.length <= maxBytes) {
    yield { text: bytes.toString('utf8') };
    return;
  }
  let start = 0;
  for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, start)) {
    yield decodeLine(bytes.subarray(start, end), maxBytes);
    start = end + 1;
  }
  yield decodeLine(bytes.subarray(start), maxBytes);
};

function decodeLine(bytes: Buffer, maxBytes: number): Line {
  if (bytes.length > maxBytes) return { problem: 'TOO_LONG' };
  return isUtf8(bytes) ? { text: bytes.toString('utf8') } : { problem: 'NOT_UTF8' };
}
