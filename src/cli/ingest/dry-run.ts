import { type Issue, MAX_LISTED_ISSUES } from '../../errors/errors.ts';
import { formatCount, pluralize } from '../../lib/format-amounts.ts';
import { replaceControlCharacters } from '../../terminal/terminal.ts';
import { CommandError } from '../command-error.ts';
import type { InputItem, InputReading } from './read-records.ts';
import { LineErrors, nameLines } from './line-errors.ts';
import { RecordCheck, type RecordSummary } from './record-check.ts';
import { describeField, describeFile } from './record-location.ts';

export interface DryRunOptions {
  readonly stream: string;
  readonly kind: 'sum' | 'replace';
  readonly now: Date;
  /** Called with the number of records read so far. */
  readonly onRead: (records: number) => void;
}

/** Checks all items. Throws CommandError that lists the invalid lines, or if the input contains no records. */
export async function checkItems(
  items: AsyncIterable<readonly InputItem[]>,
  getReading: () => InputReading | null,
  options: DryRunOptions,
): Promise<RecordSummary> {
  const errors = new LineErrors();
  const listed: Issue[] = [];
  const getColumns = () => getReading()?.columns ?? null;
  const check = new RecordCheck({
    ...options,
    onIssue: (line, record, issue) => {
      if (listed.length < MAX_LISTED_ISSUES) listed.push(issue);
      const location = describeField(getColumns(), record ?? undefined, issue.path) ?? (issue.path.join('.') || null);
      const isDuplicate = issue.code === 'DUPLICATE_KEY';
      errors.add(line, location, isDuplicate ? nameLines(issue.message, (number) => number) : issue.message);
    },
    onUnlistedIssues: (count) => errors.addUnlisted(count),
  });
  for await (const some of items) {
    for (const item of some) {
      if ('problem' in item) errors.add(item.line, item.location, item.problem);
      else check.add(item.record, item.line);
    }
    options.onRead(check.count);
  }
  const summary = check.finish();
  errors.throwIfAny(describeFile(getColumns(), listed));
  if (summary === null) throw new CommandError('The input contains no records.');
  return summary;
}

/** Formats a summary as lines. */
export function formatSummary(stream: string, summary: RecordSummary, parts: number, roundedValues: number): string {
  const { records, granularity, dimensions, buckets, from, to, elements, sum, duplicatesChecked } = summary;
  const lines = [
    `Dry run for "${stream}". Nothing was stored.`,
    `Records:    ${formatCount(records)}${parts > 1 ? ` in ${pluralize(parts, 'part')}` : ''}`,
    `Buckets:    ${formatDistinct(buckets)} ${granularity.toLowerCase()}, ${from === to ? from : `${from} to ${to}`}`,
    `Dimensions: ${dimensions.length === 0 ? 'none' : replaceControlCharacters(dimensions.join(', '))}`,
    `Elements:   ${formatDistinct(elements)}`,
    `Sum:        ${sum}`,
    ...(roundedValues > 0 ? [`Rounded:    ${pluralize(roundedValues, 'value')}`] : []),
    ...(duplicatesChecked ? [] : ['Only the first 1,000,000 record keys were checked for duplicates.']),
  ];
  return `${lines.join('\n')}\n`;
}

const formatDistinct = (count: number | null): string => (count === null ? 'more than 100,000' : formatCount(count));
