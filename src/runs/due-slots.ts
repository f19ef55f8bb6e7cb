import { and, asc, eq, inArray, isNull, lte, sql } from 'drizzle-orm';
import type { Db, Transaction } from '../db/client.ts';
import { databaseNow } from '../db/database-now.ts';
import { formatWakeUpKey, type MailMessage, sendMails, sendWakeUps, type Queue } from '../db/queue.ts';
import { jobs, runs } from '../db/tables.ts';
import { insertDeliveries } from '../deliveries/write-deliveries.ts';
import { planCatchUp, type SlotWindow } from '../jobs/schedule/catch-up.ts';
import type { JobRow } from '../jobs/jobs.ts';
import { nextSlot } from '../jobs/schedule/upcoming-slots.ts';
import { exportFingerprint } from '../jobs/export-fingerprint.ts';
import { newestSlots } from '../jobs/schedule/schedule.ts';
import { computeWindow, parseAgoMs } from '../jobs/schedule/window.ts';
import { type JobSettings, readSetting } from '../jobs/settings.ts';
import { newIds } from '../lib/ids.ts';
import { releaseRuns } from './release-runs.ts';
import { notifyRuns } from './run-notifications.ts';
import { statusAfter } from './run-status.ts';
import { newRun, nextChange, queueMail, type RunRow, type RunTrigger } from './runs.ts';

export interface DueSlotOptions {
  /** Maximum number of jobs in one transaction. */
  readonly batch: number;
  /** Maximum number of slots of one job that run after downtime (MAX_CATCH_UP). */
  readonly maxCatchUp: number;
  /** Defaults to the database's time, so that a server with a wrong clock runs nothing early. */
  readonly now?: Date;
  /** Ids of jobs to leave out. */
  readonly skip: readonly string[];
  /** Called for a job whose slots cannot be planned. The job stays due, and the other jobs are planned. */
  readonly onUnplannable: (jobId: string, error: unknown) => void;
  /** Called with the new QUEUED runs after COMMIT. */
  readonly onQueued?: (queued: readonly RunRow[]) => void;
}

/** Maximum number of slots of a job that are computed: about a week of minutes. If there are more, the oldest MISSED run says so. */
const MAX_LOOK_BACK = 10_000;

/**
 * Number of new runs after which a transaction plans no further job: 10,000 runs take 1.3 s, mostly CPU time in which this process
 * sends no heartbeats. The remaining jobs stay due.
 */
const MAX_INSERTS = 5000;

export interface PlannedBatch {
  /** Whether more jobs may be due. */
  readonly more: boolean;
  /** The time for which jobs were due. */
  readonly now: Date;
}

/** A slot of a job: either it has a waiting run (`runId`), or it is due. */
interface Slot extends SlotWindow {
  readonly runId: string | null;
}

/**
 * Creates the runs of all due slots for one batch of jobs. Any number of servers may call it concurrently: each takes jobs that no other server has locked, and moves next_run_at in the transaction that creates the runs.
 */
export async function queueDueSlots(db: Db, queue: Queue, options: DueSlotOptions): Promise<PlannedBatch> {
  const { more, now, queued } = await db.transaction((tx) => queueBatch(tx, queue, options));
  options.onQueued?.(queued);
  // After COMMIT: a declaration that is committed meanwhile either finds the runs, or is found here.
  const accounts = new Set(queued.filter(({ waitUntil }) => waitUntil !== null).map(({ accountId }) => accountId));
  for (const accountId of accounts) await releaseRuns(db, queue, accountId);
  return { more, now };
}

async function queueBatch(
  tx: Transaction,
  queue: Queue,
  options: DueSlotOptions,
): Promise<PlannedBatch & { readonly queued: readonly RunRow[] }> {
  const now = options.now ?? (await databaseNow(tx));
  const dueJobs = await tx
    .select()
    .from(jobs)
    .where(and(lte(jobs.nextRunAt, now), sql`${jobs.id} <> ALL(${sql.param(options.skip)}::uuid[])`))
    .orderBy(asc(jobs.nextRunAt))
    .limit(options.batch)
    .for('update', { skipLocked: true });
  if (dueJobs.length === 0) return { more: false, now, queued: [] };
  const waiting = await loadWaitingSlots(tx, dueJobs);

  const inserts: (typeof runs.$inferInsert)[] = [];
  const ended: EndedRun[] = [];
  const mails: MailMessage[] = [];
  const moves: Move[] = [];
  let seen = 0;
  for (const job of dueJobs) {
    if (inserts.length >= MAX_INSERTS) break;
    seen += 1;
    try {
      const plan = planJob(job, waiting.get(job.id) ?? [], now, options.maxCatchUp);
      inserts.push(...plan.inserts);
      ended.push(...plan.ended);
      mails.push(...plan.mails);
      moves.push({ id: job.id, nextRunAt: nextSlot(job.settings, now) });
    } catch (error) {
      // For example settings that this version no longer accepts. Rethrowing would block the jobs of all accounts.
      options.onUnplannable(job.id, error);
    }
  }
  const endedRuns = await cancelWaitingRuns(tx, ended, now);
  // One mail per superseded run, as for any run that ends. Missed slots share one mail per job (plan.mails).
  for (const run of endedRuns) if (run.error?.code === SUPERSEDED.code) await queueMail(tx, queue, run);
  const stored = await insertRuns(tx, inserts);
  await insertDeliveries(tx, stored, now);
  const changed = [...stored, ...endedRuns];
  await updateNextRuns(tx, moves);
  const wakeUps = changed
    .filter(({ status }) => status === 'QUEUED')
    .map(({ jobId, notBefore }) => ({ jobId, startAfter: notBefore }));
  // One for all runs of a job that do not wait.
  const distinct = new Map(wakeUps.map((one) => [formatWakeUpKey(one.jobId, one.startAfter), one]));
  await sendWakeUps(queue, tx, [...distinct.values()]);
  await sendMails(queue, tx, mails);
  await notifyRuns(tx, changed);
  return {
    more: seen < dueJobs.length || dueJobs.length === options.batch,
    now,
    queued: stored.filter((run) => run.status === 'QUEUED'),
  };
}

interface EndedRun {
  readonly id: string;
  readonly reason: 'SUPERSEDED' | 'MISSED';
}

/** A new value of `jobs.next_run_at`. */
interface Move {
  readonly id: string;
  readonly nextRunAt: Date | null;
}

/** Decides which slots of a due job run, and which are superseded or missed. Throws if slots, windows or keys cannot be computed. */
function planJob(job: JobRow, waiting: readonly Slot[], now: Date, cap: number) {
  const slots = computeDueSlots(job, now);
  // Any number of slots may wait; all of them are delivered.
  const { waits = [], due = [] } = Object.groupBy(slots, ({ slot }) =>
    findWaitUntil(job.settings, slot, now) === null ? 'due' : 'waits',
  );
  const plan = planCatchUp<Slot>({ waiting, due, cap });
  const trigger: RunTrigger = job.settings.cron === null ? 'ONE_OFF' : 'CRON';
  const inserts: (typeof runs.$inferInsert)[] = [];
  const ended: EndedRun[] = [];
  for (const slot of plan.superseded) {
    if (slot.runId !== null) ended.push({ id: slot.runId, reason: 'SUPERSEDED' });
  }
  const ids = newIds(plan.missed.length + plan.run.length + waits.length, now);
  let lastMissed: string | undefined;
  for (const slot of plan.missed) {
    if (slot.runId === null) {
      const run = newRun(job, trigger, slot.slot, slot.window, now, ids.shift());
      const error = slots.length === MAX_LOOK_BACK && lastMissed === undefined ? MISSED_AND_OLDER : MISSED;
      inserts.push({ ...run, status: statusAfter('MISS'), finishedAt: now, error });
      lastMissed = run.id;
    } else {
      ended.push({ id: slot.runId, reason: 'MISSED' });
      lastMissed = slot.runId;
    }
  }
  for (const slot of plan.run) {
    if (slot.runId === null) inserts.push(newRun(job, trigger, slot.slot, slot.window, now, ids.shift()));
  }
  for (const { slot, window } of waits.toReversed()) {
    const waitUntil = findWaitUntil(job.settings, slot, now);
    inserts.push({ ...newRun(job, trigger, slot, window, now, ids.shift()), waitUntil, notBefore: waitUntil });
  }
  const mails =
    lastMissed === undefined || job.settings.email === null ? [] : [{ runId: lastMissed, missed: plan.missed.length }];
  return { inserts, ended, mails };
}

/** Returns until when the run of a slot waits for its streams to be complete; null if it does not wait. */
function findWaitUntil(settings: JobSettings, slot: Date, now: Date): Date | null {
  const completeWithin = readSetting(settings, 'completeWithin');
  if (completeWithin === null) return null;
  const until = new Date(slot.getTime() + (parseAgoMs(completeWithin) ?? 0));
  return until > now ? until : null;
}

export const MISSED = {
  code: 'MISSED',
  message:
    'Skipped: more than MAX_CATCH_UP later slots of this job were waiting. To export this window, call runJob with its slot.',
  retryable: false,
} as const;

/** Error of the oldest recorded slot, if older slots may have been missed too. */
const MISSED_AND_OLDER = {
  ...MISSED,
  message: `${MISSED.message} Slots before the ${MAX_LOOK_BACK} newest were skipped too and are not recorded.`,
} as const;

export const SUPERSEDED = {
  code: 'SUPERSEDED',
  message:
    'Skipped: a later slot of this job was due before this run started, and its window contains the window of this run.',
  retryable: false,
} as const;

function computeDueSlots(job: JobRow, now: Date): Slot[] {
  const first = job.nextRunAt;
  if (!first) return [];
  const { cron, timeZone } = job.settings;
  const slots = cron === null ? [first] : newestSlots(cron, timeZone, now, first, MAX_LOOK_BACK);
  const fingerprint = exportFingerprint(job.settings);
  return slots.map((slot) => ({ slot, window: computeWindow(job.settings, slot), fingerprint, runId: null }));
}

async function loadWaitingSlots(tx: Transaction, due: readonly JobRow[]): Promise<Map<string, Slot[]>> {
  const rows = await tx
    .select()
    .from(runs)
    .where(
      and(
        inArray(
          runs.jobId,
          due.map((job) => job.id),
        ),
        eq(runs.status, 'QUEUED'),
        // A run that has started is retried, and only runs of slots are superseded by slots.
        isNull(runs.startedAt),
        inArray(runs.trigger, ['CRON', 'ONE_OFF', 'IMMEDIATE']),
        // Many slots may wait for one declaration of completeness, and each of them is delivered.
        isNull(runs.waitUntil),
      ),
    );
  const byJob = new Map<string, Slot[]>();
  for (const run of rows) {
    const window = { start: run.windowStart, end: run.windowEnd };
    const slot = { slot: run.scheduledFor, window, fingerprint: exportFingerprint(run.settings), runId: run.id };
    byJob.set(run.jobId, [...(byJob.get(run.jobId) ?? []), slot]);
  }
  return byJob;
}

async function insertRuns(tx: Transaction, inserts: readonly (typeof runs.$inferInsert)[]): Promise<RunRow[]> {
  const stored: RunRow[] = [];
  // 1,000 rows of about 15 values each stay below the limit of 65,534 parameters per statement.
  for (let from = 0; from < inserts.length; from += 1000) {
    stored.push(
      ...(await tx
        .insert(runs)
        .values(inserts.slice(from, from + 1000))
        .onConflictDoNothing()
        .returning()),
    );
  }
  return stored;
}

async function cancelWaitingRuns(tx: Transaction, ended: readonly EndedRun[], now: Date): Promise<RunRow[]> {
  const changed: RunRow[] = [];
  for (const [reason, error, event] of [
    ['SUPERSEDED', SUPERSEDED, 'SUPERSEDE'],
    ['MISSED', MISSED, 'MISS'],
  ] as const) {
    const ids = ended.filter((run) => run.reason === reason).map((run) => run.id);
    if (ids.length === 0) continue;
    changed.push(
      ...(await tx
        .update(runs)
        .set({ status: statusAfter(event), finishedAt: now, error, change: nextChange })
        .where(and(inArray(runs.id, ids), eq(runs.status, 'QUEUED'), isNull(runs.startedAt)))
        .returning()),
    );
  }
  return changed;
}

async function updateNextRuns(tx: Transaction, moves: readonly Move[]): Promise<void> {
  const ids = moves.map((move) => move.id);
  const next = moves.map((move) => move.nextRunAt?.toISOString() ?? null);
  await tx.execute(sql`
    UPDATE jobs SET next_run_at = u.next_run_at
    FROM unnest(${sql.param(ids)}::uuid[], ${sql.param(next)}::timestamptz[]) AS u(id, next_run_at)
    WHERE jobs.id = u.id`);
}
