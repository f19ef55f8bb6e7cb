// Pure: which batches of requests that come bit by bit may wait in memory for their end.
import { type EncodedBatch, countBytes } from './encode-batch.ts';

/** Requests tryBuffer batches up to so many bytes together. */
export interface IntakeBuffer {
  /** How many are held now. */
  readonly bytes: number;
  open(): RequestBuffer;
}

/** What one request holds. */
export interface RequestBuffer {
  readonly batches: readonly EncodedBatch[];
  /** False where there is no place for it, and nothing happened. */
  tryBuffer(batch: EncodedBatch): boolean;
  /** Gives back its place, and all that it held. */
  release(): readonly EncodedBatch[];
}

/** No request takes the place of all others. */
const MAX_SHARE_PER_REQUEST = 4;

export const createIntakeBuffer = (maxBytes: number): IntakeBuffer => {
  let bufferedBytes = 0;
  return {
    get bytes() {
      return bufferedBytes;
    },
    open: () => {
      let batches: EncodedBatch[] = [];
      let ownBytes = 0;
      return {
        get batches() {
          return batches;
        },
        tryBuffer: (batch) => {
          const bytes = countBytes(batch);
          if (bufferedBytes + bytes > maxBytes || ownBytes + bytes > maxBytes / MAX_SHARE_PER_REQUEST) return false;
          bufferedBytes += bytes;
          ownBytes += bytes;
          batches.push(batch);
          return true;
        },
        release: () => {
          const released = batches;
          bufferedBytes -= ownBytes;
          ownBytes = 0;
          batches = [];
          return released;
        },
      };
    },
  };
};
