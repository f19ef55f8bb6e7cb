import type { Db } from '../../db/client.ts';
import type { IssueCollector } from '../../errors/errors.ts';
import type { Collector } from '../pipeline/collectors.ts';
import { countBytes, type EncodedBatch } from '../pipeline/encode-batch.ts';
import type { RequestBuffer } from '../pipeline/intake-buffer.ts';
import type { StagedRequest } from '../pipeline/plan.ts';
import { clearStaged, stageBatch } from './staging-table.ts';

/** Buffers batches in memory, and stages all of them from the first on that has no space. The next is read while one is staged. */
export function createSpillWriter(
  db: Db,
  request: StagedRequest,
  collector: Collector,
  issues: IssueCollector,
  enabled: boolean,
  buffer: RequestBuffer,
) {
  let batches = 0;
  let staging: Promise<void> = Promise.resolve();
  let stagingBytes = 0;
  const stage = async (batch: EncodedBatch): Promise<void> => {
    await staging;
    stagingBytes = countBytes(batch);
    staging = stageBatch(db, request, batches, batch);
    // Awaited, and its error thrown, by the next call.
    staging.catch(() => undefined);
    batches += 1;
  };
  return {
    /** Number of staged batches. */
    get batches() {
      return batches;
    },
    /** Size of the batch that is being staged, or was last. */
    get stagingBytes() {
      return stagingBytes;
    },
    /** Takes a batch from the collector and buffers it, or stages it and all batches that were buffered before. */
    spill: async (): Promise<void> => {
      const batch = collector.take();
      // Nothing is written if there are issues: the rest of the body is read only to report its issues.
      if (!batch || !enabled || issues.count > 0) return;
      if (collector.canBuffer && batches === 0 && buffer.tryBuffer(batch)) return;
      for (const earlier of buffer.release()) await stage(earlier);
      await stage(batch);
    },
    /** Resolves when all batches are staged. */
    flush: (): Promise<void> => staging,
    /** Discards what is buffered and staged. */
    close: async (): Promise<void> => {
      buffer.release();
      await staging.catch(() => undefined);
      if (batches > 0) await clearStaged(db, request);
    },
  };
}
