import { createProgressBar } from '../terminal/progress-bar.ts';
import type { Terminal } from '../terminal/terminal.ts';

/** The output of the demo: styles and progress bars in a terminal, otherwise plain lines. */
export interface Screen {
  heading(text: string): void;
  line(text?: string): void;
  /** A line that is less prominent. */
  dim(text: string): void;
  startBar(label: string): Bar;
}

/** The progress of one step. */
export interface Bar {
  show(done: number, total: number, text: string): void;
  /** Replaces the bar with the result. */
  end(result: string): void;
}

export function createScreen(terminal: Terminal): Screen {
  const line = (text = ''): void => terminal.print(text === '' ? '\n' : `  ${text}\n`);
  return {
    heading: (text) => terminal.print(`\n${terminal.style('bold', text)}\n\n`),
    line,
    dim: (text) => line(terminal.style('dim', text)),
    startBar: (label) => {
      const bar = createProgressBar(terminal);
      return {
        show: (done, total, text) => bar.draw(total === 0 ? 1 : done / total, `  ${label}`, text),
        end: (result) => {
          bar.clear();
          line(`${label} ${result}`);
        },
      };
    },
  };
}
