import type { Db } from '../db/client.ts';
import { repeat, type Stoppable } from '../lib/lifecycle.ts';
import {
  SWEEP_START,
  mergeSlice,
  mergeStreams,
  pickRandomPosition,
  type SweepPosition,
} from '../streams/totals/merge-totals.ts';
import type { MergeCandidates } from '../streams/totals/merge-candidates.ts';

export interface TotalsMergerOptions {
  readonly db: Db;
  readonly everyMs: number;
  readonly minOperations?: number;
  readonly onError: (error: unknown) => void;
}

/** With fewer unmerged operations, merging does not measurably speed up reads. */
export const MIN_OPERATIONS = 200;

/**
 * Merges the totals of the streams that this process wrote to often. The process knows these streams, so idle streams cost nothing.
 * The sweep merges streams to which many servers wrote a little each, and streams of servers that have ended.
 */
export function startTotalsMerger(
  options: TotalsMergerOptions & { readonly mergeCandidates: MergeCandidates },
): Stoppable {
  const { db, mergeCandidates, everyMs, minOperations = MIN_OPERATIONS, onError } = options;
  return repeat(
    async (signal) => {
      for (const [accountId, streamIds] of mergeCandidates.takeDue()) {
        if (signal.aborted) return;
        try {
          const left = await mergeStreams(db, accountId, streamIds, { minOperations }, signal);
          for (const streamId of left) mergeCandidates.markDue(accountId, streamId);
        } catch (error) {
          for (const streamId of streamIds) mergeCandidates.markDue(accountId, streamId);
          throw error;
        }
      }
    },
    { everyMs, onError },
  );
}

/**
 * Checks all streams of all accounts in slices of bounded cost, and merges totals that no server knows of: operations of older
 * versions, of servers that have ended, and of many servers that wrote a little each.
 */
export function startTotalsSweep({
  db,
  everyMs,
  minOperations = MIN_OPERATIONS,
  onError,
}: TotalsMergerOptions): Stoppable {
  let position: SweepPosition | null = null;
  return repeat(
    async (signal) => {
      // A random start, because a worker that is restarted often would otherwise never reach the last accounts.
      position ??= await pickRandomPosition(db);
      const slice = await mergeSlice(db, position, { minOperations }, signal);
      position = slice.next ?? SWEEP_START;
      // Continue immediately if most streams need it, as after an upgrade or a restore.
      return slice.merged > slice.lookedAt / 2;
    },
    { everyMs, onError },
  );
}
