// Pure: the buckets of an aggregation window, reckoned in a time zone. SQL gets them as arrays and converts no zones.
import { DAY, dateOf, firstMomentOf, floorToDay, latestWallTimeBy, stretchAt } from '../lib/zoned-time.ts';

export type AggregationBucket = 'HOUR' | 'DAY' | 'WEEK' | 'MONTH';

/** Half-open: start <= t < end. */
export interface TimeWindow {
  readonly start: Date;
  readonly end: Date;
}

/**
 * The n buckets of a window, contiguous and never empty: bucket i is starts[i] <= t < ends[i].
 *
 * `calendar` has n + 1 dates, `YYYY-MM-DD`: calendar[i] is the least date whose day begins at or after starts[i],
 * calendar[n] the same for the window's end. A DAILY or MONTHLY record is a calendar date and stands at the moment at
 * which that date begins in the zone, so bucket i takes the records with calendar[i] <= date < calendar[i + 1]: in hour
 * buckets the first hour of the date. A date that the zone skips (30 December 2011 in Apia) begins with the next one,
 * so that its records are not lost.
 */
export interface Buckets {
  readonly starts: Date[];
  readonly ends: Date[];
  readonly calendar: string[];
}

const HOUR = 3_600_000;

/** The start of the bucket that holds `at`. */
export function floorToBucket(at: Date, bucket: AggregationBucket, timeZone: string): Date {
  return new Date(floorInstant(at.getTime(), bucket, timeZone));
}

/** The start of the bucket after the one that begins at (or holds) `start`. Always later than `start`. */
export function nextBucketStart(start: Date, bucket: AggregationBucket, timeZone: string): Date {
  return new Date(nextBoundary(start.getTime(), bucket, timeZone));
}

/**
 * The buckets of a window. Callers pass a start that is floored to the bucket; the last bucket ends with the window, also
 * where that is no boundary. A window without length has no buckets and one date in `calendar`.
 * 90,000 hours take about 50 ms, 5,000 days 5 ms: ask bucketCountAtMost first.
 */
export function computeBuckets(window: TimeWindow, bucket: AggregationBucket, timeZone: string): Buckets {
  const end = window.end.getTime();
  const boundaries: number[] = [];
  for (let at = window.start.getTime(); at < end; at = nextBoundary(at, bucket, timeZone)) boundaries.push(at);
  boundaries.push(end);
  const moments = boundaries.map((at) => new Date(at));
  return { starts: moments.slice(0, -1), ends: moments.slice(1), calendar: computeCalendar(boundaries, timeZone) };
}

/** No window has more buckets than this says, and rarely one less; reckoned without listing them. */
export function bucketCountAtMost(window: TimeWindow, bucket: AggregationBucket, timeZone: string): number {
  const start = window.start.getTime();
  const end = window.end.getTime();
  if (start >= end) return 0;
  if (bucket === 'HOUR') {
    // A change of the clock can cut an hour short, so each may add one.
    let count = Math.ceil((end - start) / HOUR) + 1;
    for (let at = stretchAt(start, timeZone).until; at < end; at = stretchAt(at, timeZone).until) count += 1;
    return count;
  }
  const first = floorWall(latestWallTimeBy(start, timeZone), bucket);
  const last = floorWall(latestWallTimeBy(end - 1, timeZone), bucket);
  if (bucket === 'MONTH') return monthNumber(last) - monthNumber(first) + 1;
  return (last - first) / (bucket === 'WEEK' ? 7 * DAY : DAY) + 1;
}

// Days, weeks and months begin on the calendar: a boundary is a wall time at midnight, and its moment is the first at
// which the clock shows it or later. HOUR follows the clock itself, see floorHour.
function floorInstant(at: number, bucket: AggregationBucket, timeZone: string): number {
  if (bucket === 'HOUR') return floorHour(at, timeZone);
  return firstMomentOf(floorWall(latestWallTimeBy(at, timeZone), bucket), timeZone);
}

function nextBoundary(at: number, bucket: AggregationBucket, timeZone: string): number {
  if (bucket === 'HOUR') return nextHour(at, timeZone);
  // Later than everything the clock has shown by `at`, hence later than `at`: a skipped date makes no empty bucket.
  return firstMomentOf(nextWall(floorWall(latestWallTimeBy(at, timeZone), bucket), bucket), timeZone);
}

// An hour begins where the zone's clock shows a full hour. So a repeated hour is two buckets, a skipped one none.
// Lord Howe changes by half an hour at full hours: at both changes one bucket has 90 minutes (01:00 to 03:00 in spring,
// where the clock goes from 02:00 to 02:30; 01:00 to 02:00 in autumn, where it goes from 02:00 back to 01:30).
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

function floorWall(wall: number, bucket: AggregationBucket): number {
  const day = floorToDay(wall);
  if (bucket === 'WEEK') return day - ((new Date(day).getUTCDay() + 6) % 7) * DAY;
  if (bucket === 'MONTH') return day - (new Date(day).getUTCDate() - 1) * DAY;
  return day;
}

function nextWall(wall: number, bucket: AggregationBucket): number {
  if (bucket === 'WEEK') return wall + 7 * DAY;
  // The 1st and 31 days more is always in the month after.
  if (bucket === 'MONTH') return floorWall(wall + 31 * DAY, 'MONTH');
  return wall + DAY;
}

function monthNumber(wall: number): number {
  const date = new Date(wall);
  return date.getUTCFullYear() * 12 + date.getUTCMonth();
}

function computeCalendar(boundaries: readonly number[], timeZone: string): string[] {
  let lastDay = NaN;
  let lastDate = '';
  return boundaries.map((at) => {
    // A day begins at or after `at` where the clock had not yet shown it the moment before.
    const day = floorToDay(latestWallTimeBy(at - 1, timeZone)) + DAY;
    if (day !== lastDay) {
      lastDay = day;
      lastDate = dateOf(day);
    }
    return lastDate;
  });
}
