// Pure: parses and formats RFC 3339 timestamps.

const SYNTAX = /^(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))$/;

const FIRST_MOMENT = Date.parse('0001-01-01T00:00:00Z');
const LAST_MOMENT = Date.parse('9999-12-31T23:59:59.999Z');

/** Longer than any program writes; checked before the pattern. */
const MAX_LENGTH = 1000;

/** A timestamp as written, in milliseconds since 1970. */
export interface WrittenTimestamp {
  readonly instant: number;
  /** The wall time at the timestamp's own offset, as the instant at which a clock in UTC shows the same. */
  readonly wallTime: number;
}

/**
 * Reads an RFC 3339 date-time with an offset; digits beyond milliseconds are cut off. Null if the text is anything else, or
 * names a day, hour or offset that does not exist (leap seconds included: no PostgreSQL timestamp can hold one), or if the
 * instant or the date as written lies outside the years 1 to 9999.
 */
export function readTimestamp(text: string): WrittenTimestamp | null {
  const match = text.length <= MAX_LENGTH ? SYNTAX.exec(text) : null;
  if (!match) return null;
  const year = Number(match[1]);
  const month = Number(match[2]);
  const day = Number(match[3]);
  const hour = Number(match[4]);
  const minute = Number(match[5]);
  const second = Number(match[6]);
  if (hour > 23 || minute > 59 || second > 59) return null;
  const milliseconds = match[7] ? Number(match[7].slice(0, 3).padEnd(3, '0')) : 0;
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  // A day that the month does not have would have rolled over into the next.
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day) return null;
  date.setUTCHours(hour, minute, second, milliseconds);
  const offsetHours = Number(match[9] ?? 0);
  const offsetMinutes = Number(match[10] ?? 0);
  if (offsetHours > 23 || offsetMinutes > 59) return null;
  const offset = (offsetHours * 60 + offsetMinutes) * 60_000;
  const wallTime = date.getTime();
  const instant = wallTime - (match[8] === '-' ? -offset : offset);
  return isStorable(instant) && isStorable(wallTime) ? { instant, wallTime } : null;
}

const isStorable = (moment: number): boolean => moment >= FIRST_MOMENT && moment <= LAST_MOMENT;

/** The instant of an RFC 3339 date-time, as `readTimestamp` reads it. */
export const parseTimestamp = (text: string): number | null => readTimestamp(text)?.instant ?? null;

/** Formats an instant as RFC 3339 in UTC, without milliseconds if they are 0. */
export const formatTimestamp = (at: Date): string => at.toISOString().replace('.000Z', 'Z');
