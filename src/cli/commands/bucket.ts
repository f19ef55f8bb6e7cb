import { listBucketClaims, moveBucketClaim, releaseBucketClaim } from '../../jobs/bucket-ownership.ts';
import { isDestinationProblem, parseS3Url } from '../../jobs/destination.ts';
import { type CommandContext, withDatabase } from '../command-context.ts';
import { CommandError, UsageError } from '../command-error.ts';
import { formatTable } from '../../terminal/table.ts';
import { requireAccount } from './account.ts';

export function listBucketsCommand(context: CommandContext): Promise<void> {
  return withDatabase(context, async ({ db }) => {
    const claims = await listBucketClaims(db);
    const rows = claims.map(({ bucket, accountName, claimedAt }) => [bucket, accountName, claimedAt.toISOString()]);
    context.terminal.print(formatTable([['BUCKET', 'ACCOUNT', 'SINCE'], ...rows]));
  });
}

export async function moveBucketCommand(context: CommandContext, s3Bucket: string, accountName: string): Promise<void> {
  assertBucketName(s3Bucket);
  await withDatabase(context, async (open) => {
    const account = await requireAccount(open, accountName);
    await moveBucketClaim(open.db, s3Bucket, account.id);
    context.terminal.message(
      `The bucket ${s3Bucket} now belongs to the account "${account.name}". Runs of other accounts that write to it fail.`,
    );
  });
}

export function releaseBucketCommand(context: CommandContext, s3Bucket: string): Promise<void> {
  return withDatabase(context, async ({ db }) => {
    if (!(await releaseBucketClaim(db, s3Bucket))) {
      throw new CommandError(`The bucket ${s3Bucket} has no owner. List the owners: npm run -s sluice -- bucket list`);
    }
    context.terminal.message(
      `The bucket ${s3Bucket} has no owner now. The next account that writes to it becomes its owner.`,
    );
  });
}

/** A misspelled name would be stored and never be used. */
function assertBucketName(s3Bucket: string): void {
  const destination = parseS3Url(s3Bucket);
  if (isDestinationProblem(destination)) throw new UsageError(destination.message);
  if (destination.bucket !== s3Bucket) throw new UsageError('Enter the bucket name without s3:// and path.');
}
