// Pure: time ranges of the command line.
import { parseAgo } from '../jobs/schedule/window.ts';
import { parseTimestamp } from '../lib/timestamps.ts';
import { findFirstTimestamp } from '../lib/zoned-time.ts';

/** Returns the range as `ago(30d)`, which may be written `30d`, since parentheses need quotes in a shell. Null if it is not valid. */
export function parseRange(text: string): string | null {
  const range = text.startsWith('ago(') ? text : `ago(${text})`;
  return parseAgo(range) === null ? null : range;
}

/** Parses an RFC 3339 timestamp, or a date, which means its start in the time zone. Null if it is neither. */
export function parseTime(text: string, timeZone: string): Date | null {
  const day = /^\d{4}-\d\d-\d\d$/.test(text) ? parseTimestamp(`${text}T00:00:00Z`) : null;
  const time = day === null ? parseTimestamp(text) : findFirstTimestamp(day, timeZone);
  return time === null ? null : new Date(time);
}
