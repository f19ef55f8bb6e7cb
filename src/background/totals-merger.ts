import type { Db } from '../db/client.ts';
import { repeat, type Stoppable } from '../lib/lifecycle.ts';
import {
  SWEEP_START,
  mergeSlice,
  mergeStreams,
  randomPosition,
  type SweepPosition,
} from '../streams/totals/merge-totals.ts';
import type { MergeCandidates } from '../streams/totals/merge-candidates.ts';

export interface TotalsMergerOptions {
  readonly db: Db;
  readonly everyMs: number;
  readonly leastOperations?: number;
  readonly onError: (error: unknown) => void;
}

/** A reader does not notice fewer. */
export const LEAST_OPERATIONS = 200;

/**
 * Merges the totals of the streams that this process wrote to often: it knows them, so idle streams cost nothing.
 * Streams that many servers wrote to a little each, or that a server wrote to before it ended, are left to the sweep.
 */
export const startTotalsMerger = (
  options: TotalsMergerOptions & { readonly mergeCandidates: MergeCandidates },
): Stoppable => {
  const { db, mergeCandidates, everyMs, leastOperations = LEAST_OPERATIONS, onError } = options;
  return repeat(
    async (signal) => {
      for (const [accountId, streamIds] of mergeCandidates.takeDue()) {
        if (signal.aborted) return;
        try {
          const left = await mergeStreams(db, accountId, streamIds, { leastOperations }, signal);
          for (const streamId of left) mergeCandidates.markDue(accountId, streamId);
        } catch (error) {
          for (const streamId of streamIds) mergeCandidates.markDue(accountId, streamId);
          throw error;
        }
      }
    },
    { everyMs, onError },
  );
};

/**
 * Looks at all streams of all accounts in slices of bounded cost, and merges what no server knows of: operations of older
 * versions, of servers that ended, and of many servers that wrote a little each.
 */
export const startTotalsSweep = ({
  db,
  everyMs,
  leastOperations = LEAST_OPERATIONS,
  onError,
}: TotalsMergerOptions): Stoppable => {
  let position: SweepPosition | null = null;
  return repeat(
    async (signal) => {
      // A worker that is restarted often would otherwise never reach the last accounts.
      position ??= await randomPosition(db);
      const slice = await mergeSlice(db, position, { leastOperations }, signal);
      position = slice.next ?? SWEEP_START;
      // After an upgrade or a restore most streams may need it.
      return slice.merged > slice.lookedAt / 2;
    },
    { everyMs, onError },
  );
};
