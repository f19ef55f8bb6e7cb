// Pure: what a usage query and an export job have in common: how usage is selected, grouped and rescaled.
import { z } from 'zod';
import type { DimensionValues } from '../db/json-columns.ts';
import type { IssueCollector } from '../errors/errors.ts';
import { type DecimalInput, DoubleValue, parseDecimal } from '../lib/decimal.ts';
import { findTimeZone, timeZoneProblem } from '../lib/time-zones.ts';
import { parseTimestamp } from '../lib/timestamps.ts';
import type { LedgerMomentInput } from '../streams/ledger-moment.ts';
import { validateText, readDecimalText, EXPORT_COLUMNS, MAX_CHECKED } from '../streams/pipeline/inputs.ts';
import { optional, strings, withRules } from '../validation/zod-issues.ts';
import {
  type AggregationBucket,
  bucketCountAtMost,
  floorToBucket,
  nextBucketStart,
  type TimeWindow,
} from './buckets.ts';
import { isElement } from './sums-query.ts';

/** Maximum number of buckets of a window, checked before the buckets are computed: 200,000 hours are 22 years. */
const MAX_BUCKETS = 200_000;
const MAX_GROUPS = 20;
const MAX_FILTERS = 20;
const MAX_FILTER_VALUES = 1000;
const MAX_DIGITS = 38;
const MAX_TOP = 100;

const dimensionValues = z.object({ dimension: z.string(), values: z.array(z.string()) });

const rescaleFunction = z.object({
  function: z.enum(['MULTIPLY']),
  coefficient: z.custom<DecimalInput>((value) => typeof value === 'string' || value instanceof DoubleValue),
});

/** The fields that UsageInput and CreateJobInput share. */
export const usageFields = {
  meterApiNames: optional(strings, null).meta({
    description: 'Names of the streams to sum. If null, all streams of the account, including those created later.',
  }),
  aggregationBucket: z.enum(['HOUR', 'DAY', 'WEEK', 'MONTH']).meta({
    description: 'Length of the buckets over which usage is summed. A week is an ISO week: it starts on Monday.',
  }),
  timeZone: optional(z.string(), 'UTC').meta({
    description: 'IANA time zone in which buckets start and end, in upper or lower case. Defaults to UTC.',
  }),
  groupBy: optional(strings, null).meta({
    description:
      'Dimensions, or `element`, to group by, in the order of the groups. A stream without the dimension has no value for it. Maximum 20.',
  }),
  filter: optional(z.array(dimensionValues), null).meta({
    description:
      'Dimensions, or `element`, with their allowed values. A record is included if it has an allowed value of every dimension listed; records of a stream without such a dimension are not. Maximum 20 dimensions and 1,000 values of each.',
  }),
  sparse: optional(z.boolean(), true).meta({
    description:
      'If false, each group that occurs in the window has a row in every bucket, with the value 0 if the group has no usage in it; maximum 1,000,000 rows (`MAX_FILLED_ROWS`). Defaults to true.',
  }),
  rescaleFunction: optional(rescaleFunction, null).meta({
    description: 'Function applied to the sums, in exact decimal arithmetic.',
  }),
} as const;

const usageShape = z.object({
  ...usageFields,
  from: z.string().meta({ description: 'Start of the window; moved back to the start of its bucket.' }),
  to: z.string().meta({
    description: 'End of the window, exclusive; moved forward to the end of its bucket. Must be after `from`.',
  }),
  top: optional(
    z.int().refine((top) => top >= 1 && top <= MAX_TOP, `Must be from 1 to ${MAX_TOP}.`),
    null,
  ).meta({
    description:
      'Number of groups of each stream to return: those with the largest totals after rescaling, and one series that sums the others. Requires `groupBy`. 1 to 100. Every group if omitted or null.',
  }),
  asOf: z
    .custom<LedgerMomentInput>((value) => typeof value === 'object')
    .nullish()
    .meta({ description: 'Earlier state of the ledger to read. The current state if omitted or null.' }),
});

export const usageQueryFields = usageShape.shape;

/** The input of a usage query; its output has the window in whole buckets. */
export const usageInput = withRules(usageShape, (input, _, issues) => {
  const from = validateTimestamp(input.from, ['from'], issues);
  const to = validateTimestamp(input.to, ['to'], issues);
  const timeZone = findTimeZone(input.timeZone);
  if (timeZone === null) issues.add(['timeZone'], 'BAD_TIME_ZONE', timeZoneProblem(input.timeZone));
  validateGroupBy(input.groupBy ?? [], ['groupBy'], issues);
  if (input.top !== null && (input.groupBy ?? []).length === 0) {
    issues.add(['top'], 'TOP_WITHOUT_GROUPS', 'Requires groupBy: without it, each stream has a single group.');
  }
  validateUsageFilter(input.filter ?? [], ['filter'], issues);
  if (input.rescaleFunction) {
    validateCoefficient(input.rescaleFunction.coefficient, ['rescaleFunction', 'coefficient'], issues);
  }
  if (from === null || to === null) return;
  if (from >= to) issues.add(['to'], 'EMPTY_WINDOW', 'Must be after from.');
  if (timeZone === null || issues.count > 0) return;
  const window = wholeBuckets(from, to, input.aggregationBucket, timeZone);
  validateBucketCount(window, input.aggregationBucket, timeZone, ['from'], issues);
}).transform(({ from, to, rescaleFunction: rescale, ...input }) => {
  const timeZone = findTimeZone(input.timeZone) ?? input.timeZone;
  return {
    ...input,
    timeZone,
    window: wholeBuckets(
      new Date(parseTimestamp(from) ?? from),
      new Date(parseTimestamp(to) ?? to),
      input.aggregationBucket,
      timeZone,
    ),
    rescaleFunction: rescale && { ...rescale, coefficient: formatCoefficient(rescale.coefficient) },
  };
});

/** A checked usage query. */
export type UsageInput = z.output<typeof usageInput>;

// A window extended to whole buckets must remain within the years 1 to 9999, which have four digits.
const EARLIEST = Date.parse('0002-01-01T00:00:00Z');
const LATEST = Date.parse('9999-01-01T00:00:00Z');

function validateTimestamp(text: string, path: readonly string[], issues: IssueCollector): Date | null {
  const milliseconds = parseTimestamp(text);
  if (milliseconds === null) {
    issues.add(path, 'BAD_TIMESTAMP', 'Must be an RFC 3339 date and time with a zone, such as "2026-01-25T00:00:00Z".');
    return null;
  }
  if (milliseconds < EARLIEST || milliseconds >= LATEST) {
    issues.add(path, 'TIMESTAMP_OUT_OF_RANGE', 'Must be in the years 2 to 9998.');
    return null;
  }
  return new Date(milliseconds);
}

function wholeBuckets(from: Date, to: Date, bucket: AggregationBucket, timeZone: string): TimeWindow {
  const floor = floorToBucket(to, bucket, timeZone);
  return {
    start: floorToBucket(from, bucket, timeZone),
    end: floor < to ? nextBucketStart(floor, bucket, timeZone) : to,
  };
}

export function validateBucketCount(
  window: TimeWindow,
  bucket: AggregationBucket,
  timeZone: string,
  path: readonly string[],
  issues: IssueCollector,
): void {
  const count = bucketCountAtMost(window, bucket, timeZone);
  if (count <= MAX_BUCKETS) return;
  issues.add(path, 'WINDOW_TOO_LONG', `A window has at most ${MAX_BUCKETS} buckets; this one has about ${count}.`);
}

export function validateGroupBy(groupBy: readonly string[], path: readonly string[], issues: IssueCollector): void {
  if (groupBy.length > MAX_GROUPS) {
    issues.add(path, 'TOO_MANY_DIMENSIONS', `Must have at most ${MAX_GROUPS} dimensions.`);
  }
  const seen = new Set<string>();
  for (const [index, name] of groupBy.slice(0, MAX_CHECKED).entries()) {
    const key = isElement(name) ? 'element' : name;
    if (seen.has(key)) issues.add([...path, String(index)], 'DUPLICATE_DIMENSION', `"${name}" is already in the list.`);
    seen.add(key);
    validateName(name, [...path, String(index)], issues);
  }
}

export function validateUsageFilter(
  filter: readonly DimensionValues[],
  path: readonly string[],
  issues: IssueCollector,
): void {
  if (filter.length > MAX_FILTERS) {
    issues.add(path, 'TOO_MANY_DIMENSIONS', `Must have at most ${MAX_FILTERS} dimensions.`);
  }
  const seen = new Set<string>();
  for (const [index, { dimension, values }] of filter.slice(0, MAX_CHECKED).entries()) {
    const at = [...path, String(index)];
    const key = isElement(dimension) ? 'element' : dimension;
    if (seen.has(key)) {
      issues.add(
        [...at, 'dimension'],
        'DUPLICATE_DIMENSION',
        `"${dimension}" is already in the filter. Put all its values into one entry.`,
      );
    }
    seen.add(key);
    validateName(dimension, [...at, 'dimension'], issues);
    if (values.length === 0) issues.add([...at, 'values'], 'NO_VALUES', 'Must have at least one value.');
    if (values.length > MAX_FILTER_VALUES) {
      issues.add([...at, 'values'], 'TOO_MANY_VALUES', `Must have at most ${MAX_FILTER_VALUES} values.`);
    }
    for (const [valueIndex, value] of values.slice(0, MAX_CHECKED).entries())
      validateText(value, () => [...at, 'values', String(valueIndex)], issues);
  }
}

function validateName(name: string, path: readonly string[], issues: IssueCollector): void {
  validateText(name, () => path, issues);
  if (EXPORT_COLUMNS.has(name)) {
    issues.add(path, 'RESERVED_DIMENSION', `"${name}" is a column of every export and cannot be a dimension.`);
  }
}

/** Checks that a coefficient is a decimal of at most 38 digits; it may be negative. */
export function validateCoefficient(input: DecimalInput, path: readonly string[], issues: IssueCollector): void {
  const text = readDecimalText(input, path, issues);
  if (text === null) return;
  const decimal = parseDecimal(text);
  if (!decimal) {
    issues.add(path, 'BAD_DECIMAL', 'Must be a decimal number such as "0.001".');
  } else if (decimal.digits > MAX_DIGITS || decimal.scale > MAX_DIGITS) {
    issues.add(path, 'TOO_MANY_DIGITS', `Must have at most ${MAX_DIGITS} digits.`);
  }
}

/** A checked coefficient in plain notation. */
export function formatCoefficient(input: DecimalInput): string {
  const text = typeof input === 'string' ? input : String(input.value);
  return parseDecimal(text)?.text ?? text;
}
