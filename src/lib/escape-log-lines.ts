// Pure: escapes log lines, so that text from clients cannot send commands to the terminal that shows them.

// JSON leaves DEL, C1 (of which U+009B begins a command as ESC [ does) and what turns the direction of writing as they are.
const RAW = /[\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

const escaped = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;

/** Returns equivalent JSON in which such characters are visible. */
export const escapeLogLine = (line: string): string => line.replace(RAW, escaped);

/**
 * Escapes a line of JSON for a printer that shows texts unescaped: each control character becomes six characters. Line feeds
 * and tabs stay, because stacks have them.
 */
export function escapeForTerminal(line: string): string {
  return (
    line
      .replace(RAW, escaped)
      // A backslash that is meant as one is not the begin of an escape.
      .replace(/\\(?:\\|u(?:00[0-1][0-9a-f]|00[7-9][0-9a-f]|20[0-6][0-9a-f])|[bfr])/g, (found) =>
        found === '\\\\' ? found : `\\${found}`,
      )
  );
}
