import { sql } from 'drizzle-orm';
import type { Db } from './client.ts';

// The ledger is read by transaction ids, which belong to one cluster. pg_dump and a restore carry the rows to another
// cluster, whose own count may be far behind theirs: what was stored then lies in the future of every snapshot, and each
// export would leave it out until the count has caught up. Nor do the watermarks of unfinished runs say anything there.

/** A transaction id of which every snapshot of every cluster says that it was committed before: initdb itself uses more. */
const LONG_AGO = '3';

/**
 * Whether the database holds transaction ids, or watermarks of unfinished runs, that its cluster has not come to yet. In the cluster that
 * wrote them there are none: a row that a snapshot shows was written by a transaction below the snapshot's end.
 */
export const hasForeignTransactionIds = async (db: Db): Promise<boolean> => {
  // By account, so that of the ledger only the last entry of an index is looked at.
  const { rows } = await db.execute<{ foreign: boolean }>(sql`
    SELECT EXISTS (
      SELECT 1 FROM accounts a
      WHERE EXISTS (SELECT 1 FROM operations o WHERE o.account_id = a.id
          AND o.xid >= pg_snapshot_xmax(pg_current_snapshot()))
        OR EXISTS (SELECT 1 FROM streams s WHERE s.account_id = a.id
          AND (s.created_xid >= pg_snapshot_xmax(pg_current_snapshot())
            OR s.deleted_xid >= pg_snapshot_xmax(pg_current_snapshot())
            OR s.totals_merged_xid > pg_snapshot_xmax(pg_current_snapshot())))
        OR EXISTS (SELECT 1 FROM runs r WHERE r.account_id = a.id AND r.status IN ('QUEUED', 'RUNNING')
          AND pg_snapshot_xmax(r.watermark::pg_snapshot) > pg_snapshot_xmax(pg_current_snapshot()))
    ) AS foreign`);
  return rows[0]?.foreign ?? false;
};

/**
 * Puts right what hasForeignTransactionIds finds: what is stored was committed long ago, and unfinished runs fix their
 * watermark anew, which is sound since a run that has begun before announces that it rewrites its window. All or nothing.
 * Answers whether there was anything to put right.
 */
export const repairTransactionIds = async (db: Db): Promise<boolean> => {
  if (!(await hasForeignTransactionIds(db))) return false;
  await db.transaction(async (tx) => {
    const { rows: accounts } = await tx.execute<{ id: string }>(sql`SELECT id FROM accounts ORDER BY id`);
    for (const { id } of accounts) {
      // From xmin on and not only from xmax on: between them an id can be that of another transaction under way.
      await tx.execute(sql`
        UPDATE operations SET xid = ${LONG_AGO}
        WHERE account_id = ${id} AND xid >= pg_snapshot_xmin(pg_current_snapshot())`);
      await tx.execute(sql`
        UPDATE streams SET created_xid = least(created_xid, ${LONG_AGO}),
          deleted_xid = CASE WHEN deleted_xid IS NOT NULL THEN ${LONG_AGO}::xid8 END,
          totals_merged_xid = CASE WHEN totals_merged_xid IS NOT NULL THEN ${LONG_AGO}::xid8 END
        WHERE account_id = ${id} AND greatest(created_xid, deleted_xid, totals_merged_xid) >= pg_snapshot_xmin(pg_current_snapshot())`);
      await tx.execute(sql`
        UPDATE runs SET watermark = NULL, watermark_at = NULL
        WHERE account_id = ${id} AND status IN ('QUEUED', 'RUNNING') AND watermark IS NOT NULL`);
    }
  });
  return true;
};
