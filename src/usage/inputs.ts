// Pure: the rules for what usage is grouped, filtered and rescaled by; the same for the query and for jobs.
import type { DimensionValues } from '../db/json-columns.ts';
import type { IssueCollector } from '../errors/errors.ts';
import { parseDecimal } from '../lib/decimal.ts';
import {
  type DecimalInput,
  validateText,
  readDecimalText,
  EXPORT_COLUMNS,
  MAX_CHECKED,
} from '../streams/pipeline/inputs.ts';
import { isElement } from './query.ts';

/** A window of more buckets is refused before they are reckoned: 200,000 hours are 22 years. */
export const MAX_BUCKETS = 200_000;
const MAX_GROUPS = 20;
const MAX_FILTERS = 20;
const MAX_FILTER_VALUES = 1000;
const MAX_DIGITS = 38;

export const checkGroupBy = (groupBy: readonly string[], path: readonly string[], issues: IssueCollector): void => {
  if (groupBy.length > MAX_GROUPS) {
    issues.add(path, 'TOO_MANY_DIMENSIONS', `At most ${MAX_GROUPS} dimensions to group by.`);
  }
  const seen = new Set<string>();
  for (const [index, name] of groupBy.slice(0, MAX_CHECKED).entries()) {
    const key = isElement(name) ? 'element' : name;
    if (seen.has(key)) issues.add([...path, String(index)], 'DUPLICATE_DIMENSION', `"${name}" is grouped by already.`);
    seen.add(key);
    checkName(name, [...path, String(index)], issues);
  }
};

export const checkUsageFilter = (
  filter: readonly DimensionValues[],
  path: readonly string[],
  issues: IssueCollector,
): void => {
  if (filter.length > MAX_FILTERS) {
    issues.add(path, 'TOO_MANY_DIMENSIONS', `At most ${MAX_FILTERS} dimensions to filter by.`);
  }
  const seen = new Set<string>();
  for (const [index, { dimension, values }] of filter.slice(0, MAX_CHECKED).entries()) {
    const at = [...path, String(index)];
    const key = isElement(dimension) ? 'element' : dimension;
    if (seen.has(key)) {
      issues.add(
        [...at, 'dimension'],
        'DUPLICATE_DIMENSION',
        `"${dimension}" is filtered by already; put all its values into one entry.`,
      );
    }
    seen.add(key);
    checkName(dimension, [...at, 'dimension'], issues);
    if (values.length === 0) issues.add([...at, 'values'], 'NO_VALUES', 'A dimension needs at least one value.');
    if (values.length > MAX_FILTER_VALUES) {
      issues.add([...at, 'values'], 'TOO_MANY_VALUES', `At most ${MAX_FILTER_VALUES} values of one dimension.`);
    }
    for (const [valueIndex, value] of values.slice(0, MAX_CHECKED).entries())
      validateText(value, () => [...at, 'values', String(valueIndex)], issues);
  }
};

const checkName = (name: string, path: readonly string[], issues: IssueCollector): void => {
  validateText(name, () => path, issues);
  if (EXPORT_COLUMNS.has(name)) {
    issues.add(path, 'RESERVED_DIMENSION', `"${name}" is a column of every export and never a dimension.`);
  }
};

/** Plain text of a coefficient: any decimal of at most 38 digits, negative ones too. */
export const checkCoefficient = (
  input: DecimalInput,
  path: readonly string[],
  issues: IssueCollector,
): string | null => {
  const text = readDecimalText(input, path, issues);
  if (text === null) return null;
  const decimal = parseDecimal(text);
  if (!decimal) {
    issues.add(path, 'BAD_DECIMAL', 'Must be a decimal number such as "0.001".');
    return null;
  }
  if (decimal.digits > MAX_DIGITS || decimal.scale > MAX_DIGITS) {
    issues.add(path, 'TOO_MANY_DIGITS', `At most ${MAX_DIGITS} digits.`);
    return null;
  }
  return decimal.text;
};
