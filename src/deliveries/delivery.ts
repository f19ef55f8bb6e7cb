// Pure: the delivery of a window: its bounds, its output and its state.
import type { deliveries } from '../db/delivery-tables.ts';
import type { JobRow } from '../jobs/jobs.ts';
import { parseAgoMs } from '../jobs/schedule/window.ts';
import { type JobSettings, readSetting } from '../jobs/settings.ts';
import { computeCalendarDates, floorToBucket, type TimeWindow } from '../usage/buckets.ts';

export type DeliveryRow = typeof deliveries.$inferSelect;

/**
 * MISSING: no run of the window has SUCCEEDED. RETIRED: the job has another output now, or is deleted. SUPERSEDED: windows that were
 * delivered later own all of its whole buckets. STALE: a check found that its rows differ from the ledger. TOUCHED: a correction was found
 * and is not checked yet. CURRENT: none of these. The first that applies is the state.
 */
export type DeliveryState = (typeof DELIVERY_STATES)[number];

export const DELIVERY_STATES = ['MISSING', 'CURRENT', 'TOUCHED', 'STALE', 'SUPERSEDED', 'RETIRED'] as const;

/** The bounds of a window for which its delivery is responsible, as instants and as calendar dates. */
export interface DeliveryBounds {
  /** End of the last whole bucket. */
  readonly wholeUntil: Date;
  /** YYYY-MM-DD: the first date that the window contains, and the first date after its last whole bucket. */
  readonly dateStart: string;
  readonly dateWholeUntil: string;
}

/** A bucket that the window ends in is not whole: new data in it does not correct the delivery. */
export function computeBounds(
  { aggregationBucket, timeZone }: Pick<JobSettings, 'aggregationBucket' | 'timeZone'>,
  window: TimeWindow,
): DeliveryBounds {
  const floored = floorToBucket(window.end, aggregationBucket, timeZone);
  const wholeUntil = floored > window.start ? floored : window.start;
  const [dateStart = '', dateWholeUntil = ''] = computeCalendarDates([window.start, wholeUntil], timeZone);
  return { wholeUntil, dateStart, dateWholeUntil };
}

/** Whether each bucket of a window with this end is whole. */
export function endsWithBucket(
  { aggregationBucket, timeZone }: Pick<JobSettings, 'aggregationBucket' | 'timeZone'>,
  end: Date,
): boolean {
  return floorToBucket(end, aggregationBucket, timeZone).getTime() === end.getTime();
}

/** @param output hash of the current output of the job; null if the job is deleted */
export function findState(
  delivery: Pick<DeliveryRow, 'revision' | 'outputSha256' | 'owedUntil' | 'windowStart' | 'staleSince' | 'touchedAt'>,
  output: Buffer | null,
): DeliveryState {
  if (delivery.revision === 0) return 'MISSING';
  if (!output?.equals(delivery.outputSha256)) return 'RETIRED';
  if (!isOwed(delivery)) return 'SUPERSEDED';
  if (delivery.staleSince !== null) return 'STALE';
  return delivery.touchedAt === null ? 'CURRENT' : 'TOUCHED';
}

/** Whether the delivery is responsible for a bucket: windows that were delivered later may own all of them. */
export function isOwed({ owedUntil, windowStart }: Pick<DeliveryRow, 'owedUntil' | 'windowStart'>): boolean {
  return owedUntil > windowStart;
}

/** Settings of a job that decide whether its deliveries are restated. */
export type RestatedJob = Pick<JobRow, 'settings' | 'restatesSince'>;

/**
 * Whether a delivery that differs from the ledger is delivered again automatically, once its job is enabled.
 *
 * @param foundAt when the newest of its corrections was found; null if that is unknown
 */
export function isRestated(
  { settings, restatesSince }: RestatedJob,
  { windowEnd }: Pick<DeliveryRow, 'windowEnd'>,
  foundAt: Date | null,
  now: Date,
): boolean {
  if (readSetting(settings, 'restatement') === 'NONE' || restatesSince === null) return false;
  const withinMs = parseAgoMs(readSetting(settings, 'restateWithin')) ?? 0;
  if (windowEnd.getTime() < now.getTime() - withinMs) return false;
  return foundAt === null || foundAt >= restatesSince;
}

/** Maximum number of days for which the coverage of a job is read: about ten years. */
export const MAX_COVERAGE_DAYS = 3660;

const DAY_MS = 86_400_000;

/** Returns what is wrong with the end of a span whose coverage is asked for; null if nothing is. Milliseconds since 1970. */
export function findCoverageProblem(
  from: number,
  to: number,
): { readonly code: 'EMPTY_WINDOW' | 'WINDOW_TOO_LONG'; readonly message: string } | null {
  if (from >= to) return { code: 'EMPTY_WINDOW', message: 'Must be after from.' };
  return to - from > MAX_COVERAGE_DAYS * DAY_MS
    ? { code: 'WINDOW_TOO_LONG', message: `Must be at most ${MAX_COVERAGE_DAYS} days after from.` }
    : null;
}

/** Half-open. */
export interface TimeSpan {
  readonly from: Date;
  readonly to: Date;
}

/** Returns the spans merged where they touch or overlap, sorted by start. */
export function mergeSpans(spans: readonly TimeSpan[]): TimeSpan[] {
  const merged: TimeSpan[] = [];
  for (const span of spans.toSorted((a, b) => a.from.getTime() - b.from.getTime())) {
    const last = merged.at(-1);
    if (!last || last.to < span.from) merged.push(span);
    else if (last.to < span.to) merged[merged.length - 1] = { from: last.from, to: span.to };
  }
  return merged;
}

/** Returns the parts of `whole` that none of the merged spans contains. */
export function findGaps(whole: TimeSpan, merged: readonly TimeSpan[]): TimeSpan[] {
  const gaps: TimeSpan[] = [];
  let from = whole.from;
  for (const span of merged) {
    if (span.from > from) gaps.push({ from, to: span.from < whole.to ? span.from : whole.to });
    if (span.to > from) from = span.to;
    if (from >= whole.to) break;
  }
  if (from < whole.to) gaps.push({ from, to: whole.to });
  return gaps.filter((gap) => gap.from < gap.to);
}
