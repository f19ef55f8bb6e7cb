import { sql } from 'drizzle-orm';
import { type Db, pipelineTransaction } from '../db/client.ts';
import { type BucketOwner, bucketOwnerSql } from '../jobs/bucket-ownership.ts';
import { type LeasedRun, LeaseLostError } from './lease.ts';

// The keys that a run writes: recorded before each PutObject and marked after it, so that a later run of the window knows every
// key that may exist. Each statement checks the lease.

/** Records a key before it is written, and returns the owner of the S3 bucket. Throws LeaseLostError. */
export async function planObject(
  db: Db,
  run: LeasedRun,
  object: { key: string; ordinal: number; rows: number; bytes: number; sha256: string },
): Promise<BucketOwner> {
  const { rows } = await db.execute<{ owner: string | null }>(sql`
    INSERT INTO run_objects (run_id, key, ordinal, rows, bytes, sha256)
    SELECT id, ${object.key}, ${object.ordinal}::int, ${object.rows}::bigint, ${object.bytes}::bigint, ${object.sha256} FROM runs
    WHERE id = ${run.id} AND lease_token = ${run.leaseToken} AND status = 'RUNNING'
    ON CONFLICT (run_id, key) DO UPDATE
    SET ordinal = EXCLUDED.ordinal, rows = EXCLUDED.rows, bytes = EXCLUDED.bytes, sha256 = EXCLUDED.sha256, written_at = NULL
    RETURNING ${bucketOwnerSql(run.bucket)} AS owner`);
  const [planned] = rows;
  if (!planned) throw new LeaseLostError();
  return planned;
}

function objectWritten(run: LeasedRun, key: string) {
  return sql`
  UPDATE run_objects SET written_at = clock_timestamp() FROM runs
  WHERE run_objects.run_id = ${run.id} AND run_objects.key = ${key}
    AND runs.id = run_objects.run_id AND runs.lease_token = ${run.leaseToken} AND runs.status = 'RUNNING'`;
}

/** Records that the object was written. Throws LeaseLostError if the run was taken over or canceled during the upload. */
export async function markObjectWritten(db: Db, run: LeasedRun, key: string): Promise<void> {
  const { rowCount } = await db.execute(objectWritten(run, key));
  if (rowCount === 0) throw new LeaseLostError();
}

/**
 * Records that the last object was written. Returns every key that any run or attempt may have written for this window, and the
 * owner of the S3 bucket. Throws LeaseLostError.
 */
export async function closeObjects(
  db: Db,
  run: LeasedRun,
  lastKey: string,
): Promise<{ readonly keys: readonly string[]; readonly owner: BucketOwner }> {
  const [, { rows }] = await pipelineTransaction(db, (tx) =>
    Promise.all([
      tx.execute(objectWritten(run, lastKey)),
      tx.execute<{ owner: string | null; keys: string[] }>(sql`
        SELECT ${bucketOwnerSql(run.bucket)} AS owner, ARRAY(
          SELECT DISTINCT o.key FROM runs r JOIN run_objects o ON o.run_id = r.id
          WHERE r.bucket = ${run.bucket} AND r.manifest_key = ${run.manifestKey} ORDER BY 1) AS keys
        FROM runs WHERE id = ${run.id} AND lease_token = ${run.leaseToken} AND status = 'RUNNING'`),
    ]),
  );
  const [still] = rows;
  if (!still) throw new LeaseLostError();
  return { keys: still.keys, owner: still };
}

/** Renames the manifest of the window in all its runs, to that of `run`. Throws LeaseLostError. */
export async function renameManifests(db: Db, run: LeasedRun, former: string): Promise<void> {
  const { rowCount } = await db.execute(sql`
    UPDATE runs SET manifest_key = ${run.manifestKey}
    WHERE bucket = ${run.bucket} AND manifest_key = ${former} AND EXISTS (
      SELECT 1 FROM runs own WHERE own.id = ${run.id} AND own.lease_token = ${run.leaseToken} AND own.status = 'RUNNING')`);
  if (rowCount === 0) throw new LeaseLostError();
}

/** Throws LeaseLostError if this worker no longer owns the run. Returns the owner of the S3 bucket. */
export async function assertOwnsLease(db: Db, run: LeasedRun): Promise<BucketOwner> {
  const { rows } = await db.execute<{ owner: string | null }>(sql`
    SELECT ${bucketOwnerSql(run.bucket)} AS owner FROM runs
    WHERE id = ${run.id} AND lease_token = ${run.leaseToken} AND status = 'RUNNING'`);
  const [still] = rows;
  if (!still) throw new LeaseLostError();
  return still;
}
