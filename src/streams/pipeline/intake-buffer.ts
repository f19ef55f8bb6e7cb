// Pure: limits the batches of NDJSON requests that wait in memory for the end of their request.
import { countBytes, type EncodedBatch } from './encode-batch.ts';

/** Memory that all requests share. */
export interface IntakeBuffer {
  /** Bytes of all buffered batches. */
  readonly bytes: number;
  open(): RequestBuffer;
}

/** The batches of one request. */
export interface RequestBuffer {
  readonly batches: readonly EncodedBatch[];
  /** Returns false, and does not keep the batch, if there is no space. */
  tryBuffer(batch: EncodedBatch): boolean;
  /** Empties the buffer and returns its batches. */
  release(): readonly EncodedBatch[];
}

/** One request may take a quarter of the memory, so that it does not displace all others. */
const MAX_SHARE_PER_REQUEST = 1 / 4;

export function createIntakeBuffer(maxBytes: number): IntakeBuffer {
  let totalBytes = 0;
  return {
    get bytes() {
      return totalBytes;
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
          if (totalBytes + bytes > maxBytes || ownBytes + bytes > maxBytes * MAX_SHARE_PER_REQUEST) return false;
          totalBytes += bytes;
          ownBytes += bytes;
          batches.push(batch);
          return true;
        },
        release: () => {
          const released = batches;
          totalBytes -= ownBytes;
          ownBytes = 0;
          batches = [];
          return released;
        },
      };
    },
  };
}
