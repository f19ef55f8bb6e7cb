import type { Surface } from './terminal.ts';
import { cut, widthOf } from './text.ts';

/** One line of a terminal that is drawn over and over; nothing at all where it is no terminal. */
export interface ProgressLine {
  /** `part` is 0 to 1; null where the whole is not known: the bar then only shows that something goes on. */
  show(part: number | null, before: string, behind: string): void;
  /** Takes the line away, so that something else can be said. */
  clear(): void;
}

const FULL = '━';
const EMPTY = '─';
const MOST_CELLS = 30;
const LEAST_CELLS = 8;
/** What moves to and fro where the whole is not known. */
const MOVING_CELLS = 6;

export const createProgressLine = (surface: Surface, write: (text: string) => void): ProgressLine => {
  let step = 0;
  let isDrawn = false;
  return {
    show: (part, before, behind) => {
      if (!surface.isTerminal) return;
      // One column less: some terminals wrap a line that fills the last one.
      const room = (surface.columns ?? 0) - 1 - widthOf(before) - 2;
      // Whatever is said behind it, so that it never becomes shorter.
      const cells = Math.max(LEAST_CELLS, Math.min(MOST_CELLS, Math.floor(room / 3)));
      const bar = part === null ? moving(step, cells) : filled(part, cells);
      const [left = '', full = '', right = ''] = bar;
      step += 1;
      isDrawn = true;
      write(
        `\r\u001b[2K${before} ${surface.paint('dim', left)}${surface.paint('green', full)}${surface.paint('dim', right)} ${cut(behind, Math.max(1, room - cells))}`,
      );
    },
    clear: () => {
      if (isDrawn) write('\r\u001b[2K');
      isDrawn = false;
    },
  };
};

const filled = (part: number, cells: number): string[] => {
  const full = Math.floor(Math.min(1, Math.max(0, part)) * cells);
  return ['', FULL.repeat(full), EMPTY.repeat(cells - full)];
};

const moving = (step: number, cells: number): string[] => {
  const way = Math.max(1, cells - MOVING_CELLS);
  const at = way - Math.abs((step % (2 * way)) - way);
  return [EMPTY.repeat(at), FULL.repeat(MOVING_CELLS), EMPTY.repeat(Math.max(0, cells - at - MOVING_CELLS))];
};
