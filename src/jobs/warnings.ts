// Pure: what checkJob and runs warn about: settings that are valid but probably not intended.
import { isWholeHoursFromUtc } from '../lib/zoned-time.ts';
import type { TimeWindow } from '../usage/buckets.ts';
import { isElement, type UsageStream } from '../usage/query.ts';
import { findRangeDrift } from './schedule/range-drift.ts';
import type { JobSettings } from './settings.ts';

export interface JobWarning {
  /** Setting that caused it; null if several did. With `strict`, the warning is an issue of this field. */
  readonly field: keyof JobSettings | null;
  /** A sentence for the owner of the job. */
  readonly message: string;
}

/** Finds settings that are valid but probably not intended. */
export function findWarnings(
  settings: JobSettings,
  streams: readonly UsageStream[],
  window: TimeWindow,
  canMail: boolean,
): JobWarning[] {
  const warnings: JobWarning[] = [];
  const warn = (field: keyof JobSettings, message: string): void => void warnings.push({ field, message });
  const names = new Set(streams.map((stream) => stream.name));
  for (const name of settings.meterApiNames ?? []) {
    if (!names.has(name)) warn('meterApiNames', `There is no stream "${name}" yet.`);
  }
  const dimensions = new Set(streams.flatMap((stream) => stream.dimensions));
  const named = [
    ...(settings.groupBy ?? []).map((name) => ({ field: 'groupBy', name }) as const),
    ...(settings.filter ?? []).map(({ dimension }) => ({ field: 'filter', name: dimension }) as const),
  ];
  // A dimension in both lists is reported once.
  for (const { field, name } of new Map(named.map((one) => [one.name, one])).values()) {
    if (!isElement(name) && !dimensions.has(name)) warn(field, `None of the streams has the dimension "${name}".`);
  }
  const daily = streams.filter((stream) => stream.granularity !== 'HOURLY');
  if (settings.aggregationBucket === 'HOUR' && daily.length > 0) {
    warn(
      'aggregationBucket',
      `The records of ${quote(daily)} are daily or monthly. Each counts in the first hour of its date.`,
    );
  }
  const hourly = streams.filter((stream) => stream.granularity === 'HOURLY');
  if (hourly.length > 0 && !isWholeHoursFromUtc(window.start, window.end, settings.timeZone)) {
    warn(
      'timeZone',
      `${settings.timeZone} is not whole hours from UTC: each hourly record of ${quote(hourly)} counts in the bucket that contains the start of its hour.`,
    );
  }
  if (settings.email !== null && !canMail) {
    warn('email', 'No email will be sent, because SMTP_URL is not set on the server.');
  }
  return [...warnings, ...findRangeWarnings(settings, window)];
}

function findRangeWarnings(settings: JobSettings, window: TimeWindow): JobWarning[] {
  const message = findRangeDrift(settings, window.end);
  return message === null ? [] : [{ field: 'range', message }];
}

function quote(streams: readonly UsageStream[]): string {
  return (
    streams
      .slice(0, 5)
      .map((stream) => `"${stream.name}"`)
      .join(', ') + (streams.length > 5 ? ' and others' : '')
  );
}
