import { styleText } from 'node:util';

/** What is drawn on: a terminal, or a file or pipe, which gets neither colours nor lines that change. */
export interface Surface {
  readonly isTerminal: boolean;
  /** Null where nothing limits a line. */
  readonly columns: number | null;
  /** Coloured in a terminal that shows colours, and not where NO_COLOR is set. */
  paint(format: Parameters<typeof styleText>[0], text: string): string;
}

/** What a terminal says whose width nobody has set. */
const USUAL_COLUMNS = 80;

export const surfaceOf = (stream: NodeJS.WriteStream): Surface => ({
  isTerminal: stream.isTTY,
  // Asked for each time: a window changes its size.
  get columns() {
    return stream.isTTY ? stream.columns || USUAL_COLUMNS : null;
  },
  paint: (format, text) => styleText(format, text, { stream }),
});
