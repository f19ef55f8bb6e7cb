import { and, eq, isNotNull, type SQL, sql } from 'drizzle-orm';
import { randomUUID } from 'node:crypto';
import { ownWatermark, repairLedger } from '../db/as-of.ts';
import type { Db, Transaction } from '../db/client.ts';
import { databaseNow } from '../db/database-now.ts';
import { sqlState } from '../db/failures.ts';
import { runs } from '../db/tables.ts';
import { inMs, fifoOrder, type LeasedRun, isWaiting } from './lease.ts';
import { notifyRuns } from './run-events.ts';
import { statusAfter } from './run-status.ts';
import { nextChange, type RunRow } from './runs.ts';

// How a worker comes by a run: one at a time of each job, and of each window.

/**
 * Whether a run of the job is held. Claims of one job wait for each other here, so what is not held now stays so until
 * this one is done. Without that a claim saw only the later run while the older was held, and got it where the older
 * went back to its pause in between: its retry would then put its older bytes over newer ones of the same window.
 */
const hasLeasedRun = async (tx: Transaction, jobId: string): Promise<boolean> => {
  const held = tx
    .select({ id: runs.id })
    .from(runs)
    .where(and(eq(runs.jobId, jobId), isNotNull(runs.leaseToken)))
    .limit(1);
  const [, rows] = await Promise.all([lockName(tx, jobId), held]);
  return rows.length > 0;
};

/** What is sent behind it sees what whoever had the lock before has committed. */
const lockName = async (tx: Transaction, name: string): Promise<void> => {
  await tx.execute(sql`SELECT pg_advisory_xact_lock(hashtextextended(${name}::text, 0))`);
};

/** The waiting run of the job whose turn it is, locked. */
const lockNextRun = async (tx: Transaction, jobId: string): Promise<RunRow | undefined> => {
  const [run] = await tx
    .select()
    .from(runs)
    .where(and(eq(runs.jobId, jobId), isWaiting))
    .orderBy(...fifoOrder)
    .limit(1)
    .for('update');
  return run;
};

/**
 * No worker writes this window for another job, which had the place until it was deleted or moved a moment ago: what it
 * puts last would lie beside our manifest. Claims of one window wait for each other by its lock.
 */
const windowIsFree = (run: RunRow): SQL => sql`NOT EXISTS (
  SELECT 1 FROM runs other WHERE other.bucket = ${run.bucket} AND other.manifest_key = ${run.manifestKey}
    AND other.job_id <> ${run.jobId} AND other.lease_token IS NOT NULL)`;

/**
 * Whether an earlier run, or an earlier attempt of this one, may have begun to write this window: also one of another
 * job, which had the place before, and be it another account's.
 */
const mayHaveBeenWritten = async (tx: Transaction, run: RunRow): Promise<boolean> => {
  // An attempt that was handed over is not counted, but has noted what it was about to write.
  const { rows } = await tx.execute(sql`
    SELECT 1 FROM runs WHERE bucket = ${run.bucket} AND manifest_key = ${run.manifestKey}
      AND id <> ${run.id} AND started_at IS NOT NULL
    UNION ALL SELECT 1 FROM run_objects WHERE run_id = ${run.id} LIMIT 1`);
  return rows.length > 0 || run.attempt > 0;
};

/** Whole, so that those who ask within a second make one message for it. */
const wholeSecondAfter = (at: Date): Date => new Date(Math.ceil(at.getTime() / 1000) * 1000 + 1000);

/** A run to execute; or until when the next one pauses between attempts, or waits for its place; or null where nothing is to be done now. */
export type Claim = { readonly run: LeasedRun } | { readonly pausedUntil: Date } | null;

/**
 * Takes the waiting run of the job whose turn it is, whichever the message was sent for. Null where there is none, and where
 * another run of the job is held: whoever lets go of that one wakes the job again.
 */
export const claimRun = async (db: Db, jobId: string, leaseMs: number): Promise<Claim> => {
  try {
    const taken = await db.transaction(async (tx) => {
      // Statements that need not wait for each other's answers leave together, in the order in which they stand.
      const [jobHeld, first, now] = await Promise.all([
        hasLeasedRun(tx, jobId),
        lockNextRun(tx, jobId),
        databaseNow(tx),
      ]);
      if (jobHeld || !first) return null;
      if (first.notBefore && first.notBefore > now) return { pausedUntil: first.notBefore, answers: null };
      const own = await ownWatermark(tx, first.accountId);
      if (own === null) return { unrepaired: first.accountId, answers: null };
      const kept = first.watermarkEpoch === own.epoch ? first.watermark : null;
      const begun = {
        attempt: first.attempt + 1,
        startedAt: first.startedAt ?? now,
        watermark: kept ?? own.snapshot,
        watermarkEpoch: own.epoch,
        watermarkAt: kept === null ? now : first.watermarkAt,
        notBefore: null,
        error: null,
        rowsWritten: 0,
        bytesWritten: 0,
        leaseToken: randomUUID(),
      };
      const starting = tx
        .update(runs)
        .set({ ...begun, status: statusAfter('START'), leaseUntil: inMs(leaseMs), change: nextChange })
        .where(and(eq(runs.id, first.id), windowIsFree(first)))
        .returning({ id: runs.id });
      // So do these, and COMMIT behind them: they are not awaited in here. Where the window is not free, who is told of
      // the run finds what he knows.
      const answers = Promise.all([
        lockName(tx, `${first.bucket}/${first.manifestKey}`),
        starting.execute(),
        mayHaveBeenWritten(tx, first),
        notifyRuns(tx, [first]),
      ]);
      answers.catch(() => undefined);
      return { now, run: { ...first, ...begun }, answers };
    });
    if (!taken) return null;
    if ('unrepaired' in taken) {
      // Not above: it waits for the claims of other runs of the account.
      await repairLedger(db, taken.unrepaired);
      return await claimRun(db, jobId, leaseMs);
    }
    if (!taken.answers) return taken;
    const { now, run, answers } = taken;
    const [, [begun], rewrites] = await answers;
    return begun ? { run: { ...run, rewrites } } : { pausedUntil: wholeSecondAfter(now) };
  } catch (error) {
    // 23505: the unique index of held runs, should anything ever claim past the lock.
    if (sqlState(error) === '23505') return null;
    throw error;
  }
};
