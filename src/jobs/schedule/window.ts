// Pure: the window of a run, computed from its slot and the settings of its job.
import { addDays } from '../../lib/zoned-time.ts';
import { floorToBucket, type AggregationBucket, type CalendarUnit, type TimeWindow } from '../../usage/buckets.ts';

/** `amount` calendar days (d), or elapsed hours (h) or minutes (m), ago. */
export interface Ago {
  readonly amount: number;
  readonly unit: 'd' | 'h' | 'm';
}

/** The last whole unit before a slot (`previous`), or the unit that contains the slot up to it (`toDate`). */
export interface CalendarRange {
  readonly kind: 'previous' | 'toDate';
  readonly unit: CalendarUnit;
}

const CALENDAR_RANGES: ReadonlyMap<string, CalendarRange> = new Map([
  ['previous(day)', { kind: 'previous', unit: 'DAY' }],
  ['previous(week)', { kind: 'previous', unit: 'WEEK' }],
  ['previous(month)', { kind: 'previous', unit: 'MONTH' }],
  ['toDate(week)', { kind: 'toDate', unit: 'WEEK' }],
  ['toDate(month)', { kind: 'toDate', unit: 'MONTH' }],
  ['toDate(year)', { kind: 'toDate', unit: 'YEAR' }],
]);

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

/** Returns the milliseconds of an `ago(#x)`, with 24 hours per day; null if it has another form. */
export function parseAgoMs(text: string): number | null {
  const ago = parseAgo(text);
  return ago === null ? null : toMinutes(ago) * 60_000;
}

/** Parses a calendar range such as `previous(month)`. Returns null for anything else. */
export function parseCalendarRange(text: string): CalendarRange | null {
  return CALENDAR_RANGES.get(text) ?? null;
}

/** The buckets of which a unit has a whole number. Weeks divide neither months nor years. */
export const BUCKETS_IN_UNIT: Readonly<Record<CalendarUnit, readonly AggregationBucket[]>> = {
  DAY: ['HOUR', 'DAY'],
  WEEK: ['HOUR', 'DAY', 'WEEK'],
  MONTH: ['HOUR', 'DAY', 'MONTH'],
  YEAR: ['HOUR', 'DAY', 'MONTH'],
};

/**
 * Whether `offset` is shorter than `range`, both as `ago(#x)`, with 24 hours per day. Throws RangeError if one of them is not a
 * duration.
 */
export function isShorter(offset: string, range: string): boolean {
  return toMinutes(requireAgo(offset)) < toMinutes(requireAgo(range));
}

/** The settings of a job that define its windows. `range` has the form that parseAgo or parseCalendarRange reads, `endTimeOffset` that of parseAgo. */
export interface WindowSettings {
  readonly range: string;
  readonly endTimeOffset: string | null;
  readonly aggregationBucket: AggregationBucket;
  readonly timeZone: string;
  readonly minimizeFresh: boolean;
}

/**
 * Returns the window of the run for `slot`, which is truncated to whole seconds. The window is never empty. Throws RangeError if
 * `range` or `endTimeOffset` is not valid.
 *
 * `ago`: starts at the start of a bucket, and ends at one with `minimizeFresh`. If no complete bucket is left, the window is the
 * last complete bucket before.
 *
 * Calendar range: starts at the start of a unit, and ends at the start of a unit (`previous`), at the start of a bucket (`toDate`
 * with `minimizeFresh`) or at the slot minus `endTimeOffset`. If that leaves an empty window, it is the whole unit before.
 */
export function computeWindow(settings: WindowSettings, slot: Date): TimeWindow {
  const { aggregationBucket: bucket, timeZone } = settings;
  const due = new Date(Math.floor(slot.getTime() / 1000) * 1000);
  const open = settings.endTimeOffset === null ? due : before(due, requireAgo(settings.endTimeOffset), timeZone);
  const calendar = parseCalendarRange(settings.range);
  if (calendar?.kind === 'previous') return lastWhole(calendar.unit, open, timeZone);
  const start = calendar
    ? floorToBucket(open, calendar.unit, timeZone)
    : floorToBucket(before(due, requireAgo(settings.range), timeZone), bucket, timeZone);
  const end = settings.minimizeFresh ? floorToBucket(open, bucket, timeZone) : open;
  // With `ago` and without minimizeFresh an empty window is rare: a day of 23 hours is shorter than an offset of 1,439 minutes.
  return start < end ? { start, end } : lastWhole(calendar?.unit ?? bucket, open, timeZone);
}

/** Returns the last bucket or unit that ends at or before `at`. A date that the time zone skips is not a day. */
function lastWhole(unit: AggregationBucket | CalendarUnit, at: Date, timeZone: string): TimeWindow {
  const end = floorToBucket(at, unit, timeZone);
  return { start: floorToBucket(new Date(end.getTime() - 1), unit, timeZone), end };
}

/** Returns the instant `range` before `at`. Throws RangeError if `range` is not a duration. */
export function startOfRange(range: string, at: Date, timeZone: string): Date {
  return before(at, requireAgo(range), timeZone);
}

function before(at: Date, ago: Ago, timeZone: string): Date {
  if (ago.unit === 'd') return addDays(at, -ago.amount, timeZone);
  return new Date(at.getTime() - toMinutes(ago) * 60_000);
}

/** Returns the length of a duration, with 24 hours per day. */
export const toMinutes = (ago: Ago): number => ago.amount * MINUTES[ago.unit];

function requireAgo(text: string): Ago {
  const ago = parseAgo(text);
  if (ago === null) throw new RangeError(`${JSON.stringify(text)} is not of the form ago(#x)`);
  return ago;
}
