// An oracle for the calendar ranges of src/jobs/schedule/window.ts. It reads the clock of the time zone once per minute through
// Intl and counts days one by one. It shares no code with window.ts and buckets.ts.
import { clockReadings, type ClockReading } from '../support/clock-readings.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

type Unit = 'day' | 'week' | 'month' | 'year';

/** Returns whether a unit starts with the day of a wall time at midnight. */
const STARTS: Readonly<Record<Unit, (wall: Date) => boolean>> = {
  day: () => true,
  week: (wall) => wall.getUTCDay() === 1,
  month: (wall) => wall.getUTCDate() === 1,
  year: (wall) => wall.getUTCDate() === 1 && wall.getUTCMonth() === 0,
};

interface Question {
  /** `previous(day)` to `toDate(year)`. */
  readonly range: string;
  readonly aggregationBucket: 'HOUR' | 'DAY' | 'WEEK' | 'MONTH';
  readonly timeZone: string;
  readonly minimizeFresh: boolean;
}

/** Returns start and end of the window for a slot, already moved back by endTimeOffset, in a whole minute. */
export function calendarWindowByOracle(question: Question, slot: number): [start: number, end: number] {
  const { range, aggregationBucket, timeZone, minimizeFresh } = question;
  const [, kind = '', unit = ''] = /^(previous|toDate)\((\w+)\)$/.exec(range) ?? [];
  const starts = STARTS[unit as Unit];
  const today = latestDate(slot, timeZone);
  const first = stepBack(today, starts);
  const current = startOfDate(first, timeZone);
  if (kind === 'toDate') {
    const end = minimizeFresh ? startOfBucket(aggregationBucket, slot, timeZone) : slot;
    if (end > current) return [current, end];
  }
  // A skipped date starts with the date after it, so it is not a day before.
  let before = stepBack(first - DAY, starts);
  while (startOfDate(before, timeZone) === current) before = stepBack(before - DAY, starts);
  return [startOfDate(before, timeZone), current];
}

function startOfBucket(bucket: Question['aggregationBucket'], slot: number, timeZone: string): number {
  if (bucket !== 'HOUR') {
    const unit = bucket.toLowerCase() as Unit;
    return startOfDate(stepBack(latestDate(slot, timeZone), STARTS[unit]), timeZone);
  }
  return clockReadings(timeZone, slot - 3 * HOUR, slot + MINUTE).findLast(({ wall }) => wall % HOUR === 0)?.at ?? NaN;
}

/** Returns midnight of the latest date that the clock has shown up to `at`. */
function latestDate(at: number, timeZone: string): number {
  const [reading] = clockReadings(timeZone, at, at + MINUTE) as [ClockReading];
  const latest = Math.max(reading.wall, reading.latestBefore);
  return Math.floor(latest / DAY) * DAY;
}

function stepBack(wall: number, starts: (wall: Date) => boolean): number {
  let day = wall;
  while (!starts(new Date(day))) day -= DAY;
  return day;
}

const known = new Map<string, number>();

/** Returns the first minute at which the clock shows this date or a later one. */
function startOfDate(wall: number, timeZone: string): number {
  const name = `${timeZone} ${wall}`;
  let start = known.get(name);
  if (start === undefined) {
    const readings = clockReadings(timeZone, wall - 16 * HOUR, wall + 40 * HOUR);
    start = readings.find((reading) => reading.wall >= wall)?.at ?? NaN;
    known.set(name, start);
  }
  return start;
}
