import { eq, type SQL, sql } from 'drizzle-orm';
import type { Db, Executor } from '../db/client.ts';
import { accounts, bucketClaims } from '../db/tables.ts';
import { ConflictError } from '../errors/errors.ts';

// The service's principal may write to the S3 buckets of many customers, so a job could name the bucket of another account.
// Therefore a bucket belongs to the account whose PutObject to it succeeded first: naming it is not enough, its policy must
// let Sluice write. The operator can move or release a claim.

/** Does not name the owner. */
const BUCKET_TAKEN =
  'This bucket belongs to another account of this server. Use another bucket; if it is yours, ask the operator of the server to move it to your account.';

/** Throws ConflictError if the bucket belongs to another account. */
export async function assertBucketAvailable(db: Executor, accountId: bigint, bucket: string): Promise<void> {
  const { rows } = await db.execute<{ taken: boolean }>(
    sql`SELECT bucket_is_of_another(${bucket}, ${accountId}) AS taken`,
  );
  if (rows[0]?.taken) throw new ConflictError(BUCKET_TAKEN);
}

/** The account that owns an S3 bucket; null if no account has written to it yet. */
export interface BucketOwner {
  readonly owner: string | null;
}

/** SQL of a bucket's owner, for a statement that sees all accounts. */
export function bucketOwnerSql(bucket: string): SQL {
  return sql`(SELECT account_id FROM bucket_claims WHERE bucket = ${bucket})`;
}

/** Returns whether the account has written to the bucket before. Throws ConflictError if the bucket belongs to another. */
export function assertBucketOwnedBy({ owner }: BucketOwner, accountId: bigint): boolean {
  if (owner !== null && owner !== String(accountId)) throw new ConflictError(BUCKET_TAKEN);
  return owner !== null;
}

/**
 * Records that the account has written to the bucket; called after a put. Throws ConflictError if another account claimed it
 * first: of two concurrent first puts, only one can win.
 */
export async function claimBucket(acrossAccounts: Db, accountId: bigint, bucket: string): Promise<void> {
  await acrossAccounts.execute(sql`
    INSERT INTO bucket_claims (bucket, account_id, claimed_at) VALUES (${bucket}, ${accountId}, clock_timestamp())
    ON CONFLICT (bucket) DO NOTHING`);
  await assertBucketAvailable(acrossAccounts, accountId, bucket);
}

export interface BucketClaim {
  readonly bucket: string;
  readonly accountName: string;
  readonly claimedAt: Date;
}

/** Sorted by bucket. */
export function listBucketClaims(acrossAccounts: Db): Promise<BucketClaim[]> {
  return acrossAccounts
    .select({ bucket: bucketClaims.bucket, accountName: accounts.name, claimedAt: bucketClaims.claimedAt })
    .from(bucketClaims)
    .innerJoin(accounts, eq(accounts.id, bucketClaims.accountId))
    .orderBy(bucketClaims.bucket);
}

/** Assigns the bucket to the account, even if another account owns it or none has written to it yet. */
export async function moveBucketClaim(acrossAccounts: Db, bucket: string, accountId: bigint): Promise<void> {
  await acrossAccounts.execute(sql`
    INSERT INTO bucket_claims (bucket, account_id, claimed_at) VALUES (${bucket}, ${accountId}, clock_timestamp())
    ON CONFLICT (bucket) DO UPDATE SET account_id = EXCLUDED.account_id, claimed_at = EXCLUDED.claimed_at`);
}

/** Returns whether there was a claim. The next put that succeeds makes a new one. */
export async function releaseBucketClaim(acrossAccounts: Db, bucket: string): Promise<boolean> {
  const { rowCount } = await acrossAccounts.delete(bucketClaims).where(eq(bucketClaims.bucket, bucket));
  return rowCount !== 0;
}
