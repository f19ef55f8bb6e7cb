// Pure: lines out of bytes that come in pieces.

const NEWLINE = 10;

export interface LineSplitter {
  /** The lines that are whole with this piece, without their ends; null for one that is too long. */
  lines(piece: Buffer): Generator<Buffer | null>;
  /** What stands behind the last end of a line. */
  rest(): Generator<Buffer | null>;
}

/** Holds no more than one line of the greatest length: of one that is longer only its end is looked for. */
export const createLineSplitter = (maxBytes: number): LineSplitter => {
  let held: Buffer[] = [];
  let heldBytes = 0;
  let isTooLong = false;
  const take = (last: Buffer): Buffer | null => {
    const line =
      isTooLong || heldBytes + last.length > maxBytes
        ? null
        : held.length === 0
          ? last
          : Buffer.concat([...held, last]);
    held = [];
    heldBytes = 0;
    isTooLong = false;
    return line;
  };
  return {
    *lines(piece) {
      let start = 0;
      for (let end = piece.indexOf(NEWLINE); end >= 0; end = piece.indexOf(NEWLINE, start)) {
        yield take(piece.subarray(start, end));
        start = end + 1;
      }
      const open = piece.subarray(start);
      if (open.length === 0) return;
      if (heldBytes + open.length > maxBytes) {
        isTooLong = true;
        held = [];
        heldBytes = 0;
      } else if (!isTooLong) {
        held.push(open);
        heldBytes += open.length;
      }
    },
    *rest() {
      if (isTooLong || heldBytes > 0) yield take(Buffer.alloc(0));
    },
  };
};
