import { and, desc, eq, gt } from 'drizzle-orm';
import type { Db } from '../db/client.ts';
import { deliveries } from '../db/delivery-tables.ts';
import { runs } from '../db/tables.ts';
import type { DeliveryState } from '../deliveries/delivery.ts';
import { NotFoundError } from '../errors/errors.ts';
import { loadJobs } from '../jobs/jobs.ts';
import { newBackfillRun, readStates } from '../runs/backfills/next-windows.ts';
import { needsRun } from '../runs/backfills/progress.ts';
import type { BackfillContext } from './commands.ts';
import type { BackfillInput } from './input.ts';
import { chunkWindows, readSpan } from './plan.ts';

export interface PreviewedWindow {
  readonly scheduledFor: Date;
  readonly windowStart: Date;
  readonly windowEnd: Date;
  readonly state: DeliveryState;
  readonly manifestKey: string;
}

export interface BackfillPreview {
  readonly windows: number;
  readonly missing: number;
  /** TOUCHED, STALE or RETIRED. */
  readonly stale: number;
  /** CURRENT or SUPERSEDED. */
  readonly current: number;
  readonly firstWindows: readonly PreviewedWindow[];
  /** Rows of the windows that would get a run. Null if the job has no deliveries. */
  readonly estimatedRows: number | null;
  readonly estimatedBytes: number | null;
}

const SHOWN_WINDOWS = 100;
/** Number of deliveries from which the estimates are computed. */
const SAMPLE = 10;

/** Returns what a backfill would do now. Stores nothing and reads no records. */
export async function previewBackfill(
  { db, clock, limits }: Omit<BackfillContext, 'queue'>,
  accountId: bigint,
  jobId: string,
  input: BackfillInput,
): Promise<BackfillPreview> {
  const now = clock.now();
  const [job] = await loadJobs(db, accountId, [jobId]);
  if (!job) throw new NotFoundError('The job does not exist. Check the id.');
  const span = readSpan(input, job.settings, now);
  const counts = new Map<string, number>();
  const firstWindows: PreviewedWindow[] = [];
  for await (const chunk of chunkWindows(span, input.order === 'NEWEST_FIRST', limits.maxBackfillWindows)) {
    const candidates = chunk.map((window) => newBackfillRun(null, job, window, now));
    const states = await readStates(db, job, candidates);
    for (const [index, { scheduledFor, windowStart, windowEnd, manifestKey }] of candidates.entries()) {
      const state = states[index] as DeliveryState;
      counts.set(state, (counts.get(state) ?? 0) + 1);
      if (firstWindows.length < SHOWN_WINDOWS) {
        firstWindows.push({ scheduledFor, windowStart, windowEnd, state, manifestKey });
      }
    }
  }
  const count = (isCounted: (state: string) => boolean): number =>
    counts
      .entries()
      .filter(([state]) => isCounted(state))
      .reduce((sum, [, one]) => sum + one, 0);
  const windows = count(() => true);
  const missing = count((state) => needsRun('MISSING', state));
  const stale = count((state) => needsRun('STALE', state)) - missing;
  const delivered = count((state) => needsRun(input.reprocess, state));
  const average = await readAverage(db, accountId, jobId);
  return {
    windows,
    missing,
    stale,
    current: windows - missing - stale,
    firstWindows,
    estimatedRows: average && Math.round(average.rows * delivered),
    estimatedBytes: average && Math.round(average.bytes * delivered),
  };
}

/** Returns the average size of the newest deliveries of the job; null if it has none. */
async function readAverage(
  db: Db,
  accountId: bigint,
  jobId: string,
): Promise<{ readonly rows: number; readonly bytes: number } | null> {
  const sample = await db
    .select({ rows: runs.rowsWritten, bytes: runs.bytesWritten })
    .from(deliveries)
    .innerJoin(runs, eq(runs.id, deliveries.runId))
    .where(and(eq(deliveries.accountId, accountId), eq(deliveries.jobId, jobId), gt(deliveries.revision, 0)))
    .orderBy(desc(deliveries.windowEnd), desc(deliveries.windowStart))
    .limit(SAMPLE);
  if (sample.length === 0) return null;
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
  return {
    rows: sum(sample.map(({ rows }) => rows)) / sample.length,
    bytes: sum(sample.map(({ bytes }) => bytes)) / sample.length,
  };
}
