import { and, eq, isNull, type SQL, sql } from 'drizzle-orm';
import { setTimeout as delay } from 'node:timers/promises';
import type { Db, Executor, Transaction } from '../db/client.ts';
import { formatArray, formatPlainArray } from '../db/array-text.ts';
import { jobs } from '../db/tables.ts';
import { manifestNames } from '../jobs/destination.ts';
import { parseAgoMs } from '../jobs/schedule/window.ts';
import { type JobSettings, readSetting } from '../jobs/settings.ts';
import { readDeclarations } from '../streams/declarations.ts';
import type { TimeWindow } from '../usage/buckets.ts';
import { computeCompleteness } from './completeness.ts';
import type { DeliveredRun } from './end-deliveries.ts';

// Windows that were delivered before their streams were complete, and their streams are complete now: the job delivers them again.

/** A window of a job, whose streams are looked up. */
export interface AwaitedWindow {
  readonly id: string;
  readonly window: TimeWindow;
  readonly settings: Pick<JobSettings, 'meterApiNames' | 'timeZone'>;
}

/** Returns the ids of the windows of one account whose streams are complete now. */
export async function findComplete(
  db: Executor,
  accountId: bigint,
  windows: readonly AwaitedWindow[],
): Promise<string[]> {
  if (windows.length === 0) return [];
  const names = windows.some(({ settings }) => settings.meterApiNames === null)
    ? null
    : [...new Set(windows.flatMap(({ settings }) => settings.meterApiNames ?? []))];
  const declared = await readDeclarations(db, accountId, names);
  // Many jobs have the same streams and windows, and an account may have 10,000 streams.
  const known = new Map<string, boolean>();
  const isComplete = ({ window, settings: { meterApiNames, timeZone } }: AwaitedWindow): boolean => {
    const key = JSON.stringify([meterApiNames, timeZone, window]);
    let complete = known.get(key);
    if (complete === undefined) {
      complete = computeCompleteness({ meterApiNames, timeZone }, window, declared).complete === true;
      known.set(key, complete);
    }
    return complete;
  };
  return windows.filter(isComplete).map(({ id }) => id);
}

/** Number of deliveries that are read, and updated in one transaction. */
const BATCH = 1000;

/**
 * Marks the deliveries whose streams were not complete, but are now, for a check that is due immediately. Only those of jobs with
 * restatement AUTOMATIC and `completeWithin`, whose windows ended within `restateWithin`. May be repeated. Returns their number.
 *
 * @param names streams that were declared
 */
export async function markCompleteDeliveries(
  db: Db,
  accountId: bigint,
  names: readonly string[],
  now: Date,
): Promise<number> {
  const meters = sql`${jobs.settings} -> 'meterApiNames'`;
  const owners = await db
    .select({ id: jobs.id, settings: jobs.settings })
    .from(jobs)
    .where(
      and(
        eq(jobs.accountId, accountId),
        isNull(jobs.deletedAt),
        sql`${jobs.settings} ->> 'restatement' = 'AUTOMATIC' AND ${jobs.settings} ->> 'completeWithin' IS NOT NULL`,
        sql`(${meters} = 'null' OR ${meters} ?| ${formatArray(names)}::text[])`,
      ),
    );
  if (owners.length === 0) return 0;
  const settings = new Map(owners.map((job) => [job.id, job.settings]));
  const since = owners.map(
    (job) => new Date(now.getTime() - (parseAgoMs(readSetting(job.settings, 'restateWithin')) ?? 0)),
  );
  let marked = 0;
  for (let after = '00000000-0000-0000-0000-000000000000'; ;) {
    const { rows } = await db.execute<{ id: string; job_id: string; start: string; end: string }>(sql`
      SELECT d.id, d.job_id, ${isoText(sql`d.window_start`)} AS start, ${isoText(sql`d.window_end`)} AS end
      FROM unnest(${formatPlainArray(owners.map(({ id }) => id))}::uuid[],
        ${formatPlainArray(since.map((at) => at.toISOString()))}::timestamptz[]) AS j(id, since)
      JOIN deliveries d ON d.job_id = j.id AND d.window_end >= j.since
      WHERE d.account_id = ${accountId}::bigint AND d.complete = false AND d.id > ${after}::uuid
      ORDER BY d.id LIMIT ${BATCH}`);
    const windows = rows.flatMap((row): AwaitedWindow[] => {
      const ofJob = settings.get(row.job_id);
      return ofJob
        ? [{ id: row.id, window: { start: new Date(row.start), end: new Date(row.end) }, settings: ofJob }]
        : [];
    });
    const complete = await findComplete(db, accountId, windows);
    await markDue(db, accountId, complete);
    marked += complete.length;
    after = rows.at(-1)?.id ?? after;
    if (rows.length < BATCH) return marked;
  }
}

const isoText = (timestamp: SQL): SQL => sql`to_char(${timestamp} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;

/** SQL: the columns that make a check due now. A check that is running does not clear this mark. */
const MARK = sql`touched_at = coalesce(d.touched_at, clock_timestamp()), check_at = clock_timestamp(), checking = NULL`;

const RETRY_MS = 50;
const MAX_TRIES = 100;

/** Marks the deliveries that are still incomplete. Locked rows are skipped and tried again: only the end of a run waits for such locks. */
async function markDue(db: Db, accountId: bigint, ids: readonly string[]): Promise<void> {
  let left = ids;
  for (let tries = 1; left.length > 0; tries += 1) {
    const of = sql`account_id = ${accountId}::bigint AND id = ANY(${formatPlainArray(left)}::uuid[]) AND complete = false`;
    const { rows: marked } = await db.execute<{ id: string }>(sql`
      UPDATE deliveries d SET ${MARK}
      WHERE d.id IN (SELECT id FROM deliveries WHERE ${of} FOR UPDATE SKIP LOCKED) RETURNING d.id`);
    if (marked.length === left.length) return;
    const done = new Set(marked.map(({ id }) => id));
    const { rows } = await db.execute<{ id: string }>(sql`SELECT id FROM deliveries WHERE ${of}`);
    left = rows.map(({ id }) => id).filter((id) => !done.has(id));
    if (tries === MAX_TRIES) throw new Error(`${left.length} deliveries are locked for too long.`);
    if (left.length > 0) await delay(RETRY_MS);
  }
}

/**
 * Marks the delivery of a run that was not complete, in the transaction that ends the run, after recordDelivery(). A declaration that
 * committed between the watermark and this transaction found no incomplete delivery to mark.
 */
export async function markIncomplete(tx: Transaction, run: DeliveredRun): Promise<void> {
  await tx.execute(sql`
    UPDATE deliveries d SET ${MARK}
    WHERE d.job_id = ${run.jobId} AND d.bucket = ${run.bucket} AND d.manifest_key = ${manifestNames(run.manifestKey).current}
      AND d.run_id = ${run.id} AND d.complete = false`);
}

/** Whether the job delivers a window again when its streams are complete. */
export function isRepeatedWhenComplete(settings: JobSettings): boolean {
  return readSetting(settings, 'restatement') === 'AUTOMATIC' && readSetting(settings, 'completeWithin') !== null;
}
