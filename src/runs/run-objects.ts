import { sql } from 'drizzle-orm';
import { type Db, inOneGo } from '../db/client.ts';
import { type BucketOwner, ownerOf } from '../jobs/bucket-ownership.ts';
import { type LeasedRun, LeaseLostError } from './lease.ts';

/**
 * Notes a key before it is written, so that whatever comes of it, a later run of the window knows that it may exist. Tells
 * whose the bucket is, in the same statement. Throws LeaseLostError.
 */
export const planObject = async (
  db: Db,
  run: LeasedRun,
  object: { key: string; ordinal: number; rows: number; bytes: number; sha256: string },
): Promise<BucketOwner> => {
  const { rows } = await db.execute<{ owner: string | null }>(sql`
    INSERT INTO run_objects (run_id, key, ordinal, rows, bytes, sha256)
    SELECT id, ${object.key}, ${object.ordinal}::int, ${object.rows}::bigint, ${object.bytes}::bigint, ${object.sha256} FROM runs
    WHERE id = ${run.id} AND lease_token = ${run.leaseToken} AND status = 'RUNNING'
    ON CONFLICT (run_id, key) DO UPDATE
    SET ordinal = EXCLUDED.ordinal, rows = EXCLUDED.rows, bytes = EXCLUDED.bytes, sha256 = EXCLUDED.sha256, written_at = NULL
    RETURNING ${ownerOf(run.bucket)} AS owner`);
  const [planned] = rows;
  if (!planned) throw new LeaseLostError();
  return planned;
};

const objectWritten = (run: LeasedRun, key: string) => sql`
  UPDATE run_objects SET written_at = clock_timestamp() FROM runs
  WHERE run_objects.run_id = ${run.id} AND run_objects.key = ${key}
    AND runs.id = run_objects.run_id AND runs.lease_token = ${run.leaseToken} AND runs.status = 'RUNNING'`;

/** Throws LeaseLostError where the run was taken away or canceled while the object was on its way. */
export const markObjectWritten = async (db: Db, run: LeasedRun, key: string): Promise<void> => {
  const { rowCount } = await db.execute(objectWritten(run, key));
  if (rowCount === 0) throw new LeaseLostError();
};

/**
 * Notes that the last object was written as well; tells every key that runs of this window, this one's earlier attempts among
 * them, may have written, and what assertOwnsLease does. Throws LeaseLostError.
 */
export const closeObjects = async (
  db: Db,
  run: LeasedRun,
  lastKey: string,
): Promise<{ readonly keys: readonly string[]; readonly owner: BucketOwner }> => {
  const [, { rows }] = await inOneGo(db, (tx) =>
    Promise.all([
      tx.execute(objectWritten(run, lastKey)),
      tx.execute<{ owner: string | null; keys: string[] }>(sql`
        SELECT ${ownerOf(run.bucket)} AS owner, ARRAY(
          SELECT DISTINCT o.key FROM runs r JOIN run_objects o ON o.run_id = r.id
          WHERE r.bucket = ${run.bucket} AND r.manifest_key = ${run.manifestKey} ORDER BY 1) AS keys
        FROM runs WHERE id = ${run.id} AND lease_token = ${run.leaseToken} AND status = 'RUNNING'`),
    ]),
  );
  const [still] = rows;
  if (!still) throw new LeaseLostError();
  return { keys: still.keys, owner: still };
};

/** Checks the token once more, right before what only its holder may do; tells whose the bucket is, as planObject does. */
export const assertOwnsLease = async (db: Db, run: LeasedRun): Promise<BucketOwner> => {
  const { rows } = await db.execute<{ owner: string | null }>(sql`
    SELECT ${ownerOf(run.bucket)} AS owner FROM runs
    WHERE id = ${run.id} AND lease_token = ${run.leaseToken} AND status = 'RUNNING'`);
  const [still] = rows;
  if (!still) throw new LeaseLostError();
  return still;
};
