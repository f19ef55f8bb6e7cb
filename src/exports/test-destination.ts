import { createHash } from 'node:crypto';
import pLimit, { type LimitFunction } from 'p-limit';
import type { Logger } from 'pino';
import type { Db } from '../db/client.ts';
import { DestinationError, NotFoundError, RateLimitedError } from '../errors/errors.ts';
import { assertBucketAvailable, claimBucket } from '../jobs/bucket-ownership.ts';
import type { DestinationTestInput } from '../jobs/destination-test-input.ts';
import { isDestinationProblem, parseDestination, parseS3Url, toSlug } from '../jobs/destination.ts';
import { loadJobs } from '../jobs/jobs.ts';
import { expandPath } from '../jobs/placeholders.ts';
import { computeWindow } from '../jobs/schedule/window.ts';
import type { Clock } from '../lib/clock.ts';
import { createTokenBuckets } from '../lib/token-buckets.ts';
import { type BucketWriter, bucketPolicy } from './bucket-policy.ts';
import { type ObjectStore, ObjectStoreError, type StoreDestination } from './object-store.ts';
import { toRunFailure } from './run-failure.ts';
import { storeDestination } from './object-writer.ts';

/** Begins with an underscore, so that readers of the folder skip it. */
const TEST_OBJECT = '_sluice-destination-test.json';
/** Slug of a destination without a job, for the placeholder {job}. */
const NO_JOB = toSlug('destination test');

/** One account can write this many test objects in a burst, and one per second afterwards. */
const BURST = 100;
const PER_SECOND = 1;

export interface DestinationTestOptions {
  readonly acrossAccounts: Db;
  readonly store: ObjectStore;
  readonly writer: BucketWriter;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Destination of the test object. */
interface Target {
  /** Without placeholders. */
  readonly folder: string;
  /** As in s3Url, for the bucket policy. */
  readonly path: string;
  readonly store: StoreDestination;
}

export interface DestinationTests {
  /**
   * Writes one object below the path of a destination as a run would, with s3:PutObject alone, and returns its key. Throws
   * DestinationError if the store refused it, ConflictError if the bucket belongs to another account, NotFoundError, and
   * RateLimitedError.
   */
  run(
    db: Db,
    accountId: bigint,
    input: DestinationTestInput,
    signals: readonly AbortSignal[],
  ): Promise<{ readonly key: string }>;
}

/** Tests of one account are written one after the other, so that a slow store delays no other account. */
export function createDestinationTests(options: DestinationTestOptions): DestinationTests {
  const rate = createTokenBuckets({ perSecond: PER_SECOND, burst: BURST });
  const queues = new Map<bigint, LimitFunction>();
  return {
    run: async (db, accountId, input, signals) => {
      const now = performance.now();
      const waitMs = rate.waitMs(String(accountId), now);
      if (waitMs > 0) {
        const message = `Up to ${BURST} destinations can be tested in a burst, and ${PER_SECOND} per second afterwards. Retry later.`;
        throw new RateLimitedError(message, Math.ceil(waitMs / 1000));
      }
      rate.take(String(accountId), 1, now);
      const queue = queues.get(accountId) ?? pLimit(1);
      queues.set(accountId, queue);
      try {
        return await queue(() => testDestination(options, db, accountId, input, AbortSignal.any([...signals])));
      } finally {
        if (queue.activeCount === 0 && queue.pendingCount === 0) queues.delete(accountId);
      }
    },
  };
}

async function testDestination(
  { acrossAccounts, store, writer, clock, log }: DestinationTestOptions,
  db: Db,
  accountId: bigint,
  input: DestinationTestInput,
  signal: AbortSignal,
): Promise<{ readonly key: string }> {
  signal.throwIfAborted();
  const target = await findTarget(db, accountId, input, clock.now());
  const { bucket, encryption } = target.store;
  await assertBucketAvailable(db, accountId, bucket);
  const key = target.folder === '' ? TEST_OBJECT : `${target.folder}/${TEST_OBJECT}`;
  const body = Buffer.from(`${JSON.stringify({ writtenBy: 'Sluice', writtenAt: clock.now().toISOString() })}\n`);
  const sha256Hex = createHash('sha256').update(body).digest('hex');
  try {
    await store.put({ ...target.store, key, body, contentType: 'application/json', sha256Hex, signal });
  } catch (error) {
    // The request has ended, and its own error says why.
    signal.throwIfAborted();
    if (!(error instanceof ObjectStoreError)) throw error;
    const policy = { bucket, path: target.path, ...writer, encryption };
    const { code, message } = toRunFailure(error, policy);
    log.warn({ err: error, accountId: String(accountId), bucket, code }, 'a store refused the test of a destination');
    throw new DestinationError(message, code, bucketPolicy(policy));
  }
  await claimBucket(acrossAccounts, accountId, bucket);
  return { key };
}

async function findTarget(db: Db, accountId: bigint, input: DestinationTestInput, now: Date): Promise<Target> {
  const { jobId, s3Url } = input;
  if (jobId !== null) {
    const [job] = await loadJobs(db, accountId, [jobId]);
    if (!job) throw new NotFoundError('The job does not exist. Check the id.');
    const { settings } = job;
    const { bucket, path, slug } = parseDestination(settings);
    const folder = expandPath(path, slug, computeWindow(settings, now).start, settings.timeZone);
    return { folder, path, store: storeDestination(bucket, settings) };
  }
  const destination = parseS3Url(s3Url ?? '');
  if (isDestinationProblem(destination)) throw new Error(`The input was not validated: ${destination.message}`);
  const { bucket, path } = destination;
  const { bucketOwner, region, encryption, kmsKeyId } = input;
  const folder = expandPath(path, NO_JOB, now, 'UTC');
  return { folder, path, store: { bucket, bucketOwner, region, encryption, kmsKeyId } };
}
