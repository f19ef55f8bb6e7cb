import { and, asc, count, desc, eq, ilike, inArray, isNull, type SQL, sql } from 'drizzle-orm';
import type { Db, Executor, Transaction } from '../db/client.ts';
import { canOccurInName, buildContainsPattern } from '../db/keyset.ts';
import { isTimestampAndId, type Page, type PageArguments, readPage, toPage } from '../db/paging.ts';
import { jobs } from '../db/tables.ts';
import { ConflictError, NotFoundError } from '../errors/errors.ts';
import { isUuid, newId } from '../lib/ids.ts';
import { assertBucketAvailable } from './bucket-ownership.ts';
import { type Destination, formatDestination, parseDestination } from './destination.ts';
import { hashOutput } from './export-fingerprint.ts';
import { nextSlot } from './schedule/upcoming-slots.ts';
import { parseAgoMs } from './schedule/window.ts';
import { type JobSettings, readSetting } from './settings.ts';
import type { JobWarning } from './warnings.ts';

export type JobRow = typeof jobs.$inferSelect;

/**
 * Throws ConflictError if another live job has the name, or a destination with a key in common. The message does not reveal
 * whether that job belongs to another account.
 */
export async function assertNameAndDestinationFree(
  db: Executor,
  accountId: bigint,
  settings: JobSettings,
  exceptId: string | null,
): Promise<void> {
  const { rows } = await db.execute<{ name_taken: boolean; destination_taken: boolean }>(sql`
    SELECT EXISTS (
        SELECT 1 FROM jobs WHERE account_id = ${accountId} AND name = ${settings.jobName} AND deleted_at IS NULL
          AND id IS DISTINCT FROM ${exceptId}::uuid) AS name_taken,
      destination_is_taken(${formatDestination(settings)}, ${exceptId}::uuid) AS destination_taken`);
  const [taken] = rows;
  if (taken?.name_taken) {
    throw new ConflictError(`Another job of the account has the name "${settings.jobName}". Choose another name.`);
  }
  if (taken?.destination_taken) throw new ConflictError(DESTINATION_TAKEN);
}

/**
 * Throws ConflictError while runs that another job queued before its destination changed still wait for this destination or
 * write to it: a retry of such a run would overwrite windows of the new job with older figures. Runs of a deleted job are not
 * retried, and the next claim of their window waits for one that is still being written.
 *
 * Also throws ConflictError if a job with which the destination collides through placeholders was created concurrently.
 *
 * Call this after the statement that inserts the destination into the unique index: that statement waits for a job that is
 * about to leave the destination, and only after that are all its queued runs visible.
 */
async function assertNoPendingRuns(db: Executor, settings: JobSettings, exceptId: string | null): Promise<void> {
  const { rows } = await db.execute<{ written: boolean }>(
    sql`SELECT destination_is_written_to(${formatDestination(settings)}, ${exceptId}::uuid) AS written`,
  );
  if (rows[0]?.written) throw new ConflictError(DESTINATION_TAKEN);
}

const DESTINATION_TAKEN =
  'Another job writes to the same S3 bucket, path and slug (the job name in lower case with hyphens), or does so for some window because of placeholders. Change the path or the name.';

/** Throws ConflictError if the settings cannot be stored: because of the name, the destination, the S3 bucket or pending runs. */
export async function assertCanStore(
  db: Executor,
  accountId: bigint,
  settings: JobSettings,
  existing: JobRow | null,
): Promise<void> {
  await assertNameAndDestinationFree(db, accountId, settings, existing?.id ?? null);
  if (existing?.destination !== formatDestination(settings)) {
    await assertBucketAvailable(db, accountId, parseDestination(settings).bucket);
    await assertNoPendingRuns(db, settings, existing?.id ?? null);
  }
}

export async function insertJob(
  tx: Transaction,
  accountId: bigint,
  settings: JobSettings,
  warnings: readonly JobWarning[],
  now: Date,
): Promise<JobRow> {
  await assertBucketAvailable(tx, accountId, parseDestination(settings).bucket);
  const [job] = await tx
    .insert(jobs)
    .values({
      id: newId(now),
      accountId,
      name: settings.jobName,
      enabled: settings.enabled,
      settings,
      warnings: warnings.map(({ message }) => message),
      destination: formatDestination(settings),
      outputSha256: hashOutput(settings),
      ...computeRestatement(settings, null, now),
      nextRunAt: nextSlot(settings, now),
      createdAt: now,
      updatedAt: now,
    })
    .onConflictDoNothing()
    .returning();
  if (job) {
    await assertNoPendingRuns(tx, settings, job.id);
    return job;
  }
  // Find the conflicting job for the message. If it was deleted meanwhile, the caller can repeat the request.
  await assertNameAndDestinationFree(tx, accountId, settings, null);
  throw new ConflictError(DESTINATION_TAKEN);
}

/** Locks the live job for the transaction. */
export async function lockJob(tx: Transaction, accountId: bigint, id: string): Promise<JobRow> {
  const [job] = isUuid(id)
    ? await tx
        .select()
        .from(jobs)
        .where(and(eq(jobs.accountId, accountId), eq(jobs.id, id), isNull(jobs.deletedAt)))
        .for('update')
    : [];
  if (!job) throw new NotFoundError('The job does not exist. Check the id.');
  return job;
}

export async function storeJob(
  tx: Transaction,
  job: JobRow,
  settings: JobSettings,
  warnings: readonly JobWarning[],
  now: Date,
): Promise<JobRow> {
  const before = job.settings;
  const scheduleChanged =
    before.enabled !== settings.enabled ||
    before.cron !== settings.cron ||
    // A one-off time is an instant, which does not depend on the time zone.
    (before.timeZone !== settings.timeZone && settings.cron !== null) ||
    before.scheduledTimeInSeconds !== settings.scheduledTimeInSeconds;
  const destination = formatDestination(settings);
  // A job whose destination does not change can be edited or disabled even if its bucket now belongs to another account.
  if (destination !== job.destination)
    await assertBucketAvailable(tx, job.accountId, parseDestination(settings).bucket);
  const [stored] = await tx
    .update(jobs)
    .set({
      name: settings.jobName,
      enabled: settings.enabled,
      settings,
      warnings: warnings.map(({ message }) => message),
      destination,
      outputSha256: hashOutput(settings),
      ...computeRestatement(settings, job, now),
      version: job.version + 1,
      // A slot that is due and not queued yet remains due unless the schedule changed.
      nextRunAt: scheduleChanged ? nextSlot(settings, now) : job.nextRunAt,
      updatedAt: now,
    })
    .where(and(eq(jobs.accountId, job.accountId), eq(jobs.id, job.id)))
    .returning();
  if (!stored) throw new NotFoundError('The job does not exist. Check the id.');
  if (destination !== job.destination) await assertNoPendingRuns(tx, settings, job.id);
  return stored;
}

/** Settle time of a job that is not restated: its deliveries are checked, so that their state is known. */
const SETTLE_SECONDS = 3600;

/** Returns the seconds from the first mark of a delivery to its check. */
export function computeSettleSeconds(settings: JobSettings): number {
  if (readSetting(settings, 'restatement') === 'NONE') return SETTLE_SECONDS;
  return (parseAgoMs(readSetting(settings, 'restateAfter')) ?? 0) / 1000;
}

/** Returns the columns that decide when deliveries are checked, and which corrections cause a restatement. */
function computeRestatement(
  settings: JobSettings,
  before: JobRow | null,
  now: Date,
): Pick<JobRow, 'restatesSince' | 'settleSeconds'> {
  const isNone = readSetting(settings, 'restatement') === 'NONE';
  return {
    restatesSince: isNone ? null : (before?.restatesSince ?? now),
    settleSeconds: computeSettleSeconds(settings),
  };
}

export async function markJobDeleted(tx: Transaction, job: JobRow, now: Date): Promise<void> {
  await tx
    .update(jobs)
    .set({ deletedAt: now, nextRunAt: null, updatedAt: now })
    .where(and(eq(jobs.accountId, job.accountId), eq(jobs.id, job.id)));
}

/** Loads live jobs only. The history of a deleted job is available through its runs. */
export async function loadJobs(db: Executor, accountId: bigint, ids: readonly string[]): Promise<JobRow[]> {
  const wanted = ids.filter(isUuid);
  if (wanted.length === 0) return [];
  return db
    .select()
    .from(jobs)
    .where(and(eq(jobs.accountId, accountId), inArray(jobs.id, wanted), isNull(jobs.deletedAt)));
}

/** Returns whether a job of the account writes to this destination with the encryption KMS. */
export async function hasKmsJob(db: Db, accountId: bigint, { bucket, path }: Destination): Promise<boolean> {
  const place = path === '' ? bucket : `${bucket}/${path}`;
  const spellings = [place, `${place}/`, `s3://${place}`, `s3://${place}/`];
  const found = await db
    .select({ id: jobs.id })
    .from(jobs)
    .where(
      and(
        eq(jobs.accountId, accountId),
        isNull(jobs.deletedAt),
        eq(sql`${jobs.settings} ->> 'encryption'`, 'KMS'),
        inArray(sql`${jobs.settings} ->> 's3Url'`, spellings),
      ),
    )
    .limit(1);
  return found.length > 0;
}

export interface JobListArguments extends PageArguments {
  readonly enabled?: boolean | null | undefined;
  readonly search?: string | null | undefined;
}

function selectedJobs(accountId: bigint, { enabled, search }: JobListArguments): SQL | undefined {
  return and(
    eq(jobs.accountId, accountId),
    isNull(jobs.deletedAt),
    enabled == null ? undefined : eq(jobs.enabled, enabled),
    // PostgreSQL cannot store U+0000, and rejects it in a parameter.
    search ? (canOccurInName(search) ? ilike(jobs.name, buildContainsPattern(search)) : sql`false`) : undefined,
  );
}

/** Sorted from the newest to the oldest. */
export async function listJobs(db: Db, accountId: bigint, args: JobListArguments): Promise<Page<JobRow>> {
  const page = readPage(args, 2, isTimestampAndId);
  const rows = await db
    .select()
    .from(jobs)
    .where(
      and(
        selectedJobs(accountId, args),
        page.after
          ? sql`(${jobs.createdAt}, ${jobs.id}) < (${page.after[0]}::timestamptz, ${page.after[1]}::uuid)`
          : undefined,
        page.before
          ? sql`(${jobs.createdAt}, ${jobs.id}) > (${page.before[0]}::timestamptz, ${page.before[1]}::uuid)`
          : undefined,
      ),
    )
    .orderBy(...(page.backward ? [asc(jobs.createdAt), asc(jobs.id)] : [desc(jobs.createdAt), desc(jobs.id)]))
    .limit(page.limit + 1);
  return toPage(page, rows);
}

export async function countJobs(db: Db, accountId: bigint, args: JobListArguments): Promise<number> {
  const [row] = await db.select({ count: count() }).from(jobs).where(selectedJobs(accountId, args));
  return row?.count ?? 0;
}
