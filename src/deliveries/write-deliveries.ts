import { type SQL, sql } from 'drizzle-orm';
import { formatArray } from '../db/array-text.ts';
import type { Db, Transaction } from '../db/client.ts';
import type { deliveries } from '../db/delivery-tables.ts';
import { type runs } from '../db/tables.ts';
import { manifestNames } from '../jobs/destination.ts';
import { hashOutput } from '../jobs/export-fingerprint.ts';
import { newIds } from '../lib/ids.ts';
import { computeBounds } from './delivery.ts';
import { createCursors, lowerCursor } from './ledger-cursors.ts';

// The statements with which runs begin on the delivery of their window. Its row is committed before its first run can be claimed.

type NewRun = typeof runs.$inferInsert;
type RunRow = typeof runs.$inferSelect;

/**
 * Inserts the deliveries of new runs, and marks those of existing windows as windows of the schedule. In the transaction of the runs.
 * The ends of an existing delivery grow to those of the new run, whose settings may differ: scans must store corrections of all its buckets
 * before the run takes its watermark. Returns the number of deliveries that did not exist.
 */
export async function insertDeliveries(tx: Transaction, newRuns: readonly NewRun[], now: Date): Promise<number> {
  const ids = newIds(newRuns.length, now);
  const rows = [...new Map(newRuns.map((run) => [`${run.jobId} ${run.bucket}/${run.manifestKey}`, run])).values()].map(
    (run, index) => buildDelivery(run, ids[index] ?? ''),
  );
  if (rows.length === 0) return 0;
  // Sorted: two transactions that insert the same windows in different orders would deadlock.
  rows.sort((a, b) => (`${a.bucket}/${a.manifestKey}` < `${b.bucket}/${b.manifestKey}` ? -1 : 1));
  const columns = COLUMNS.map(([, type, write]) => sql`${formatArray(rows.map(write))}::${sql.raw(type)}[]`);
  // xmax is 0 in rows that this statement has inserted, and the id of this transaction in rows that it has updated.
  const { rows: inserted } = await tx.execute<{ account_id: string; has_cursor: boolean; is_new: boolean }>(sql`
    INSERT INTO deliveries AS d (${COLUMN_NAMES})
    SELECT * FROM unnest(${sql.join(columns, COMMA)})
    ON CONFLICT (bucket, manifest_key, job_id) DO UPDATE SET by_slot = d.by_slot OR EXCLUDED.by_slot,
      whole_until = greatest(d.whole_until, EXCLUDED.whole_until), date_whole_until = greatest(d.date_whole_until, EXCLUDED.date_whole_until)
    WHERE EXCLUDED.by_slot AND NOT d.by_slot OR EXCLUDED.whole_until > d.whole_until
      OR EXCLUDED.date_whole_until > d.date_whole_until
    RETURNING d.account_id, EXISTS (SELECT 1 FROM ledger_cursors c WHERE c.account_id = d.account_id) AS has_cursor,
      d.xmax = 0 AS is_new`);
  const without = inserted.filter((row) => !row.has_cursor).map((row) => row.account_id);
  await createCursors(tx, [...new Set(without)].map(BigInt));
  return inserted.filter((row) => row.is_new).length;
}

type NewDelivery = ReturnType<typeof buildDelivery>;

const COMMA = sql.raw(', ');

/** Name, type and text of each column of a new delivery. One array for each: the statement has the same text for any number of rows. */
const COLUMNS: readonly (readonly [name: string, type: string, write: (row: NewDelivery) => string])[] = [
  ['id', 'uuid', (row) => row.id],
  ['account_id', 'bigint', (row) => String(row.accountId)],
  ['job_id', 'uuid', (row) => row.jobId],
  ['bucket', 'text', (row) => row.bucket],
  ['manifest_key', 'text', (row) => row.manifestKey],
  ['slot', 'timestamptz', (row) => row.slot.toISOString()],
  ['window_start', 'timestamptz', (row) => row.windowStart.toISOString()],
  ['window_end', 'timestamptz', (row) => row.windowEnd.toISOString()],
  ['whole_until', 'timestamptz', (row) => row.wholeUntil.toISOString()],
  ['owed_until', 'timestamptz', (row) => row.owedUntil.toISOString()],
  ['date_start', 'date', (row) => row.dateStart],
  ['date_whole_until', 'date', (row) => row.dateWholeUntil],
  ['date_owed_until', 'date', (row) => row.dateOwedUntil],
  ['by_slot', 'boolean', (row) => String(row.bySlot)],
  ['output_sha256', 'bytea', (row) => `\\x${row.outputSha256.toString('hex')}`],
];

const COLUMN_NAMES = sql.raw(COLUMNS.map(([name]) => name).join(', '));

/**
 * Inserts the delivery of a run that a server of an earlier version has queued, and moves the cursor of the account back if the run has
 * a watermark: scans since then did not see the delivery. Returns whether the delivery did not exist.
 */
export async function insertMissingDelivery(db: Db, run: RunRow, now: Date): Promise<boolean> {
  return db.transaction(async (tx) => {
    if ((await insertDeliveries(tx, [run], now)) === 0) return false;
    const { watermark, watermarkEpoch, accountId } = run;
    if (watermark !== null) await lowerCursor(tx, accountId, { snapshot: watermark, epoch: watermarkEpoch ?? '' });
    return true;
  });
}

export function buildDelivery(run: NewRun, id: string) {
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
  } satisfies typeof deliveries.$inferInsert;
}

/**
 * SQL: the delivery of a run takes the next revision, which continues that of other jobs that delivered to the same place.
 *
 * @param isFree condition under which the run may start
 */
export function takeRevision(run: Place, isFree: SQL): SQL {
  return sql`UPDATE deliveries d SET last_revision = ${nextRevision(run)} WHERE ${isOf(run)} AND ${isFree}`;
}

function nextRevision({ bucket, manifestKey }: Place): SQL {
  return sql`(SELECT coalesce(max(last_revision), 0) + 1 FROM deliveries
    WHERE bucket = ${bucket} AND manifest_key = ${manifestNames(manifestKey).current})`;
}

/** SQL: the revision that the delivery of a run has given out last. */
export function takenRevision(run: Place): SQL<number> {
  return sql<number>`(SELECT last_revision FROM deliveries d WHERE ${isOf(run)})`;
}

/** The fields of a run that its delivery is found by. */
type Place = Pick<RunRow, 'jobId' | 'bucket' | 'manifestKey'>;

/** SQL: the delivery `d` is that of the run. */
export function isOf({ jobId, bucket, manifestKey }: Place): SQL {
  return sql`d.job_id = ${jobId} AND d.bucket = ${bucket} AND d.manifest_key = ${manifestNames(manifestKey).current}`;
}
