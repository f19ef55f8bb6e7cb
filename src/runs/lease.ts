import { and, asc, eq, inArray, notInArray, sql } from 'drizzle-orm';
import { type Db, send, type Transaction } from '../db/client.ts';
import { databaseNow } from '../db/database-now.ts';
import type { RunFailure, StoredChanges } from '../db/json-columns.ts';
import { type RunWakeUp, sendWakeUps, type Queue } from '../db/queue.ts';
import { runs } from '../db/tables.ts';
import { isRepeatedWhenComplete, markIncomplete } from '../deliveries/complete-deliveries.ts';
import { recordDelivery, recordFailure, recordUnchanged } from '../deliveries/end-deliveries.ts';
import { advanceBackfillOf } from './backfills/advance.ts';
import { notifyRuns } from './run-notifications.ts';
import { retryDelayMs, statusesBefore, statusAfter } from './run-status.ts';
import { nextChange, queueMail, type RunRow } from './runs.ts';

// A worker owns a run by a lease with a token (claim.ts). All timestamps are of the database's clock, so that servers whose
// clocks differ agree on when a lease expires. Every statement of a worker names the token: a worker that wakes up too late
// changes nothing.

/** A run as its worker claimed it. */
export interface LeasedRun extends Omit<RunRow, 'status' | 'leaseUntil' | 'change'> {
  readonly watermark: string;
  readonly watermarkEpoch: string;
  readonly leaseToken: string;
  /** Whether an earlier run or attempt may have written objects of the same window. */
  readonly rewrites: boolean;
  /** Whether the run has had an earlier attempt, which may have written its manifest or objects. */
  readonly isResumed: boolean;
}

/** The lease was lost or the run was canceled. The worker stops and writes nothing more. */
export class LeaseLostError extends Error {}

export function fromNow(milliseconds: number) {
  return sql`clock_timestamp() + ${milliseconds} * interval '1 millisecond'`;
}

/**
 * Order in which the waiting runs of a job are claimed: started runs first, then by turn, then by slot. A run that has started has a fixed
 * watermark; if another run wrote the same window before its retry, the retry would overwrite newer figures with older ones.
 * The index runs_waiting has this order.
 */
export const fifoOrder = [sql`(${runs.startedAt} IS NULL)`, asc(runs.turn), asc(runs.scheduledFor), asc(runs.id)];

/**
 * Condition: the run waits for a worker. The statuses are literals, because a generic plan cannot use the partial index
 * runs_waiting with a parameter, and PostgreSQL planned the statement again for each run.
 */
const isWaiting = sql`${runs.status} IN (${sql.raw(
  statusesBefore('START')
    .map((status) => `'${status}'`)
    .join(', '),
)})`;

/**
 * Condition: the run may be the next of its job. A started run keeps its turn during a pause (fifoOrder); one that has not
 * started and must not start yet, because it waits for completeness, lets the others pass. It has a wake-up of its own.
 */
export const hasTurn = sql`${isWaiting} AND (
  ${runs.startedAt} IS NOT NULL OR ${runs.notBefore} IS NULL OR ${runs.notBefore} <= clock_timestamp())`;

const ownsLease = (run: LeasedRun) => and(eq(runs.id, run.id), eq(runs.leaseToken, run.leaseToken));

const ownsRunningRun = (run: LeasedRun) => and(ownsLease(run), inArray(runs.status, statusesBefore('SUCCEED')));

export interface RunTotals {
  readonly rows: number;
  readonly bytes: number;
}

/** Renews the lease and stores the progress. Throws LeaseLostError if the lease was lost or the run canceled. */
export async function renewLease(db: Db, run: LeasedRun, leaseMs: number, progress: RunTotals): Promise<void> {
  return db.transaction(async (tx) => {
    const [renewed] = await tx
      .update(runs)
      .set({
        leaseUntil: fromNow(leaseMs),
        rowsWritten: progress.rows,
        bytesWritten: progress.bytes,
        change: nextChange,
      })
      .where(ownsRunningRun(run))
      .returning({ id: runs.id });
    if (!renewed) throw new LeaseLostError();
    await notifyRuns(tx, [run]);
  });
}

/** Result of an attempt, as the worker reports it. */
export type Outcome =
  | {
      readonly event: 'SUCCEED';
      readonly totals: RunTotals & Partial<Pick<RunRow, 'complete'>>;
      readonly changes?: StoredChanges | null;
    }
  | { readonly event: 'SKIP'; readonly reason: RunFailure; readonly changes?: StoredChanges | null }
  | { readonly event: 'FAIL'; readonly failure: RunFailure };

/** Effect of an attempt on its run. */
export type AttemptEnd =
  | { readonly event: 'RETRY' }
  /** `runSeconds`: time from the creation of the run to its end. */
  | { readonly event: 'SUCCEED' | 'FAIL' | 'SKIP'; readonly runSeconds: number };

/** Why a restatement was CANCELED without writing anything. */
export const UNCHANGED = {
  code: 'UNCHANGED',
  message: 'The rows of the window have not changed since they were delivered. Nothing was written.',
  retryable: false,
} as const satisfies RunFailure;
export const JOB_CHANGED = {
  code: 'JOB_CHANGED',
  message: 'The output of the job was changed before the run started. Nothing was written.',
  retryable: false,
} as const satisfies RunFailure;

/**
 * Ends the attempt and releases the lease. The run becomes SUCCEEDED or FAILED, or CANCELED if there was nothing to write, or QUEUED if
 * the failure is retryable and attempts are left. Wakes the next waiting run of the job. If the lease was lost or the run canceled meanwhile, only clears the lease if this
 * worker still has it, and returns null.
 *
 * @param random from 0 to 1, the jitter of the pause before a retry
 */
export function endAttempt(
  db: Db,
  queue: Queue,
  run: LeasedRun,
  outcome: Outcome,
  warnings: readonly string[],
  random: number,
): Promise<AttemptEnd | null> {
  return db.transaction(async (tx) => {
    const pause = outcome.event === 'FAIL' && outcome.failure.retryable ? retryDelayMs(run.attempt, random) : null;
    const notBefore = pause === null ? null : new Date((await databaseNow(tx)).getTime() + pause);
    const event: AttemptEnd['event'] = pause === null ? outcome.event : 'RETRY';
    const ending = tx
      .update(runs)
      .set({
        status: statusAfter(event),
        finishedAt: event === 'RETRY' ? null : sql`clock_timestamp()`,
        notBefore,
        error: outcome.event === 'FAIL' ? outcome.failure : outcome.event === 'SKIP' ? outcome.reason : null,
        warnings: [...warnings],
        ...(outcome.event === 'SUCCEED' && {
          rowsWritten: outcome.totals.rows,
          bytesWritten: outcome.totals.bytes,
          complete: outcome.totals.complete ?? null,
        }),
        ...(outcome.event !== 'FAIL' && { changes: outcome.changes ?? null }),
        leaseToken: null,
        leaseUntil: null,
        change: nextChange,
      })
      .where(and(ownsLease(run), inArray(runs.status, statusesBefore(event))))
      .returning({ createdAt: runs.createdAt, finishedAt: runs.finishedAt });
    // Pipelined. A NOTIFY without a change is harmless: subscribers read the same row again.
    const [[changed], next] = await Promise.all([
      send(ending),
      nextWakeUps(tx, [run.jobId]),
      notifyRuns(tx, [run]),
      recordEnd(tx, run, event, outcome),
    ]);
    if (!changed) await clearLease(tx, run);
    else if (event !== 'RETRY' && event !== 'SKIP') await queueMail(tx, queue, run);
    await sendWakeUps(queue, tx, next);
    if (changed && event !== 'RETRY') await advanceBackfillOf(tx, queue, run);
    if (!changed) return null;
    return event === 'RETRY' ? { event } : { event, runSeconds: secondsUntilEnd(changed) };
  });
}

/** Records in the delivery how its run ended. */
async function recordEnd(tx: Transaction, run: LeasedRun, event: AttemptEnd['event'], outcome: Outcome): Promise<void> {
  if (outcome.event === 'SUCCEED') {
    await recordDelivery(tx, run);
    if (outcome.totals.complete === false && isRepeatedWhenComplete(run.settings)) await markIncomplete(tx, run);
  }
  if (event === 'FAIL') return recordFailure(tx, run);
  if (outcome.event === 'SKIP' && outcome.reason.code === UNCHANGED.code) return recordUnchanged(tx, run);
}

/** Returns the seconds from the creation of a run to its end, including waiting and the pauses between attempts. */
export function secondsUntilEnd({ createdAt, finishedAt }: Pick<RunRow, 'createdAt' | 'finishedAt'>): number {
  // createdAt may be of a server's clock and finishedAt of the database's.
  return Math.max(0, ((finishedAt?.getTime() ?? 0) - createdAt.getTime()) / 1000);
}

/**
 * Hands the run over to another worker, because this one shuts down. The attempt is not counted: otherwise a server that is
 * restarted often would use up all attempts of a long export.
 */
export function requeueOnShutdown(db: Db, queue: Queue, run: LeasedRun): Promise<void> {
  return db.transaction(async (tx) => {
    const [changed] = await tx
      .update(runs)
      .set({
        status: statusAfter('RETRY'),
        attempt: run.attempt - 1,
        leaseToken: null,
        leaseUntil: null,
        change: nextChange,
      })
      .where(and(ownsLease(run), inArray(runs.status, statusesBefore('RETRY'))))
      .returning({ id: runs.id });
    if (changed) await notifyRuns(tx, [run]);
    else await clearLease(tx, run);
    await wakeJobs(tx, queue, [run.jobId]);
  });
}

/**
 * Releases the lease of a run that was canceled or taken over. If the run is still RUNNING because its lease could not be
 * renewed, leaves it to the reaper: the lease is about to expire, and the attempt counts.
 */
export function releaseLease(db: Db, queue: Queue, run: LeasedRun): Promise<void> {
  return db.transaction(async (tx) => {
    await clearLease(tx, run);
    await wakeJobs(tx, queue, [run.jobId]);
  });
}

/** Clears the lease if this worker still has it, unless the run is RUNNING: then the reaper requeues it. */
async function clearLease(tx: Transaction, run: LeasedRun): Promise<void> {
  await tx
    .update(runs)
    .set({ leaseToken: null, leaseUntil: null })
    .where(and(ownsLease(run), notInArray(runs.status, statusesBefore('RETRY'))));
}

/** Sends one wake-up for the next run of each job, due when that run may start. */
export async function wakeJobs(tx: Transaction, queue: Queue, jobIds: readonly string[]): Promise<void> {
  if (jobIds.length === 0) return;
  await sendWakeUps(queue, tx, await nextWakeUps(tx, jobIds));
}

async function nextWakeUps(tx: Transaction, jobIds: readonly string[]): Promise<RunWakeUp[]> {
  return tx
    .selectDistinctOn([runs.jobId], { jobId: runs.jobId, startAfter: runs.notBefore })
    .from(runs)
    .where(and(jobIds.length === 1 ? eq(runs.jobId, jobIds[0] ?? '') : inArray(runs.jobId, [...jobIds]), hasTurn))
    .orderBy(runs.jobId, ...fifoOrder);
}
