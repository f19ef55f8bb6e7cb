import { and, eq, inArray, isNull, sql } from 'drizzle-orm';
import type { Db, Transaction } from '../../db/client.ts';
import { databaseNow } from '../../db/database-now.ts';
import type { RunFailure } from '../../db/json-columns.ts';
import { sendMails, sendWakeUps, type Queue } from '../../db/queue.ts';
import { backfills } from '../../db/delivery-tables.ts';
import { jobs, runs } from '../../db/tables.ts';
import { recordInterrupted } from '../../deliveries/end-deliveries.ts';
import { insertDeliveries } from '../../deliveries/write-deliveries.ts';
import { notifyBackfills, notifyRuns } from '../run-notifications.ts';
import { RUN_STATUSES, isEnded, statusAfter, statusesBefore } from '../run-status.ts';
import { nextChange, type RunRow } from '../runs.ts';
import { findNextWindows } from './next-windows.ts';
import { type BackfillRow, countEndedRuns, isUnended, maxActiveRuns, UNENDED } from './progress.ts';

// The row of a backfill lists its runs that are not counted yet. The transaction that locks it counts those that have
// ended and queues the next windows: the one that ends a run, or else that of the sweep. So a crash neither stops a backfill nor
// counts a run twice.

const ENDED = RUN_STATUSES.filter(isEnded);

/** Start of runs that wait while their backfill is paused. */
const NEVER = new Date('9999-01-01T00:00:00Z');

/**
 * Advances the backfill of a run that has ended, in the same transaction. If that fails or another transaction has locked the
 * backfill, the sweep advances it within a second.
 */
export async function advanceBackfillOf(
  tx: Transaction,
  queue: Queue,
  { accountId, backfillId: id }: Pick<RunRow, 'accountId' | 'backfillId'>,
): Promise<void> {
  if (id === null) return;
  // In a savepoint, so that the run ends in any case.
  await tx.transaction((inner) => advanceBackfill(inner, queue, { accountId, id })).catch(() => undefined);
}

/** Advances backfills whose runs have ended without that, or which can queue a window. Returns whether some have more to do. */
export async function sweepBackfills(db: Db, queue: Queue, onError: (error: unknown) => void): Promise<boolean> {
  const due = await db
    .select({ accountId: backfills.accountId, id: backfills.id })
    .from(backfills)
    .where(
      sql`${backfills.status} IN ('RUNNING', 'PAUSED') AND (
        EXISTS (SELECT 1 FROM runs r WHERE r.id = ANY(${backfills.activeRuns}) AND r.status NOT IN ('QUEUED', 'RUNNING'))
        OR ${backfills.status} = 'RUNNING' AND (cardinality(${backfills.activeRuns}) = 0
          OR NOT ${backfills.newestFirst} AND cardinality(${backfills.activeRuns}) < 2 AND (${backfills.nextSlot} IS NOT NULL OR ${backfills.retrySlot} IS NOT NULL)))`,
    )
    .limit(100);
  let more = false;
  for (const backfill of due) {
    try {
      more = (await db.transaction((tx) => advanceBackfill(tx, queue, backfill))) || more;
    } catch (error) {
      onError(error);
    }
  }
  return more;
}

/**
 * Counts the ended runs of a backfill, and queues runs of its next windows unless it is paused. Returns whether more windows can be
 * skipped immediately. Does nothing if another transaction has locked the backfill or its job.
 */
export async function advanceBackfill(
  tx: Transaction,
  queue: Queue,
  { accountId, id }: Pick<BackfillRow, 'accountId' | 'id'>,
): Promise<boolean> {
  const [[job], [backfill], now] = await Promise.all([
    // First, because an INSERT of a run takes the same lock later, and requests lock the job before the backfill.
    tx
      .select({ settings: jobs.settings })
      .from(jobs)
      .where(sql`${jobs.id} = (SELECT job_id FROM backfills WHERE account_id = ${accountId} AND id = ${id})`)
      .for('key share', { skipLocked: true }),
    tx
      .select()
      .from(backfills)
      .where(and(eq(backfills.accountId, accountId), eq(backfills.id, id), inArray(backfills.status, [...UNENDED])))
      .for('update', { skipLocked: true }),
    databaseNow(tx),
  ]);
  if (!job || !backfill) return false;
  let after = await countEnded(tx, backfill);
  const isPausedNow = after.status === 'PAUSED' && backfill.status === 'RUNNING';
  if (isPausedNow) await holdWaitingRuns(tx, after);
  let isCut = false;
  const wanted = maxActiveRuns(after) - after.activeRuns.length;
  if (after.status === 'RUNNING' && wanted > 0) {
    const next = await findNextWindows(tx, after, { ...job, id: backfill.jobId, accountId }, wanted, now);
    const queued =
      next.runs.length === 0
        ? []
        : await tx
            .insert(runs)
            .values([...next.runs])
            .returning();
    await insertDeliveries(tx, queued, now);
    if (queued.length > 0) await sendWakeUps(queue, tx, [{ jobId: backfill.jobId, isBackground: true }]);
    await notifyRuns(tx, queued);
    isCut = next.isCut;
    after = {
      ...after,
      nextSlot: next.nextSlot,
      retrySlot: next.retrySlot,
      skipped: after.skipped + next.skipped,
      failed: after.failed - next.retried,
      activeRuns: [...after.activeRuns, ...queued.map((run) => run.id)],
    };
    if (after.activeRuns.length === 0 && after.nextSlot === null && after.retrySlot === null) {
      after = { ...after, status: after.failed === 0 ? 'SUCCEEDED' : 'FAILED', finishedAt: now };
    }
  }
  await storeBackfill(tx, after);
  if (isPausedNow || !isUnended(after.status)) await queueBackfillMail(tx, queue, after);
  return isCut;
}

/** Counts the runs of a locked backfill that have ended. */
export async function countEnded(tx: Transaction, backfill: BackfillRow): Promise<BackfillRow> {
  if (backfill.activeRuns.length === 0) return backfill;
  const ended = await tx
    .select()
    .from(runs)
    .where(and(inArray(runs.id, backfill.activeRuns), inArray(runs.status, ENDED)))
    .orderBy(runs.finishedAt, runs.scheduledFor);
  return { ...backfill, ...countEndedRuns(backfill, ended) };
}

/** Stores a locked backfill and notifies subscribers. */
export async function storeBackfill(tx: Transaction, backfill: BackfillRow): Promise<BackfillRow> {
  const [stored] = await tx
    .update(backfills)
    .set({
      status: backfill.status,
      error: backfill.error,
      nextSlot: backfill.nextSlot,
      retrySlot: backfill.retrySlot,
      activeRuns: backfill.activeRuns,
      delivered: backfill.delivered,
      skipped: backfill.skipped,
      failed: backfill.failed,
      failedInRow: backfill.failedInRow,
      rows: backfill.rows,
      bytes: backfill.bytes,
      finishedAt: backfill.finishedAt,
      change: sql`${backfills.change} + 1`,
    })
    .where(and(eq(backfills.accountId, backfill.accountId), eq(backfills.id, backfill.id)))
    .returning();
  if (!stored) throw new Error('The backfill was not stored.');
  await notifyBackfills(tx, [stored]);
  return stored;
}

/** Holds the runs that have not started. */
export async function holdWaitingRuns(tx: Transaction, { activeRuns }: BackfillRow): Promise<void> {
  await setStart(tx, activeRuns, NEVER);
}

/** Lets the held runs of a backfill start. */
export async function releaseHeldRuns(tx: Transaction, queue: Queue, backfill: BackfillRow): Promise<void> {
  await setStart(tx, backfill.activeRuns, null);
  await sendWakeUps(queue, tx, [{ jobId: backfill.jobId }]);
}

async function setStart(tx: Transaction, ids: readonly string[], notBefore: Date | null): Promise<void> {
  if (ids.length === 0) return;
  await tx
    .update(runs)
    .set({ notBefore })
    .where(and(inArray(runs.id, [...ids]), eq(runs.status, 'QUEUED'), isNull(runs.startedAt)));
}

/** Cancels the unended backfill of a job with its runs, if there is one. */
export async function cancelBackfillOfJob(
  tx: Transaction,
  queue: Queue,
  job: { readonly id: string; readonly accountId: bigint },
  failure: RunFailure,
  now: Date,
): Promise<void> {
  const unended = await tx
    .select()
    .from(backfills)
    .where(
      and(eq(backfills.accountId, job.accountId), eq(backfills.jobId, job.id), inArray(backfills.status, [...UNENDED])),
    )
    .for('update');
  for (const backfill of unended) await cancelLocked(tx, queue, backfill, failure, now);
}

/** Cancels a locked backfill with its runs. A worker that writes one of them stops within two seconds. */
export async function cancelLocked(
  tx: Transaction,
  queue: Queue,
  backfill: BackfillRow,
  failure: RunFailure | null,
  now: Date,
): Promise<BackfillRow> {
  const counted = await countEnded(tx, backfill);
  const canceled =
    counted.activeRuns.length === 0
      ? []
      : await tx
          .update(runs)
          .set({ status: statusAfter('CANCEL'), finishedAt: now, error: failure, change: nextChange })
          .where(and(inArray(runs.id, counted.activeRuns), inArray(runs.status, statusesBefore('CANCEL'))))
          .returning();
  for (const run of canceled) if (run.startedAt !== null) await recordInterrupted(tx, run);
  await notifyRuns(tx, canceled);
  // A run between two attempts has no worker that would wake the next run of the job.
  await sendWakeUps(queue, tx, [{ jobId: backfill.jobId }]);
  const stored = await storeBackfill(tx, {
    ...counted,
    status: 'CANCELED',
    error: failure ?? counted.error,
    activeRuns: [],
    finishedAt: now,
  });
  await queueBackfillMail(tx, queue, stored);
  return stored;
}

/** Queues the mail about a backfill that has ended or was paused by failures. The mailer reads whether the job has an email address. */
async function queueBackfillMail(tx: Transaction, queue: Queue, { id, status, error }: BackfillRow): Promise<void> {
  await sendMails(queue, tx, [{ backfillId: id, status, error }]);
}
