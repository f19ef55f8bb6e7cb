// Pure: lines of the log as a person reads them in a terminal. One line per run, with the names of the job and the account
// instead of their ids, which the lines of JSON keep.
import prettyBytes from 'pretty-bytes';
import { formatRun, pluralize } from './format-amounts.ts';

interface LogEntry {
  readonly level: number;
  readonly time: number | string;
  readonly msg: string;
  readonly [field: string]: unknown;
}

interface Failure {
  readonly code: string;
  readonly message: string;
}

const WARN = 40;
const INTERNAL = 'INTERNAL';
const DEFAULT_ACCOUNT = 'default';

/** The line of JSON, changed if it is about a run; empty if another line of the run says the same. */
export function formatPrettyLine(line: string): string {
  if (!line.includes('"jobName":')) return line;
  const entry = JSON.parse(line) as LogEntry;
  const { jobName } = entry;
  if (typeof jobName !== 'string') return line;
  const shown = ofRun(entry, jobName);
  return shown === null ? '' : `${JSON.stringify(shown)}\n`;
}

function ofRun(entry: LogEntry, jobName: string): LogEntry | null {
  const { level, time, msg, account } = entry;
  const name = typeof account !== 'string' || account === DEFAULT_ACCOUNT ? jobName : `${jobName} (${account})`;
  const failure = entry['failure'] as Failure | undefined;
  switch (msg) {
    case 'run started':
      return null;
    case 'attempt failed':
      // For an unexpected failure the line of the end of the attempt is not enough, so the stack is shown.
      return failure?.code === INTERNAL ? { level, time, msg: `${name}: ${msg}`, err: entry['err'] } : null;
    case 'attempt ended':
      return failure
        ? { level: Math.max(level, WARN), time, msg: endText(name, entry, failure) }
        : { level, time, msg: endText(name, entry) };
    default:
      return { ...withoutIds(entry), level, time, msg: `${name}: ${msg}` };
  }
}

function endText(name: string, entry: LogEntry, failure?: Failure): string {
  return formatRun(
    name,
    statusText(entry),
    failure
      ? [`${failure.code}: ${failure.message}`]
      : [pluralize(Number(entry['rows']), 'row'), prettyBytes(Number(entry['bytes']))],
    Number(entry['seconds']) * 1000,
  );
}

function statusText({ status, attempt }: LogEntry): string {
  if (status === 'QUEUED') return `attempt ${String(attempt)} FAILED, will be retried`;
  return typeof status === 'string' ? status : 'canceled or taken over';
}

const RUN_IDS = new Set(['runId', 'jobId', 'accountId', 'account', 'jobName', 'attempt', 'traceId']);

function withoutIds(entry: LogEntry): object {
  return Object.fromEntries(Object.entries(entry).filter(([field]) => !RUN_IDS.has(field)));
}
