// Pure: which window the words of the command line mean.
import { parseAgo } from '../jobs/schedule/window.ts';
import { parseTimestamp } from '../lib/timestamps.ts';
import { firstMomentOf } from '../lib/zoned-time.ts';

/** `ago(30d)`, or `30d`, which needs no quotes in a shell; null where it is neither. */
export const readRange = (text: string): string | null => {
  const range = text.startsWith('ago(') ? text : `ago(${text})`;
  return parseAgo(range) === null ? null : range;
};

/** RFC 3339 with a zone, or a date: its first moment in the time zone. Null where it is neither. */
export const readMoment = (text: string, timeZone: string): Date | null => {
  const day = /^\d{4}-\d\d-\d\d$/.test(text) ? parseTimestamp(`${text}T00:00:00Z`) : null;
  const moment = day === null ? parseTimestamp(text) : firstMomentOf(day, timeZone);
  return moment === null ? null : new Date(moment);
};
