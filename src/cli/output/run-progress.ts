import { formatBytes, pluralize, formatRows, formatRun, formatDuration } from '../../lib/format-amounts.ts';
import type { DrawnTerminal } from '../command-context.ts';
import { createProgressLine } from './progress-bar.ts';
import { harmless } from './text.ts';

export interface WatchedRun {
  readonly id: string;
  readonly jobName: string;
  readonly status: 'QUEUED' | 'RUNNING' | 'SUCCEEDED' | 'FAILED' | 'CANCELED';
  readonly attempt: number;
  readonly rowsWritten: number;
  readonly bytesWritten: number;
  readonly manifestKey: string | null;
  readonly scheduledFor: string;
  readonly startedAt: string | null;
  readonly finishedAt: string | null;
  readonly windowStart: string;
  readonly windowEnd: string;
  readonly objects: readonly { readonly key: string }[];
  readonly error: { readonly code: string; readonly message: string } | null;
  readonly job: { readonly id: string; readonly s3Url: string } | null;
}

export const hasEnded = ({ status }: WatchedRun): boolean => status !== 'QUEUED' && status !== 'RUNNING';

/** A run as a person sees it: a bar in a terminal, elsewhere a line for each change. */
export interface RunView {
  show(run: WatchedRun, now: Date): void;
  /** The bar moves, and seconds pass, also where nothing new was heard. */
  redraw(now: Date): void;
  lost(words: string): void;
  end(run: WatchedRun): void;
  clear(): void;
}

export interface RunViewOptions {
  readonly terminal: DrawnTerminal;
  /** Of the job's last run that succeeded; null where there is none to go by. */
  readonly expectedRows: number | null;
}

/** Of lines that only tell of more rows. */
const LINE_EVERY_MS = 5000;

export const createRunView = ({ terminal, expectedRows }: RunViewOptions): RunView => {
  const { answers } = terminal;
  const line = createProgressLine(answers, (text) => terminal.answer(text));
  let last: WatchedRun | null = null;
  let lostWords: string | null = null;
  let toldAt = 0;
  const say = (text: string): void => {
    line.clear();
    terminal.answer(`${text}\n`);
  };
  const redraw = (now: Date): void => {
    if (!last || hasEnded(last)) return;
    const { status, rowsWritten } = last;
    const since = Date.parse((status === 'RUNNING' ? last.startedAt : null) ?? last.scheduledFor);
    const words = lostWords ?? `${amountOf(last)}  ${formatDuration(Math.max(0, now.getTime() - since))}`;
    line.show(
      partOf(last, expectedRows),
      `${harmless(last.jobName)}  ${statusText(last)}`,
      status === 'QUEUED' && rowsWritten === 0 && lostWords === null ? waitingText(last, now) : words,
    );
  };
  return {
    show: (run, now) => {
      const isFirst = last === null;
      const hasChanged = last?.status !== run.status || last.attempt !== run.attempt || lostWords !== null;
      lostWords = null;
      // In a terminal the bar shows the name.
      if (isFirst && !answers.isTerminal) {
        say(`${harmless(run.jobName)}, ${run.windowStart} until ${run.windowEnd}`);
      }
      if (run.status === 'QUEUED' && run.error && (hasChanged || run.error.message !== last?.error?.message)) {
        say(`Attempt ${run.attempt} failed and is tried again: ${harmless(run.error.message)}`);
      }
      last = run;
      if (!answers.isTerminal && !hasEnded(run) && (hasChanged || now.getTime() - toldAt >= LINE_EVERY_MS)) {
        toldAt = now.getTime();
        say(`${statusText(run)}${run.status === 'RUNNING' ? `, ${amountOf(run)}` : ''}`);
      }
      redraw(now);
    },
    redraw,
    lost: (words) => {
      if (!answers.isTerminal && lostWords === null) say(words);
      lostWords = words;
    },
    end: (run) => {
      line.clear();
      const milliseconds =
        run.startedAt !== null && run.finishedAt !== null
          ? Date.parse(run.finishedAt) - Date.parse(run.startedAt)
          : null;
      if (answers.isTerminal && run.status === 'SUCCEEDED') {
        const amounts = [formatRows(run.rowsWritten), formatBytes(run.bytesWritten)];
        say(
          formatRun(
            answers.paint('bold', harmless(run.jobName)),
            answers.paint('green', run.status),
            amounts,
            milliseconds,
          ),
        );
        if (run.manifestKey !== null) say(`Manifest: ${placeOf(run, run.manifestKey)}`);
        return;
      }
      if (run.status !== 'SUCCEEDED') {
        terminal.say(
          run.error
            ? `${run.status} after ${pluralize(run.attempt, 'attempt')}: ${harmless(run.error.code)}: ${harmless(run.error.message)}`
            : `${run.status} after ${pluralize(run.attempt, 'attempt')}.`,
        );
        return;
      }
      const took = milliseconds === null ? '' : ` in ${formatDuration(milliseconds)}`;
      say(`${run.status}${took}: ${amountOf(run)}, ${pluralize(run.objects.length, 'object')}`);
      if (run.manifestKey !== null) say(`Manifest: ${placeOf(run, run.manifestKey)}`);
    },
    clear: () => line.clear(),
  };
};

const amountOf = ({ rowsWritten, bytesWritten }: WatchedRun): string =>
  `${formatRows(rowsWritten)}, ${formatBytes(bytesWritten)}`;

const statusText = ({ status, attempt }: WatchedRun): string =>
  status === 'RUNNING' && attempt > 1 ? `${status}, attempt ${attempt}` : status;

const waitingText = ({ scheduledFor }: WatchedRun, now: Date): string =>
  Date.parse(scheduledFor) > now.getTime() ? `due at ${scheduledFor}` : 'waits for a worker';

/** By the rows of the last success: it may have more this time, so the bar is full only at the end. */
const partOf = ({ status, rowsWritten }: WatchedRun, expectedRows: number | null): number | null => {
  if (status === 'QUEUED') return 0;
  return expectedRows === null ? null : Math.min(0.99, rowsWritten / expectedRows);
};

/** With its bucket, which the job knows, unless it was deleted. */
const placeOf = ({ job }: WatchedRun, key: string): string => {
  const bucket = job?.s3Url.replace(/^s3:\/\//, '').split('/')[0];
  return bucket === undefined ? key : `s3://${bucket}/${key}`;
};
