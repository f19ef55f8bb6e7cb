import { styleText } from 'node:util';

/** What the demo is shown on. In a terminal with colours and bars that move; else plain lines. */
export interface Screen {
  heading(text: string): void;
  line(text?: string): void;
  /** Less loud than a line. */
  aside(text: string): void;
  /** Of one step; `end` leaves it as it stands. */
  startBar(label: string): Bar;
}

export interface Bar {
  show(done: number, total: number, words: string): void;
  end(words: string): void;
}

const BAR_CELLS = 28;
const MARGIN = '  ';

export const createScreen = (out: NodeJS.WriteStream): Screen => {
  const style = (format: Parameters<typeof styleText>[0], text: string): string =>
    styleText(format, text, { stream: out });
  const line = (text = ''): void => void out.write(text === '' ? '\n' : `${MARGIN}${text}\n`);
  return {
    heading: (text) => void out.write(`\n${style('bold', text)}\n\n`),
    line,
    aside: (text) => line(style('dim', text)),
    startBar: (label) => {
      let ended = false;
      /** Over what stood in the line, and no wider than it: a line that wraps could not be taken back. */
      const draw = (part: number, words: string): void => {
        const full = Math.round(Math.min(1, Math.max(0, part)) * BAR_CELLS);
        const before = `${MARGIN}${label} [`;
        const after = `] ${words}`;
        const room = (out.columns ?? 80) - before.length - BAR_CELLS - 1;
        out.write(
          `\r\u001b[2K${before}${style('green', '#'.repeat(full))}${'.'.repeat(BAR_CELLS - full)}${after.slice(0, room)}`,
        );
      };
      return {
        show: (done, total, words) => {
          if (out.isTTY && !ended) draw(total === 0 ? 1 : done / total, words);
        },
        end: (words) => {
          if (ended) return;
          ended = true;
          if (out.isTTY) {
            draw(1, words);
            out.write('\n');
          } else {
            line(`${label} ${words}`);
          }
        },
      };
    },
  };
};
