import type { Tracer } from '@opentelemetry/api';
import type { Queue } from '../db/queue.ts';
import type { Db } from '../db/client.ts';
import { encodeId } from '../db/public-ids.ts';
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

/** Jobs whose slots are queued in one transaction. */
const BATCH = 200;

/** So long a job whose slots could not be planned is left out, so that many of them never fill the batches of the others. */
const LEFT_OUT_MS = 60_000;

/** Asks the database which jobs are due. It only nominates: the database decides who takes which slot. */
export const startScheduler = ({ db, queue, tracer, everyMs, maxCatchUp, onError }: SchedulerOptions): Stoppable => {
  const leftOutUntil = new Map<string, number>();
  const onUnplannable = (jobId: string, cause: unknown): void => {
    leftOutUntil.set(jobId, performance.now() + LEFT_OUT_MS);
    onError(
      new Error(`The slots of the job ${encodeId('Job', jobId)} cannot be planned; they wait until it is edited.`, {
        cause,
      }),
    );
  };
  return repeat(
    () => {
      const now = performance.now();
      for (const [jobId, until] of leftOutUntil) if (until <= now) leftOutUntil.delete(jobId);
      return queueDueSlots(db, queue, {
        batch: BATCH,
        maxCatchUp,
        skip: [...leftOutUntil.keys()],
        onUnplannable,
        onQueued: (queued) => recordQueuedSlots(tracer, queued),
      });
    },
    { everyMs, onError },
  );
};
