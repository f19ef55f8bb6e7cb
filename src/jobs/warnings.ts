// Pure: warnings of jobs and runs: settings that are valid but probably not intended.
import { ValidationError } from '../errors/errors.ts';
import { formatCount } from '../lib/format-amounts.ts';
import { findNearestName } from '../lib/nearest-name.ts';
import { truncate } from '../lib/truncate.ts';
import { isWholeHoursFromUtc } from '../lib/zoned-time.ts';
import type { TimeWindow } from '../usage/buckets.ts';
import { isElement, type UsageStream } from '../usage/sums-query.ts';
import { findColumnWarnings } from './column-warnings.ts';
import { findRangeDrift } from './schedule/range-drift.ts';
import type { JobSettings } from './settings.ts';

export interface JobWarning {
  /** Setting that caused it; null if several did. With `strict`, the warning is an issue of this field. */
  readonly field: keyof JobSettings | null;
  /** A sentence for the owner of the job. */
  readonly message: string;
}

/** Causes of warnings that concern a job and not its runs. */
export interface JobConditions {
  readonly canMail: boolean;
  /** The message of the error with which a run would fail now, because filling with zeros makes too many rows; null if it does not. */
  readonly tooManyRows: string | null;
}

/** Maximum number of names that get a sentence each: a job may name 1,000 streams. The others are counted. */
const MAX_NAMED = 5;
/** Maximum number of characters of a name in a warning. */
const MAX_NAME = 100;
/** Maximum number of dimensions that a name is compared with: those of 1,000 streams. */
const MAX_CANDIDATES = 5000;

/** Finds everything that checkJob, createJob and updateJob warn about. The window is that of a run that starts now. */
export function findWarnings(
  settings: JobSettings,
  streams: readonly UsageStream[],
  window: TimeWindow,
  { canMail, tooManyRows }: JobConditions,
): JobWarning[] {
  const warnings = [...findRunWarnings(settings, streams, window), ...findRangeWarnings(settings, window)];
  if (settings.email !== null && !canMail) {
    warnings.push({ field: 'email', message: 'No email will be sent, because SMTP_URL is not set on the server.' });
  }
  if (tooManyRows !== null) warnings.push({ field: 'sparse', message: tooManyRows });
  return warnings;
}

/** Finds what a run warns about: what concerns the files that it writes. */
export function findRunWarnings(
  settings: JobSettings,
  streams: readonly UsageStream[],
  window: TimeWindow,
): JobWarning[] {
  return [
    ...findStreamWarnings(settings, streams),
    ...findDimensionWarnings(settings, streams),
    ...findColumnWarnings(settings.groupBy ?? []).map((message) => ({ field: 'groupBy', message }) as const),
    ...findTimeWarnings(settings, streams, window),
  ];
}

/** Throws ValidationError with an issue for each warning, if there is one. */
export function assertNoWarnings(warnings: readonly JobWarning[]): void {
  if (warnings.length === 0) return;
  throw new ValidationError(
    warnings.map(({ field, message }) => ({
      path: field === null ? ['input'] : ['input', field],
      code: 'WARNING',
      message,
    })),
  );
}

function findStreamWarnings({ meterApiNames }: JobSettings, streams: readonly UsageStream[]): JobWarning[] {
  const existing = new Set(streams.map((stream) => stream.name));
  const missing = (meterApiNames ?? []).filter((name) => !existing.has(name));
  const messages = missing.slice(0, MAX_NAMED).map((name) => `The stream ${quote(name)} does not exist yet.`);
  if (missing.length > MAX_NAMED) {
    const count = missing.length - MAX_NAMED;
    messages.push(
      `${count === 1 ? '1 other stream' : `${formatCount(count)} other streams`} of meterApiNames ${count === 1 ? 'does' : 'do'} not exist yet.`,
    );
  }
  return messages.map((message) => ({ field: 'meterApiNames', message }));
}

function findDimensionWarnings(settings: JobSettings, streams: readonly UsageStream[]): JobWarning[] {
  const dimensions = new Set(streams.flatMap((stream) => stream.dimensions));
  const isMissing = (name: string): boolean => !isElement(name) && !dimensions.has(name);
  const grouped = new Set((settings.groupBy ?? []).filter(isMissing));
  const filtered = (settings.filter ?? []).map(({ dimension }) => dimension).filter(isMissing);
  // A dimension in both lists is reported once.
  const missing = [
    ...[...grouped].map((name) => ({ field: 'groupBy', name }) as const),
    ...filtered.filter((name) => !grouped.has(name)).map((name) => ({ field: 'filter', name }) as const),
  ];
  if (missing.length === 0) return [];
  const candidates = ['element', ...dimensions].slice(0, MAX_CANDIDATES);
  const warnings: JobWarning[] = missing.slice(0, MAX_NAMED).map(({ field, name }) => {
    const nearest = findNearestName(name, candidates);
    const suggestion = nearest === null ? '' : ` Did you mean ${quote(nearest)}?`;
    return { field, message: `None of the streams has the dimension ${quote(name)}.${suggestion}` };
  });
  const [other, ...others] = missing.slice(MAX_NAMED);
  if (other) {
    const count = others.length + 1;
    const message = `${count === 1 ? '1 other dimension of groupBy and filter is' : `${count} other dimensions of groupBy and filter are`} not in any of the streams.`;
    warnings.push({ field: other.field, message });
  }
  return warnings;
}

function findRangeWarnings(settings: JobSettings, window: TimeWindow): JobWarning[] {
  const message = findRangeDrift(settings, window.end);
  return message === null ? [] : [{ field: 'range', message }];
}

function findTimeWarnings(settings: JobSettings, streams: readonly UsageStream[], window: TimeWindow): JobWarning[] {
  const warnings: JobWarning[] = [];
  const daily = streams.filter((stream) => stream.granularity !== 'HOURLY');
  if (settings.aggregationBucket === 'HOUR' && daily.length > 0) {
    const message = `The records of ${quoteAll(daily)} are daily or monthly. Each counts in the first hour of its date.`;
    warnings.push({ field: 'aggregationBucket', message });
  }
  const hourly = streams.filter((stream) => stream.granularity === 'HOURLY');
  if (hourly.length > 0 && !isWholeHoursFromUtc(window.start, window.end, settings.timeZone)) {
    const message = `${settings.timeZone} is not whole hours from UTC: each hourly record of ${quoteAll(hourly)} counts in the bucket that contains the start of its hour.`;
    warnings.push({ field: 'timeZone', message });
  }
  return warnings;
}

const quote = (name: string): string => `"${truncate(name, MAX_NAME)}"`;

function quoteAll(streams: readonly UsageStream[]): string {
  const others = streams.length - MAX_NAMED;
  return `${streams
    .slice(0, MAX_NAMED)
    .map(({ name }) => quote(name))
    .join(', ')}${others > 0 ? ` and ${formatCount(others)} others` : ''}`;
}
