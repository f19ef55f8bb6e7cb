import { and, eq, isNotNull, type SQL, sql } from 'drizzle-orm';
import { randomUUID } from 'node:crypto';
import { tryTakeWatermark, repairLedger } from '../db/as-of.ts';
import { type Db, send, type Transaction } from '../db/client.ts';
import { databaseNow } from '../db/database-now.ts';
import { sqlState } from '../db/failures.ts';
import { runs } from '../db/tables.ts';
import { insertMissingDelivery, takeRevision, takenRevision } from '../deliveries/write-deliveries.ts';
import { manifestNames } from '../jobs/destination.ts';
import { fromNow, fifoOrder, hasTurn, type LeasedRun } from './lease.ts';
import { notifyRuns } from './run-notifications.ts';
import { statusAfter } from './run-status.ts';
import { nextChange, type RunRow } from './runs.ts';

// A worker claims the next run of a job. At most one run of a job, and of a window, is leased at any time. Guarded by
// test/runs/claims.test.ts and take-over.test.ts.

/**
 * Takes an advisory lock on the claims of the job until the transaction ends. Returns whether a run of the job is leased. Without
 * the lock, a claim could see only the later of two runs while the older one was leased, and claim it after the older one was
 * requeued: the retry of the older run would then overwrite newer figures of the same window.
 */
async function lockJobClaims(tx: Transaction, jobId: string): Promise<boolean> {
  const [, leased] = await Promise.all([
    takeAdvisoryLock(tx, jobId),
    tx
      .select({ id: runs.id })
      .from(runs)
      .where(and(eq(runs.jobId, jobId), isNotNull(runs.leaseToken)))
      .limit(1),
  ]);
  return leased.length > 0;
}

/** Takes an advisory lock until the transaction ends. Statements after it see everything that the previous holder committed. */
async function takeAdvisoryLock(tx: Transaction, name: string): Promise<void> {
  await tx.execute(sql`SELECT pg_advisory_xact_lock(hashtextextended(${name}::text, 0))`);
}

/** Locks the window under both names of its manifest, because servers that do not know the current one lock the former. */
async function lockWindow(tx: Transaction, run: RunRow): Promise<void> {
  const { current, former } = manifestNames(run.manifestKey);
  await Promise.all([former, current].map((name) => takeAdvisoryLock(tx, `${run.bucket}/${name}`)));
}

/** Locks and returns the next run of the job. */
async function lockNextRun(tx: Transaction, jobId: string): Promise<RunRow | undefined> {
  const [run] = await tx
    .select()
    .from(runs)
    .where(and(eq(runs.jobId, jobId), hasTurn))
    .orderBy(...fifoOrder)
    .limit(1)
    .for('update');
  return run;
}

/**
 * Condition: no worker writes this window for another job. A job that was just deleted or moved may still write its former
 * destination, and its last object would end up beside the manifest of this run. Claims of one window wait for its lock.
 */
function windowIsFree(run: RunRow): SQL {
  const { current, former } = manifestNames(run.manifestKey);
  return sql`NOT EXISTS (
  SELECT 1 FROM runs other WHERE other.bucket = ${run.bucket} AND other.manifest_key IN (${current}, ${former})
    AND other.job_id <> ${run.jobId} AND other.lease_token IS NOT NULL)`;
}

/** Condition: the run has a revision, or has just taken one. A run without a delivery does not start. */
function hasRevision(run: RunRow): SQL | undefined {
  return run.revision === null ? isNotNull(takenRevision(run)) : undefined;
}

/**
 * The name under which the run starts: the former name of the manifest while a run that started under it may have written it,
 * so that this run moves it (write-export.ts); else the current one. All started runs of a window have the same name.
 */
function manifestKeyAtStart(run: RunRow): SQL<string> {
  const { current, former } = manifestNames(run.manifestKey);
  return sql<string>`CASE WHEN EXISTS (
    SELECT 1 FROM runs other WHERE other.bucket = ${run.bucket} AND other.manifest_key = ${former}
      AND other.started_at IS NOT NULL) THEN ${former} ELSE ${current} END`;
}

/**
 * Returns whether an earlier run, or an earlier attempt of this run, may have written objects of this window. The earlier run
 * may be of another job that had the destination before, even of another account.
 */
async function mayHaveBeenWritten(tx: Transaction, run: RunRow): Promise<boolean> {
  const { current, former } = manifestNames(run.manifestKey);
  // An attempt that was requeued on shutdown is not counted in `attempt`, but it left its rows in run_objects.
  const { rows } = await tx.execute(sql`
    SELECT 1 FROM runs WHERE bucket = ${run.bucket} AND manifest_key IN (${current}, ${former})
      AND id <> ${run.id} AND started_at IS NOT NULL
    UNION ALL SELECT 1 FROM run_objects WHERE run_id = ${run.id} LIMIT 1`);
  return rows.length > 0 || run.attempt > 0;
}

/** Rounded to a second, so that all claims within one second send the same message (singleton key). */
const wholeSecondAfter = (at: Date): Date => new Date(Math.ceil(at.getTime() / 1000) * 1000 + 1000);

/** A run to execute; or the time at which to claim again, if the next run pauses or its window is busy; or null if there is nothing to do. */
export type Claim = { readonly run: LeasedRun } | { readonly pausedUntil: Date } | null;

/**
 * Claims the next run of the job, regardless of the run for which the message was sent. Returns null if there is none (each run that
 * waits for completeness has a wake-up of its own), and if another run of the job is leased: the worker that releases that one
 * wakes the job again.
 */
export async function claimRun(db: Db, jobId: string, leaseMs: number): Promise<Claim> {
  try {
    const taken = await db.transaction(async (tx) => {
      // Pipelined: the statements are sent together, in this order.
      const [isJobLeased, first, now] = await Promise.all([
        lockJobClaims(tx, jobId),
        lockNextRun(tx, jobId),
        databaseNow(tx),
      ]);
      if (isJobLeased || !first) return null;
      if (first.notBefore && first.notBefore > now) return { pausedUntil: first.notBefore, results: null };
      const own = await tryTakeWatermark(tx, first.accountId);
      if (own === null) return { unrepaired: first.accountId, results: null };
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
        .set({
          ...begun,
          status: statusAfter('START'),
          manifestKey: manifestKeyAtStart(first),
          revision: first.revision ?? takenRevision(first),
          leaseUntil: fromNow(leaseMs),
          change: nextChange,
        })
        .where(and(eq(runs.id, first.id), windowIsFree(first), hasRevision(first)))
        .returning({ manifestKey: runs.manifestKey, revision: runs.revision });
      // Pipelined with COMMIT: not awaited inside the transaction. If the window is busy, the UPDATE changes no row, and
      // subscribers are notified of an unchanged run, which is harmless.
      const results = Promise.all([
        lockWindow(tx, first),
        first.revision === null && send(tx.execute(takeRevision(first, windowIsFree(first)))),
        send(starting),
        mayHaveBeenWritten(tx, first),
        notifyRuns(tx, [first]),
      ]);
      results.catch(() => undefined);
      return { now, first, run: { ...first, ...begun, isResumed: first.startedAt !== null }, results };
    });
    if (!taken) return null;
    if ('unrepaired' in taken) {
      // Outside of the transaction, because the repair waits for the claims of other runs of the account.
      await repairLedger(db, taken.unrepaired);
      return await claimRun(db, jobId, leaseMs);
    }
    if (!taken.results) return taken;
    const { now, first, run, results } = taken;
    const [, , [started], rewrites] = await results;
    if (started) return { run: { ...run, ...started, rewrites } };
    // Before the watermark is taken by the next claim: the scans since then must see the delivery.
    if (first.revision === null && (await insertMissingDelivery(db, first, now)))
      return await claimRun(db, jobId, leaseMs);
    return { pausedUntil: wholeSecondAfter(now) };
  } catch (error) {
    // 23505, unique_violation: the index allows one leased run per job, even if a claim bypassed the lock.
    if (sqlState(error) === '23505') return null;
    throw error;
  }
}
