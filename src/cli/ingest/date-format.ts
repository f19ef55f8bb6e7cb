// Pure: converts timestamps in a format such as DD.MM.YYYY HH:mm to ISO 8601.
import { UsageError } from '../command-error.ts';

/** Returns the date, or date and time, in ISO 8601; null if the text does not have the format or the date does not exist. */
export type DateReader = (text: string) => string | null;

class DateFormatError extends UsageError {
  constructor(reason: string) {
    super(`Invalid --date-format: ${reason}`);
  }
}

type Field = 'year' | 'month' | 'day' | 'hour' | 'half' | 'minute' | 'second';

interface Token {
  readonly field: Field;
  readonly pattern: string;
  /** The number of digits is not fixed. */
  readonly varies?: true;
}

const TOKENS: Readonly<Record<string, Token>> = {
  YYYY: { field: 'year', pattern: String.raw`(\d{4})` },
  MM: { field: 'month', pattern: String.raw`(\d{2})` },
  M: { field: 'month', pattern: String.raw`(\d{1,2})`, varies: true },
  DD: { field: 'day', pattern: String.raw`(\d{2})` },
  D: { field: 'day', pattern: String.raw`(\d{1,2})`, varies: true },
  HH: { field: 'hour', pattern: String.raw`(\d{2})` },
  H: { field: 'hour', pattern: String.raw`(\d{1,2})`, varies: true },
  hh: { field: 'hour', pattern: String.raw`(\d{2})` },
  h: { field: 'hour', pattern: String.raw`(\d{1,2})`, varies: true },
  mm: { field: 'minute', pattern: String.raw`(\d{2})` },
  ss: { field: 'second', pattern: String.raw`(\d{2})` },
  A: { field: 'half', pattern: '([AaPp][Mm])' },
};

const UNSUPPORTED: Readonly<Record<string, string>> = {
  YY: 'Two-digit years are ambiguous.',
  MMM: 'Names of months are not supported.',
  MMMM: 'Names of months are not supported.',
};

const MAX_FORMAT = 40;
/** A longer text does not have the format. */
const MAX_TEXT = 60;

/** Throws UsageError if the format is not valid. If it has no day, timestamps are the first day of their month. */
export function createDateReader(format: string): DateReader {
  if (format.length > MAX_FORMAT) throw new DateFormatError(`A format has at most ${MAX_FORMAT} characters.`);
  const runs = format.match(/([A-Za-z])\1*|[^A-Za-z]/g) ?? [];
  const fields: Field[] = [];
  let pattern = '';
  for (const [index, run] of runs.entries()) {
    const token = TOKENS[run];
    if (token === undefined) {
      pattern += escapeSeparator(run);
      continue;
    }
    if (fields.includes(token.field)) throw new DateFormatError(`The ${token.field} appears twice.`);
    if (token.varies && /^[\dA-Za-z]/.test(runs[index + 1] ?? '')) {
      throw new DateFormatError(`"${run}" has one or two digits, so a separator must follow it.`);
    }
    fields.push(token.field);
    pattern += token.pattern;
  }
  assertFields(fields, /h/.test(format));
  const syntax = new RegExp(`^${pattern}$`);
  return (text) => {
    const found = text.length > MAX_TEXT ? null : syntax.exec(text);
    return found && toIso(Object.fromEntries(fields.map((field, index) => [field, found[index + 1]])));
  };
}

/** Returns the granularity of dates in the format; null if they have a time, so that it is not known. */
export function guessGranularity(format: string): 'daily' | 'monthly' | null {
  if (/[Hh]/.test(format)) return null;
  return format.includes('D') ? 'daily' : 'monthly';
}

function escapeSeparator(run: string): string {
  if (run === 'T') return 'T';
  if (/^[\dA-Za-z]/.test(run)) {
    throw new DateFormatError(
      `${UNSUPPORTED[run] ?? `"${run}" is not part of a format.`} A format consists of ${Object.keys(TOKENS).join(', ')} and separators, such as DD.MM.YYYY HH:mm.`,
    );
  }
  return run.replace(/[$()*+.?[\\\]^{|}]/, String.raw`\$&`);
}

function assertFields(fields: readonly Field[], isHalfDay: boolean): void {
  const require = (field: Field, why: string): void => {
    if (!fields.includes(field)) throw new DateFormatError(why);
  };
  require('year', 'The year (YYYY) is missing.');
  require('month', 'The month (MM or M) is missing.');
  if (fields.includes('second')) require('minute', 'Seconds need minutes (mm).');
  if (fields.includes('minute')) require('hour', 'Minutes need hours (HH, H, hh or h).');
  if (fields.includes('hour')) require('day', 'Hours need a day (DD or D).');
  if (isHalfDay !== fields.includes('half')) {
    throw new DateFormatError('hh and h go from 1 to 12 and need A (AM or PM); HH and H go from 0 to 23, without A.');
  }
}

function toIso(found: Readonly<Partial<Record<Field, string>>>): string | null {
  const year = Number(found.year);
  const month = Number(found.month);
  const day = Number(found.day ?? 1);
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  // A day that the month does not have rolls over into the next month.
  if (year === 0 || date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day) return null;
  const text = date.toISOString().slice(0, 10);
  if (found.hour === undefined) return text;
  const hour = toHour(Number(found.hour), found.half?.toLowerCase());
  const minute = Number(found.minute ?? 0);
  const second = Number(found.second ?? 0);
  if (hour === null || minute > 59 || second > 59) return null;
  return `${text}T${[hour, minute, second].map((part) => String(part).padStart(2, '0')).join(':')}`;
}

function toHour(hour: number, half: string | undefined): number | null {
  if (half === undefined) return hour < 24 ? hour : null;
  if (hour < 1 || hour > 12) return null;
  return (hour % 12) + (half === 'pm' ? 12 : 0);
}
