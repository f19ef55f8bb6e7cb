import { sql } from 'drizzle-orm';
import type { Db } from '../db/client.ts';

/** Maximum number of rows that one transaction changes, as for marks. */
const BATCH = 1000;

/** For this long after a repair of the ledger, runs may end that took their watermark before it. */
const AFTER_REPAIR = sql.raw(`interval '1 day'`);

/**
 * Makes the check of marked deliveries due whose cause to wait has gone: the window was delivered, the job has its output again, or the job
 * was enabled. Marks deliveries of runs that read the ledger before a repair and ended after it. Returns whether there may be more.
 */
export async function sweepDeliveries(db: Db): Promise<boolean> {
  const due = await db.execute(sql`
    UPDATE deliveries SET check_at = clock_timestamp()
    WHERE id = ANY(ARRAY(
      SELECT d.id FROM deliveries d JOIN jobs j ON j.id = d.job_id AND j.deleted_at IS NULL
      WHERE d.touched_at IS NOT NULL AND d.check_at IS NULL AND d.revision > 0 AND d.output_sha256 = j.output_sha256
        AND (j.enabled OR d.stale_since IS NULL AND d.complete IS DISTINCT FROM false)
      LIMIT ${BATCH} FOR UPDATE OF d SKIP LOCKED))`);
  const repaired = await db.execute(sql`
    UPDATE deliveries SET touched_at = clock_timestamp(), check_at = clock_timestamp(), checking = NULL
    WHERE id = ANY(ARRAY(
      SELECT d.id FROM ledger_cursors c JOIN deliveries d ON d.account_id = c.account_id
      WHERE c.history_from > clock_timestamp() - ${AFTER_REPAIR} AND d.revision > 0 AND d.touched_at IS NULL AND d.stale_since IS NULL
        AND d.watermark_epoch IS DISTINCT FROM c.scanned_epoch
      LIMIT ${BATCH} FOR UPDATE OF d SKIP LOCKED))`);
  return due.rowCount === BATCH || repaired.rowCount === BATCH;
}

/** Removes corrections that were found longer ago. The check counts deliveries that were marked before that as different. */
export async function removeOldCorrections(db: Db, days: number): Promise<void> {
  await db.execute(sql`DELETE FROM corrections WHERE found_at < clock_timestamp() - ${days} * interval '1 day'`);
}

/** Age from which one snapshot of each hour is kept. */
const HOURLY_FROM = sql.raw(`interval '7 days'`);

/**
 * Removes snapshots of ledgers that are older than 7 days, except the last one of each hour. Reads the old snapshots of one account at a
 * time, in order, and removes them in batches, so that no statement runs long.
 */
export async function removeOldSnapshots(db: Db, stopping?: AbortSignal): Promise<void> {
  const { rows } = await db.execute<{ account_id: string }>(
    sql`SELECT account_id FROM ledger_cursors ORDER BY account_id`,
  );
  for (const { account_id: accountId } of rows) {
    let more = true;
    while (more && stopping?.aborted !== true) more = await removeSnapshotsOf(db, BigInt(accountId));
  }
}

/** Returns whether there may be more. */
async function removeSnapshotsOf(db: Db, accountId: bigint): Promise<boolean> {
  const { rowCount } = await db.execute(sql`
    DELETE FROM ledger_moments WHERE account_id = ${accountId} AND at = ANY(ARRAY(
      SELECT m.at FROM (
        SELECT o.at, lead(o.at) OVER (ORDER BY o.at) AS following FROM ledger_moments o
        WHERE o.account_id = ${accountId} AND o.at < now() - ${HOURLY_FROM}) m
      WHERE m.following < date_trunc('hour', m.at) + interval '1 hour' LIMIT ${BATCH}))`);
  return rowCount === BATCH;
}
