import type { Db } from '../../db/client.ts';
import type { IssueCollector } from '../../errors/errors.ts';
import { type EncodedBatch, countBytes } from '../pipeline/encode-batch.ts';
import type { RequestBuffer } from '../pipeline/intake-buffer.ts';
import { clearStaged, stageBatch, type StagedRequest } from './staging-table.ts';

/** Where batches come from. */
export interface BatchSource {
  /** Whether what was taken may be held in memory, and need not be staged. */
  readonly canBuffer: boolean;
  /** What was read since the last time; null where there is nothing. */
  take(): EncodedBatch | null;
}

/** Holds batches while it may; enabled them one at a time from there on, and lets the next be read meanwhile. */
export const createSpillWriter = (
  db: Db,
  request: StagedRequest,
  intake: BatchSource,
  issues: IssueCollector,
  enabled: boolean,
  buffer: RequestBuffer,
) => {
  let staged = 0;
  let writing: Promise<void> = Promise.resolve();
  let writtenBytes = 0;
  const write = async (batch: EncodedBatch): Promise<void> => {
    await writing;
    writtenBytes = countBytes(batch);
    writing = stageBatch(db, request, staged, batch);
    // Whoever waits for it next hears of a failure.
    writing.catch(() => undefined);
    staged += 1;
  };
  return {
    /** How many batches are staged. */
    get staged() {
      return staged;
    },
    stage: async (): Promise<void> => {
      const batch = intake.take();
      // Of what breaks a rule nothing will be written: the rest is read for its issues alone.
      if (!batch || !enabled || issues.count > 0) return;
      if (intake.canBuffer && staged === 0 && buffer.tryBuffer(batch)) return;
      for (const earlier of buffer.release()) await write(earlier);
      await write(batch);
    },
    /** Of the batch that was written last, or is being written. */
    get writtenBytes() {
      return writtenBytes;
    },
    flush: () => writing,
    close: async (): Promise<void> => {
      buffer.release();
      await writing.catch(() => undefined);
      if (staged > 0) await clearStaged(db, request);
    },
  };
};
