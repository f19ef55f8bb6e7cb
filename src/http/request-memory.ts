// Pure: how much memory the requests of a server may hold together.
import { OverloadedError } from '../errors/errors.ts';

export interface RequestMemory {
  /** Held now by all requests. */
  readonly bytes: number;
  open(): Held;
}

/** The memory that one request, or one part of it, holds. */
export interface Held {
  /** Sets how many bytes it holds. Throws OverloadedError if that is more than before and the budget has no room. */
  resize(bytes: number): void;
  release(): void;
}

const RETRY_AFTER_SECONDS = 1;

export function createRequestMemory(maxBytes: number): RequestMemory {
  let total = 0;
  return {
    get bytes() {
      return total;
    },
    open: () => {
      let own = 0;
      return {
        resize: (bytes) => {
          const grown = bytes - own;
          if (grown > 0 && total + grown > maxBytes) {
            throw new OverloadedError(
              'The server holds as many request bodies as it may. Nothing was stored; send it again in a second.',
              RETRY_AFTER_SECONDS,
            );
          }
          total += grown;
          own = bytes;
        },
        release: () => {
          total -= own;
          own = 0;
        },
      };
    },
  };
}
