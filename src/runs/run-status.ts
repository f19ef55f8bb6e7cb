// Pure: the life of a run as a total table of statuses and events. No other transition happens.
import type { runs } from '../db/tables.ts';

export const RUN_STATUSES = ['QUEUED', 'RUNNING', 'SUCCEEDED', 'FAILED', 'CANCELED'] as const;
export type RunStatus = (typeof RUN_STATUSES)[number];

/**
 * START: a worker claimed the run. RETRY: the attempt failed with a retryable error, its lease expired, or its worker shut down.
 * SUCCEED, FAIL: the run ended. SKIP: the run found nothing to write, and has written nothing. CANCEL: cancelRun, or the job was
 * deleted. SUPERSEDE: the run waited, and the window of a later slot contains its own. MISS: the run waited, and more than
 * MAX_CATCH_UP later slots remain.
 */
export type RunEvent = 'START' | 'RETRY' | 'SUCCEED' | 'FAIL' | 'SKIP' | 'CANCEL' | 'SUPERSEDE' | 'MISS';

/** A run that has ended has no further event. */
const ENDED = {
  START: null,
  RETRY: null,
  SUCCEED: null,
  FAIL: null,
  SKIP: null,
  CANCEL: null,
  SUPERSEDE: null,
  MISS: null,
} as const;

export const TRANSITIONS: Record<RunStatus, Record<RunEvent, RunStatus | null>> = {
  QUEUED: {
    START: 'RUNNING',
    RETRY: null,
    SUCCEED: null,
    FAIL: null,
    SKIP: null,
    CANCEL: 'CANCELED',
    SUPERSEDE: 'CANCELED',
    MISS: 'CANCELED',
  },
  RUNNING: {
    START: null,
    RETRY: 'QUEUED',
    SUCCEED: 'SUCCEEDED',
    FAIL: 'FAILED',
    SKIP: 'CANCELED',
    CANCEL: 'CANCELED',
    SUPERSEDE: null,
    MISS: null,
  },
  SUCCEEDED: ENDED,
  FAILED: ENDED,
  CANCELED: ENDED,
};

/** Returns the statuses in which an event is possible: the condition of the UPDATE that makes the change. */
export function statusesBefore(event: RunEvent): RunStatus[] {
  return RUN_STATUSES.filter((status) => TRANSITIONS[status][event] !== null);
}

/** Returns the status to which an event leads, the same from each status in which it is possible. */
export function statusAfter(event: RunEvent): RunStatus {
  const targets = new Set(statusesBefore(event).map((status) => TRANSITIONS[status][event]));
  const [target] = targets;
  if (!target || targets.size !== 1) throw new Error(`The event ${event} leads to more than one status.`);
  return target;
}

export function isEnded(status: RunStatus): boolean {
  return Object.values(TRANSITIONS[status]).every((target) => target === null);
}

/** Seconds before the second, third, fourth and fifth attempt. There is no sixth. */
const PAUSES = [1, 4, 15, 60] as const;
export const MAX_ATTEMPTS = PAUSES.length + 1;

/**
 * Returns the milliseconds to wait after this attempt (1 is the first), or null if it was the last. Jitter of ±25 % keeps runs
 * that failed together from retrying together. `random` is 0 to 1.
 */
export function retryDelayMs(attempt: number, random: number): number | null {
  const seconds = PAUSES[attempt - 1];
  return seconds === undefined ? null : Math.round(seconds * 1000 * (0.75 + random / 2));
}

/** Returns until when a run waits for its streams to be complete; null if it does not wait. */
export function findWaitEnd(
  { status, startedAt, notBefore, waitUntil }: typeof runs.$inferSelect,
  now: Date,
): Date | null {
  // not_before is null once the wait has ended early.
  return waitUntil && notBefore && waitUntil > now && status === 'QUEUED' && startedAt === null ? waitUntil : null;
}

/** Returns when the next attempt of a run starts; null unless the run waits between two attempts. */
export function findNextAttempt({ status, startedAt, notBefore }: typeof runs.$inferSelect, now: Date): Date | null {
  return notBefore && notBefore > now && status === 'QUEUED' && startedAt !== null ? notBefore : null;
}
