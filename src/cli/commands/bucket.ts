import { isDestinationProblem, parseS3Url } from '../../jobs/destination.ts';
import { listBucketClaims, moveBucketClaim, releaseBucketClaim } from '../../jobs/bucket-ownership.ts';
import { IssueCollector, NotFoundError } from '../../errors/errors.ts';
import { requireAccount } from './account.ts';
import { aligned } from '../output/table.ts';
import { type CommandContext, withDatabase } from '../command-context.ts';

export const listBucketsCommand = (context: CommandContext): Promise<void> =>
  withDatabase(context, async ({ db }) => {
    const claims = await listBucketClaims(db);
    const lines = claims.map((claim) => [claim.bucket, claim.accountName, claim.claimedAt.toISOString()]);
    context.terminal.answer(aligned([['BUCKET', 'ACCOUNT', 'SINCE'], ...lines]));
  });

export const moveBucketCommand = (context: CommandContext, bucket: string, accountName: string): Promise<void> =>
  withDatabase(context, async (open) => {
    checkBucket(bucket);
    const account = await requireAccount(open, accountName);
    await moveBucketClaim(open.db, bucket, account.id);
    context.terminal.say(
      `The bucket ${bucket} belongs to the account "${account.name}" now. Runs of other accounts that name it fail.`,
    );
  });

export const releaseBucketCommand = (context: CommandContext, bucket: string): Promise<void> =>
  withDatabase(context, async ({ db }) => {
    if (!(await releaseBucketClaim(db, bucket))) {
      throw new NotFoundError(
        `The bucket ${bucket} belongs to nobody. \`npm run -s sluice -- bucket list\` shows those that do.`,
      );
    }
    context.terminal.say(`The bucket ${bucket} belongs to nobody now: the next account that writes to it has it.`);
  });

/** A misspelt name would be kept for ever and help nobody. */
const checkBucket = (bucket: string): void => {
  const issues = new IssueCollector();
  const destination = parseS3Url(bucket);
  if (isDestinationProblem(destination)) issues.add(['bucket'], destination.code, destination.message);
  else if (destination.bucket !== bucket)
    issues.add(['bucket'], 'BAD_BUCKET', 'Name the bucket alone, without s3:// and path.');
  issues.throwIfAny();
};
