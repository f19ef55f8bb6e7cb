import { eq, type SQL, sql } from 'drizzle-orm';
import { formatArray, formatPlainArray } from '../db/array-text.ts';
import type { Db } from '../db/client.ts';
import { takeWatermark } from '../db/as-of.ts';
import { findOldestUnseen } from '../db/snapshots.ts';
import { deliveries } from '../db/delivery-tables.ts';
import { jobs, runs } from '../db/tables.ts';
import { hashOutput } from '../jobs/export-fingerprint.ts';
import { forgetCursor, lowerCursor } from './ledger-cursors.ts';
import { buildDelivery } from './write-deliveries.ts';
import { newIds } from '../lib/ids.ts';

// Windows that a server of a version without deliveries has delivered. Their deliveries cannot be made by a migration, because the
// bounds of a window are computed in time zones, and servers of both versions may run at the same time.

type RunRow = typeof runs.$inferSelect;

const BATCH = 500;

/** Creates the deliveries of windows that have none, as revision 1, and stores the output of jobs. */
export async function adoptDeliveries(acrossAccounts: Db): Promise<void> {
  await storeOutputs(acrossAccounts);
  let adopted = 0;
  for (;;) {
    const found = await findUnadopted(acrossAccounts);
    if (found.length === 0) break;
    for (const [accountId, runsOfAccount] of Map.groupBy(found, (run) => run.accountId)) {
      adopted += await insertAdopted(acrossAccounts, accountId, runsOfAccount);
    }
  }
  if (adopted > 0) await limitOwedSpans(acrossAccounts);
}

/** Age of updates after which no server of an earlier version makes them. */
const UPDATED_WITHIN = sql.raw(`interval '2 days'`);

/** Stores the output of jobs that a server of an earlier version has created or updated, and marks the deliveries with that output. */
async function storeOutputs(db: Db): Promise<void> {
  for (let after = NIL; ;) {
    const rows = await db
      .select({ id: jobs.id, settings: jobs.settings, stored: jobs.outputSha256 })
      .from(jobs)
      .where(
        sql`${jobs.id} > ${after} AND (${jobs.outputSha256} IS NULL OR ${jobs.updatedAt} > now() - ${UPDATED_WITHIN})`,
      )
      .orderBy(jobs.id)
      .limit(BATCH);
    const last = rows.at(-1);
    if (!last) return;
    after = last.id;
    const changed = rows.filter(({ settings, stored }) => !stored?.equals(hashOutput(settings)));
    if (changed.length === 0) continue;
    const ids = formatPlainArray(changed.map(({ id }) => id));
    const hashes = changed.map(({ settings }) => `\\x${hashOutput(settings).toString('hex')}`);
    const before = changed.map(({ stored }) => stored && `\\x${stored.toString('hex')}`);
    // Only jobs that no update has changed meanwhile.
    await db.execute(sql`
      UPDATE jobs SET output_sha256 = u.hash
      FROM unnest(${ids}::uuid[], ${formatArray(hashes)}::bytea[], ${formatArray(before)}::bytea[]) AS u(id, hash, before)
      WHERE jobs.id = u.id AND jobs.output_sha256 IS NOT DISTINCT FROM u.before`);
    await db.execute(sql`
      UPDATE deliveries SET touched_at = coalesce(touched_at, clock_timestamp()), check_at = clock_timestamp(), checking = NULL
      WHERE id = ANY(ARRAY(
        SELECT d.id FROM deliveries d JOIN jobs j ON j.id = d.job_id
        WHERE d.job_id = ANY(${ids}::uuid[]) AND d.revision > 0 AND d.output_sha256 = j.output_sha256 FOR UPDATE OF d SKIP LOCKED))`);
  }
}

/** Smaller than the id of every job. */
const NIL = '00000000-0000-0000-0000-000000000000';

/** SQL: the name of the manifest with the underscore. */
const CURRENT_NAME = sql`regexp_replace(${runs.manifestKey}, '/_?([^/]*)$', '/_\\1')`;

/** Returns the newest SUCCEEDED run of windows without a delivery. */
function findUnadopted(db: Db) {
  return db
    .selectDistinctOn([runs.jobId, runs.bucket, CURRENT_NAME])
    .from(runs)
    .where(
      sql`${runs.status} = 'SUCCEEDED' AND NOT EXISTS (
        SELECT 1 FROM deliveries d WHERE d.bucket = ${runs.bucket} AND d.manifest_key = ${CURRENT_NAME} AND d.job_id = ${runs.jobId} AND d.revision > 0)`,
    )
    .orderBy(
      runs.jobId,
      runs.bucket,
      CURRENT_NAME,
      sql`${runs.watermarkAt} DESC NULLS LAST`,
      sql`${runs.finishedAt} DESC`,
    )
    .limit(BATCH);
}

/**
 * Inserts the deliveries of one account, and moves its cursor back, so that the next scan finds every operation that their watermarks do
 * not see. Watermarks of another epoch of the ledger say nothing: the scan enters the epoch again.
 */
async function insertAdopted(db: Db, accountId: bigint, found: readonly RunRow[]): Promise<number> {
  const { epoch } = await takeWatermark(db, accountId);
  const isKnown = (run: RunRow): boolean => run.watermark !== null && run.watermarkEpoch === epoch;
  const known = found.filter(isKnown);
  const settled = new Date(Date.now() + SETTLE_MS);
  const ids = newIds(found.length, new Date());
  const rows = found.map((run, index) => ({
    ...buildDelivery(run, ids[index] ?? ''),
    lastRevision: 1,
    revision: 1,
    runId: run.id,
    watermark: run.watermark,
    watermarkEpoch: run.watermarkEpoch,
    watermarkAt: run.watermarkAt,
    deliveredAt: run.finishedAt,
    ...(isKnown(run) && { touchedAt: new Date(), checkAt: settled }),
  }));
  const [oldest] = known.map(({ watermark }) => watermark ?? '').toSorted(compareOldestUnseen);
  return db.transaction(async (tx) => {
    const inserted = await tx
      .insert(deliveries)
      .values(rows)
      // A server of this version has queued the run, and one without deliveries has executed it.
      .onConflictDoUpdate({ target: PLACE, set: ADOPTED, setWhere: eq(deliveries.revision, 0) })
      .returning({ id: deliveries.id });
    if (known.length < found.length) await forgetCursor(tx, accountId);
    else if (oldest !== undefined) await lowerCursor(tx, accountId, { snapshot: oldest, epoch });
    return inserted.length;
  });
}

/** Time until the check of adopted deliveries, so that the scan finds their corrections before. */
const SETTLE_MS = 3_600_000;

const PLACE = [deliveries.bucket, deliveries.manifestKey, deliveries.jobId];

function excluded(column: string): SQL {
  return sql.raw(`EXCLUDED.${column}`);
}

const ADOPTED = {
  lastRevision: sql`${deliveries.lastRevision} + 1`,
  revision: sql`${deliveries.lastRevision} + 1`,
  runId: excluded('run_id'),
  watermark: excluded('watermark'),
  watermarkEpoch: excluded('watermark_epoch'),
  watermarkAt: excluded('watermark_at'),
  outputSha256: excluded('output_sha256'),
  wholeUntil: sql`greatest(${deliveries.wholeUntil}, ${excluded('whole_until')})`,
  dateStart: excluded('date_start'),
  dateWholeUntil: sql`greatest(${deliveries.dateWholeUntil}, ${excluded('date_whole_until')})`,
  deliveredAt: excluded('delivered_at'),
  touchedAt: excluded('touched_at'),
  checkAt: excluded('check_at'),
};

function compareOldestUnseen(a: string, b: string): number {
  return findOldestUnseen(a) < findOldestUnseen(b) ? -1 : 1;
}

/** Ends each owed span at the start of the first delivered window of the same job and output that ends later. */
async function limitOwedSpans(db: Db): Promise<void> {
  await db.execute(sql`
    UPDATE deliveries d SET owed_until = least(d.owed_until, later.start), date_owed_until = least(d.date_owed_until, later.date)
    FROM (
      SELECT id, min(window_start) OVER newer AS start, min(date_start) OVER newer AS date
      FROM deliveries WHERE by_slot AND revision > 0
      WINDOW newer AS (PARTITION BY job_id, output_sha256 ORDER BY window_end DESC, window_start
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)) later
    WHERE later.id = d.id AND later.start < d.owed_until`);
}
