// Pure: what the overview says about the figures of an account.
import { countOf, groupDigits } from '../../ui/exact-number.ts';
import { formatDay } from '../../ui/time-text.ts';
import type { IntakeDay, Overview, OverviewData } from './overview-documents.ts';

/** Workers take a due run within a second or two, so a longer lag means that they are too few or do not run. */
const LAG_SECONDS = 60;

/** Returns whether runs wait longer for a worker than they do on a server that keeps up. */
export function isLagging({ queueLagSeconds }: Overview): boolean {
  return queueLagSeconds >= LAG_SECONDS;
}

export function needsAttention(overview: Overview): boolean {
  const { failingJobCount, staleDeliveryCount, missingDeliveryCount, jobWithWarningsCount } = overview;
  return failingJobCount + staleDeliveryCount + missingDeliveryCount + jobWithWarningsCount > 0 || isLagging(overview);
}

/** Returns whether the account has no stream, no job and no run, also of a job that was deleted. */
export function isEmptyAccount({ jobs, runs, streams }: Pick<OverviewData, 'jobs' | 'runs' | 'streams'>): boolean {
  return streams.totalCount === 0 && runs.edges.length === 0 && jobs.edges.length === 0;
}

/** Formats a lag in its largest unit, such as `3 minutes`. */
export function formatLag(seconds: number): string {
  if (seconds >= 7200) return countOf(Math.floor(seconds / 3600), 'hour');
  if (seconds >= 120) return countOf(Math.floor(seconds / 60), 'minute');
  return countOf(seconds, 'second');
}

/** Returns the part of an error that says what happened; the rest says what to do. */
export function readCause(message: string): string {
  return /^.*?[.:](?=\s)/s.exec(message)?.[0].replace(/:$/, '.') ?? message;
}

/** Returns the deliveries that need attention in words, such as `2 stale and 1 missing delivery`. */
export function countDeliveries({ staleDeliveryCount: stale, missingDeliveryCount: missing }: Overview): string {
  const parts = [
    ...(stale > 0 ? [`${groupDigits(stale)} stale`] : []),
    ...(missing > 0 ? [`${groupDigits(missing)} missing`] : []),
  ];
  return `${parts.join(' and ')} ${(missing || stale) === 1 ? 'delivery' : 'deliveries'}`;
}

/** Returns the figures of an intake in words, without those that are 0. */
export function describeIntake({ operations, insertedRecords, hiddenRecords }: Omit<IntakeDay, 'date'>): string {
  if (operations === 0) return 'no operations';
  return [
    countOf(operations, 'operation'),
    `${countOf(insertedRecords, 'record')} inserted`,
    ...(hiddenRecords > 0 ? [`${groupDigits(hiddenRecords)} hidden`] : []),
  ].join(', ');
}

/** Returns a UTC day of the intake in words. */
export function describeDay(day: IntakeDay): string {
  return `${formatDay(day.date, 'UTC')}: ${describeIntake(day)}`;
}

export function sumIntake(days: readonly IntakeDay[]): Omit<IntakeDay, 'date'> {
  const sumOf = (figure: 'operations' | 'insertedRecords' | 'hiddenRecords') =>
    days.reduce((sum, day) => sum + day[figure], 0);
  return {
    operations: sumOf('operations'),
    insertedRecords: sumOf('insertedRecords'),
    hiddenRecords: sumOf('hiddenRecords'),
  };
}

/** Returns the heights of the bars in percent of the largest one. A day with operations has a bar that is visible. */
export function computeHeights(days: readonly IntakeDay[]): number[] {
  const largest = Math.max(1, ...days.map(({ insertedRecords }) => insertedRecords));
  return days.map(({ operations, insertedRecords }) =>
    operations === 0 ? 0 : Math.max(3, (insertedRecords / largest) * 100),
  );
}
