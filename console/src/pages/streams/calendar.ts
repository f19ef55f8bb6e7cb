// Pure: calendar dates such as `2026-01-25`, and the instants at which they start in a time zone.

const DAY_MS = 86_400_000;
const formats = new Map<string, Intl.DateTimeFormat>();

function findFormat(zone: string): Intl.DateTimeFormat {
  const known = formats.get(zone);
  if (known) return known;
  const format = new Intl.DateTimeFormat('en-GB', {
    timeZone: zone,
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

/** Returns the wall-clock time of an instant as milliseconds, as if it were UTC. */
function readWallClock(time: number, zone: string): number {
  const parts = findFormat(zone).formatToParts(time);
  const read = (type: string): number => Number(parts.find((part) => part.type === type)?.value);
  return Date.UTC(read('year'), read('month') - 1, read('day'), read('hour'), read('minute'), read('second'));
}

/** Returns whether a text is a calendar date of the years 1000 to 9998. */
export function isDate(text: string): boolean {
  if (!/^[1-9]\d{3}-\d\d-\d\d$/.test(text) || text.startsWith('9999')) return false;
  const time = Date.parse(`${text}T00:00:00Z`);
  return !Number.isNaN(time) && formatDate(time) === text;
}

function formatDate(time: number): string {
  return new Date(time).toISOString().slice(0, 10);
}

/** Returns the date of an instant in a time zone. */
export function dateOf(instant: string, zone: string): string {
  return formatDate(readWallClock(Date.parse(instant), zone));
}

/** Returns the instant at which a date starts in a time zone: its midnight, or the first moment after it if the clock skips midnight. */
export function startOfDate(date: string, zone: string): string {
  const wallClock = Date.parse(`${date}T00:00:00Z`);
  const offsets = [-DAY_MS, DAY_MS].map((shift) => readWallClock(wallClock + shift, zone) - (wallClock + shift));
  const starts = offsets.map((offset) => wallClock - offset).toSorted((a, b) => a - b);
  const start = starts.find((time) => readWallClock(time, zone) >= wallClock) ?? wallClock;
  return `${new Date(start).toISOString().slice(0, 19)}Z`;
}

export function addDays(date: string, days: number): string {
  return formatDate(Date.parse(`${date}T00:00:00Z`) + days * DAY_MS);
}

/** Returns the first day of a month that is a number of months after that of the date. */
export function addMonths(date: string, months: number): string {
  const [year = 0, month = 1] = date.split('-').map(Number);
  return formatDate(Date.UTC(year, month - 1 + months, 1));
}

/** Number of days from a date to a later one. */
export function countDays(from: string, to: string): number {
  return Math.round((Date.parse(`${to}T00:00:00Z`) - Date.parse(`${from}T00:00:00Z`)) / DAY_MS);
}
