// Pure: what the page says about a run.
import { describeRetry, MAX_ATTEMPTS } from '../../ui/attempts.ts';
import { countOf, formatBytes } from '../../ui/exact-number.ts';
import { formatInstant } from '../../ui/time-text.ts';

export interface RunState {
  readonly status: 'QUEUED' | 'RUNNING' | 'SUCCEEDED' | 'FAILED' | 'CANCELED';
  readonly attempt: number;
  readonly startedAt: string | null;
  readonly finishedAt: string | null;
  readonly rowsWritten: number;
  readonly bytesWritten: number;
  readonly waitsUntil: string | null;
  readonly nextAttemptAt: string | null;
}

/** Returns whether a run has not ended. */
export function isActive({ status }: Pick<RunState, 'status'>): boolean {
  return status === 'QUEUED' || status === 'RUNNING';
}

/** Describes what an active run does or waits for; null once it has ended. */
export function describeActivity(run: RunState, zone: string): string | null {
  if (run.status === 'RUNNING') {
    const attempt = run.attempt > 1 ? `, attempt ${run.attempt} of ${MAX_ATTEMPTS}` : '';
    return `${countOf(run.rowsWritten, 'row')}, ${formatBytes(run.bytesWritten)}${attempt}`;
  }
  if (run.status !== 'QUEUED') return null;
  if (run.waitsUntil !== null) {
    return `Waits until its streams are complete, at most until ${formatInstant(run.waitsUntil, zone)}`;
  }
  if (run.nextAttemptAt !== null) return describeRetry(run.attempt, run.nextAttemptAt, zone);
  return 'Waits for a worker';
}

const UNITS: Readonly<Record<string, string>> = { m: 'minute', h: 'hour', d: 'day' };

/** Describes the window of a job, such as `the last 7 days` for `ago(7d)`. Returns a range of another form as it is. */
export function describeRange(range: string): string {
  const [, kind, value = ''] = /^(ago|previous|toDate)\((\w+)\)$/.exec(range) ?? [];
  if (kind === 'previous') return `the last whole ${value}`;
  if (kind === 'toDate') return `the ${value} until the slot`;
  const [, count, unit = ''] = /^(\d+)([mhd])$/.exec(value) ?? [];
  if (count === undefined) return range;
  return count === '1' ? `the last ${UNITS[unit]}` : `the last ${count} ${UNITS[unit]}s`;
}

const TRIGGERS: Readonly<Record<string, string>> = {
  BACKFILL: 'Backfill',
  CRON: 'Schedule',
  IMMEDIATE: 'Creation of the job',
  MANUAL: 'By hand',
  ONE_OFF: 'Single time',
  RESTATEMENT: 'Correction',
};

/** Names the reason why a run was created. */
export function describeTrigger(trigger: string): string {
  return TRIGGERS[trigger] ?? trigger;
}

/** Formats the time between two instants, such as `0.4 s`, `12 s`, `3 min 5 s` or `2 h 10 min`. */
export function formatDuration(milliseconds: number): string {
  const tenths = Math.max(0, Math.round(milliseconds / 100));
  if (tenths === 0) return '< 0.1 s';
  if (tenths < 100) return `${tenths / 10} s`;
  const seconds = Math.round(tenths / 10);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** Returns the time between start and end of a run; until now if it has not ended. Null before it starts. */
export function formatRunDuration({ startedAt, finishedAt }: RunState, now: number): string | null {
  if (startedAt === null) return null;
  return formatDuration((finishedAt === null ? now : Date.parse(finishedAt)) - Date.parse(startedAt));
}

/** Codes of errors that another destination, bucket policy or store would not correct. */
const OWN_ERRORS = new Set([
  'CANCELED',
  'CONFLICT',
  'DATABASE_UNAVAILABLE',
  'DELIVERED',
  'INTERNAL',
  'JOB_CHANGED',
  'JOB_DELETED',
  'LIMIT_EXCEEDED',
  'MISSED',
  'OBJECT_TOO_LARGE',
  'SUPERSEDED',
  'UNCHANGED',
  'VALUE_TOO_LARGE',
  'WORKER_LOST',
]);

/** Returns whether an error is one of the destination, so that a test of it tells whether the cause is corrected. */
export function isDestinationError(code: string): boolean {
  return !OWN_ERRORS.has(code);
}

const POLICY_MARK = ' The policy to attach: ';

export interface FailureText {
  readonly message: string;
  /** Bucket policy as indented JSON; null if the error contains none. */
  readonly policy: string | null;
}

/** Separates the bucket policy, which messages of ACCESS_DENIED end with on one line, from the message. */
export function splitPolicy(message: string): FailureText {
  const start = message.indexOf(POLICY_MARK);
  if (start < 0) return { message, policy: null };
  try {
    const policy: unknown = JSON.parse(message.slice(start + POLICY_MARK.length));
    return { message: message.slice(0, start), policy: JSON.stringify(policy, null, 2) };
  } catch {
    return { message, policy: null };
  }
}

interface Listed extends RunState {
  readonly id: string;
}

/** Replaces listed runs by their newer states. */
export function applyUpdates<Run extends Listed>(runs: readonly Run[], updates: ReadonlyMap<string, Run>): Run[] {
  return runs.map((run) => {
    const update = updates.get(run.id);
    // A run that has ended does not change any more, so a list that was read later is never older than an update.
    return update && isActive(run) ? update : run;
  });
}
