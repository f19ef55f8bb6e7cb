// Pure: quantities as text, for progress, logs and messages. Values of records are formatted elsewhere, without rounding.
import prettyMs from 'pretty-ms';

/** Such as `1,000`. */
export const formatCount = (count: number): string => count.toLocaleString('en-US');

/** Separates the thousands of an exact decimal, such as `-1,234,567.000001`. No digit changes. */
export function groupDigits(decimal: string): string {
  const [whole = '', ...fraction] = decimal.split('.');
  const digits = whole.replace('-', '');
  const first = digits.length % 3 || 3;
  const thousands = Array.from({ length: Math.ceil(digits.length / 3) }, (_, index) =>
    digits.slice(Math.max(0, first + (index - 1) * 3), first + index * 3),
  );
  return [`${whole.startsWith('-') ? '-' : ''}${thousands.join(',')}`, ...fraction].join('.');
}

/** Such as `1 row` or `1,000 rows`. */
export function pluralize(count: number, noun: string): string {
  return `${formatCount(count)} ${noun}${count === 1 ? '' : 's'}`;
}

/** A run in one line, with two spaces between its parts. */
export function formatRun(name: string, status: string, parts: readonly string[], durationMs: number | null): string {
  return [name, status, ...parts, ...(durationMs === null ? [] : [prettyMs(durationMs)])].join('  ');
}
