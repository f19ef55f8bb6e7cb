// Pure: time ranges of the command line.
import { parseAgo } from '../jobs/schedule/window.ts';
import { parseTimestamp } from '../lib/timestamps.ts';
import { findFirstTimestamp } from '../lib/zoned-time.ts';
import { UsageError } from './command-error.ts';

/** Returns the range as `ago(30d)`, which may be written `30d`, since parentheses need quotes in a shell. Null if it is not valid. */
export function parseRange(text: string): string | null {
  const range = text.startsWith('ago(') ? text : `ago(${text})`;
  return parseAgo(range) === null ? null : range;
}

/** Parses an RFC 3339 timestamp, or a date, which means its start in the time zone. Null if it is neither. */
function parseTime(text: string, timeZone: string): Date | null {
  const day = /^\d{4}-\d\d-\d\d$/.test(text) ? parseTimestamp(`${text}T00:00:00Z`) : null;
  const time = day === null ? parseTimestamp(text) : findFirstTimestamp(day, timeZone);
  return time === null ? null : new Date(time);
}

/** Parses the value of a flag as parseTime does. Throws UsageError if it is neither a date nor a time. */
export function requireTime(text: string, flag: string, timeZone: string): Date {
  const time = parseTime(text, timeZone);
  if (time) return time;
  throw new UsageError(`${flag} must be a date such as 2026-01-25, or a time such as 2026-01-25T06:00:00Z.`);
}

/** Returns the span of --from and --to. Throws UsageError if one of them is not valid or --to is not after --from. */
export function requireSpan(flags: { readonly from: string; readonly to: string; readonly timeZone: string }): {
  readonly from: Date;
  readonly to: Date;
} {
  const from = requireTime(flags.from, '--from', flags.timeZone);
  const to = requireTime(flags.to, '--to', flags.timeZone);
  if (from < to) return { from, to };
  throw new UsageError('--to must be after --from.');
}
