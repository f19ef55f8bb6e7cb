import type { Queue } from '../db/queue.ts';
import type { Db } from '../db/client.ts';
import { repeat, type Stoppable } from '../lib/lifecycle.ts';
import { secondsUntilEnd } from '../runs/lease.ts';
import { reapLostRuns, requeueStaleRuns } from '../runs/lost-runs.ts';

export interface ReaperOptions {
  readonly db: Db;
  readonly queue: Queue;
  readonly everyMs: number;
  /** A run FAILED since its last worker went away, so many seconds after it was queued. */
  readonly onFailed: (seconds: number) => void;
  readonly onError: (error: unknown) => void;
}

/** A waiting run that nobody took for so long is sent to the queue again. */
const STALE_AFTER_MS = 30_000;

/** Takes back the runs of workers that died, and wakes those that the queue forgot. */
export const startReaper = ({ db, queue, everyMs, onFailed, onError }: ReaperOptions): Stoppable =>
  repeat(
    async () => {
      const { failed } = await reapLostRuns(db, queue);
      for (const run of failed) onFailed(secondsUntilEnd(run));
      await requeueStaleRuns(db, queue, STALE_AFTER_MS);
    },
    { everyMs, onError },
  );
