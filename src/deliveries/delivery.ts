// Pure: the delivery of a window: its bounds, its output and its state.
import type { deliveries } from '../db/tables.ts';
import type { JobSettings } from '../jobs/settings.ts';
import { computeCalendarDates, floorToBucket, type TimeWindow } from '../usage/buckets.ts';

export type DeliveryRow = typeof deliveries.$inferSelect;

/**
 * MISSING: no run of the window has SUCCEEDED. RETIRED: the job has another output now, or is deleted. SUPERSEDED: windows that were
 * delivered later own all of its whole buckets. CURRENT: none of these. The first that applies is the state.
 */
export type DeliveryState = 'MISSING' | 'CURRENT' | 'SUPERSEDED' | 'RETIRED';

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

/** @param output hash of the current output of the job; null if the job is deleted */
export function findState(
  delivery: Pick<DeliveryRow, 'revision' | 'outputSha256' | 'owedUntil' | 'windowStart'>,
  output: Buffer | null,
): DeliveryState {
  if (delivery.revision === 0) return 'MISSING';
  if (!output?.equals(delivery.outputSha256)) return 'RETIRED';
  return delivery.owedUntil <= delivery.windowStart ? 'SUPERSEDED' : 'CURRENT';
}

/** Maximum number of days for which the coverage of a job is read: about ten years. */
export const MAX_COVERAGE_DAYS = 3660;

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
