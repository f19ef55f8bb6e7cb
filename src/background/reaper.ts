import type { Queue } from '../db/queue.ts';
import type { Db } from '../db/client.ts';
import { repeat, type Stoppable } from '../lib/lifecycle.ts';
import { secondsUntilEnd } from '../runs/lease.ts';
import { reapLostRuns, resendWakeUps } from '../runs/lost-runs.ts';

export interface ReaperOptions {
  readonly db: Db;
  readonly queue: Queue;
  readonly everyMs: number;
  /** Called when a run FAILED because its last worker was lost. `seconds`: from its creation to its end. */
  readonly onFailed: (seconds: number) => void;
  readonly onError: (error: unknown) => void;
}

/** A wake-up is sent again for a job whose run has waited for this long without being claimed. */
const STALE_AFTER_MS = 30_000;

/** Requeues the runs of workers that died, and sends wake-ups again that the queue lost. */
export function startReaper({ db, queue, everyMs, onFailed, onError }: ReaperOptions): Stoppable {
  return repeat(
    async () => {
      const { failed } = await reapLostRuns(db, queue);
      for (const run of failed) onFailed(secondsUntilEnd(run));
      await resendWakeUps(db, queue, STALE_AFTER_MS);
    },
    { everyMs, onError },
  );
}
