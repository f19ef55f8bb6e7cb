// Pure: calendar dates of a time zone. A date is a text such as `2026-11-29`, a month one such as `2026-11`.
import { findZone } from './zones.ts';

const DAY_MS = 86_400_000;
const formats = new Map<string, Intl.DateTimeFormat>();

function findFormat(zone: string): Intl.DateTimeFormat {
  const known = formats.get(zone);
  if (known) return known;
  const format = new Intl.DateTimeFormat('en-GB', {
    timeZone: findZone(zone),
    calendar: 'iso8601',
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
    hourCycle: 'h23',
  });
  formats.set(zone, format);
  return format;
}

/** Returns the wall time of an instant as `2026-11-29T06:15:00`. */
function formatWallTime(instant: number, zone: string): string {
  const parts: Record<string, string> = {};
  for (const { type, value } of findFormat(zone).formatToParts(instant)) parts[type] = value;
  const { year = '', month, day, hour, minute, second } = parts;
  return `${year.padStart(4, '0')}-${month}-${day}T${hour}:${minute}:${second}`;
}

/** Returns the date of an instant. */
export function dateOf(instant: number, zone: string): string {
  return formatWallTime(instant, zone).slice(0, 10);
}

/** Returns the wall time of an instant, such as `06:15`, or `06:15:30` with seconds. */
export function clockTimeOf(instant: number, zone: string, hasSeconds = false): string {
  return formatWallTime(instant, zone).slice(11, hasSeconds ? 19 : 16);
}

/** Returns the wall time of an instant as milliseconds, as if it were UTC. */
function readWallClock(instant: number, zone: string): number {
  return Date.parse(`${formatWallTime(instant, zone)}Z`);
}

/** Returns the first instant whose wall time is at or after `2026-11-29T06:15`. Times that a clock change skips are moved forward. */
export function instantOf(wallTime: string, zone: string): number {
  const wanted = Date.parse(`${wallTime.length === 16 ? `${wallTime}:00` : wallTime}Z`);
  // The offset of the instant is that of the day before or of the day after, unless a clock change skips the wall time.
  const offsets = [-DAY_MS, DAY_MS].map((shift) => readWallClock(wanted + shift, zone) - (wanted + shift));
  let [low, high] = [wanted - Math.max(...offsets), wanted - Math.min(...offsets)];
  if (readWallClock(low, zone) === wanted) return low;
  while (high - low > 1000) {
    const middle = Math.floor((low + high) / 2000) * 1000;
    if (readWallClock(middle, zone) >= wanted) high = middle;
    else low = middle;
  }
  return high;
}

/** Returns the first instant of a date. */
export function startOfDay(date: string, zone: string): number {
  return instantOf(`${date}T00:00`, zone);
}

/** Returns whether a text is a calendar date of the years 1000 to 9998. */
export function isDate(text: string): boolean {
  if (!/^[1-9]\d{3}-\d\d-\d\d$/.test(text) || text.startsWith('9999')) return false;
  const time = Date.parse(`${text}T00:00Z`);
  return !Number.isNaN(time) && new Date(time).toISOString().startsWith(text);
}

export function addDays(date: string, days: number): string {
  return new Date(Date.parse(`${date}T00:00Z`) + days * DAY_MS).toISOString().slice(0, 10);
}

export function addMonths(month: string, months: number): string {
  const date = new Date(`${month}-01T00:00Z`);
  date.setUTCMonth(date.getUTCMonth() + months);
  return date.toISOString().slice(0, 7);
}

/** Number of days from a date to a later one. */
export function countDays(from: string, to: string): number {
  return Math.round((Date.parse(`${to}T00:00Z`) - Date.parse(`${from}T00:00Z`)) / DAY_MS);
}
