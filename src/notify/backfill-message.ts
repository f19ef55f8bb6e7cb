// Pure: composes the mail about a backfill that has ended or was paused by failures.
import { formatInZone } from '../lib/zoned-time.ts';
import { type MailText, oneLine, withCommas } from './run-message.ts';

export interface ReportedBackfill {
  readonly id: string;
  readonly jobName: string;
  /** IANA time zone of the job, in which times are written. */
  readonly timeZone: string;
  readonly status: string;
  readonly spanStart: Date;
  readonly spanEnd: Date;
  readonly windows: number;
  readonly delivered: number;
  readonly skipped: number;
  readonly failed: number;
  readonly rows: number;
  readonly bytes: number;
  readonly error: { readonly code: string; readonly message: string } | null;
}

const OUTCOMES: Readonly<Record<string, string>> = {
  SUCCEEDED: 'succeeded',
  FAILED: 'ended with failed windows',
  CANCELED: 'was canceled',
  PAUSED: 'was paused',
};

const ADVICE: Readonly<Record<string, string>> = {
  FAILED: 'Correct the cause, then call retryBackfill to deliver the failed windows.',
  PAUSED:
    'Three windows in a row have failed. Correct the cause, then call resumeBackfill, or retryBackfill to deliver the failed windows as well.',
};

export function composeBackfillMail(backfill: ReportedBackfill): MailText {
  const { jobName, timeZone, status, error } = backfill;
  const outcome = OUTCOMES[status] ?? status;
  const advice = ADVICE[status];
  const lines = [
    `The backfill of the export job "${oneLine(jobName)}" ${outcome}.`,
    '',
    `Span:      ${formatInZone(backfill.spanStart, timeZone)} to ${formatInZone(backfill.spanEnd, timeZone)} (${timeZone})`,
    `Backfill:  ${backfill.id}`,
    `Windows:   ${withCommas(backfill.windows)}`,
    `Delivered: ${withCommas(backfill.delivered)}`,
    `Skipped:   ${withCommas(backfill.skipped)}`,
    `Failed:    ${withCommas(backfill.failed)}`,
    `Rows:      ${withCommas(backfill.rows)}`,
    `Bytes:     ${withCommas(backfill.bytes)}`,
    ...(error === null ? [] : ['', `${oneLine(error.code)}: ${oneLine(error.message)}`]),
    ...(advice === undefined ? [] : ['', advice]),
  ];
  return { subject: oneLine(`Sluice: backfill of ${jobName} ${outcome}`), text: `${lines.join('\n')}\n` };
}
