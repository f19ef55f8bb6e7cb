// Pure: a buffer of bytes that arrive in chunks.

/** If there are more chunks than this and they are small, they are merged. */
const MAX_SMALL = 64;
const SMALL_BYTES = 512;

/** Chunks in order of arrival. Small ones are merged, because the Buffer object of one byte takes 100 times as much memory. */
export class ChunkBuffer {
  #pieces: Buffer[] = [];
  #bytes = 0;

  get bytes(): number {
    return this.#bytes;
  }

  get all(): readonly Buffer[] {
    return this.#pieces;
  }

  push(piece: Buffer): void {
    this.#pieces.push(piece);
    this.#bytes += piece.length;
    const count = this.#pieces.length;
    if (count > MAX_SMALL && count * SMALL_BYTES > this.#bytes) this.#pieces = [Buffer.concat(this.#pieces)];
  }

  /** Returns all bytes as one chunk and empties the buffer. */
  take(): Buffer {
    const [first = Buffer.alloc(0)] = this.#pieces;
    const whole = this.#pieces.length <= 1 ? first : Buffer.concat(this.#pieces);
    this.clear();
    return whole;
  }

  clear(): void {
    this.#pieces = [];
    this.#bytes = 0;
  }
}
