// Pure: quantities as text, for progress, logs and messages. Values of records are formatted elsewhere, without rounding.
import prettyMs from 'pretty-ms';

/** Such as `1,000`. */
export const formatCount = (count: number): string => count.toLocaleString('en-US');

/** Such as `1 row` or `1,000 rows`. */
export function pluralize(count: number, noun: string): string {
  return `${formatCount(count)} ${noun}${count === 1 ? '' : 's'}`;
}

/** A run in one line, with two spaces between its parts. */
export function formatRun(name: string, status: string, parts: readonly string[], durationMs: number | null): string {
  return [name, status, ...parts, ...(durationMs === null ? [] : [prettyMs(durationMs)])].join('  ');
}
