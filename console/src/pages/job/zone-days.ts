// Pure: calendar dates of a time zone. A date is a text such as `2026-11-29`, a month one such as `2026-11`.

const formats = new Map<string, Intl.DateTimeFormat>();

function findFormat(zone: string): Intl.DateTimeFormat {
  const known = formats.get(zone);
  if (known) return known;
  const format = new Intl.DateTimeFormat('en-GB', {
    timeZone: zone,
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

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** Returns the first instant whose wall time is at or after `2026-11-29T06:15`. Times that a clock change skips are moved forward. */
export function instantOf(wallTime: string, zone: string): number {
  const wanted = wallTime.length === 16 ? `${wallTime}:00` : wallTime;
  const nominal = Date.parse(`${wanted}Z`);
  // Offsets are within ±14 hours, some zones have skipped a whole day, and a wall time grows with the instant except when clocks are set back.
  let [low, high] = [nominal - 2 * DAY_MS, nominal + 2 * DAY_MS];
  const starts = [low];
  for (let at = low + HOUR_MS; at <= high; at += HOUR_MS) starts.push(at);
  // The first hour at whose end the wall time is reached contains the instant.
  const index = starts.findIndex((at) => formatWallTime(at, zone) >= wanted);
  [low, high] = [starts[index - 1] ?? low, starts[index] ?? high];
  while (high - low > 1000) {
    const middle = Math.floor((low + high) / 2000) * 1000;
    if (formatWallTime(middle, zone) >= wanted) high = middle;
    else low = middle;
  }
  return high;
}

/** Returns the first instant of a date. */
export function startOfDay(date: string, zone: string): number {
  return instantOf(`${date}T00:00`, zone);
}

export function addDays(date: string, days: number): string {
  return new Date(Date.parse(`${date}T00:00Z`) + days * DAY_MS).toISOString().slice(0, 10);
}

export function addMonths(month: string, months: number): string {
  const date = new Date(`${month}-01T00:00Z`);
  date.setUTCMonth(date.getUTCMonth() + months);
  return date.toISOString().slice(0, 7);
}

/** Returns whether a text is a month between 1970 and 9999. */
export function isMonth(text: string | null): text is string {
  return text !== null && /^(?:19[7-9]\d|[2-9]\d{3})-(?:0[1-9]|1[0-2])$/.test(text);
}

/** Returns the dates of a month by week. Weeks start on Monday; days of other months are null. */
export function listWeeks(month: string): (string | null)[][] {
  const first = `${month}-01`;
  const end = `${addMonths(month, 1)}-01`;
  // Sunday is 0.
  const before = (new Date(`${first}T00:00Z`).getUTCDay() + 6) % 7;
  const weeks: (string | null)[][] = [];
  for (let monday = addDays(first, -before); monday < end; monday = addDays(monday, 7)) {
    weeks.push(
      Array.from({ length: 7 }, (_, index) => addDays(monday, index)).map((date) =>
        date.startsWith(month) ? date : null,
      ),
    );
  }
  return weeks;
}

const MONTHS = 'January February March April May June July August September October November December'.split(' ');

/** Formats a month such as `November 2026`. */
export function formatMonth(month: string): string {
  return `${MONTHS[Number(month.slice(5)) - 1]} ${month.slice(0, 4)}`;
}

/** Formats a date such as `29 November 2026`. */
export function formatDate(date: string): string {
  return `${Number(date.slice(8))} ${formatMonth(date.slice(0, 7))}`;
}
