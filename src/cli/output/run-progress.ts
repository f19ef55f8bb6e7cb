import prettyBytes from 'pretty-bytes';
import prettyMs from 'pretty-ms';
import { pluralize, formatRun } from '../../lib/format-amounts.ts';
import { createProgressBar } from '../../terminal/progress-bar.ts';
import { replaceControlCharacters, type Terminal } from '../../terminal/terminal.ts';

export interface WatchedRun {
  readonly id: string;
  readonly jobName: string;
  readonly status: 'QUEUED' | 'RUNNING' | 'SUCCEEDED' | 'FAILED' | 'CANCELED';
  readonly attempt: number;
  readonly rowsWritten: number;
  readonly bytesWritten: number;
  readonly manifestKey: string | null;
  readonly scheduledFor: string;
  /** When the run starts although its streams are not complete; null if it does not wait for them. */
  readonly waitsUntil: string | null;
  /** When the next attempt starts; null if the run does not wait between two attempts. */
  readonly nextAttemptAt: string | null;
  readonly startedAt: string | null;
  readonly finishedAt: string | null;
  readonly windowStart: string;
  readonly windowEnd: string;
  readonly objects: readonly { readonly key: string }[];
  readonly warnings: readonly string[];
  readonly error: { readonly code: string; readonly message: string } | null;
  /** Null if the job was deleted. */
  readonly job: { readonly id: string; readonly s3Url: string } | null;
}

export const hasEnded = ({ status }: WatchedRun): boolean => status !== 'QUEUED' && status !== 'RUNNING';

/** Shows a run: a progress bar in a terminal, otherwise a line per change. */
export interface RunProgress {
  readonly show: (run: WatchedRun) => void;
  readonly showReconnect: () => void;
  readonly showEnd: (run: WatchedRun) => void;
  /** Called regularly, since the elapsed time changes without updates of the run. */
  readonly redraw: () => void;
  readonly clear: () => void;
}

export interface RunProgressOptions {
  readonly terminal: Terminal;
  /** Rows of the job's last successful run, from which the bar is computed; null if there is none. */
  readonly expectedRows: number | null;
  readonly now: () => number;
}

/** Minimum interval between two lines that differ only in the number of rows. */
const LINE_INTERVAL_MS = 5000;

export function createRunProgress({ terminal, expectedRows, now }: RunProgressOptions): RunProgress {
  const bar = createProgressBar(terminal);
  let last: WatchedRun | null = null;
  let isReconnecting = false;
  let printedAt = 0;
  const print = (text: string): void => {
    bar.clear();
    terminal.print(`${text}\n`);
  };
  const redraw = (): void => {
    if (!last || hasEnded(last)) return;
    const before = `${replaceControlCharacters(last.jobName)}  ${formatStatus(last)}`;
    bar.draw(computeShare(last, expectedRows), before, isReconnecting ? RECONNECTING : formatDetails(last, now()));
  };
  return {
    show: (run) => {
      const hasChanged = last?.status !== run.status || last.attempt !== run.attempt || isReconnecting;
      if (!last && !terminal.isInteractive) {
        print(`${replaceControlCharacters(run.jobName)}, ${run.windowStart} until ${run.windowEnd}`);
      }
      if (run.status === 'QUEUED' && run.error && (hasChanged || run.error.message !== last?.error?.message)) {
        print(`Attempt ${run.attempt} failed and will be retried: ${replaceControlCharacters(run.error.message)}`);
      }
      last = run;
      isReconnecting = false;
      if (!terminal.isInteractive && !hasEnded(run) && (hasChanged || now() - printedAt >= LINE_INTERVAL_MS)) {
        printedAt = now();
        print(run.status === 'RUNNING' ? `${formatStatus(run)}, ${formatAmount(run)}` : formatStatus(run));
      }
      redraw();
    },
    showReconnect: () => {
      if (!terminal.isInteractive && !isReconnecting) print(RECONNECTING);
      isReconnecting = true;
    },
    showEnd: (run) => {
      bar.clear();
      for (const warning of run.warnings) terminal.message(`Warning: ${replaceControlCharacters(warning)}`);
      if (run.status === 'SUCCEEDED') {
        print(terminal.isInteractive ? formatStyledSuccess(run, terminal) : formatSuccess(run));
        if (run.manifestKey !== null) print(`Manifest: ${formatManifestUrl(run, run.manifestKey)}`);
        return;
      }
      const error = run.error ? `: ${replaceControlCharacters(`${run.error.code}: ${run.error.message}`)}` : '.';
      terminal.message(`${run.status} after ${pluralize(run.attempt, 'attempt')}${error}`);
    },
    redraw,
    clear: () => bar.clear(),
  };
}

const RECONNECTING = 'Connection lost. Reconnecting ...';

function formatAmount({ rowsWritten, bytesWritten }: WatchedRun): string {
  return `${pluralize(rowsWritten, 'row')}, ${prettyBytes(bytesWritten)}`;
}

function formatStatus({ status, attempt, waitsUntil, nextAttemptAt }: WatchedRun): string {
  if (waitsUntil !== null) return `${status}, waits for complete streams until ${waitsUntil}`;
  if (nextAttemptAt !== null) return `${status}, next attempt at ${nextAttemptAt}`;
  return status === 'RUNNING' && attempt > 1 ? `${status}, attempt ${attempt}` : status;
}

function formatDetails(run: WatchedRun, now: number): string {
  const scheduledAt = Date.parse(run.scheduledFor);
  if (run.nextAttemptAt !== null) return Date.parse(run.nextAttemptAt) > now ? '' : 'waiting for a worker';
  if (run.status === 'QUEUED' && run.rowsWritten === 0) {
    if (run.waitsUntil !== null) return '';
    return scheduledAt > now ? `due at ${run.scheduledFor}` : 'waiting for a worker';
  }
  const since = run.status === 'RUNNING' && run.startedAt !== null ? Date.parse(run.startedAt) : scheduledAt;
  return `${formatAmount(run)}  ${prettyMs(Math.max(0, now - since))}`;
}

function computeDuration({ startedAt, finishedAt }: WatchedRun): number | null {
  return startedAt === null || finishedAt === null ? null : Date.parse(finishedAt) - Date.parse(startedAt);
}

function formatSuccess(run: WatchedRun): string {
  const durationMs = computeDuration(run);
  const duration = durationMs === null ? '' : ` in ${prettyMs(durationMs)}`;
  return `${run.status}${duration}: ${formatAmount(run)}, ${pluralize(run.objects.length, 'object')}`;
}

function formatStyledSuccess(run: WatchedRun, { style }: Terminal): string {
  const name = style('bold', replaceControlCharacters(run.jobName));
  const amounts = [pluralize(run.rowsWritten, 'row'), prettyBytes(run.bytesWritten)];
  return formatRun(name, style('green', run.status), amounts, computeDuration(run));
}

/** The bar is full only at the end, since this run may have more rows than the last one. */
function computeShare({ status, rowsWritten }: WatchedRun, expectedRows: number | null): number | null {
  if (status === 'QUEUED') return 0;
  return expectedRows === null ? null : Math.min(0.99, rowsWritten / expectedRows);
}

function formatManifestUrl({ job }: WatchedRun, key: string): string {
  const s3Bucket = job?.s3Url.replace(/^s3:\/\//, '').split('/')[0];
  return s3Bucket === undefined ? key : `s3://${s3Bucket}/${key}`;
}
