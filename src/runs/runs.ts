import { and, asc, count, desc, eq, inArray, isNotNull, type SQL, sql } from 'drizzle-orm';
import { type Db, type Executor, inOrder, send, type Transaction } from '../db/client.ts';
import type { JobSettings } from '../jobs/settings.ts';
import { isTimestampAndId, type Page, type PageArguments, readPage, toPage } from '../db/paging.ts';
import { sendMails, sendWakeUps, type Queue } from '../db/queue.ts';
import { runObjects, runs } from '../db/tables.ts';
import { isUuid, newId } from '../lib/ids.ts';
import { expandFolder, manifestKey, manifestNames, parseDestination } from '../jobs/destination.ts';
import { insertDeliveries } from '../deliveries/write-deliveries.ts';
import type { JobRow } from '../jobs/jobs.ts';
import { computeWindow } from '../jobs/schedule/window.ts';
import type { TimeWindow } from '../usage/buckets.ts';
import type { RunStatus } from './run-status.ts';
import { notifyRuns } from './run-notifications.ts';

export type RunRow = typeof runs.$inferSelect;
export type RunObjectRow = typeof runObjects.$inferSelect;
export type RunTrigger = RunRow['trigger'];

/** Part of every UPDATE of a run: subscriptions compare the number to tell states apart. */
export const nextChange = sql`${runs.change} + 1`;

type NewRun = typeof runs.$inferInsert & { readonly id: string };

/** Builds the row of a new run without storing it. */
export function newRun(
  job: Pick<JobRow, 'id' | 'accountId' | 'settings'>,
  trigger: RunTrigger,
  slot: Date,
  window: TimeWindow,
  now: Date,
  id: string = newId(now),
): NewRun {
  const destination = parseDestination(job.settings);
  return {
    id,
    accountId: job.accountId,
    jobId: job.id,
    trigger,
    status: 'QUEUED',
    scheduledFor: slot,
    windowStart: window.start,
    windowEnd: window.end,
    settings: job.settings,
    bucket: destination.bucket,
    manifestKey: manifestKey(expandFolder(destination, window.start, job.settings.timeZone), window),
    createdAt: now,
  };
}

/** Inserts a run, sends its wake-up and notifies subscribers, in the caller's transaction. */
export async function queueRun(
  tx: Transaction,
  queue: Queue,
  job: JobRow,
  trigger: RunTrigger,
  slot: Date,
  now: Date,
): Promise<RunRow> {
  const due = new Date(Math.floor(slot.getTime() / 1000) * 1000);
  return queueWindow(tx, queue, job, trigger, due, computeWindow(job.settings, due), now);
}

/** Like queueRun(), for a window that is already known. */
export async function queueWindow(
  tx: Transaction,
  queue: Queue,
  job: JobRow,
  trigger: RunTrigger,
  due: Date,
  window: TimeWindow,
  now: Date,
): Promise<RunRow> {
  const values = newRun(job, trigger, due, window, now);
  const [[run]] = await inOrder([
    send(tx.insert(runs).values(values).returning()),
    insertDeliveries(tx, [values], now),
    sendWakeUps(queue, tx, [{ jobId: job.id }]),
    notifyRuns(tx, [values]),
  ]);
  if (!run) throw new Error('The run was not stored.');
  return run;
}

/** Queues the mail about a run that ended, if its job has an email address. A backfill sends one mail for all of its runs. */
export async function queueMail(
  tx: Transaction,
  queue: Queue,
  run: { id: string; settings: JobSettings; backfillId: string | null },
): Promise<void> {
  if (run.settings.email !== null && run.backfillId === null) await sendMails(queue, tx, [{ runId: run.id }]);
}

export async function loadRuns(db: Executor, accountId: bigint, ids: readonly string[]): Promise<RunRow[]> {
  const wanted = ids.filter(isUuid);
  if (wanted.length === 0) return [];
  return db
    .select()
    .from(runs)
    .where(and(eq(runs.accountId, accountId), inArray(runs.id, wanted)));
}

/** Returns the objects that the runs have written so far, in the order of the parts. */
export function loadRunObjects(db: Executor, runIds: readonly string[]): Promise<RunObjectRow[]> {
  return db
    .select()
    .from(runObjects)
    .where(and(inArray(runObjects.runId, [...runIds]), isNotNull(runObjects.writtenAt)))
    .orderBy(runObjects.runId, runObjects.ordinal);
}

export interface RunListArguments extends PageArguments {
  readonly status?: readonly RunStatus[] | null | undefined;
  readonly jobId?: string | null | undefined;
  readonly backfillId?: string | undefined;
  /** Only runs that write to this S3 bucket. */
  readonly bucket?: string | undefined;
  /** Only runs of the window with this manifest, under its current or former name. */
  readonly manifestKey?: string | undefined;
}

function selectedRuns(
  accountId: bigint,
  { status, jobId, backfillId, bucket, manifestKey }: RunListArguments,
): SQL | undefined {
  return and(
    eq(runs.accountId, accountId),
    status == null ? undefined : inArray(runs.status, [...status]),
    jobId == null ? undefined : isUuid(jobId) ? eq(runs.jobId, jobId) : sql`false`,
    backfillId === undefined ? undefined : eq(runs.backfillId, backfillId),
    bucket === undefined ? undefined : eq(runs.bucket, bucket),
    manifestKey === undefined ? undefined : inArray(runs.manifestKey, Object.values(manifestNames(manifestKey))),
  );
}

/** Returns a page of runs, newest first. */
export async function listRuns(db: Db, accountId: bigint, args: RunListArguments): Promise<Page<RunRow>> {
  const page = readPage(args, 2, isTimestampAndId);
  const rows = await db
    .select()
    .from(runs)
    .where(
      and(
        selectedRuns(accountId, args),
        page.after
          ? sql`(${runs.createdAt}, ${runs.id}) < (${page.after[0]}::timestamptz, ${page.after[1]}::uuid)`
          : undefined,
        page.before
          ? sql`(${runs.createdAt}, ${runs.id}) > (${page.before[0]}::timestamptz, ${page.before[1]}::uuid)`
          : undefined,
      ),
    )
    .orderBy(...(page.backward ? [asc(runs.createdAt), asc(runs.id)] : [desc(runs.createdAt), desc(runs.id)]))
    .limit(page.limit + 1);
  return toPage(page, rows);
}

export async function countRuns(db: Db, accountId: bigint, args: RunListArguments): Promise<number> {
  const [row] = await db.select({ count: count() }).from(runs).where(selectedRuns(accountId, args));
  return row?.count ?? 0;
}
