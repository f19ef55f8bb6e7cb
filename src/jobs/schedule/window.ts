// Pure: the window of a run, computed from its slot and the settings of its job.
import { addDays } from '../../lib/zoned-time.ts';
import { floorToBucket, type AggregationBucket, type TimeWindow } from '../../usage/buckets.ts';

/** `amount` calendar days (d), or elapsed hours (h) or minutes (m), ago. */
export interface Ago {
  readonly amount: number;
  readonly unit: 'd' | 'h' | 'm';
}

/** Maximum duration in any unit: about a century. More would exceed the range of time zone tables and dates. */
export const MAX_AGO_DAYS = 36_500;

const MINUTES = { d: 1440, h: 60, m: 1 } as const;

/** Parses `ago(#x)`: a positive integer without sign, space or leading zero, and d, h or m. Returns null for anything else. */
export function parseAgo(text: string): Ago | null {
  const match = /^ago\(([1-9][0-9]{0,8})([dhm])\)$/.exec(text);
  if (match === null) return null;
  const ago: Ago = { amount: Number(match[1]), unit: match[2] as Ago['unit'] };
  return toMinutes(ago) <= MAX_AGO_DAYS * MINUTES.d ? ago : null;
}

/**
 * Whether `offset` is shorter than `range`, both as `ago(#x)`, with 24 hours per day. Throws RangeError if one of them is not a
 * duration.
 */
export function isShorter(offset: string, range: string): boolean {
  return toMinutes(requireAgo(offset)) < toMinutes(requireAgo(range));
}

/** The settings of a job that define its windows. `range` and `endTimeOffset` have the form that parseAgo reads. */
export interface WindowSettings {
  readonly range: string;
  readonly endTimeOffset: string | null;
  readonly aggregationBucket: AggregationBucket;
  readonly timeZone: string;
  readonly minimizeFresh: boolean;
}

/**
 * Returns the window of the run for `slot`, which is truncated to whole seconds. The window starts at the start of a bucket, ends
 * at one with `minimizeFresh`, and is never empty: if no complete bucket is left, it is the last complete bucket before. Throws
 * RangeError if `range` or `endTimeOffset` is not a duration.
 */
export function computeWindow(settings: WindowSettings, slot: Date): TimeWindow {
  const { aggregationBucket: bucket, timeZone } = settings;
  const due = new Date(Math.floor(slot.getTime() / 1000) * 1000);
  const start = floorToBucket(before(due, requireAgo(settings.range), timeZone), bucket, timeZone);
  const open = settings.endTimeOffset === null ? due : before(due, requireAgo(settings.endTimeOffset), timeZone);
  const end = settings.minimizeFresh ? floorToBucket(open, bucket, timeZone) : open;
  if (start < end) return { start, end };
  // Without minimizeFresh this is rare: a day of 23 hours is shorter than an offset of 1,439 minutes.
  const lastEnd = floorToBucket(open, bucket, timeZone);
  return { start: floorToBucket(new Date(lastEnd.getTime() - 1), bucket, timeZone), end: lastEnd };
}

/** Returns the instant `range` before `at`. Throws RangeError if `range` is not a duration. */
export function startOfRange(range: string, at: Date, timeZone: string): Date {
  return before(at, requireAgo(range), timeZone);
}

function before(at: Date, ago: Ago, timeZone: string): Date {
  if (ago.unit === 'd') return addDays(at, -ago.amount, timeZone);
  return new Date(at.getTime() - toMinutes(ago) * 60_000);
}

const toMinutes = (ago: Ago): number => ago.amount * MINUTES[ago.unit];

function requireAgo(text: string): Ago {
  const ago = parseAgo(text);
  if (ago === null) throw new RangeError(`${JSON.stringify(text)} is not of the form ago(#x)`);
  return ago;
}
