import { and, eq, inArray, isNotNull, isNull, lt, sql } from 'drizzle-orm';
import type { Db } from '../db/client.ts';
import { databaseNow } from '../db/database-now.ts';
import type { RunFailure } from '../db/json-columns.ts';
import { sendWakeUps, type Queue } from '../db/queue.ts';
import { runs } from '../db/tables.ts';
import { recordFailure } from '../deliveries/end-deliveries.ts';
import { advanceBackfillOf } from './backfills/advance.ts';
import { wakeJobs } from './lease.ts';
import { notifyRuns } from './run-notifications.ts';
import { MAX_ATTEMPTS, type RunEvent, statusesBefore, statusAfter } from './run-status.ts';
import { nextChange, queueMail, type RunRow } from './runs.ts';

export const WORKER_LOST: RunFailure = {
  code: 'WORKER_LOST',
  message: 'The worker that wrote this export stopped responding.',
  retryable: true,
};

/**
 * Requeues runs whose lease has expired, and clears the lease of those that were canceled. Returns the number of both, and the runs
 * that FAILED because no attempt was left.
 */
export function reapLostRuns(db: Db, queue: Queue): Promise<{ lost: number; failed: readonly RunRow[] }> {
  return db.transaction(async (tx) => {
    const failed: RunRow[] = [];
    const lost = await tx
      .select()
      .from(runs)
      .where(and(isNotNull(runs.leaseToken), lt(runs.leaseUntil, sql`clock_timestamp()`)))
      .limit(100)
      .for('update', { skipLocked: true });
    for (const run of lost) {
      const release = { leaseToken: null, leaseUntil: null };
      if (!statusesBefore('RETRY').includes(run.status)) {
        await tx.update(runs).set(release).where(eq(runs.id, run.id));
      } else {
        const event: RunEvent = run.attempt < MAX_ATTEMPTS ? 'RETRY' : 'FAIL';
        const [changed] = await tx
          .update(runs)
          .set({
            ...release,
            status: statusAfter(event),
            finishedAt: event === 'FAIL' ? await databaseNow(tx) : null,
            error: WORKER_LOST,
            change: nextChange,
          })
          .where(eq(runs.id, run.id))
          .returning();
        if (changed) {
          if (event === 'FAIL') {
            failed.push(changed);
            await queueMail(tx, queue, changed);
            await recordFailure(tx, changed);
            await advanceBackfillOf(tx, queue, changed);
          }
          await notifyRuns(tx, [changed]);
        }
      }
    }
    await wakeJobs(
      tx,
      queue,
      lost.map((run) => run.jobId),
    );
    return { lost: lost.length, failed };
  });
}

/**
 * Sends a wake-up for each job whose next run has waited longer than `olderThanMs` although no other run of the job is leased: the
 * queue may have lost its message. Superfluous messages are harmless. Returns the number of jobs.
 */
export function resendWakeUps(db: Db, queue: Queue, olderThanMs: number): Promise<number> {
  return db.transaction(async (tx) => {
    const staleSince = sql`clock_timestamp() - ${olderThanMs} * interval '1 millisecond'`;
    const stale = await tx
      .selectDistinct({ jobId: runs.jobId })
      .from(runs)
      .where(
        and(
          inArray(runs.status, statusesBefore('START')),
          isNull(runs.leaseToken),
          sql`greatest(${runs.createdAt}, ${runs.notBefore}) < ${staleSince}`,
          sql`NOT EXISTS (SELECT 1 FROM runs h WHERE h.job_id = ${runs.jobId} AND h.lease_token IS NOT NULL)`,
        ),
      )
      .limit(500);
    await sendWakeUps(queue, tx, stale);
    return stale.length;
  });
}
