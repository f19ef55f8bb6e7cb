// Pure: the life of a run as a total table; a change that is not in it does not happen.

export const RUN_STATUSES = ['QUEUED', 'RUNNING', 'SUCCEEDED', 'FAILED', 'CANCELED'] as const;
export type RunStatus = (typeof RUN_STATUSES)[number];

/**
 * START: a worker claimed it. RETRY: the attempt failed in a way that may pass, or its worker is gone or stops.
 * SUCCEED, FAIL: it ended. CANCEL: somebody, or the deletion of its job, stopped it. SUPERSEDE: it waited, and a later
 * slot's window holds all of its own. MISS: it waited beyond the number of slots that are caught up with.
 */
export type RunEvent = 'START' | 'RETRY' | 'SUCCEED' | 'FAIL' | 'CANCEL' | 'SUPERSEDE' | 'MISS';

export const TRANSITIONS: Record<RunStatus, Record<RunEvent, RunStatus | null>> = {
  QUEUED: {
    START: 'RUNNING',
    RETRY: null,
    SUCCEED: null,
    FAIL: null,
    CANCEL: 'CANCELED',
    SUPERSEDE: 'CANCELED',
    MISS: 'CANCELED',
  },
  RUNNING: {
    START: null,
    RETRY: 'QUEUED',
    SUCCEED: 'SUCCEEDED',
    FAIL: 'FAILED',
    CANCEL: 'CANCELED',
    SUPERSEDE: null,
    MISS: null,
  },
  SUCCEEDED: { START: null, RETRY: null, SUCCEED: null, FAIL: null, CANCEL: null, SUPERSEDE: null, MISS: null },
  FAILED: { START: null, RETRY: null, SUCCEED: null, FAIL: null, CANCEL: null, SUPERSEDE: null, MISS: null },
  CANCELED: { START: null, RETRY: null, SUCCEED: null, FAIL: null, CANCEL: null, SUPERSEDE: null, MISS: null },
};

/** The statuses from which an event leads somewhere: the condition of the UPDATE that makes the change. */
export const statusesBefore = (event: RunEvent): RunStatus[] =>
  RUN_STATUSES.filter((status) => TRANSITIONS[status][event] !== null);

/** Where an event leads; the same from each of its sources. */
export const statusAfter = (event: RunEvent): RunStatus => {
  const targets = new Set(statusesBefore(event).map((status) => TRANSITIONS[status][event]));
  const [target] = targets;
  if (!target || targets.size !== 1) throw new Error(`${event} leads to no one status.`);
  return target;
};

export const isEnded = (status: RunStatus): boolean =>
  Object.values(TRANSITIONS[status]).every((target) => target === null);

/** Seconds before the second, third, fourth and fifth attempt; there is no sixth. */
const PAUSES = [1, 4, 15, 60] as const;
export const MAX_ATTEMPTS = PAUSES.length + 1;

/**
 * Milliseconds to wait after this attempt (1 is the first), with a quarter of jitter either way so that runs that
 * failed together do not come back together. Null where it was the last. `random` is 0 to 1.
 */
export const retryDelayMs = (attempt: number, random: number): number | null => {
  const seconds = PAUSES[attempt - 1];
  return seconds === undefined ? null : Math.round(seconds * 1000 * (0.75 + random / 2));
};
