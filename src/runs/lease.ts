import { and, asc, eq, inArray, notInArray, sql } from 'drizzle-orm';
import type { Db, Transaction } from '../db/client.ts';
import { databaseNow } from '../db/database-now.ts';
import type { RunFailure } from '../db/json-columns.ts';
import { type RunWakeUp, sendWakeUps, type Queue } from '../db/queue.ts';
import { runs } from '../db/tables.ts';
import { notifyRuns } from './run-events.ts';
import { retryDelayMs, statusesBefore, statusAfter } from './run-status.ts';
import { nextChange, queueMail, type RunRow } from './runs.ts';

// A worker holds a run by a lease with a token. All its moments are the database's, so that servers whose clocks
// differ agree on when it ends. Every statement of the worker names the token: one that woke up too late changes nothing.

/** A run in the hands of a worker, as it took it. */
export interface LeasedRun extends Omit<RunRow, 'status' | 'leaseUntil' | 'change'> {
  readonly watermark: string;
  readonly watermarkEpoch: string;
  readonly leaseToken: string;
  /** Whether an earlier run, or attempt, may have begun to write the same window. */
  readonly rewrites: boolean;
}

/** The lease is gone, or the run was canceled: the worker stops, and touches nothing more. */
export class LeaseLostError extends Error {}

export const inMs = (milliseconds: number) => sql`clock_timestamp() + ${milliseconds} * interval '1 millisecond'`;

/**
 * The turns of the waiting runs of one job: one that has begun keeps its turn until it has ended. Its watermark is fixed, so
 * after a run for an older slot and the same window it would put older figures over newer ones. The index runs_waiting
 * has this order.
 */
export const fifoOrder = [sql`(${runs.startedAt} IS NULL)`, asc(runs.scheduledFor), asc(runs.id)];

/**
 * Whether a run waits. Written out: with the status as a parameter no plan that is kept could use the index of waiting
 * runs, so PostgreSQL planned anew for each run.
 */
export const isWaiting = sql`${runs.status} IN (${sql.raw(
  statusesBefore('START')
    .map((status) => `'${status}'`)
    .join(', '),
)})`;

const ownsLease = (run: LeasedRun) => and(eq(runs.id, run.id), eq(runs.leaseToken, run.leaseToken));
const ownsRunningRun = (run: LeasedRun) => and(ownsLease(run), inArray(runs.status, statusesBefore('SUCCEED')));

/** Renews the lease and tells the progress. Throws LeaseLostError where the run is no longer this worker's to write. */
export const renewLease = async (
  db: Db,
  run: LeasedRun,
  leaseMs: number,
  progress: { readonly rows: number; readonly bytes: number },
): Promise<void> =>
  db.transaction(async (tx) => {
    const [renewed] = await tx
      .update(runs)
      .set({
        leaseUntil: inMs(leaseMs),
        rowsWritten: progress.rows,
        bytesWritten: progress.bytes,
        change: nextChange,
      })
      .where(ownsRunningRun(run))
      .returning({ id: runs.id });
    if (!renewed) throw new LeaseLostError();
    await notifyRuns(tx, [run]);
  });

export interface RunTotals {
  readonly rows: number;
  readonly bytes: number;
}

/** How an attempt ended, for its worker. */
export type Outcome =
  | { readonly event: 'SUCCEED'; readonly totals: RunTotals }
  | { readonly event: 'FAIL'; readonly failure: RunFailure };

/** What came of the run by the end of an attempt. */
export type AttemptEnd =
  | { readonly event: 'RETRY' }
  /** `runSeconds`: from when the run was queued, as its row has it. */
  | { readonly event: 'SUCCEED' | 'FAIL'; readonly runSeconds: number };

/**
 * Ends the attempt and lets go of the run: SUCCEEDED, FAILED, or QUEUED again where the failure may pass and attempts are
 * left. What waits behind it in the job is woken. Where the lease was lost or the run canceled meanwhile only the
 * lease is cleared, if it is still this one, and the answer is null.
 */
export const endAttempt = (
  db: Db,
  queue: Queue,
  run: LeasedRun,
  outcome: Outcome,
  random: number,
): Promise<AttemptEnd | null> =>
  db.transaction(async (tx) => {
    const pause = outcome.event === 'FAIL' && outcome.failure.retryable ? retryDelayMs(run.attempt, random) : null;
    const notBefore = pause === null ? null : new Date((await databaseNow(tx)).getTime() + pause);
    const event: AttemptEnd['event'] = pause === null ? outcome.event : 'RETRY';
    const ending = tx
      .update(runs)
      .set({
        status: statusAfter(event),
        finishedAt: event === 'RETRY' ? null : sql`clock_timestamp()`,
        notBefore,
        error: outcome.event === 'FAIL' ? outcome.failure : null,
        ...(outcome.event === 'SUCCEED' && { rowsWritten: outcome.totals.rows, bytesWritten: outcome.totals.bytes }),
        leaseToken: null,
        leaseUntil: null,
        change: nextChange,
      })
      .where(and(ownsLease(run), inArray(runs.status, statusesBefore(event))))
      .returning({ createdAt: runs.createdAt, finishedAt: runs.finishedAt });
    // They leave together. Where nothing changes, who is told finds what he knows.
    const [[changed], next] = await Promise.all([
      ending.execute(),
      nextWakeUps(tx, [run.jobId]),
      notifyRuns(tx, [run]),
    ]);
    if (!changed) await clearLease(tx, run);
    else if (event !== 'RETRY') await queueMail(tx, queue, run);
    await sendWakeUps(queue, tx, next);
    if (!changed) return null;
    return event === 'RETRY' ? { event } : { event, runSeconds: secondsUntilEnd(changed) };
  });

/** How long a run took, from when it was queued until it ended: the waiting and the pauses between its attempts too. */
export const secondsUntilEnd = ({ createdAt, finishedAt }: Pick<RunRow, 'createdAt' | 'finishedAt'>): number =>
  // Who asks for a run may have another clock than the database.
  Math.max(0, ((finishedAt?.getTime() ?? 0) - createdAt.getTime()) / 1000);

/**
 * Puts the run back for another worker: this one is told to stop. That is no failure, so the attempt is given back, and a
 * server that is restarted often never uses up the attempts of a long export.
 */
export const requeueOnShutdown = (db: Db, queue: Queue, run: LeasedRun): Promise<void> =>
  db.transaction(async (tx) => {
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

/**
 * Lets go of a run that was canceled or taken away. One that still runs, because the lease could not be renewed, is left to
 * whoever looks after lost runs: its lease is about to end, and that attempt counts.
 */
export const releaseLease = (db: Db, queue: Queue, run: LeasedRun): Promise<void> =>
  db.transaction(async (tx) => {
    await clearLease(tx, run);
    await wakeJobs(tx, queue, [run.jobId]);
  });

/** Of a run that has ended without its worker. */
const clearLease = async (tx: Transaction, run: LeasedRun): Promise<void> => {
  await tx
    .update(runs)
    .set({ leaseToken: null, leaseUntil: null })
    .where(and(ownsLease(run), notInArray(runs.status, statusesBefore('RETRY'))));
};

/** Sends a message for the waiting run of each job whose turn it is, for when it may start: all at once, see sendWakeUps. */
export const wakeJobs = async (tx: Transaction, queue: Queue, jobIds: readonly string[]): Promise<void> => {
  if (jobIds.length === 0) return;
  await sendWakeUps(queue, tx, await nextWakeUps(tx, jobIds));
};

const nextWakeUps = async (tx: Transaction, jobIds: readonly string[]): Promise<RunWakeUp[]> =>
  tx
    .selectDistinctOn([runs.jobId], { jobId: runs.jobId, startAfter: runs.notBefore })
    .from(runs)
    .where(and(jobIds.length === 1 ? eq(runs.jobId, jobIds[0] ?? '') : inArray(runs.jobId, [...jobIds]), isWaiting))
    .orderBy(runs.jobId, ...fifoOrder);
