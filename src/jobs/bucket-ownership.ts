import { eq, type SQL, sql } from 'drizzle-orm';
import type { Db, Executor } from '../db/client.ts';
import { accounts, bucketClaims } from '../db/tables.ts';
import { ConflictError } from '../errors/errors.ts';

// The service's principal may write to the buckets of many customers, so whoever has an account could name another's
// bucket in a job. A bucket therefore belongs to the account whose PutObject to it was the first that succeeded: naming
// it is not enough, it must let Sluice write. The operator can move a claim, or take it away.

/** Says nothing of whose it is. */
const BUCKET_TAKEN =
  'This bucket belongs to another account of this server. Use another bucket; where this one is yours, ask the operator of the server to move it to your account.';

/** Throws ConflictError where the bucket belongs to another account. */
export const assertBucketAvailable = async (db: Executor, accountId: bigint, bucket: string): Promise<void> => {
  const { rows } = await db.execute<{ taken: boolean }>(
    sql`SELECT bucket_is_of_another(${bucket}, ${accountId}) AS taken`,
  );
  if (rows[0]?.taken) throw new ConflictError(BUCKET_TAKEN);
};

/** Whose a bucket is; null: nobody has written to it yet. */
export interface BucketOwner {
  readonly owner: string | null;
}

/** Whose the bucket is, for a statement that sees all accounts and asks something else as well. */
export const bucketOwnerSql = (bucket: string): SQL =>
  sql`(SELECT account_id FROM bucket_claims WHERE bucket = ${bucket})`;

/** Whether the account has written to the bucket before. Throws ConflictError where the bucket belongs to another. */
export const assertBucketOwnedBy = ({ owner }: BucketOwner, accountId: bigint): boolean => {
  if (owner !== null && owner !== String(accountId)) throw new ConflictError(BUCKET_TAKEN);
  return owner !== null;
};

/**
 * Notes that the account has written to the bucket; called after a put. Throws ConflictError where another account was
 * quicker: between two first puts at the same moment nobody can tell before whose the bucket will be.
 */
export const claimBucket = async (acrossAccounts: Db, accountId: bigint, bucket: string): Promise<void> => {
  await acrossAccounts.execute(sql`
    INSERT INTO bucket_claims (bucket, account_id, claimed_at) VALUES (${bucket}, ${accountId}, clock_timestamp())
    ON CONFLICT (bucket) DO NOTHING`);
  await assertBucketAvailable(acrossAccounts, accountId, bucket);
};

export interface BucketClaim {
  readonly bucket: string;
  readonly accountName: string;
  readonly claimedAt: Date;
}

/** By bucket. */
export const listBucketClaims = (acrossAccounts: Db): Promise<BucketClaim[]> =>
  acrossAccounts
    .select({ bucket: bucketClaims.bucket, accountName: accounts.name, claimedAt: bucketClaims.claimedAt })
    .from(bucketClaims)
    .innerJoin(accounts, eq(accounts.id, bucketClaims.accountId))
    .orderBy(bucketClaims.bucket);

/** Gives the bucket to the account, whosever it was, also where nobody has written to it yet. */
export const moveBucketClaim = async (acrossAccounts: Db, bucket: string, accountId: bigint): Promise<void> => {
  await acrossAccounts.execute(sql`
    INSERT INTO bucket_claims (bucket, account_id, claimed_at) VALUES (${bucket}, ${accountId}, clock_timestamp())
    ON CONFLICT (bucket) DO UPDATE SET account_id = EXCLUDED.account_id, claimed_at = EXCLUDED.claimed_at`);
};

/** Whether there was a claim to take away. The next put that succeeds makes a new one. */
export const releaseBucketClaim = async (acrossAccounts: Db, bucket: string): Promise<boolean> => {
  const { rowCount } = await acrossAccounts.delete(bucketClaims).where(eq(bucketClaims.bucket, bucket));
  return rowCount !== 0;
};
