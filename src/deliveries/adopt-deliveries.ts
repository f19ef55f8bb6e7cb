import { isNull, sql } from 'drizzle-orm';
import { formatArray, formatPlainArray } from '../db/array-text.ts';
import type { Db } from '../db/client.ts';
import { deliveries, jobs, runs } from '../db/tables.ts';
import { hashOutput } from '../jobs/export-fingerprint.ts';
import { buildDelivery } from './write-deliveries.ts';
import { newIds } from '../lib/ids.ts';

// Windows that a server of a version without deliveries has delivered. Their deliveries cannot be made by a migration, because the
// bounds of a window are computed in time zones, and servers of both versions may run at the same time.

const BATCH = 500;

/** Creates the deliveries of windows that have none, as revision 1, and stores the output of jobs. */
export async function adoptDeliveries(acrossAccounts: Db): Promise<void> {
  await storeOutputs(acrossAccounts);
  let adopted = 0;
  for (;;) {
    const found = await findUnadopted(acrossAccounts);
    if (found.length === 0) break;
    adopted += await insertAdopted(acrossAccounts, found);
  }
  if (adopted > 0) await limitOwedSpans(acrossAccounts);
}

async function storeOutputs(db: Db): Promise<void> {
  for (;;) {
    const rows = await db
      .select({ id: jobs.id, settings: jobs.settings })
      .from(jobs)
      .where(isNull(jobs.outputSha256))
      .limit(BATCH);
    if (rows.length === 0) return;
    const hashes = rows.map(({ settings }) => `\\x${hashOutput(settings).toString('hex')}`);
    // Only jobs that no update has changed meanwhile.
    await db.execute(sql`
      UPDATE jobs SET output_sha256 = u.hash
      FROM unnest(${formatPlainArray(rows.map(({ id }) => id))}::uuid[], ${formatArray(hashes)}::bytea[]) AS u(id, hash)
      WHERE jobs.id = u.id AND jobs.output_sha256 IS NULL`);
  }
}

/** SQL: the name of the manifest with the underscore. */
const CURRENT_NAME = sql`regexp_replace(${runs.manifestKey}, '/_?([^/]*)$', '/_\\1')`;

/** Returns the newest SUCCEEDED run of windows without a delivery. */
function findUnadopted(db: Db) {
  return db
    .selectDistinctOn([runs.jobId, runs.bucket, CURRENT_NAME])
    .from(runs)
    .where(
      sql`${runs.status} = 'SUCCEEDED' AND NOT EXISTS (
        SELECT 1 FROM deliveries d WHERE d.bucket = ${runs.bucket} AND d.manifest_key = ${CURRENT_NAME} AND d.job_id = ${runs.jobId})`,
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

async function insertAdopted(db: Db, found: readonly (typeof runs.$inferSelect)[]): Promise<number> {
  const ids = newIds(found.length, new Date());
  const rows = found.map((run, index) => ({
    ...buildDelivery(run, ids[index] ?? ''),
    lastRevision: 1,
    revision: 1,
    runId: run.id,
    watermark: run.watermark,
    watermarkAt: run.watermarkAt,
    deliveredAt: run.finishedAt,
  }));
  const inserted = await db.insert(deliveries).values(rows).onConflictDoNothing().returning({ id: deliveries.id });
  return inserted.length;
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
