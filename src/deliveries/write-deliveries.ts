import { type SQL, sql } from 'drizzle-orm';
import type { Db, Transaction } from '../db/client.ts';
import { deliveries } from '../db/delivery-tables.ts';
import { type runs } from '../db/tables.ts';
import { manifestNames } from '../jobs/destination.ts';
import { hashOutput } from '../jobs/export-fingerprint.ts';
import { newIds } from '../lib/ids.ts';
import { computeBounds } from './delivery.ts';
import { createCursors, lowerCursor } from './ledger-cursors.ts';

// The statements with which runs begin on the delivery of their window. Its row is committed before its first run can be claimed.

type NewRun = typeof runs.$inferInsert;
type RunRow = typeof runs.$inferSelect;

/** Maximum number of rows in one statement: 16 values each, of at most 65,534. */
const MAX_ROWS = 1000;

/**
 * Inserts the deliveries of new runs, and marks those of existing windows as windows of the schedule. In the transaction of the runs.
 * Returns the number of deliveries that did not exist.
 */
export async function insertDeliveries(tx: Transaction, newRuns: readonly NewRun[], now: Date): Promise<number> {
  const ids = newIds(newRuns.length, now);
  const rows = [...new Map(newRuns.map((run) => [`${run.jobId} ${run.bucket}/${run.manifestKey}`, run])).values()].map(
    (run, index) => buildDelivery(run, ids[index] ?? ''),
  );
  // Sorted: two transactions that insert the same windows in different orders would deadlock.
  rows.sort((a, b) => (`${a.bucket}/${a.manifestKey}` < `${b.bucket}/${b.manifestKey}` ? -1 : 1));
  const inserted: Inserted[] = [];
  for (let from = 0; from < rows.length; from += MAX_ROWS) {
    const stored = await tx
      .insert(deliveries)
      .values(rows.slice(from, from + MAX_ROWS))
      .onConflictDoUpdate({
        target: [deliveries.bucket, deliveries.manifestKey, deliveries.jobId],
        set: { bySlot: true },
        setWhere: sql`EXCLUDED.by_slot AND NOT ${deliveries.bySlot}`,
      })
      .returning(INSERTED);
    inserted.push(...stored);
  }
  const without = inserted.filter(({ hasCursor }) => !hasCursor).map(({ accountId }) => accountId);
  await createCursors(tx, [...new Set(without)]);
  return inserted.filter(({ isNew }) => isNew).length;
}

interface Inserted {
  readonly accountId: bigint;
  readonly hasCursor: boolean;
  readonly isNew: boolean;
}

const INSERTED = {
  accountId: deliveries.accountId,
  hasCursor: sql<boolean>`EXISTS (SELECT 1 FROM ledger_cursors c WHERE c.account_id = ${deliveries.accountId})`,
  // 0 in rows that this statement has inserted, the id of this transaction in rows that it has updated.
  isNew: sql<boolean>`${deliveries}.xmax = 0`,
};

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
