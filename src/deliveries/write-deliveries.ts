import { type SQL, sql } from 'drizzle-orm';
import type { Transaction } from '../db/client.ts';
import { deliveries } from '../db/delivery-tables.ts';
import { type runs } from '../db/tables.ts';
import { manifestNames } from '../jobs/destination.ts';
import { hashOutput } from '../jobs/export-fingerprint.ts';
import { newIds } from '../lib/ids.ts';
import { computeBounds } from './delivery.ts';
import { createCursors } from './ledger-cursors.ts';

// The statements with which runs begin on the delivery of their window. Its row is committed before its first run can be claimed.

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
export function takenRevision(run: Pick<NewRun, 'jobId' | 'bucket' | 'manifestKey'>): SQL<number> {
  return sql<number>`(SELECT last_revision FROM deliveries WHERE job_id = ${run.jobId} AND bucket = ${run.bucket}
    AND manifest_key = ${manifestNames(run.manifestKey).current})`;
}
