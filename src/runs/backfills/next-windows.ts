import { and, eq, gt, inArray, lt, sql } from 'drizzle-orm';
import type { Executor, Transaction } from '../../db/client.ts';
import { backfills } from '../../db/delivery-tables.ts';
import { runs } from '../../db/tables.ts';
import { findState } from '../../deliveries/delivery.ts';
import { loadDeliveriesOfRuns } from '../../deliveries/read-deliveries.ts';
import { hashOutput } from '../../jobs/export-fingerprint.ts';
import { type BackfillSpan, type BackfillWindow, iterateWindows } from '../../jobs/schedule/backfill-windows.ts';
import type { JobRow } from '../../jobs/jobs.ts';
import type { JobSettings } from '../../jobs/settings.ts';
import { newRun } from '../runs.ts';
import { type BackfillRow, DELIVERED, needsRun } from './progress.ts';

type NewRun = typeof runs.$inferInsert;
type BackfillJob = Pick<JobRow, 'id' | 'accountId' | 'settings'>;

/** Windows whose states the first statement reads; most backfills need a run for each window. */
const FIRST_BATCH = 4;
const BATCH = 500;
/** Maximum number of windows that one transaction skips. */
const MAX_SKIPPED = 2000;

/** Order of the runs of a backfill among the waiting runs of their job: after slots and restatements. */
const TURN = 2;

/** Returns what the windows of a backfill are computed from. Throws if the settings have no cron, which none has been stored without. */
export function spanOf(
  settings: JobSettings,
  { from, to, now }: { readonly from: Date; readonly to: Date; readonly now: Date },
): BackfillSpan {
  const { cron } = settings;
  if (cron === null) throw new Error('The settings of a backfill have no cron.');
  return { settings: { ...settings, cron }, from, to, now };
}

export interface NextWindows {
  readonly runs: readonly NewRun[];
  /** Windows in front of them that need no run. */
  readonly skipped: number;
  /** Failed windows among those of `runs`. */
  readonly retried: number;
  readonly nextSlot: Date | null;
  readonly retrySlot: Date | null;
  /** Whether no window was found only because MAX_SKIPPED was reached. */
  readonly isCut: boolean;
}

/** Builds the runs of the next windows, up to `count`. Windows that failed are tried again after all others. */
export async function findNextWindows(
  tx: Transaction,
  backfill: BackfillRow,
  job: BackfillJob,
  count: number,
  now: Date,
): Promise<NextWindows> {
  const next = await findUntried(tx, backfill, job, count, now);
  if (next.nextSlot !== null || next.runs.length >= count || backfill.retrySlot === null) {
    return { ...next, retried: 0, retrySlot: backfill.retrySlot };
  }
  const failed = await findFailed(tx, backfill, backfill.retrySlot, count - next.runs.length);
  const retries = failed.map((window) => newBackfillRun(backfill, job, window, now));
  return {
    ...next,
    runs: [...next.runs, ...retries],
    retried: retries.length,
    retrySlot: failed.at(-1)?.slot ?? null,
  };
}

async function findUntried(
  tx: Transaction,
  backfill: BackfillRow,
  job: BackfillJob,
  count: number,
  now: Date,
): Promise<Omit<NextWindows, 'retried' | 'retrySlot'>> {
  const needed: NewRun[] = [];
  let skipped = 0;
  if (backfill.nextSlot === null) return { runs: needed, skipped, nextSlot: null, isCut: false };
  const { spanStart: from, spanEnd: to, createdAt, newestFirst, reprocess } = backfill;
  const span = spanOf(backfill.settings, { from, to, now: createdAt });
  const windows = iterateWindows(span, newestFirst, backfill.nextSlot);
  let batch = FIRST_BATCH;
  for (;;) {
    const candidates = takeWindows(windows, batch).map((window) => newBackfillRun(backfill, job, window, now));
    const states = await readStates(tx, job, candidates);
    for (const [index, run] of candidates.entries()) {
      if (needed.length === count) return { runs: needed, skipped, nextSlot: run.scheduledFor, isCut: false };
      if (needsRun(reprocess, states[index] ?? 'MISSING')) needed.push(run);
      else skipped += 1;
    }
    if (candidates.length < batch) return { runs: needed, skipped, nextSlot: null, isCut: false };
    if (skipped >= MAX_SKIPPED || needed.length === count) {
      const [following] = takeWindows(windows, 1);
      return { runs: needed, skipped, nextSlot: following?.slot ?? null, isCut: needed.length < count };
    }
    batch = BATCH;
  }
}

/** Not take(), which would end the generator. */
export function takeWindows(windows: Iterator<BackfillWindow, undefined>, count: number): BackfillWindow[] {
  const taken: BackfillWindow[] = [];
  while (taken.length < count) {
    const { done, value } = windows.next();
    if (done === true) break;
    taken.push(value);
  }
  return taken;
}

/** Returns the state of the delivery of each run. */
export async function readStates(
  tx: Executor,
  job: BackfillJob,
  candidates: readonly Pick<NewRun, 'jobId' | 'bucket' | 'manifestKey'>[],
): Promise<string[]> {
  const output = hashOutput(job.settings);
  const found = new Map(
    (await loadDeliveriesOfRuns(tx, job.accountId, candidates)).map((row) => [row.manifestKey, findState(row, output)]),
  );
  return candidates.map(({ manifestKey }) => found.get(manifestKey) ?? 'MISSING');
}

/** Whether a run of a backfill is still needed when it starts: another run may have delivered the window since it was queued. */
export async function isStillNeeded(
  db: Executor,
  run: BackfillJob & Pick<NewRun, 'backfillId' | 'jobId' | 'bucket' | 'manifestKey'>,
): Promise<boolean> {
  const [backfill] = await db
    .select({ reprocess: backfills.reprocess })
    .from(backfills)
    .where(and(eq(backfills.accountId, run.accountId), eq(backfills.id, run.backfillId ?? '')));
  if (!backfill) return true;
  const [state = 'MISSING'] = await readStates(db, run, [run]);
  return needsRun(backfill.reprocess, state);
}

/** Returns windows whose newest run in the backfill has failed or was canceled, after a slot. */
async function findFailed(
  tx: Transaction,
  { id, newestFirst }: BackfillRow,
  after: Date,
  count: number,
): Promise<BackfillWindow[]> {
  const rows = await tx
    .select({ slot: runs.scheduledFor, start: runs.windowStart, end: runs.windowEnd })
    .from(runs)
    .where(
      and(
        eq(runs.backfillId, id),
        inArray(runs.status, ['FAILED', 'CANCELED']),
        sql`${runs.error} ->> 'code' IS DISTINCT FROM ${DELIVERED.code}`,
        (newestFirst ? lt : gt)(runs.scheduledFor, after),
        sql`NOT EXISTS (SELECT 1 FROM runs n WHERE n.backfill_id = ${id} AND n.scheduled_for = ${runs.scheduledFor}
          AND (n.created_at, n.id) > (${runs.createdAt}, ${runs.id}))`,
      ),
    )
    .orderBy(newestFirst ? sql`${runs.scheduledFor} DESC` : runs.scheduledFor)
    .limit(count);
  return rows.map(({ slot, start, end }) => ({ slot, window: { start, end } }));
}

/** The window is that of the settings when the backfill was created; the other settings are the current ones of the job. */
export function newBackfillRun(
  backfill: Pick<BackfillRow, 'id'> | null,
  job: BackfillJob,
  { slot, window }: BackfillWindow,
  now: Date,
): NewRun {
  return { ...newRun(job, 'BACKFILL', slot, window, now), turn: TURN, backfillId: backfill?.id ?? null };
}
