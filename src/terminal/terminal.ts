import { styleText } from 'node:util';

/** The output of a command. */
export interface Terminal {
  /** Writes the result of the command to standard output. */
  readonly print: (text: string) => void;
  /** Writes a line to standard error: what the command did, and why it failed. */
  readonly message: (text: string) => void;
  /** Whether standard output is a terminal. A file or pipe gets neither styles nor lines that change. */
  readonly isInteractive: boolean;
  /** The width of standard output; Infinity if it is not a terminal. */
  readonly columns: number;
  /** Returns the text with the style if standard output shows styles. NO_COLOR turns them off. */
  readonly style: (format: Parameters<typeof styleText>[0], text: string) => string;
}

/** The terminal of a command that neither draws nor styles. */
export type PlainTerminal = Pick<Terminal, 'print' | 'message'>;

/** The width of a terminal that does not report one. */
const DEFAULT_COLUMNS = 80;

export function createTerminal(stdout: NodeJS.WriteStream, stderr: NodeJS.WriteStream): Terminal {
  return {
    print: (text) => void stdout.write(text),
    message: (text) => void stderr.write(`${text}\n`),
    isInteractive: stdout.isTTY,
    // Read each time, because a window can be resized.
    get columns() {
      return stdout.isTTY ? stdout.columns || DEFAULT_COLUMNS : Number.POSITIVE_INFINITY;
    },
    style: (format, text) => styleText(format, text, { stream: stdout }),
  };
}

/** Replaces characters that move the cursor or change the direction of the text after them. */
export function replaceControlCharacters(text: string): string {
  // oxlint-disable-next-line no-control-regex -- control characters are what it replaces
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, '\ufffd');
}
