import { findState } from '../deliveries/delivery.ts';
import { recordCanceledRestatement, recordInterrupted } from '../deliveries/end-deliveries.ts';
import { loadDeliveries } from '../deliveries/read-deliveries.ts';
import { markDeliveriesOf } from '../deliveries/mark-deliveries.ts';
import { hashOutput } from './export-fingerprint.ts';
import { and, eq, inArray, type SQL } from 'drizzle-orm';
import type { Transaction } from '../db/client.ts';
import { sqlState } from '../db/failures.ts';
import { sendWakeUps, type Queue } from '../db/queue.ts';
import { runs } from '../db/tables.ts';
import { ConflictError, NotFoundError } from '../errors/errors.ts';
import { assertBucketAvailable } from './bucket-ownership.ts';
import { parseDestination } from './destination.ts';
import {
  assertNameAndDestinationFree,
  computeSettleSeconds,
  insertJob,
  type JobRow,
  loadJobs,
  lockJob,
  markJobDeleted,
  storeJob,
} from './jobs.ts';
import { readWarnings, type WarningContext } from './read-warnings.ts';
import { type FindRegionProblem, patchSettings } from './settings-schema.ts';
import type { JobPatch, JobSettings } from './settings.ts';
import { assertNoWarnings } from './warnings.ts';
import type { Clock } from '../lib/clock.ts';
import { isUuid } from '../lib/ids.ts';
import { advanceBackfillOf, cancelBackfillOfJob } from '../runs/backfills/advance.ts';
import { notifyRuns } from '../runs/run-notifications.ts';
import { statusesBefore, statusAfter } from '../runs/run-status.ts';
import { loadRuns, newRun, nextChange, queueMail, queueRun, queueWindow, type RunRow } from '../runs/runs.ts';

export interface JobContext extends Pick<WarningContext, 'db'> {
  readonly queue: Queue;
  readonly clock: Clock;
  readonly findRegionProblem: FindRegionProblem;
}

/**
 * Stores the job with its warnings. An enabled job without a schedule also runs once, immediately. If `strict`, throws
 * ValidationError with an issue for each warning, and stores nothing.
 */
export async function createJob(
  context: JobContext & WarningContext,
  accountId: bigint,
  settings: JobSettings,
  strict: boolean,
): Promise<JobRow> {
  const { db, queue, clock } = context;
  const now = clock.now();
  const warnings = await readWarnings(context, accountId, settings, now);
  if (strict) assertNoWarnings(warnings);
  return db.transaction(async (tx) => {
    const job = await insertJob(tx, accountId, settings, warnings, now);
    if (settings.enabled && settings.cron === null && settings.scheduledTimeInSeconds === null) {
      await queueRun(tx, queue, job, 'IMMEDIATE', now, now);
    }
    return job;
  });
}

export interface JobUpdate {
  readonly patch: JobPatch;
  /** Version that the change is based on; null if any. */
  readonly version: number | null;
  readonly strict: boolean;
}

/**
 * Changes the fields of the patch, and stores the warnings of the resulting settings. Queued runs keep the settings with which they
 * were queued. If `strict`, throws ValidationError with an issue for each warning, and stores nothing.
 */
export async function updateJob(
  context: JobContext & WarningContext,
  accountId: bigint,
  id: string,
  { patch, version, strict }: JobUpdate,
): Promise<JobRow> {
  const { db, queue, clock } = context;
  const now = clock.now();
  for (;;) {
    const [job] = await loadJobs(db, accountId, [id]);
    if (!job) throw new NotFoundError('The job does not exist. Check the id.');
    assertVersion(job, version);
    const settings = patchSettings(job.settings, patch, context);
    // Read before the transaction, because they need a watermark, which may need a repair of the ledger.
    const warnings = await readWarnings(context, accountId, settings, now);
    if (strict) assertNoWarnings(warnings);
    const output = hashOutput(settings);
    if (!job.outputSha256?.equals(output)) await markDeliveriesOf(db, job, output, computeSettleSeconds(settings));
    const change = db.transaction(async (tx) => {
      const locked = await lockJob(tx, accountId, id);
      assertVersion(locked, version);
      if (locked.version !== job.version) return null;
      await assertNameAndDestinationFree(tx, accountId, settings, job.id);
      const updated = await storeJob(tx, locked, settings, warnings, now);
      if (!hashOutput(settings).equals(hashOutput(locked.settings))) {
        await cancelBackfillOfJob(tx, queue, updated, JOB_CHANGED, now);
      }
      return updated;
    });
    const stored = await change.catch((error: unknown) => {
      // 23505: another job took the name or the destination after the check above.
      if (sqlState(error) === '23505')
        throw new ConflictError('Another job has just taken the name or the destination. Choose another name or path.');
      throw error;
    });
    if (stored) return stored;
    // Another update was stored meanwhile. It is patched again.
  }
}

function assertVersion(job: JobRow, version: number | null): void {
  if (version === null || version === job.version) return;
  throw new ConflictError(
    `Version conflict: expected version ${version}, but the current one is ${job.version}. Reload the job and repeat the edit.`,
  );
}

const JOB_CHANGED = {
  code: 'JOB_CHANGED',
  message: 'Canceled: the output of the job was changed. Create another backfill for the new output.',
  retryable: false,
} as const;

const JOB_DELETED = { code: 'JOB_DELETED', message: 'Canceled: the job was deleted.', retryable: false } as const;

/** Deletes the job and cancels its queued and running runs, and its backfill. Their history is kept. */
export async function deleteJob({ db, queue, clock }: JobContext, accountId: bigint, id: string): Promise<void> {
  const now = clock.now();
  await db.transaction(async (tx) => {
    const job = await lockJob(tx, accountId, id);
    await markJobDeleted(tx, job, now);
    await cancelBackfillOfJob(tx, queue, job, JOB_DELETED, now);
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

/** Queues a MANUAL run that delivers a window again. Throws ConflictError if the delivery is RETIRED. */
export async function redeliver({ db, queue, clock }: JobContext, accountId: bigint, id: string): Promise<RunRow> {
  const now = clock.now();
  return db.transaction(async (tx) => {
    const [delivery] = await loadDeliveries(tx, accountId, [id]);
    if (!delivery) throw new NotFoundError('The delivery does not exist. Check the id.');
    const job = await lockJob(tx, accountId, delivery.jobId).catch((error: unknown) => {
      throw error instanceof NotFoundError
        ? retired('its job is deleted', 'Create a job with the same output to deliver the window.')
        : error;
    });
    const state = findState(delivery, hashOutput(job.settings));
    if (state === 'RETIRED') throw retired('the output of its job has changed', 'Run the job for the slot instead.');
    const window = { start: delivery.windowStart, end: delivery.windowEnd };
    if (state === 'MISSING') {
      const { bucket, manifestKey } = newRun(job, 'MANUAL', delivery.slot, window, now);
      if (bucket !== delivery.bucket || manifestKey !== delivery.manifestKey) {
        throw new ConflictError(
          'The window was never delivered, and the destination of its job has changed. Run the job for the slot instead.',
        );
      }
    }
    await assertBucketAvailable(tx, accountId, delivery.bucket);
    return queueWindow(tx, queue, job, 'MANUAL', delivery.slot, window, now);
  });
}

function retired(reason: string, remedy: string): ConflictError {
  return new ConflictError(`The delivery is RETIRED, because ${reason}. ${remedy}`);
}

/** Cancels a run immediately. A worker that writes it stops within two seconds, and the next run of the job waits until then. */
export async function cancelRun({ db, queue, clock }: JobContext, accountId: bigint, id: string): Promise<RunRow> {
  return db.transaction(async (tx) => {
    const now = clock.now();
    const [canceled] = isUuid(id)
      ? await cancelRuns(tx, queue, and(eq(runs.accountId, accountId), eq(runs.id, id)), now)
      : [];
    if (canceled) {
      if (canceled.startedAt !== null) await recordInterrupted(tx, canceled);
      else if (canceled.trigger === 'RESTATEMENT') await recordCanceledRestatement(tx, canceled);
      // A run between two attempts has no worker that would wake the next run of the job.
      await sendWakeUps(queue, tx, [{ jobId: canceled.jobId }]);
      await advanceBackfillOf(tx, queue, canceled);
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
