// Pure: composes the mail about an ended run, and the mail about missed slots.
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
  /** Why the window was delivered again automatically; null if it was not. */
  readonly restatement: 'CORRECTION' | 'COMPLETE' | null;
  readonly scheduledFor: Date;
  readonly windowStart: Date;
  readonly windowEnd: Date;
  /** IANA time zone of the job, in which times are written. */
  readonly timeZone: string;
  /** 0 if the run never started. */
  readonly attempt: number;
  readonly rowsWritten: number;
  readonly bytesWritten: number;
  readonly bucket: string;
  readonly objectKeys: readonly string[];
  readonly manifestKey: string | null;
  readonly warnings: readonly string[];
  readonly error: { readonly code: string; readonly message: string; readonly retryable: boolean } | null;
}

export interface MissedSlots {
  readonly jobName: string;
  readonly timeZone: string;
  /** Maximum number of slots per job that run after downtime (MAX_CATCH_UP). */
  readonly limit: number;
  /** The slots that were skipped, oldest first. */
  readonly slots: readonly { readonly scheduledFor: Date; readonly windowStart: Date; readonly windowEnd: Date }[];
}

// Longer lists are cut: an export can have 10,000 parts, which the manifest lists.
const MAX_LISTED = 20;

const REASONS = {
  CORRECTION: 'the ledger was corrected after the window was delivered',
  COMPLETE: 'the streams of the window were declared complete after it was delivered',
} as const;

const SUBJECTS = {
  SUCCEEDED: 'succeeded',
  FAILED: 'failed',
  CANCELED: 'was canceled',
} as const;

/** Composes the mail about a run that succeeded, failed or was canceled. */
export function composeRunMail(run: EndedRun): MailText {
  const window = formatWindow(run.windowStart, run.windowEnd, run.timeZone);
  const lines = [
    `The run of the export job "${oneLine(run.jobName)}" ${SUBJECTS[run.status]}.`,
    '',
    `Window:  ${window}`,
    `Slot:    ${formatInZone(run.scheduledFor, run.timeZone)}`,
    `Run:     ${run.runId}`,
    `Attempt: ${run.attempt}`,
    ...(run.restatement === null ? [] : [`Reason:  ${REASONS[run.restatement]}`]),
    ...(run.status === 'SUCCEEDED' ? successLines(run) : failureLines(run)),
    ...warningLines(run.warnings),
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
    return [...lines, '', 'This run wrote no manifest. Use only objects in the bucket that a complete manifest lists.'];
  }
  if (run.restatement !== null) {
    const next = 'Sluice tries again when a run of this job has succeeded, or after 1 to 24 hours. Correct the cause.';
    return [...lines, '', next, 'Later slots of this job are not affected.'];
  }
  const next =
    run.error?.retryable === true
      ? 'All attempts failed. Run the job again when the cause is resolved.'
      : 'The run was not retried, because it would fail in the same way. Correct the cause, then run the job again.';
  return [...lines, '', next, 'Later slots of this job are not affected.'];
}

function warningLines(warnings: readonly string[]): string[] {
  return warnings.length === 0 ? [] : ['', 'Warnings:', ...listed(warnings.map((warning) => `  ${oneLine(warning)}`))];
}

/** Composes the mail about all slots of a job that were missed beyond the limit. */
export function composeMissedMail(missed: MissedSlots): MailText {
  const count = missed.slots.length;
  const slots = count === 1 ? '1 slot' : `${withCommas(count)} slots`;
  const lines = [
    `The export job "${oneLine(missed.jobName)}" missed more slots than Sluice catches up with (${missed.limit} per job).`,
    `The oldest ${slots} will not run. Each is recorded as CANCELED with the code MISSED:`,
    '',
    ...listed(
      missed.slots.map(
        (slot) =>
          `  ${formatInZone(slot.scheduledFor, missed.timeZone)}, window ` +
          formatWindow(slot.windowStart, slot.windowEnd, missed.timeZone),
      ),
    ),
    '',
    'To export them, call runJob for each slot, or run a job with the same settings and a range that covers all of them.',
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

/** Removes line breaks: in a subject a line break would start another header, in a text it would fake another line. */
export const oneLine = (text: string): string => text.replace(/[\p{Cc}\u2028\u2029]+/gu, ' ').trim();

export const withCommas = (count: number): string => count.toLocaleString('en-US');

function formatWindow(start: Date, end: Date, timeZone: string): string {
  return `${formatInZone(start, timeZone)} to ${formatInZone(end, timeZone)} (${timeZone})`;
}

const formatDay = (at: Date, timeZone: string): string => formatInZone(at, timeZone).slice(0, 10);
