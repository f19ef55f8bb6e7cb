// Pure: what the mail about an ended run, or about missed slots, says.
import { formatInZone } from '../lib/zoned-time.ts';

export interface MailText {
  /** One line. */
  readonly subject: string;
  readonly text: string;
}

export interface EndedRun {
  readonly jobName: string;
  readonly runId: string;
  readonly status: 'SUCCEEDED' | 'FAILED' | 'CANCELED';
  readonly scheduledFor: Date;
  readonly windowStart: Date;
  readonly windowEnd: Date;
  /** IANA name of the job's zone: times are written in it. */
  readonly timeZone: string;
  /** 0 where the run never started. */
  readonly attempt: number;
  readonly rowsWritten: number;
  readonly bytesWritten: number;
  readonly bucket: string;
  readonly objectKeys: readonly string[];
  readonly manifestKey: string | null;
  readonly error: { readonly code: string; readonly message: string; readonly retryable: boolean } | null;
}

export interface MissedSlots {
  readonly jobName: string;
  readonly timeZone: string;
  /** How many missed slots of a job run after a downtime, at most. */
  readonly limit: number;
  /** The slots that will not run, oldest first. */
  readonly slots: readonly { readonly scheduledFor: Date; readonly windowStart: Date; readonly windowEnd: Date }[];
}

// A mail of 10,000 part names helps nobody; the manifest has them all.
const MAX_LISTED = 20;

const SUBJECTS = {
  SUCCEEDED: 'succeeded',
  FAILED: 'failed',
  CANCELED: 'was cancelled',
} as const;

/** The mail about one run that ended, whatever its end. */
export function composeRunMail(run: EndedRun): MailText {
  const window = formatWindow(run.windowStart, run.windowEnd, run.timeZone);
  const lines = [
    `The run of the export job "${oneLine(run.jobName)}" ${SUBJECTS[run.status]}.`,
    '',
    `Window:  ${window}`,
    `Slot:    ${formatInZone(run.scheduledFor, run.timeZone)}`,
    `Run:     ${run.runId}`,
    `Attempt: ${run.attempt}`,
    ...(run.status === 'SUCCEEDED' ? successLines(run) : failureLines(run)),
  ];
  return {
    subject: oneLine(`Sluice: ${run.jobName} ${SUBJECTS[run.status]} (${formatDay(run.windowStart, run.timeZone)})`),
    text: `${lines.join('\n')}\n`,
  };
}

function successLines(run: EndedRun): string[] {
  return [
    `Rows:    ${withCommas(run.rowsWritten)}`,
    `Bytes:   ${withCommas(run.bytesWritten)}`,
    '',
    `Bucket ${run.bucket}:`,
    ...listed(run.objectKeys.map((key) => `  ${oneLine(key)}`)),
    ...(run.manifestKey === null ? [] : ['', 'Manifest:', `  ${oneLine(run.manifestKey)}`]),
    ...(run.rowsWritten === 0 ? ['', 'There were no records in this window.'] : []),
  ];
}

function failureLines(run: EndedRun): string[] {
  const lines = run.error === null ? [] : ['', `${oneLine(run.error.code)}: ${oneLine(run.error.message)}`];
  if (run.status === 'CANCELED') {
    return [...lines, '', 'No manifest names this run: what lies in the bucket is as complete as its manifest says.'];
  }
  const next =
    run.error?.retryable === true
      ? 'It was tried again until no attempt was left. Run the job once more when the cause has passed.'
      : 'It was not tried again, since it would fail the same way. Run the job once more when this is changed.';
  return [...lines, '', next, 'Later slots of this job are not held up by it.'];
}

/** One mail about all missed slots of a job beyond the limit; they are recorded as CANCELED, code MISSED. */
export function composeMissedMail(missed: MissedSlots): MailText {
  const count = missed.slots.length;
  const slots = count === 1 ? '1 slot' : `${withCommas(count)} slots`;
  const lines = [
    `The export job "${oneLine(missed.jobName)}" missed more slots than are caught up with (${missed.limit} of a job).`,
    `The oldest ${slots} will not run; each is recorded as CANCELED with the code MISSED:`,
    '',
    ...listed(
      missed.slots.map(
        (slot) =>
          `  ${formatInZone(slot.scheduledFor, missed.timeZone)}, window ` +
          formatWindow(slot.windowStart, slot.windowEnd, missed.timeZone),
      ),
    ),
    '',
    'To have them after all, run a job of the same settings whose range reaches back far enough.',
  ];
  return {
    subject: oneLine(`Sluice: ${missed.jobName} missed ${slots}`),
    text: `${lines.join('\n')}\n`,
  };
}

function listed(lines: readonly string[]): string[] {
  if (lines.length <= MAX_LISTED) return [...lines];
  return [...lines.slice(0, MAX_LISTED), `  and ${withCommas(lines.length - MAX_LISTED)} more`];
}

/** A line break in a subject would begin another header; in a text it would fake another line. */
function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\u2028\u2029]+/gu, ' ').trim();
}

function withCommas(count: number): string {
  return count.toLocaleString('en-US');
}

function formatWindow(start: Date, end: Date, timeZone: string): string {
  return `${formatInZone(start, timeZone)} to ${formatInZone(end, timeZone)} (${timeZone})`;
}

function formatDay(at: Date, timeZone: string): string {
  return formatInZone(at, timeZone).slice(0, 10);
}
