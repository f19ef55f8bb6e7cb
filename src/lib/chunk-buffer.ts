// Pure: bytes that come in pieces.

/** More small pieces than this are merged. */
const MAX_SMALL = 64;
const SMALL_BYTES = 512;

/** ChunkBuffer in their order. Small ones are merged, since the object of a piece of one byte takes 100 times as much. */
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

  /** The bytes as one piece; none are left. */
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
