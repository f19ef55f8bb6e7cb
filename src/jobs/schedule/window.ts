// Pure: the window of a run, from its slot and the settings of its job.
import { addDays } from '../../lib/zoned-time.ts';
import { floorToBucket, type AggregationBucket, type TimeWindow } from '../../usage/buckets.ts';

/** `amount` calendar days (d), or elapsed hours (h) or minutes (m), ago. */
export interface Ago {
  readonly amount: number;
  readonly unit: 'd' | 'h' | 'm';
}

/** Longest duration: 36,500 days, about a century, in each unit. More would leave what time zone tables and dates hold. */
export const LONGEST_AGO_DAYS = 36_500;

const MINUTES = { d: 1440, h: 60, m: 1 } as const;

/** Reads `ago(#x)`: a positive integer without sign, blank or leading zero, and d, h or m. Null for anything else. */
export function parseAgo(text: string): Ago | null {
  const match = /^ago\(([1-9][0-9]{0,8})([dhm])\)$/.exec(text);
  if (match === null) return null;
  const ago: Ago = { amount: Number(match[1]), unit: match[2] as Ago['unit'] };
  return toMinutes(ago) <= LONGEST_AGO_DAYS * MINUTES.d ? ago : null;
}

/**
 * Whether `offset` is shorter than `range`, both as `ago(#x)`, with 24 hours to the day. Throws a RangeError where one of them
 * is not a duration.
 */
export function isShorter(offset: string, range: string): boolean {
  return toMinutes(requireAgo(offset)) < toMinutes(requireAgo(range));
}

/** The settings of a job that make its windows. `range` and `endTimeOffset` as parseAgo takes them. */
export interface WindowSettings {
  readonly range: string;
  readonly endTimeOffset: string | null;
  readonly aggregationBucket: AggregationBucket;
  readonly timeZone: string;
  readonly minimizeFresh: boolean;
}

/**
 * The window of the run for `slot` (whole seconds; what is below is cut off). Its start is always a bucket's start, its
 * end one too with `minimizeFresh`, and it always has a length: where nothing is left, it is the last whole bucket before.
 * Throws a RangeError where `range` or `endTimeOffset` is not a duration.
 */
export function computeWindow(settings: WindowSettings, slot: Date): TimeWindow {
  const { aggregationBucket: bucket, timeZone } = settings;
  const due = new Date(Math.floor(slot.getTime() / 1000) * 1000);
  const start = floorToBucket(before(due, requireAgo(settings.range), timeZone), bucket, timeZone);
  const open = settings.endTimeOffset === null ? due : before(due, requireAgo(settings.endTimeOffset), timeZone);
  const end = settings.minimizeFresh ? floorToBucket(open, bucket, timeZone) : open;
  if (start < end) return { start, end };
  // Without minimizeFresh this is rare: a day of 23 hours is shorter than an offset that counts 1,439 minutes.
  const lastEnd = floorToBucket(open, bucket, timeZone);
  return { start: floorToBucket(new Date(lastEnd.getTime() - 1), bucket, timeZone), end: lastEnd };
}

/** The moment that lies `range` before `at`. Throws a RangeError where `range` is not a duration. */
export function startOfRange(range: string, at: Date, timeZone: string): Date {
  return before(at, requireAgo(range), timeZone);
}

function before(at: Date, ago: Ago, timeZone: string): Date {
  if (ago.unit === 'd') return addDays(at, -ago.amount, timeZone);
  return new Date(at.getTime() - toMinutes(ago) * 60_000);
}

function toMinutes(ago: Ago): number {
  return ago.amount * MINUTES[ago.unit];
}

function requireAgo(text: string): Ago {
  const ago = parseAgo(text);
  if (ago === null) throw new RangeError(`${JSON.stringify(text)} is not of the form ago(#x)`);
  return ago;
}
