// Pure: which batches of requests that come bit by bit may wait in memory for their end.
import { type BatchTexts, bytesOf } from './encode-batch.ts';

/** Requests hold batches up to so many bytes together. */
export interface HeldBatches {
  /** How many are held now. */
  readonly bytes: number;
  open(): Holder;
}

/** What one request holds. */
export interface Holder {
  readonly batches: readonly BatchTexts[];
  /** False where there is no place for it, and nothing happened. */
  hold(batch: BatchTexts): boolean;
  /** Gives back its place, and all that it held. */
  release(): readonly BatchTexts[];
}

/** No request takes the place of all others. */
const SHARE_OF_ONE = 4;

export const createHeldBatches = (maxBytes: number): HeldBatches => {
  let heldBytes = 0;
  return {
    get bytes() {
      return heldBytes;
    },
    open: () => {
      let batches: BatchTexts[] = [];
      let ownBytes = 0;
      return {
        get batches() {
          return batches;
        },
        hold: (batch) => {
          const bytes = bytesOf(batch);
          if (heldBytes + bytes > maxBytes || ownBytes + bytes > maxBytes / SHARE_OF_ONE) return false;
          heldBytes += bytes;
          ownBytes += bytes;
          batches.push(batch);
          return true;
        },
        release: () => {
          const released = batches;
          heldBytes -= ownBytes;
          ownBytes = 0;
          batches = [];
          return released;
        },
      };
    },
  };
};
