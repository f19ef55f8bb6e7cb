import { and, eq, inArray, type SQL } from 'drizzle-orm';
import type { Db, Transaction } from '../db/client.ts';
import { sqlState } from '../db/failures.ts';
import { sendWakeUps, type Queue } from '../db/queue.ts';
import { runs } from '../db/tables.ts';
import { ConflictError, NotFoundError } from '../errors/errors.ts';
import { assertBucketAvailable } from './bucket-ownership.ts';
import { parseDestination } from './destination.ts';
import { assertNameAndDestinationFree, insertJob, type JobRow, lockJob, markJobDeleted, storeJob } from './jobs.ts';
import { type FindRegionProblem, patchSettings } from './settings-schema.ts';
import type { JobPatch, JobSettings } from './settings.ts';
import type { Clock } from '../lib/clock.ts';
import { isUuid } from '../lib/ids.ts';
import { notifyRuns } from '../runs/run-notifications.ts';
import { statusesBefore, statusAfter } from '../runs/run-status.ts';
import { loadRuns, nextChange, queueMail, queueRun, type RunRow } from '../runs/runs.ts';

export interface JobContext {
  readonly db: Db;
  readonly queue: Queue;
  readonly clock: Clock;
  readonly findRegionProblem: FindRegionProblem;
}

/** Stores the job. An enabled job without a schedule also runs once, immediately. */
export async function createJob(
  { db, queue, clock }: JobContext,
  accountId: bigint,
  settings: JobSettings,
): Promise<JobRow> {
  const now = clock.now();
  return db.transaction(async (tx) => {
    const job = await insertJob(tx, accountId, settings, now);
    if (settings.enabled && settings.cron === null && settings.scheduledTimeInSeconds === null) {
      await queueRun(tx, queue, job, 'IMMEDIATE', now, now);
    }
    return job;
  });
}

/** Changes the fields of the patch. Queued runs keep the settings with which they were queued. */
export async function updateJob(
  { db, clock, findRegionProblem }: JobContext,
  accountId: bigint,
  id: string,
  version: number | null,
  patch: JobPatch,
): Promise<JobRow> {
  const now = clock.now();
  const change = db.transaction(async (tx) => {
    const job = await lockJob(tx, accountId, id);
    if (version !== null && version !== job.version) {
      throw new ConflictError(
        `Version conflict: expected version ${version}, but the current one is ${job.version}. Reload the job and repeat the edit.`,
      );
    }
    const settings = patchSettings(job.settings, patch, { clock, findRegionProblem });
    await assertNameAndDestinationFree(tx, accountId, settings, job.id);
    return storeJob(tx, job, settings, now);
  });
  return change.catch((error: unknown) => {
    // 23505: another job took the name or the destination after the check above.
    if (sqlState(error) === '23505')
      throw new ConflictError('Another job has just taken the name or the destination. Choose another name or path.');
    throw error;
  });
}

/** Deletes the job and cancels its queued and running runs. Their history is kept. */
export async function deleteJob({ db, queue, clock }: JobContext, accountId: bigint, id: string): Promise<void> {
  const now = clock.now();
  await db.transaction(async (tx) => {
    const job = await lockJob(tx, accountId, id);
    await markJobDeleted(tx, job, now);
    await cancelRuns(tx, queue, eq(runs.jobId, job.id), now);
  });
}

/** Creates a MANUAL run; its window is computed from `slot`. A disabled job runs as well. */
export async function runJob(
  { db, queue, clock }: JobContext,
  accountId: bigint,
  jobId: string,
  slot: Date,
): Promise<RunRow> {
  const now = clock.now();
  return db.transaction(async (tx) => {
    const job = await lockJob(tx, accountId, jobId);
    await assertBucketAvailable(tx, accountId, parseDestination(job.settings).bucket);
    return queueRun(tx, queue, job, 'MANUAL', slot, now);
  });
}

/** Cancels a run immediately. A worker that writes it stops within two seconds, and the next run of the job waits until then. */
export async function cancelRun({ db, queue, clock }: JobContext, accountId: bigint, id: string): Promise<RunRow> {
  return db.transaction(async (tx) => {
    const now = clock.now();
    const [canceled] = isUuid(id)
      ? await cancelRuns(tx, queue, and(eq(runs.accountId, accountId), eq(runs.id, id)), now)
      : [];
    if (canceled) {
      // A run between two attempts has no worker that would wake the next run of the job.
      await sendWakeUps(queue, tx, [{ jobId: canceled.jobId }]);
      return canceled;
    }
    const [run] = await loadRuns(tx, accountId, [id]);
    if (!run) throw new NotFoundError('The run does not exist. Check the id.');
    throw new ConflictError(`The run has already ended with the status ${run.status}.`);
  });
}

async function cancelRuns(tx: Transaction, queue: Queue, which: SQL | undefined, now: Date): Promise<RunRow[]> {
  const canceled = await tx
    .update(runs)
    .set({ status: statusAfter('CANCEL'), finishedAt: now, change: nextChange })
    .where(and(which, inArray(runs.status, statusesBefore('CANCEL'))))
    .returning();
  for (const run of canceled) await queueMail(tx, queue, run);
  await notifyRuns(tx, canceled);
  return canceled;
}
