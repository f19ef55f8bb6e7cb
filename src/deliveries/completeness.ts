// Pure: whether the streams of a window were declared complete.
import { compareUtf8 } from '../lib/compare-utf8.ts';
import type { JobSettings } from '../jobs/settings.ts';
import type { DeclaredStream } from '../streams/declarations.ts';
import { computeCalendarDates, type TimeWindow } from '../usage/buckets.ts';

export interface MeterCompleteness {
  readonly meterApiName: string;
  /** Null if the stream was never declared, or does not exist. */
  readonly completeThrough: Date | null;
  /** Whether its last bucket that starts in the window is declared; null if it was never declared. */
  readonly complete: boolean | null;
}

export interface Completeness {
  /** False if a meter that counts is not complete; null if none counts. */
  readonly complete: boolean | null;
  /** Meters that count, sorted by name: those that the job names, or those that were ever declared. */
  readonly meters: readonly MeterCompleteness[];
}

type CompletenessSettings = Pick<JobSettings, 'meterApiNames' | 'timeZone'>;

/** @param declared the streams of the settings, as of the watermark of the run */
export function computeCompleteness(
  { meterApiNames, timeZone }: CompletenessSettings,
  window: TimeWindow,
  declared: readonly DeclaredStream[],
): Completeness {
  const found = new Map(declared.map((stream) => [stream.name, stream]));
  const names =
    meterApiNames === null
      ? declared.filter(({ completeThrough }) => completeThrough !== null).map(({ name }) => name)
      : [...new Set(meterApiNames)];
  const ends = new Map<DeclaredStream['granularity'], number>();
  const endOf = ({ granularity }: DeclaredStream): number => {
    let end = ends.get(granularity);
    if (end === undefined) ends.set(granularity, (end = findLastBucketEnd(granularity, window, timeZone)));
    return end;
  };
  const meters = names.toSorted(compareUtf8).map((meterApiName): MeterCompleteness => {
    const stream = found.get(meterApiName);
    const completeThrough = stream?.completeThrough ?? null;
    const complete = stream && completeThrough ? completeThrough.getTime() >= endOf(stream) : null;
    return { meterApiName, completeThrough, complete };
  });
  const complete = meters.length === 0 ? null : meters.every((meter) => meter.complete === true);
  return { complete, meters };
}

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

/**
 * Returns the end of the last bucket of a stream that starts in the window, as declarations state it: an instant for HOURLY, midnight
 * UTC of a calendar date for DAILY and MONTHLY. -Infinity if no bucket starts in the window.
 */
function findLastBucketEnd(granularity: DeclaredStream['granularity'], window: TimeWindow, timeZone: string): number {
  if (granularity === 'HOURLY') {
    const last = Math.floor((window.end.getTime() - 1) / HOUR) * HOUR;
    return last < window.start.getTime() ? -Infinity : last + HOUR;
  }
  const [from = 0, to = 0] = computeCalendarDates([window.start, window.end], timeZone).map((date) =>
    Date.parse(`${date}T00:00:00Z`),
  );
  const last = new Date(to - DAY);
  if (granularity === 'MONTHLY') last.setUTCDate(1);
  if (last.getTime() < from) return -Infinity;
  return granularity === 'DAILY' ? to : Date.UTC(last.getUTCFullYear(), last.getUTCMonth() + 1, 1);
}
