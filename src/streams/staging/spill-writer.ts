import type { Db } from '../../db/client.ts';
import type { IssueCollector } from '../../errors/errors.ts';
import { type BatchTexts, bytesOf } from '../pipeline/encode-batch.ts';
import type { Holder } from '../pipeline/intake-buffer.ts';
import { clearStaged, stageBatch, type StagedRequest } from './staging-table.ts';

/** Where batches come from. */
export interface BatchSource {
  /** Whether what was taken may be held in memory, and need not be staged. */
  readonly canBeHeld: boolean;
  /** What was read since the last time; null where there is nothing. */
  take(): BatchTexts | null;
}

/** Holds batches while it may; stages them one at a time from there on, and lets the next be read meanwhile. */
export const createStager = (
  db: Db,
  request: StagedRequest,
  intake: BatchSource,
  issues: IssueCollector,
  stages: boolean,
  holder: Holder,
) => {
  let staged = 0;
  let writing: Promise<void> = Promise.resolve();
  let writtenBytes = 0;
  const write = async (batch: BatchTexts): Promise<void> => {
    await writing;
    writtenBytes = bytesOf(batch);
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
      if (!batch || !stages || issues.count > 0) return;
      if (intake.canBeHeld && staged === 0 && holder.hold(batch)) return;
      for (const earlier of holder.release()) await write(earlier);
      await write(batch);
    },
    /** Of the batch that was written last, or is being written. */
    get writtenBytes() {
      return writtenBytes;
    },
    settle: () => writing,
    close: async (): Promise<void> => {
      holder.release();
      await writing.catch(() => undefined);
      if (staged > 0) await clearStaged(db, request);
    },
  };
};
