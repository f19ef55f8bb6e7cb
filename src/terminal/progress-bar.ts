import cliTruncate from 'cli-truncate';
import type { Terminal } from './terminal.ts';

/** A line that is redrawn in place. Nothing is drawn if the output is not a terminal. */
export interface ProgressBar {
  /** `share` is from 0 to 1; null if the total is unknown, which draws the texts without a bar. */
  draw(share: number | null, before: string, after: string): void;
  /** Erases the line, so that another one can be printed. */
  clear(): void;
}

const MAX_WIDTH = 30;
const ERASE_LINE = '\r\u001b[2K';

export function createProgressBar(terminal: Terminal): ProgressBar {
  let isDrawn = false;
  return {
    draw: (share, before, after) => {
      if (!terminal.isInteractive) return;
      isDrawn = true;
      const bar = share === null ? '' : `${formatBar(share, terminal)} `;
      // One column stays free, because some terminals wrap a line that fills the last one.
      terminal.print(`${ERASE_LINE}${cliTruncate(`${before} ${bar}${after}`, terminal.columns - 1)}`);
    },
    clear: () => {
      if (isDrawn) terminal.print(ERASE_LINE);
      isDrawn = false;
    },
  };
}

function formatBar(share: number, { columns, style }: Terminal): string {
  const width = Math.min(MAX_WIDTH, Math.floor(columns / 4));
  const full = Math.floor(Math.min(1, Math.max(0, share)) * width);
  return style('green', '━'.repeat(full)) + style('dim', '─'.repeat(width - full));
}
