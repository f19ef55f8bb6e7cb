import type { Tracer } from '@opentelemetry/api';
import type { Queue } from '../db/queue.ts';
import type { Db } from '../db/client.ts';
import { encodeGlobalId } from '../lib/global-ids.ts';
import { repeat, type Stoppable } from '../lib/lifecycle.ts';
import { queueDueSlots } from '../runs/due-slots.ts';
import { recordQueuedSlots } from '../runs/run-traces.ts';

export interface SchedulerOptions {
  readonly db: Db;
  readonly queue: Queue;
  readonly tracer: Tracer;
  readonly everyMs: number;
  readonly maxCatchUp: number;
  readonly onError: (error: unknown) => void;
}

/** Maximum number of jobs whose slots are queued in one transaction. */
const BATCH = 200;

/** How long a job whose slots could not be planned is left out, so that such jobs do not fill the batches. */
const SKIP_MS = 60_000;

/**
 * Asks the database which jobs are due at each multiple of `everyMs` on its clock. Slots are whole minutes, so with an interval of a
 * second they are queued immediately. Any number of servers may do so: row locks decide which server queues a slot.
 */
export function startScheduler({ db, queue, tracer, everyMs, maxCatchUp, onError }: SchedulerOptions): Stoppable {
  const skippedUntil = new Map<string, number>();
  const onUnplannable = (jobId: string, cause: unknown): void => {
    skippedUntil.set(jobId, performance.now() + SKIP_MS);
    onError(
      new Error(
        `The slots of the job ${encodeGlobalId('Job', jobId)} cannot be planned. They wait until the job is updated.`,
        {
          cause,
        },
      ),
    );
  };
  /** How far the database's clock is ahead of this server's, minus the time of its response. */
  let aheadMs = 0;
  return repeat(
    async () => {
      const begun = performance.now();
      for (const [jobId, until] of skippedUntil) if (until <= begun) skippedUntil.delete(jobId);
      const { more, now } = await queueDueSlots(db, queue, {
        batch: BATCH,
        maxCatchUp,
        skip: [...skippedUntil.keys()],
        onUnplannable,
        onQueued: (queued) => recordQueuedSlots(tracer, queued),
      });
      aheadMs = now.getTime() - Date.now();
      return more;
    },
    { everyMs: () => everyMs - ((Date.now() + aheadMs) % everyMs), onError },
  );
}
