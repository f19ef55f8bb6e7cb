// Pure: the buckets of an aggregation window, computed in a time zone. SQL receives them as arrays and converts no time zones.
import { DAY, formatWallDate, findFirstTimestamp, floorToDay, latestWallTimeBy, stretchAt } from '../lib/zoned-time.ts';

export type AggregationBucket = 'HOUR' | 'DAY' | 'WEEK' | 'MONTH';

/** A day, ISO week, month or year of the calendar. */
export type CalendarUnit = 'DAY' | 'WEEK' | 'MONTH' | 'YEAR';

/** Half-open: start <= t < end. */
export interface TimeWindow {
  readonly start: Date;
  readonly end: Date;
}

/**
 * The n buckets of a window, contiguous and never empty: bucket i is starts[i] <= t < ends[i].
 *
 * `calendar` has n + 1 dates, `YYYY-MM-DD`: calendar[i] is the earliest date whose day begins at or after starts[i], and
 * calendar[n] is the same for the end of the window. A DAILY or MONTHLY record is a calendar date and counts at the instant at
 * which that date begins in the time zone, so bucket i contains the records with calendar[i] <= date < calendar[i + 1]: in hour
 * buckets, the first hour of the date. A date that the time zone skips (30 December 2011 in Apia) begins with the next date, so
 * that its records are not lost.
 */
export interface Buckets {
  readonly starts: Date[];
  readonly ends: Date[];
  readonly calendar: string[];
}

const HOUR = 3_600_000;

/** Returns the start of the bucket or calendar unit that contains `at`. */
export function floorToBucket(at: Date, bucket: AggregationBucket | CalendarUnit, timeZone: string): Date {
  return new Date(floorInstant(at.getTime(), bucket, timeZone));
}

/** Returns the start of the bucket after the one that contains `start`. It is always later than `start`. */
export function nextBucketStart(start: Date, bucket: AggregationBucket, timeZone: string): Date {
  return new Date(nextBoundary(start.getTime(), bucket, timeZone));
}

/**
 * Returns the buckets of a window whose start is the start of a bucket. The last bucket ends with the window, even if that is not
 * a boundary. An empty window has no buckets and one date in `calendar`. 90,000 hours take about 50 ms and 5,000 days 5 ms, so
 * call bucketCountAtMost first.
 */
export function computeBuckets(window: TimeWindow, bucket: AggregationBucket, timeZone: string): Buckets {
  const end = window.end.getTime();
  const boundaries: number[] = [];
  for (let at = window.start.getTime(); at < end; at = nextBoundary(at, bucket, timeZone)) boundaries.push(at);
  boundaries.push(end);
  const instants = boundaries.map((at) => new Date(at));
  return { starts: instants.slice(0, -1), ends: instants.slice(1), calendar: computeCalendar(boundaries, timeZone) };
}

/** Returns an upper bound of the number of buckets, computed without listing them. It is exact except near changes of the clock. */
export function bucketCountAtMost(window: TimeWindow, bucket: AggregationBucket, timeZone: string): number {
  const start = window.start.getTime();
  const end = window.end.getTime();
  if (start >= end) return 0;
  if (bucket === 'HOUR') {
    // A change of the clock can shorten an hour, so each change may add a bucket.
    let count = Math.ceil((end - start) / HOUR) + 1;
    for (let at = stretchAt(start, timeZone).until; at < end; at = stretchAt(at, timeZone).until) count += 1;
    return count;
  }
  const first = floorWall(latestWallTimeBy(start, timeZone), bucket);
  const last = floorWall(latestWallTimeBy(end - 1, timeZone), bucket);
  if (bucket === 'MONTH') return monthNumber(last) - monthNumber(first) + 1;
  return (last - first) / (bucket === 'WEEK' ? 7 * DAY : DAY) + 1;
}

// Days, weeks, months and years begin on the calendar: a boundary is a wall time at midnight, and its instant is the first at which the
// clock shows that time or a later one. HOUR follows the clock itself, see floorHour.
function floorInstant(at: number, bucket: AggregationBucket | CalendarUnit, timeZone: string): number {
  if (bucket === 'HOUR') return floorHour(at, timeZone);
  return findFirstTimestamp(floorWall(latestWallTimeBy(at, timeZone), bucket), timeZone);
}

function nextBoundary(at: number, bucket: AggregationBucket, timeZone: string): number {
  if (bucket === 'HOUR') return nextHour(at, timeZone);
  // The result is later than every time that the clock has shown by `at`, so a skipped date makes no empty bucket.
  return findFirstTimestamp(nextWall(floorWall(latestWallTimeBy(at, timeZone), bucket), bucket), timeZone);
}

// An hour begins when the clock of the time zone shows a full hour. So a repeated hour is two buckets, and a skipped hour has no bucket.
// Lord Howe changes by half an hour at full hours: at both changes one bucket has 90 minutes (01:00 to 03:00 in spring, when the
// clock goes from 02:00 to 02:30; 01:00 to 02:00 in autumn, when it goes from 02:00 back to 01:30).
function floorHour(at: number, timeZone: string): number {
  let stretch = stretchAt(at, timeZone);
  let start = Math.floor((at + stretch.offset) / HOUR) * HOUR - stretch.offset;
  while (start < stretch.from) {
    stretch = stretchAt(stretch.from - 1, timeZone);
    start = Math.floor((stretch.until - 1 + stretch.offset) / HOUR) * HOUR - stretch.offset;
  }
  return start;
}

function nextHour(at: number, timeZone: string): number {
  let stretch = stretchAt(at, timeZone);
  let start = (Math.floor((at + stretch.offset) / HOUR) + 1) * HOUR - stretch.offset;
  while (start >= stretch.until) {
    stretch = stretchAt(stretch.until, timeZone);
    start = Math.ceil((stretch.from + stretch.offset) / HOUR) * HOUR - stretch.offset;
  }
  return start;
}

function floorWall(wall: number, bucket: AggregationBucket | CalendarUnit): number {
  const day = floorToDay(wall);
  if (bucket === 'WEEK') return day - ((new Date(day).getUTCDay() + 6) % 7) * DAY;
  if (bucket === 'MONTH') return day - (new Date(day).getUTCDate() - 1) * DAY;
  if (bucket === 'YEAR') return new Date(day).setUTCMonth(0, 1);
  return day;
}

function nextWall(wall: number, bucket: AggregationBucket): number {
  if (bucket === 'WEEK') return wall + 7 * DAY;
  // 31 days after the 1st is always in the next month.
  if (bucket === 'MONTH') return floorWall(wall + 31 * DAY, 'MONTH');
  return wall + DAY;
}

function monthNumber(wall: number): number {
  const date = new Date(wall);
  return date.getUTCFullYear() * 12 + date.getUTCMonth();
}

/** Returns for each instant the first date, `YYYY-MM-DD`, whose day begins at or after it, as `calendar` of Buckets has them. */
export function computeCalendarDates(instants: readonly Date[], timeZone: string): string[] {
  return computeCalendar(
    instants.map((at) => at.getTime()),
    timeZone,
  );
}

function computeCalendar(boundaries: readonly number[], timeZone: string): string[] {
  let lastDay = NaN;
  let lastDate = '';
  return boundaries.map((at) => {
    // A day begins at or after `at` if the clock has not shown that day one millisecond before `at`.
    const day = floorToDay(latestWallTimeBy(at - 1, timeZone)) + DAY;
    if (day !== lastDay) {
      lastDay = day;
      lastDate = formatWallDate(day);
    }
    return lastDate;
  });
}
