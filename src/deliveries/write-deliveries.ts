import { type SQL, sql } from 'drizzle-orm';
import type { Executor, Transaction } from '../db/client.ts';
import { deliveries, type runs } from '../db/tables.ts';
import { manifestNames } from '../jobs/destination.ts';
import { hashOutput } from '../jobs/export-fingerprint.ts';
import { newIds } from '../lib/ids.ts';
import { computeBounds } from './delivery.ts';
import { createCursors } from './ledger-cursors.ts';

// The statements that runs make on the delivery of their window. Its row is committed before its first run can be claimed.

type NewRun = typeof runs.$inferInsert;

/** Maximum number of rows in one statement: 16 values each, of at most 65,534. */
const MAX_ROWS = 1000;

/** Inserts the deliveries of new runs, and marks those of existing windows as windows of the schedule. In the transaction of the runs. */
export async function insertDeliveries(tx: Transaction, newRuns: readonly NewRun[], now: Date): Promise<void> {
  const ids = newIds(newRuns.length, now);
  const rows = [...new Map(newRuns.map((run) => [`${run.jobId} ${run.bucket}/${run.manifestKey}`, run])).values()].map(
    (run, index) => buildDelivery(run, ids[index] ?? ''),
  );
  await createCursors(tx, [...new Set(rows.map(({ accountId }) => accountId))]);
  // Sorted: two transactions that insert the same windows in different orders would deadlock.
  rows.sort((a, b) => (`${a.bucket}/${a.manifestKey}` < `${b.bucket}/${b.manifestKey}` ? -1 : 1));
  for (let from = 0; from < rows.length; from += MAX_ROWS) {
    await tx
      .insert(deliveries)
      .values(rows.slice(from, from + MAX_ROWS))
      .onConflictDoUpdate({
        target: [deliveries.bucket, deliveries.manifestKey, deliveries.jobId],
        set: { bySlot: true },
        setWhere: sql`EXCLUDED.by_slot AND NOT ${deliveries.bySlot}`,
      });
  }
}

export function buildDelivery(run: NewRun, id: string): typeof deliveries.$inferInsert {
  const window = { start: run.windowStart, end: run.windowEnd };
  const { wholeUntil, dateStart, dateWholeUntil } = computeBounds(run.settings, window);
  return {
    id,
    accountId: run.accountId,
    jobId: run.jobId,
    bucket: run.bucket,
    manifestKey: manifestNames(run.manifestKey).current,
    slot: run.scheduledFor,
    windowStart: run.windowStart,
    windowEnd: run.windowEnd,
    wholeUntil,
    owedUntil: wholeUntil,
    dateStart,
    dateWholeUntil,
    dateOwedUntil: dateWholeUntil,
    bySlot: run.trigger !== 'MANUAL' && run.trigger !== 'RESTATEMENT',
    outputSha256: hashOutput(run.settings),
  };
}

/** The window of a run and what its delivery is found by. */
export interface DeliveredRun {
  readonly id: string;
  readonly accountId: bigint;
  readonly jobId: string;
  readonly bucket: string;
  readonly manifestKey: string;
  readonly trigger: NewRun['trigger'];
  readonly settings: NewRun['settings'];
  readonly scheduledFor: Date;
  readonly windowStart: Date;
  readonly windowEnd: Date;
  readonly revision: number | null;
  readonly watermark: string | null;
  readonly watermarkEpoch: string | null;
  readonly watermarkAt: Date | null;
}

/**
 * SQL: the delivery of a run takes the next revision, which continues that of other jobs that delivered to the same place. Inserts the
 * delivery if a server of an earlier version queued the run.
 *
 * @param isFree condition under which the run may start
 */
export function takeRevision(run: NewRun, isFree: SQL, id: string): SQL {
  const row = buildDelivery(run, id);
  return sql`
    INSERT INTO deliveries AS d (id, account_id, job_id, bucket, manifest_key, slot, window_start, window_end, whole_until, owed_until,
      date_start, date_whole_until, date_owed_until, by_slot, output_sha256, last_revision)
    SELECT ${row.id}::uuid, ${row.accountId}::bigint, ${row.jobId}::uuid, ${row.bucket}, ${row.manifestKey}, ${row.slot.toISOString()}::timestamptz,
      ${row.windowStart.toISOString()}::timestamptz, ${row.windowEnd.toISOString()}::timestamptz, ${row.wholeUntil.toISOString()}::timestamptz,
      ${row.owedUntil.toISOString()}::timestamptz, ${row.dateStart}::date, ${row.dateWholeUntil}::date, ${row.dateOwedUntil}::date,
      ${row.bySlot}::boolean, ${row.outputSha256}::bytea, ${nextRevision(row)}
    WHERE ${isFree}
    ON CONFLICT (bucket, manifest_key, job_id) DO UPDATE SET last_revision = ${nextRevision(row)}`;
}

function nextRevision({ bucket, manifestKey }: { bucket: string; manifestKey: string }): SQL {
  return sql`(SELECT coalesce(max(last_revision), 0) + 1 FROM deliveries WHERE bucket = ${bucket} AND manifest_key = ${manifestKey})`;
}

/** SQL: the revision that the delivery of a run has given out last. */
export function takenRevision(run: Pick<DeliveredRun, 'jobId' | 'bucket' | 'manifestKey'>): SQL<number> {
  return sql<number>`(SELECT last_revision FROM deliveries WHERE job_id = ${run.jobId} AND bucket = ${run.bucket}
    AND manifest_key = ${manifestNames(run.manifestKey).current})`;
}

/**
 * Records that the run has delivered its window, which takes over the buckets of earlier windows. Sent after the statement that ends
 * the run, in its transaction; changes nothing if that one did not set the status SUCCEEDED.
 */
export async function recordDelivery(tx: Transaction, run: DeliveredRun): Promise<void> {
  const window = { start: run.windowStart, end: run.windowEnd };
  const { wholeUntil, dateStart, dateWholeUntil } = computeBounds(run.settings, window);
  const output = hashOutput(run.settings);
  const key = manifestNames(run.manifestKey).current;
  const [start, end] = [run.windowStart.toISOString(), run.windowEnd.toISOString()];
  // A check that cleared the mark after the watermark was taken has judged operations that the watermark does not see.
  const isCheckedSince = sql`coalesce(d.checked_at >= ${run.watermarkAt?.toISOString() ?? null}::timestamptz, false)`;
  // The owed span ends at the start of the first delivered window of the same job and output that ends later.
  const later = (column: SQL, least: SQL): SQL => sql`least(${least}, (
    SELECT min(${column}) FROM deliveries o
    WHERE d.by_slot AND o.by_slot AND o.job_id = d.job_id AND o.revision > 0 AND o.output_sha256 = ${output}::bytea AND o.id <> d.id
      AND (o.window_end > d.window_end OR o.window_end = d.window_end AND o.window_start < d.window_start)))`;
  await Promise.all([
    tx.execute(sql`
      UPDATE deliveries d SET revision = ${run.revision}, run_id = ${run.id}, watermark = ${run.watermark},
        watermark_epoch = ${run.watermarkEpoch}, checking = NULL, stale_since = NULL, failures = 0,
        touched_at = CASE WHEN ${isCheckedSince} THEN coalesce(d.touched_at, clock_timestamp()) ELSE d.touched_at END,
        check_at = CASE WHEN d.touched_at IS NOT NULL OR ${isCheckedSince} THEN clock_timestamp() END,
        watermark_at = ${run.watermarkAt?.toISOString() ?? null}::timestamptz, output_sha256 = ${output}::bytea,
        slot = ${run.scheduledFor.toISOString()}::timestamptz, delivered_at = clock_timestamp(),
        complete = (SELECT r.complete FROM runs r WHERE r.id = ${run.id}),
        owed_until = ${later(sql`o.window_start`, sql`${wholeUntil.toISOString()}::timestamptz`)},
        date_owed_until = ${later(sql`o.date_start`, sql`${dateWholeUntil}::date`)}
      WHERE d.job_id = ${run.jobId} AND d.bucket = ${run.bucket} AND d.manifest_key = ${key}
        AND EXISTS (SELECT 1 FROM runs r WHERE r.id = ${run.id} AND r.status = 'SUCCEEDED')`),
    tx.execute(sql`
      UPDATE deliveries d SET owed_until = least(d.owed_until, ${start}::timestamptz), date_owed_until = least(d.date_owed_until, ${dateStart}::date)
      FROM deliveries own
      WHERE own.job_id = ${run.jobId} AND own.bucket = ${run.bucket} AND own.manifest_key = ${key} AND own.run_id = ${run.id}
        AND own.by_slot AND d.by_slot
        AND d.job_id = ${run.jobId} AND d.output_sha256 = ${output}::bytea AND d.revision > 0 AND d.id <> own.id
        AND (d.window_end < ${end}::timestamptz OR d.window_end = ${end}::timestamptz AND d.window_start > ${start}::timestamptz)
        AND d.owed_until > ${start}::timestamptz`),
  ]);
}

/** The revision in the S3 bucket that a run replaces. */
export interface Superseded {
  readonly revision: number;
  readonly runId: string;
  readonly watermark: string | null;
  readonly watermarkAt: Date | null;
  readonly objects: readonly { readonly key: string; readonly sha256: string }[];
}

/** Returns the newest revision at the place of the run; null if the window was never delivered. */
export async function findSuperseded(
  db: Executor,
  { bucket, manifestKey }: Pick<DeliveredRun, 'bucket' | 'manifestKey'>,
): Promise<Superseded | null> {
  const { rows } = await db.execute<{
    revision: number;
    run_id: string;
    watermark: string | null;
    watermark_at: string | null;
    objects: { key: string; sha256: string }[] | null;
  }>(sql`
    SELECT d.revision, d.run_id, d.watermark, to_char(d.watermark_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS watermark_at, (
      SELECT json_agg(json_build_object('key', o.key, 'sha256', o.sha256) ORDER BY o.ordinal)
      FROM run_objects o WHERE o.run_id = d.run_id AND o.written_at IS NOT NULL) AS objects
    FROM deliveries d WHERE d.bucket = ${bucket} AND d.manifest_key = ${manifestNames(manifestKey).current} AND d.revision > 0
    ORDER BY d.revision DESC LIMIT 1`);
  const [found] = rows;
  if (!found) return null;
  return {
    revision: found.revision,
    runId: found.run_id,
    watermark: found.watermark,
    watermarkAt: found.watermark_at === null ? null : new Date(found.watermark_at),
    objects: found.objects ?? [],
  };
}
