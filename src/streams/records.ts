// Pure: turns what was sent into canonical records: cut to their bucket, filters in one spelling, keys told apart.
import { createHash } from 'node:crypto';
import type { IssueCollector } from '../errors.ts';
import { compareBytewise } from '../lib/bytewise.ts';
import { parseTimestamp } from '../lib/timestamps.ts';
import {
  checkFilter,
  checkText,
  checkValue,
  type FilterEntry,
  type Granularity,
  type RecordInput,
  type SelectorInput,
} from './inputs.ts';

/** A filter in its one spelling: dimensions and values sorted bytewise, repeated values merged. */
export interface CanonicalFilter {
  readonly entries: readonly FilterEntry[];
  /** JSON of the entries: equal for equal filters and for no others. */
  readonly text: string;
  /** The dimensions alone, in the same way. */
  readonly dimensionsText: string;
}

/** Records column by column, as `unnest` wants them. */
export interface CanonicalRecords {
  readonly granularity: Granularity;
  /** Sorted bytewise. */
  readonly dimensions: readonly string[];
  readonly filters: readonly CanonicalFilter[];
  /** RFC 3339 in UTC, one a record, and so on. */
  readonly buckets: string[];
  /** Index into `filters`. */
  readonly filterIndexes: number[];
  readonly elements: string[];
  readonly values: string[];
}

export interface CanonicalSelector {
  readonly granularity: Granularity;
  readonly bucket: string;
  /** Null: every filter. */
  readonly filter: CanonicalFilter | null;
  /** Null: every element. */
  readonly element: string | null;
}

/** What a stream demands of each record that comes after its first request. */
export interface StreamShape {
  readonly granularity: Granularity;
  readonly dimensions: readonly string[];
}

export interface CheckOptions {
  /** The path of the list, e.g. ["input", "records"]. */
  readonly path: readonly string[];
  readonly now: Date;
  /** Milliseconds after now that a timestamp may lie in the future. */
  readonly maxFutureMs: number;
}

const canonicalFilter = (filter: readonly FilterEntry[]): CanonicalFilter => {
  const entries = filter
    .map(({ dimension, values }) => ({ dimension, values: [...new Set(values)].sort(compareBytewise) }))
    .sort((a, b) => compareBytewise(a.dimension, b.dimension));
  return {
    entries,
    text: JSON.stringify(entries.map((entry) => [entry.dimension, entry.values])),
    dimensionsText: JSON.stringify(entries.map((entry) => entry.dimension)),
  };
};

export const filterDigest = (filter: CanonicalFilter): Buffer => createHash('sha256').update(filter.text).digest();

/** The start of the hour, day or month in UTC. */
const bucketOf = (milliseconds: number, granularity: Granularity): string => {
  const iso = new Date(milliseconds).toISOString();
  if (granularity === 'HOURLY') return `${iso.slice(0, 13)}:00:00Z`;
  if (granularity === 'DAILY') return `${iso.slice(0, 10)}T00:00:00Z`;
  return `${iso.slice(0, 7)}-01T00:00:00Z`;
};

/** Buckets of many records that mostly share their timestamps; a text that is none is an issue each time. */
class BucketReader {
  readonly #options: CheckOptions;
  readonly #latest: number;
  readonly #known = new Map<string, string>();

  constructor(options: CheckOptions) {
    this.#options = options;
    this.#latest = options.now.getTime() + options.maxFutureMs;
  }

  read(timestamp: string, granularity: Granularity, index: number, issues: IssueCollector): string | null {
    const key = granularity + timestamp;
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const path = () => [...this.#options.path, String(index), 'timestamp'];
    const milliseconds = parseTimestamp(timestamp);
    if (milliseconds === null) {
      issues.add(
        path(),
        'BAD_TIMESTAMP',
        'Must be an RFC 3339 date and time with a zone, such as "2026-01-25T00:00:00Z".',
      );
      return null;
    }
    if (milliseconds > this.#latest) {
      issues.add(
        path(),
        'FUTURE_TIMESTAMP',
        `Lies more than ${this.#options.maxFutureMs / 3_600_000} hours in the future.`,
      );
      return null;
    }
    const bucket = bucketOf(milliseconds, granularity);
    this.#known.set(key, bucket);
    return bucket;
  }
}

/** Canonical filters by the spelling they were sent in: a request repeats few filters many times. */
class FilterReader {
  readonly filters: CanonicalFilter[] = [];
  readonly #bySpelling = new Map<string, number>();
  readonly #byText = new Map<string, number>();

  /** The index of the canonical filter, or -1 where the filter breaks a rule. */
  read(filter: readonly FilterEntry[], path: () => readonly string[], issues: IssueCollector): number {
    const spelling = JSON.stringify(filter);
    const known = this.#bySpelling.get(spelling);
    // A bad filter is checked again, so that each of its records is named.
    if (known !== undefined && known >= 0) return known;
    const before = issues.count;
    checkFilter(filter, path(), issues);
    if (issues.count > before) return -1;
    const canonical = canonicalFilter(filter);
    let index = this.#byText.get(canonical.text);
    if (index === undefined) {
      index = this.filters.push(canonical) - 1;
      this.#byText.set(canonical.text, index);
    }
    this.#bySpelling.set(spelling, index);
    return index;
  }
}

/**
 * Checks every record and gathers all issues. The shape is the stream's, or where the stream is not there yet
 * that of the first record whose filter is in order. Null where there was nothing to take a shape from.
 */
export const canonicalRecords = (
  inputs: readonly RecordInput[],
  shape: StreamShape | null,
  options: CheckOptions,
  issues: IssueCollector,
): CanonicalRecords | null => {
  const bucketReader = new BucketReader(options);
  const filterReader = new FilterReader();
  const buckets: string[] = [];
  const filterIndexes: number[] = [];
  const elements: string[] = [];
  const values: string[] = [];
  let expected = shape && { granularity: shape.granularity, dimensionsText: JSON.stringify(shape.dimensions) };
  let dimensions = shape?.dimensions;

  for (const [index, input] of inputs.entries()) {
    const at = (...rest: string[]): string[] => [...options.path, String(index), ...rest];
    const bucket = bucketReader.read(input.timestamp, input.granularity, index, issues);
    const filterIndex = filterReader.read(input.filter ?? [], () => at('filter'), issues);
    checkText(input.elementName, at('elementName'), issues);
    const value = checkValue(input.value, at('value'), issues);
    const filter = filterReader.filters[filterIndex];
    if (filter) {
      if (!expected) {
        expected = { granularity: input.granularity, dimensionsText: filter.dimensionsText };
        dimensions = filter.entries.map((entry) => entry.dimension);
      }
      if (filter.dimensionsText !== expected.dimensionsText) {
        issues.add(
          at('filter'),
          'DIMENSIONS_DIFFER',
          `Every record of the stream has exactly the dimensions ${describe(dimensions ?? [])}; this one has ${describe(filter.entries.map((entry) => entry.dimension))}.`,
        );
      }
    }
    if (expected && input.granularity !== expected.granularity) {
      issues.add(at('granularity'), 'GRANULARITY_DIFFERS', `The stream is ${expected.granularity}.`);
    }
    buckets.push(bucket ?? '');
    filterIndexes.push(filterIndex);
    elements.push(input.elementName);
    values.push(value ?? '');
  }
  if (!expected || !dimensions) return null;
  return {
    granularity: expected.granularity,
    dimensions,
    filters: filterReader.filters,
    buckets,
    filterIndexes,
    elements,
    values,
  };
};

/** Two records of one replace with the same key: which of them should stay is not told, so both are named. */
export const checkDistinctKeys = (records: CanonicalRecords, path: readonly string[], issues: IssueCollector): void => {
  const firstByKey = new Map<string, number>();
  const named = new Set<number>();
  for (const [index, bucket] of records.buckets.entries()) {
    const filterIndex = records.filterIndexes[index];
    if (bucket === '' || filterIndex === -1) continue;
    const key = `${bucket}\u001f${filterIndex}\u001f${records.elements[index]}`;
    const first = firstByKey.get(key);
    if (first === undefined) {
      firstByKey.set(key, index);
      continue;
    }
    const add = (at: number, other: number): void => {
      issues.add(
        [...path, String(at)],
        'DUPLICATE_KEY',
        `Records ${first} and ${index} have the same bucket, filter and element as each other (record ${at} repeats record ${other}); a replace takes one value for each.`,
      );
    };
    if (!named.has(first)) {
      named.add(first);
      add(first, index);
    }
    add(index, first);
  }
};

/** Checks delete selectors, and where a shape is given against the stream they select in. */
export const canonicalSelectors = (
  inputs: readonly SelectorInput[],
  shape: StreamShape | null,
  options: CheckOptions,
  issues: IssueCollector,
): CanonicalSelector[] => {
  const bucketReader = new BucketReader(options);
  const filterReader = new FilterReader();
  const dimensions = shape && new Set(shape.dimensions);
  return inputs.map((input, index) => {
    const at = (...rest: string[]): string[] => [...options.path, String(index), ...rest];
    const bucket = bucketReader.read(input.timestamp, input.granularity, index, issues);
    if (shape && input.granularity !== shape.granularity) {
      issues.add(at('granularity'), 'GRANULARITY_DIFFERS', `The stream is ${shape.granularity}.`);
    }
    const given = input.filter ?? [];
    const filterIndex = given.length === 0 ? -1 : filterReader.read(given, () => at('filter'), issues);
    for (const [entryIndex, entry] of given.entries()) {
      if (shape && !dimensions?.has(entry.dimension)) {
        issues.add(
          at('filter', String(entryIndex), 'dimension'),
          'UNKNOWN_DIMENSION',
          `The stream has no such dimension; it has ${describe(shape.dimensions)}.`,
        );
      }
    }
    if (input.elementName != null) checkText(input.elementName, at('elementName'), issues);
    return {
      granularity: input.granularity,
      bucket: bucket ?? '',
      filter: filterReader.filters[filterIndex] ?? null,
      element: input.elementName ?? null,
    };
  });
};

/** The content of a request, for idempotency: the same for every spelling of the same canonical records. */
export const contentDigest = (
  kind: 'SUM' | 'REPLACE' | 'DELETE',
  stream: string,
  content: CanonicalRecords | readonly CanonicalSelector[],
): Buffer => {
  const hash = createHash('sha256').update(`${kind}\n${stream}\n`);
  const lines: string[] = [];
  if ('buckets' in content) {
    lines.push(content.granularity);
    for (const [index, bucket] of content.buckets.entries()) {
      const filter = content.filters[content.filterIndexes[index] ?? -1];
      // No part can hold a control character, so U+001F cannot be mistaken for a part of one.
      lines.push(`${bucket}\u001f${filter?.text}\u001f${content.elements[index]}\u001f${content.values[index]}`);
    }
  } else {
    for (const { granularity, bucket, filter, element } of content) {
      lines.push(
        `${granularity}\u001f${bucket}\u001f${filter?.text ?? '*'}\u001f${element === null ? '*' : `=${element}`}`,
      );
    }
  }
  return hash.update(lines.join('\n')).digest();
};

const describe = (dimensions: readonly string[]): string =>
  dimensions.length === 0 ? 'none (an empty filter)' : dimensions.map((name) => `"${name}"`).join(', ');
