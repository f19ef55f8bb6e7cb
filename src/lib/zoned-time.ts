// Pure: time zones. The one place that knows temporal-polyfill, which reads the tables of Node's ICU through Intl.
//
// Instants are epoch milliseconds here. A "wall time" is what a clock on the wall shows, written as the
// instant at which a clock in UTC shows the same, so that plain arithmetic works on it.
//
// One look-up through the polyfill takes 5 µs, and finding a clock change 50 µs to 1 ms. So offsets are kept as
// stretches (two a year in most zones), and everything below is arithmetic on those.
import { Temporal } from 'temporal-polyfill';
import { isUtc } from './time-zones.ts';

export const HOUR = 3_600_000;
export const DAY = 24 * HOUR;

/** A stretch of time, from <= t < until, through which a zone keeps one offset (milliseconds, positive east of UTC). */
export interface OffsetStretch {
  readonly from: number;
  readonly until: number;
  readonly offset: number;
}

const ALWAYS_UTC: OffsetStretch = { from: -Infinity, until: Infinity, offset: 0 };
// Grows by what is asked for: at most one entry per zone and clock change, up to the year 2800.
const knownStretches = new Map<string, OffsetStretch[]>();

// The rules that zones have for the far future go by the Gregorian calendar, which repeats after 400 years, also in its
// weekdays. Without this a window up to the year 9999 would look up 16,000 changes, 2.5 s, and keep them.
const REPEATS_FROM = Date.UTC(2400, 0, 1);
const REPEATS_AFTER = 146_097 * DAY;

/** Returns the stretch that contains the instant `at`. Throws a RangeError for an unknown zone. */
export function stretchAt(at: number, timeZone: string): OffsetStretch {
  if (isUtc(timeZone)) return ALWAYS_UTC;
  const repeats = Math.floor((at - REPEATS_FROM) / REPEATS_AFTER) * REPEATS_AFTER;
  if (repeats <= 0) return keptStretchAt(at, timeZone);
  const { from, until, offset } = keptStretchAt(at - repeats, timeZone);
  return { from: from + repeats, until: until + repeats, offset };
}

function keptStretchAt(at: number, timeZone: string): OffsetStretch {
  let known = knownStretches.get(timeZone);
  if (known === undefined) knownStretches.set(timeZone, (known = []));
  const index = firstAfter(known, at);
  const candidate = known[index - 1];
  if (candidate !== undefined && at < candidate.until) return candidate;
  const found = lookUpStretch(at, timeZone);
  known.splice(index, 0, found);
  return found;
}

/** The index of the first stretch that begins after `at`. */
function firstAfter(stretches: readonly OffsetStretch[], at: number): number {
  let low = 0;
  let high = stretches.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((stretches[middle]?.from ?? Infinity) <= at) low = middle + 1;
    else high = middle;
  }
  return low;
}

function lookUpStretch(at: number, timeZone: string): OffsetStretch {
  const moment = Math.floor(at);
  const zoned = Temporal.Instant.fromEpochMilliseconds(moment).toZonedDateTimeISO(timeZone);
  // "previous" is strictly before, "next" strictly after; a change at `at` itself begins the stretch.
  const began = zoned.add({ milliseconds: 1 }).getTimeZoneTransition('previous');
  const ends = zoned.getTimeZoneTransition('next');
  return {
    from: began?.epochMilliseconds ?? -Infinity,
    until: ends?.epochMilliseconds ?? Infinity,
    offset: Math.round(zoned.offsetNanoseconds / 1e6),
  };
}

/** Returns the wall time of the zone at `at`. */
export const wallTimeAt = (at: number, timeZone: string): number => at + stretchAt(at, timeZone).offset;

// Offsets lie within 16 hours of UTC (the farthest ever was Manila, 15:56 before 1844).
const FARTHEST_OFFSET = 16 * HOUR;

/**
 * Returns the first instant at which the zone's clock shows `wall` or later. For a wall time that the clock skips this is the
 * instant of the change, for one that is repeated the first, and a later wall time never has an earlier instant.
 */
export function findFirstTimestamp(wall: number, timeZone: string): number {
  let stretch = stretchAt(wall - FARTHEST_OFFSET, timeZone);
  while (stretch.until + stretch.offset <= wall) stretch = stretchAt(stretch.until, timeZone);
  return Math.max(wall - stretch.offset, stretch.from);
}

/**
 * The latest wall time that the zone's clock has shown up to and with `at`: what it shows at `at`, or, shortly after it
 * was set back, what it showed before. `findFirstTimestamp(w) <= at` exactly where `w <= latestWallTimeBy(at)`.
 */
export function latestWallTimeBy(at: number, timeZone: string): number {
  let stretch = stretchAt(at, timeZone);
  let latest = at + stretch.offset;
  // No clock was ever set back by more than a day (the date line).
  while (stretch.from > at - DAY) {
    stretch = stretchAt(stretch.from - 1, timeZone);
    latest = Math.max(latest, stretch.until - 1 + stretch.offset);
  }
  return latest;
}

/** Whole days, cut from a wall time. */
export const floorToDay = (wall: number): number => Math.floor(wall / DAY) * DAY;

/** `at` moved by calendar days at the same wall time; a wall time that is skipped or repeated is as in findFirstTimestamp. */
export function addDays(at: Date, days: number, timeZone: string): Date {
  return new Date(findFirstTimestamp(wallTimeAt(at.getTime(), timeZone) + days * DAY, timeZone));
}

/** The calendar date of a wall time, `YYYY-MM-DD` (years 0 to 9999). */
export const formatWallDate = (wall: number): string => new Date(wall).toISOString().slice(0, 10);

/**
 * RFC 3339 to the second (what is below is cut off), in the zone's offset, `Z` for UTC: `2026-03-08T03:00:00-04:00`.
 * Years 0 to 9999. RFC 3339 knows offsets of whole minutes only: where a zone had seconds (local mean time; Monrovia until
 * 1972), the nearest minute is shown and the time with it, so that the text is still the same instant.
 */
export function formatInZone(at: Date, timeZone: string): string {
  const moment = at.getTime();
  const minutes = Math.round(stretchAt(moment, timeZone).offset / 60_000);
  const text = new Date(moment + minutes * 60_000).toISOString().slice(0, 19);
  if (isUtc(timeZone)) return `${text}Z`;
  const size = Math.abs(minutes);
  return `${text}${minutes < 0 ? '-' : '+'}${twoDigits(Math.floor(size / 60))}:${twoDigits(size % 60)}`;
}

const twoDigits = (n: number): string => String(n).padStart(2, '0');

/** Whether the zone is whole hours from UTC all through [start, end]: then an hourly UTC bucket is an hour there too. */
export function isWholeHoursFromUtc(start: Date, end: Date, timeZone: string): boolean {
  let stretch = stretchAt(start.getTime(), timeZone);
  while (stretch.offset % HOUR === 0 && stretch.until <= end.getTime()) stretch = stretchAt(stretch.until, timeZone);
  return stretch.offset % HOUR === 0;
}
