// Pure: texts of the preview.
import type { Problem } from '../../api/problem.ts';
import { countOf } from '../../ui/exact-number.ts';
import type { JobSettings } from './job-values.ts';

/** Describes how many fields are not valid. */
export function countIssues(problem: Problem | null): string {
  const count = Object.keys(problem?.issues ?? {}).length;
  return count === 0 ? 'Not valid' : `${countOf(count, 'field')} to complete or correct`;
}

/** Returns the first lines of a file, in CSV with its header. */
export function listLines(
  sample: readonly string[],
  groupBy: readonly string[],
  { format, csvDelimiter }: Pick<JobSettings, 'format' | 'csvDelimiter'>,
): string[] {
  if (format !== 'CSV') return [...sample];
  const header = ['meterApiName', 'bucketStart', 'bucketEnd', ...groupBy, 'value'];
  return [header.join(csvDelimiter === 'SEMICOLON' ? ';' : ','), ...sample];
}
