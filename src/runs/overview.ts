// Pure: computes the parts of an overview from the rows of the account.
import type { JobRow } from '../jobs/jobs.ts';
import { upcomingSlots } from '../jobs/schedule/upcoming-slots.ts';
import { computeWindow } from '../jobs/schedule/window.ts';
import { DAY, floorToDay, HOUR } from '../lib/zoned-time.ts';
import { RUN_STATUSES, type RunStatus } from './run-status.ts';

export const INTAKE_DAYS = 30;
export const MAX_NEXT_SLOTS = 10;

/** The operations of a UTC day. */
export interface IntakeDay {
  /** Start of the day. */
  readonly date: Date;
  readonly operations: number;
  readonly insertedRecords: number;
  readonly hiddenRecords: number;
}

export interface StatusCount {
  readonly status: RunStatus;
  readonly count: number;
}

export interface NextSlot {
  readonly job: JobRow;
  readonly scheduledFor: Date;
  readonly windowStart: Date;
  readonly windowEnd: Date;
}

/** Returns the start of the first day of the intake of an overview at this time. */
export function startOfIntake(at: Date): Date {
  return new Date(floorToDay(at.getTime()) - (INTAKE_DAYS - 1) * DAY);
}

/**
 * Returns the start of the first day whose operations are read each time. A day that ended an hour ago gets no more: an operation is
 * committed soon after it was received.
 */
export function startOfOpenDays(at: Date): Date {
  return new Date(floorToDay(at.getTime() - HOUR));
}

/** Returns every day of the intake, oldest first, with zeros for days that have no row. */
export function fillIntake(days: readonly IntakeDay[], at: Date): IntakeDay[] {
  const byDate = new Map(days.map((day) => [day.date.getTime(), day]));
  const first = startOfIntake(at).getTime();
  return Array.from({ length: INTAKE_DAYS }, (_, index) => {
    const date = first + index * DAY;
    return byDate.get(date) ?? { date: new Date(date), operations: 0, insertedRecords: 0, hiddenRecords: 0 };
  });
}

/** Returns every status in the order of a run's life, with 0 for statuses that have no row. */
export function fillStatuses(counts: readonly StatusCount[]): StatusCount[] {
  return RUN_STATUSES.map((status) => ({ status, count: counts.find((one) => one.status === status)?.count ?? 0 }));
}

/**
 * Returns the next slots after a time, earliest first; slots at the same time are sorted by the name of the job. `jobs` has the jobs whose
 * stored next slots are the earliest after `at`, and all jobs whose stored slot is due and not queued yet. Others have no earlier slot.
 */
export function findNextSlots(jobs: readonly JobRow[], at: Date): NextSlot[] {
  const compare = (a: { job: JobRow; slot: Date }, b: { job: JobRow; slot: Date }): number =>
    a.slot.getTime() - b.slot.getTime() || (a.job.name < b.job.name ? -1 : 1);
  const firstSlots = jobs.flatMap((job) => {
    const stored = job.nextRunAt;
    const slot = stored !== null && stored > at ? stored : upcomingSlots(job.settings, at, 1)[0];
    return slot ? [{ job, slot }] : [];
  });
  return firstSlots
    .toSorted(compare)
    .slice(0, MAX_NEXT_SLOTS)
    .flatMap(({ job }) => upcomingSlots(job.settings, at, MAX_NEXT_SLOTS).map((slot) => ({ job, slot })))
    .toSorted(compare)
    .slice(0, MAX_NEXT_SLOTS)
    .map(({ job, slot }) => {
      const { start, end } = computeWindow(job.settings, slot);
      return { job, scheduledFor: slot, windowStart: start, windowEnd: end };
    });
}
