import type { RecordsReceipt } from '../../api-client/send-records.ts';
import { formatBytes, formatCount, pluralize, formatDuration } from '../../lib/format-amounts.ts';
import type { DrawnTerminal } from '../command-context.ts';
import type { Input } from './open-input.ts';
import type { Part } from './request-part.ts';
import { createProgressLine } from '../output/progress-bar.ts';

/** Where a file stands on its way into a stream, and how that is told. */
export interface IngestProgress {
  /** Parts that are stored. */
  readonly storedParts: number;
  reads(part: number, records: number): void;
  sends(part: number, full: Part): void;
  /** So many bytes of the part that is sent. */
  sent(bytes: number): void;
  retries(error: Error): void;
  /** The part that is sent was not stored. */
  refused(): void;
  stored(full: Part, receipt: RecordsReceipt): void;
  end(stream: string, kind: 'sum' | 'replace'): void;
  clear(): void;
  /** For whoever has to go on: what is stored, and what to do. */
  whereItStands(): string;
}

/** ChunkBuffer come faster than anybody can see. */
const REDRAW_MS = 50;

export const createIngestProgress = (terminal: DrawnTerminal, input: Input): IngestProgress => {
  const line = createProgressLine(terminal.answers, (text) => terminal.answer(text));
  const begun = performance.now();
  const total = { parts: 0, records: 0, replayed: 0, hidden: 0, lastLine: 0 };
  /** Of the input, where the part that is sent begins and ends. */
  const sent = { from: 0, to: 0, bytes: 0, of: 1, records: 0, part: 0 };

  let drawn = { at: 0, words: '' };
  const draw = (part: number, records: number): void => {
    const stored = sent.from + ((sent.to - sent.from) * sent.bytes) / sent.of;
    // Every byte is read once and sent once.
    const share = input.size === null || input.size === 0 ? null : (input.bytesRead + stored) / (2 * input.size);
    const isSending = sent.part === part;
    const arrived = total.records + (isSending ? Math.floor((sent.records * sent.bytes) / sent.of) : 0);
    const read = `${formatBytes(input.bytesRead)}${input.size === null ? '' : ` of ${formatBytes(input.size)}`}`;
    const rate = Math.round(arrived / Math.max(0.001, (performance.now() - begun) / 1000));
    const words = isSending
      ? `${formatCount(arrived)} sent, ${formatCount(rate)}/s`
      : `${pluralize(total.records + records, 'record')} found`;
    const doing = !isSending ? 'Reading' : sent.bytes < sent.of ? 'Sending' : 'Storing';
    const before = `${doing} part ${part}`;
    const now = performance.now();
    if (before === drawn.words && now - drawn.at < REDRAW_MS) return;
    drawn = { at: now, words: before };
    line.show(share, before, `${read}, ${words}`);
  };
  return {
    get storedParts() {
      return total.parts;
    },
    reads: draw,
    sends: (part, full) => {
      Object.assign(sent, { from: sent.to, to: input.bytesRead, bytes: 0, of: full.bytes, records: full.count, part });
      draw(part, full.count);
    },
    sent: (bytes) => {
      sent.bytes = bytes;
      draw(sent.part, sent.records);
    },
    retries: (error) => {
      line.clear();
      terminal.say(`${error.message} Retrying part ${sent.part}.`);
    },
    refused: () => {
      sent.part = 0;
    },
    stored: (full, receipt) => {
      total.parts += 1;
      total.records += full.count;
      total.replayed += receipt.replayed ? full.count : 0;
      total.hidden += receipt.replayed ? 0 : receipt.hiddenRecords;
      total.lastLine = full.lineOf(full.count - 1);
      if (terminal.answers.isTerminal) return;
      terminal.answer(
        `Part ${sent.part}: ${pluralize(full.count, 'record')}, up to line ${formatCount(total.lastLine)}, ${receipt.replayed ? 'were there already' : 'stored'}\n`,
      );
    },
    end: (stream, kind) => {
      line.clear();
      const took = performance.now() - begun;
      const rate = Math.round(total.records / Math.max(0.001, took / 1000));
      terminal.answer(
        `${terminal.answers.paint('green', 'Stored')}: ${pluralize(total.records, 'record')} in "${stream}"${total.parts > 1 ? `, in ${pluralize(total.parts, 'part')}` : ''}, in ${formatDuration(took)} (${formatCount(rate)}/s)${kind === 'replace' ? `; ${pluralize(total.hidden, 'earlier record')} hidden` : ''}\n`,
      );
      if (total.replayed === 0) return;
      terminal.say(
        `${total.replayed === total.records ? 'All' : formatCount(total.replayed)} of them had been stored by an earlier start, and count once. Where they were deleted since, or are to count again, send them with an --idempotency-key of your own.`,
      );
    },
    clear: () => line.clear(),
    whereItStands: () => {
      const isOpen = sent.part > total.parts;
      return [
        total.parts === 0
          ? isOpen
            ? ''
            : 'Nothing was stored.'
          : `${pluralize(total.records, 'record')}, up to line ${formatCount(total.lastLine)}, are stored: leave these lines as they are.`,
        isOpen ? `Whether part ${sent.part} was stored is not known.` : '',
        total.parts > 0 || isOpen
          ? 'Start the same command again, with the same input and the same options: what is stored counts once.'
          : '',
      ]
        .filter((words) => words !== '')
        .join(' ');
    },
  };
};
