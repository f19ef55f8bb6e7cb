import { type SQL, sql } from 'drizzle-orm';
import type { Transaction } from '../db/client.ts';
import type { runs } from '../db/tables.ts';
import { hashOutput } from '../jobs/export-fingerprint.ts';
import { computeBounds } from './delivery.ts';
import { isOf } from './write-deliveries.ts';

// The statements with which a run ends on the delivery of its window. They are pipelined with the statement that ends the run, and
// change nothing if that one did not set the status. None of them clears a mark: the watermark of the run may not see the correction
// that was found. Only the check of a delivery clears it.

/** The window of a run and what its delivery is found by. */
export type DeliveredRun = Pick<
  typeof runs.$inferSelect,
  | 'id'
  | 'accountId'
  | 'jobId'
  | 'bucket'
  | 'manifestKey'
  | 'trigger'
  | 'settings'
  | 'scheduledFor'
  | 'windowStart'
  | 'windowEnd'
  | 'revision'
  | 'watermark'
  | 'watermarkEpoch'
  | 'watermarkAt'
>;

/** SQL: the run has this status. */
function hasEnded({ id }: Pick<DeliveredRun, 'id'>, status: 'SUCCEEDED' | 'FAILED' | 'CANCELED'): SQL {
  return sql`EXISTS (SELECT 1 FROM runs r WHERE r.id = ${id} AND r.status = ${sql.raw(`'${status}'`)})`;
}

/** SQL: assignments of the state of the ledger that the delivery shows now. */
function setWatermark({ watermark, watermarkEpoch, watermarkAt }: DeliveredRun): SQL {
  return sql`watermark = ${watermark}, watermark_epoch = ${watermarkEpoch},
    watermark_at = ${watermarkAt?.toISOString() ?? null}::timestamptz, stale_since = NULL, failures = 0, checking = NULL`;
}

/** SQL: a check has cleared the mark after the watermark was taken: it has judged operations that the watermark does not see. */
function wasChecked({ watermarkAt }: DeliveredRun): SQL {
  return sql`coalesce(d.checked_at >= ${watermarkAt?.toISOString() ?? null}::timestamptz, false)`;
}

/**
 * Records that the run has SUCCEEDED: its window takes over the buckets of earlier ones, and restatements of the job that failed are
 * tried again, because the cause may have gone. A mark is checked now. If the output of the run differs from the one before, or from
 * that of the job, the scan may have looked for other streams meanwhile, so the delivery is marked.
 */
export async function recordDelivery(tx: Transaction, run: DeliveredRun): Promise<void> {
  const window = { start: run.windowStart, end: run.windowEnd };
  const { wholeUntil, dateStart, dateWholeUntil } = computeBounds(run.settings, window);
  const output = sql`${hashOutput(run.settings)}::bytea`;
  const start = sql`${run.windowStart.toISOString()}::timestamptz`;
  const end = sql`${run.windowEnd.toISOString()}::timestamptz`;
  const isMarked = sql`d.output_sha256 <> ${output} OR j.output_sha256 IS DISTINCT FROM ${output} OR ${wasChecked(run)}`;
  await Promise.all([
    run.revision !== 1 && returnBuckets(tx, run, output),
    // The owed span ends at the start of the first delivered window of the same job and output that ends later.
    tx.execute(sql`
      UPDATE deliveries d SET revision = ${run.revision}, run_id = ${run.id}, ${setWatermark(run)}, output_sha256 = ${output},
        date_start = ${dateStart}::date, slot = ${run.scheduledFor.toISOString()}::timestamptz, delivered_at = clock_timestamp(), complete = r.complete,
        (owed_until, date_owed_until) = (
          SELECT least(${wholeUntil.toISOString()}::timestamptz, min(o.window_start)), least(${dateWholeUntil}::date, min(o.date_start))
          FROM deliveries o
          WHERE d.by_slot AND o.by_slot AND o.job_id = d.job_id AND o.revision > 0 AND o.output_sha256 = ${output} AND o.id <> d.id
            AND (o.window_end > d.window_end OR o.window_end = d.window_end AND o.window_start < d.window_start)),
        (touched_at, check_at) = (
          SELECT CASE WHEN is_marked THEN coalesce(d.touched_at, clock_timestamp()) ELSE d.touched_at END,
            CASE WHEN is_marked OR d.touched_at IS NOT NULL THEN clock_timestamp() END
          FROM (SELECT ${isMarked} AS is_marked) m)
      FROM jobs j, runs r WHERE j.id = d.job_id AND ${isOf(run)} AND r.id = ${run.id} AND r.status = 'SUCCEEDED'`),
    // An owed span ends at most at the end of its window, so windows that end by `start` need not be read.
    tx.execute(sql`
      WITH own AS (SELECT d.id, d.by_slot FROM deliveries d WHERE ${isOf(run)} AND d.run_id = ${run.id}),
      earlier AS (
        SELECT d.id FROM own, deliveries d
        WHERE own.by_slot AND d.by_slot AND d.job_id = ${run.jobId} AND d.output_sha256 = ${output} AND d.revision > 0 AND d.id <> own.id
          AND (d.window_end < ${end} OR d.window_end = ${end} AND d.window_start > ${start})
          AND d.window_end > ${start} AND d.owed_until > ${start}),
      failing AS (
        SELECT d.id FROM own, deliveries d
        WHERE d.job_id = ${run.jobId} AND d.failures > 0 AND d.stale_since IS NOT NULL AND d.check_at > clock_timestamp() AND d.id <> own.id)
      UPDATE deliveries d SET
        owed_until = CASE WHEN e.id IS NULL THEN d.owed_until ELSE least(d.owed_until, ${start}) END,
        date_owed_until = CASE WHEN e.id IS NULL THEN d.date_owed_until ELSE least(d.date_owed_until, ${dateStart}::date) END,
        check_at = CASE WHEN f.id IS NULL THEN d.check_at ELSE clock_timestamp() END
      FROM earlier e FULL JOIN failing f ON f.id = e.id
      WHERE d.id = coalesce(e.id, f.id)`),
  ]);
}

/**
 * Returns the buckets of a window that is delivered with another output now to the earlier deliveries of its previous output, and marks
 * these: they had not been responsible for the buckets. Sent before the statement that changes the output.
 */
async function returnBuckets(tx: Transaction, run: DeliveredRun, output: SQL): Promise<void> {
  const nextStart = (column: SQL, whole: SQL): SQL => sql`least(${whole}, (
    SELECT min(${column}) FROM deliveries o
    WHERE o.job_id = e.job_id AND o.by_slot AND o.revision > 0 AND o.output_sha256 = e.output_sha256 AND o.id NOT IN (d.id, e.id)
      AND (o.window_end > e.window_end OR o.window_end = e.window_end AND o.window_start < e.window_start)))`;
  await tx.execute(sql`
    UPDATE deliveries e SET owed_until = ${nextStart(sql`o.window_start`, sql`e.whole_until`)},
      date_owed_until = ${nextStart(sql`o.date_start`, sql`e.date_whole_until`)},
      touched_at = coalesce(e.touched_at, clock_timestamp()), checking = NULL, check_at = clock_timestamp()
    FROM deliveries d
    WHERE ${isOf(run)} AND ${hasEnded(run, 'SUCCEEDED')} AND d.revision > 0 AND d.by_slot AND d.output_sha256 <> ${output}
      AND e.job_id = d.job_id AND e.by_slot AND e.revision > 0 AND e.output_sha256 = d.output_sha256 AND e.id <> d.id
      AND (e.window_end < d.window_end OR e.window_end = d.window_end AND e.window_start > d.window_start)
      AND e.window_end > d.window_start AND e.owed_until = d.window_start`);
}

/** Records that the rows are those of the delivered revision: the run was CANCELED and the revision in the S3 bucket stays. */
export async function recordUnchanged(tx: Transaction, run: DeliveredRun): Promise<void> {
  await tx.execute(sql`
    UPDATE deliveries d SET ${setWatermark(run)},
      touched_at = CASE WHEN ${wasChecked(run)} THEN coalesce(d.touched_at, clock_timestamp()) ELSE d.touched_at END,
      check_at = CASE WHEN d.touched_at IS NOT NULL OR ${wasChecked(run)} THEN clock_timestamp() END
    WHERE ${isOf(run)} AND ${hasEnded(run, 'CANCELED')}`);
}

/**
 * SQL: the revision of the delivery `d` in the S3 bucket may have been overwritten: by a run that did not succeed, or by another job that
 * had the place meanwhile. A run that was skipped has written nothing, nor has a run whose only attempt FAILED before it wrote a manifest
 * or planned an object. An edit of the output cancels runs of a backfill with JOB_CHANGED while they write.
 */
export const IS_OVERWRITTEN = sql`(d.revision > 0 AND (d.last_revision > d.revision AND EXISTS (
  SELECT 1 FROM runs r WHERE r.bucket = d.bucket AND r.manifest_key IN (d.manifest_key, regexp_replace(d.manifest_key, '/_([^/]*)$', '/\\1'))
    AND r.job_id = d.job_id AND r.revision > d.revision AND (
      r.status = 'CANCELED' AND NOT coalesce(r.trigger = 'RESTATEMENT' AND r.error ->> 'code' IN ('UNCHANGED', 'JOB_CHANGED')
        OR r.trigger = 'BACKFILL' AND r.error ->> 'code' = 'DELIVERED', false)
      OR r.status = 'FAILED' AND (r.attempt > 1 OR r.error -> 'mayHaveWritten' = 'true'
        OR EXISTS (SELECT 1 FROM run_objects o WHERE o.run_id = r.id))))
  OR EXISTS (
    SELECT 1 FROM deliveries o WHERE o.bucket = d.bucket AND o.manifest_key = d.manifest_key AND o.job_id <> d.job_id
      AND o.last_revision > d.revision)))`;

/**
 * Records that a run that had started FAILED or was CANCELED. If it may have overwritten the delivered revision, the delivery is STALE;
 * after a check it is delivered again, unless a restatement was CANCELED by hand.
 */
export async function recordInterrupted(tx: Transaction, run: DeliveredRun): Promise<void> {
  const isByHand = run.trigger === 'RESTATEMENT';
  await tx.execute(sql`
    UPDATE deliveries d SET stale_since = coalesce(d.stale_since, clock_timestamp())
      ${isByHand ? sql`` : sql`, checking = NULL, touched_at = coalesce(d.touched_at, clock_timestamp()), check_at = clock_timestamp()`}
    WHERE ${isOf(run)} AND ${IS_OVERWRITTEN}`);
}

/**
 * Records that a restatement was CANCELED before it started: its delivery is STALE. The check that queued it has cleared the mark, and a
 * check with the verdict COMPLETE has not compared the rows.
 */
export async function recordCanceledRestatement(tx: Transaction, run: DeliveredRun): Promise<void> {
  await tx.execute(
    sql`UPDATE deliveries d SET stale_since = coalesce(d.stale_since, clock_timestamp()) WHERE ${isOf(run)}`,
  );
}

/** Records in its delivery that a run FAILED. */
export async function recordFailure(tx: Transaction, run: DeliveredRun): Promise<void> {
  await (run.trigger === 'RESTATEMENT' ? recordFailedRestatement(tx, run) : recordInterrupted(tx, run));
}

/** Records that a restatement FAILED: its delivery is STALE, and is checked again after 1, 2, 4 and more hours, at most 24. */
async function recordFailedRestatement(tx: Transaction, run: DeliveredRun): Promise<void> {
  await tx.execute(sql`
    UPDATE deliveries d SET stale_since = coalesce(d.stale_since, clock_timestamp()), failures = d.failures + 1, touched_at = coalesce(d.touched_at, clock_timestamp()), checking = NULL,
      check_at = clock_timestamp() + least(24, 2 ^ least(d.failures, 5)) * interval '1 hour'
    WHERE ${isOf(run)} AND ${hasEnded(run, 'FAILED')}`);
}
