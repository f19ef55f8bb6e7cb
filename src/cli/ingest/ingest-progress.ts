import prettyBytes from 'pretty-bytes';
import prettyMs from 'pretty-ms';
import type { RecordsReceipt } from '../../api-client/send-records.ts';
import { formatCount, pluralize } from '../../lib/format-amounts.ts';
import { createProgressBar } from '../../terminal/progress-bar.ts';
import type { Terminal } from '../../terminal/terminal.ts';
import type { Input } from './open-input.ts';
import { describeReading, type InputReading } from './read-records.ts';
import type { RequestPart } from './request-part.ts';

/** Counts what was read, sent and stored, and shows it: a progress bar in a terminal, otherwise a line per part. */
export interface IngestProgress {
  readonly storedParts: number;
  /** Called once, when the format and the columns of the input are known. */
  readonly showReading: (reading: InputReading) => void;
  /** Called while the records of a part are read. */
  readonly onRead: (part: number, records: number) => void;
  /** Called before a part is sent. */
  readonly onSend: (part: number, content: RequestPart) => void;
  /** Called with the number of bytes of the part that were sent. */
  readonly onSent: (bytes: number) => void;
  readonly onRetry: (error: Error) => void;
  /** Called when the server rejected the part, so that none of it was stored. */
  readonly onRejected: () => void;
  readonly onStored: (content: RequestPart, receipt: RecordsReceipt) => void;
  readonly showEnd: (stream: string, kind: 'sum' | 'replace') => void;
  readonly clear: () => void;
  /** Returns what was stored and how to continue, for a command that ends early. */
  readonly describeState: () => string;
}

const REDRAW_MS = 50;

export interface IngestProgressOptions {
  /** Whether the result is JSON. Progress is then written to standard error, without a bar. */
  readonly json: boolean;
  /** Whether the records are sent after they are read. */
  readonly isSent: boolean;
}

/** Returns the reading without functions. */
export function toJsonReading({ format, encoding, delimiter, columns }: InputReading): object {
  const { dimensions = [], ...roles } = columns?.roleColumns ?? {};
  return {
    format,
    encoding,
    delimiter,
    columns: columns && {
      ...roles,
      dimensions: Object.fromEntries(dimensions.map(({ dimension, column }) => [dimension, column])),
    },
  };
}

export function createIngestProgress(
  output: Terminal,
  input: Input,
  { json, isSent }: IngestProgressOptions,
): IngestProgress {
  const terminal: Terminal = json
    ? { ...output, isInteractive: false, print: (text) => output.message(text.trimEnd()) }
    : output;
  const bar = createProgressBar(terminal);
  let shownReading: InputReading | null = null;
  const startedAt = performance.now();
  const stored = { parts: 0, records: 0, replayed: 0, hidden: 0, lastLine: 0 };
  /** The part that is being sent. `from` and `to` are its positions in the bytes of the input. */
  const current = { from: 0, to: 0, sentBytes: 0, bytes: 1, records: 0, part: 0 };
  let drawn = { at: 0, before: '' };

  const formatRate = (records: number): string =>
    `${formatCount(Math.round(records / Math.max(0.001, (performance.now() - startedAt) / 1000)))}/s`;
  const draw = (part: number, records: number): void => {
    const isSending = current.part === part;
    const action = !isSending ? 'Reading' : current.sentBytes < current.bytes ? 'Sending' : 'Storing';
    const before = `${action} part ${part}`;
    const now = performance.now();
    if (before === drawn.before && now - drawn.at < REDRAW_MS) return;
    drawn = { at: now, before };
    const sentShare = current.sentBytes / current.bytes;
    const sent = current.from + (current.to - current.from) * sentShare;
    // Every byte of the input is read once, and sent once.
    const share = input.size ? (input.bytesRead + sent) / ((isSent ? 2 : 1) * input.size) : null;
    const sentRecords = stored.records + (isSending ? Math.floor(current.records * sentShare) : 0);
    const read = `${prettyBytes(input.bytesRead)}${input.size === null ? '' : ` of ${prettyBytes(input.size)}`}`;
    const count = isSending
      ? `${formatCount(sentRecords)} sent, ${formatRate(sentRecords)}`
      : `${pluralize(stored.records + records, 'record')} found`;
    bar.draw(share, before, `${read}, ${count}`);
  };
  return {
    get storedParts() {
      return stored.parts;
    },
    showReading: (reading) => {
      shownReading = reading;
      if (reading.format === 'ndjson' && reading.encoding === 'UTF-8') return;
      bar.clear();
      terminal.print(`${describeReading(reading)}\n`);
    },
    onRead: draw,
    onSend: (part, { bytes, count: records }) => {
      Object.assign(current, { from: current.to, to: input.bytesRead, sentBytes: 0, bytes, records, part });
      draw(part, records);
    },
    onSent: (bytes) => {
      current.sentBytes = bytes;
      draw(current.part, current.records);
    },
    onRetry: (error) => {
      bar.clear();
      terminal.message(`${error.message} Retrying part ${current.part}.`);
    },
    onRejected: () => {
      current.part = 0;
    },
    onStored: ({ count, lineOf }, receipt) => {
      stored.parts += 1;
      stored.records += count;
      stored.replayed += receipt.replayed ? count : 0;
      stored.hidden += receipt.replayed ? 0 : receipt.hiddenRecords;
      stored.lastLine = lineOf(count - 1);
      if (terminal.isInteractive) return;
      const outcome = receipt.replayed ? 'already stored' : 'stored';
      terminal.print(
        `Part ${current.part}: ${pluralize(count, 'record')}, up to line ${formatCount(stored.lastLine)}, ${outcome}\n`,
      );
    },
    showEnd: (stream, kind) => {
      bar.clear();
      const { parts, records, replayed, hidden } = stored;
      if (json) {
        output.print(
          `${JSON.stringify({ stream, kind, records, parts, replayedRecords: replayed, hiddenRecords: hidden, lastLine: stored.lastLine, roundedValues: shownReading?.columns?.roundedValues ?? 0, reading: shownReading && toJsonReading(shownReading) })}\n`,
        );
        return;
      }
      const inParts = parts > 1 ? ` in ${pluralize(parts, 'part')}` : '';
      const replaced = kind === 'replace' ? `; ${pluralize(hidden, 'earlier record')} hidden` : '';
      terminal.print(
        `${terminal.style('green', 'Stored')}: ${pluralize(records, 'record')} in "${stream}"${inParts}, in ${prettyMs(performance.now() - startedAt)} (${formatRate(records)})${replaced}\n`,
      );
      if (replayed === 0) return;
      terminal.message(
        `${replayed === records ? 'All' : formatCount(replayed)} of them were already stored by an earlier run, and count once. To store them again, for example because they were deleted since, use another --idempotency-key.`,
      );
    },
    clear: () => bar.clear(),
    describeState: () => {
      const isUnknown = current.part > stored.parts;
      const sentences =
        stored.parts > 0
          ? [
              `Stored ${pluralize(stored.records, 'record')}, up to line ${formatCount(stored.lastLine)}. Do not change these lines.`,
            ]
          : isUnknown
            ? []
            : ['Nothing was stored.'];
      if (isUnknown) sentences.push(`It is unknown whether part ${current.part} was stored.`);
      if (stored.parts > 0 || isUnknown) {
        sentences.push('Run the same command again with the same input and options; stored records count once.');
      }
      return sentences.join(' ');
    },
  };
}
