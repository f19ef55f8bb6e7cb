// Pure: the columns and cells of CSV to which the fields of a record belong.
import type { Issue } from '../../errors/errors.ts';
import { type CsvColumns, describeCell } from './csv-records.ts';

/** Returns the column and cell of a field; null if they are not known. */
export function describeField(
  columns: CsvColumns | null,
  record: string | undefined,
  path: readonly string[],
): string | null {
  const column = columns?.columnOf(path) ?? null;
  return column === null || record === undefined ? null : describeCell(column, findText(record, path));
}

const DATE_FORMAT_HINT = '\nUse --date-format for dates in another format, such as --date-format DD.MM.YYYY.';

/** Returns the text after the messages about the records of a CSV file; null for NDJSON. */
export function describeFile(columns: CsvColumns | null, issues: readonly Issue[]): string | null {
  return columns && `${columns.description}${issues.some(isTimestampIssue) ? DATE_FORMAT_HINT : ''}`;
}

const isTimestampIssue = ({ path, code }: Issue): boolean => code === 'BAD_TIMESTAMP' && path.at(-1) === 'timestamp';

/** Returns the field of a record; the elements of a list are joined with `|`. */
function findText(record: string, path: readonly string[]): string {
  let value: unknown = JSON.parse(record);
  for (const name of path) value = (value as Record<string, unknown> | undefined)?.[name];
  return Array.isArray(value) ? value.join('|') : typeof value === 'string' ? value : '';
}
