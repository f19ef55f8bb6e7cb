// Pure: the table of usage as CSV (RFC 4180), with the exact figures.
import type { UsageModel } from './usage-model.ts';

/** Texts that a spreadsheet would execute as a formula get an apostrophe. */
function quote(text: string): string {
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** Formats a row per bucket and a column per group. The cell is empty if the group has no record in the bucket. */
export function formatUsageCsv({ groups, rows }: UsageModel): string {
  const header = ['bucketStart', 'bucketEnd', 'total', ...groups.map(({ name }) => quote(name))];
  const lines = rows.map(({ start, end, values, total }) => [start, end, total, ...values.map((value) => value ?? '')]);
  return `${[header, ...lines].map((cells) => cells.join(',')).join('\r\n')}\r\n`;
}
