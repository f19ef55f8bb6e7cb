// Pure: turns what was sent into canonical records: cut to their bucket, filters in one spelling, keys told apart.
import { type IssueCollector, MAX_LISTED_ISSUES } from '../../errors/errors.ts';
import type { IssueCode } from '../../errors/issue-codes.ts';
import {
  BucketReader,
  type CanonicalFilter,
  type ReaderOptions,
  describeDimensions,
  FilterReader,
  type StreamShape,
} from './canonical.ts';
import {
  reportMalformed,
  validateText,
  parseRecordValue,
  type Granularity,
  MalformedRecord,
  type RecordInput,
} from './inputs.ts';

/** Records column by column, as `unnest` wants them. */
export interface CanonicalRecords {
  readonly granularity: Granularity;
  /** Sorted bytewise. */
  readonly dimensions: readonly string[];
  /** RFC 3339 in UTC, each once. */
  readonly buckets: readonly string[];
  readonly filters: readonly CanonicalFilter[];
  /** Where each stood in the request. */
  readonly indexes: number[];
  /** Index into `buckets`, one a record, and so on. */
  readonly bucketIndexes: number[];
  /** Index into `filters`. */
  readonly filterIndexes: number[];
  readonly elements: string[];
  readonly values: string[];
}

/**
 * Checks records one by one and gathers all issues. The shape is the stream's, or where the stream is not there yet that
 * of the first record whose filter is in order.
 */
export class RecordReader {
  readonly #options: ReaderOptions;
  readonly #issues: IssueCollector;
  #buckets: BucketReader;
  #filters = new FilterReader();
  #expected: { readonly granularity: Granularity; readonly dimensionsText: string } | null;
  #shape: StreamShape | null;
  #count = 0;
  #characters = 0;
  #batch: Columns = emptyColumns();

  constructor(shape: StreamShape | null, options: ReaderOptions, issues: IssueCollector) {
    this.#options = options;
    this.#issues = issues;
    this.#buckets = new BucketReader(options);
    this.#shape = shape;
    this.#expected = shape && { granularity: shape.granularity, dimensionsText: JSON.stringify(shape.dimensions) };
  }

  /** How many were read in all. */
  get count(): number {
    return this.#count;
  }

  /** How many, and about how many characters, were read since the last `take`. */
  get pending(): { readonly records: number; readonly characters: number } {
    return { records: this.#batch.indexes.length, characters: this.#characters + this.#filters.characters };
  }

  /** What every record has to be like; null until that is known. */
  get shape(): StreamShape | null {
    return this.#shape;
  }

  read(input: RecordInput | MalformedRecord): void {
    const issues = this.#issues;
    const index = this.#count;
    this.#count += 1;
    const at = (...rest: string[]): string[] => [...this.#options.path, String(index), ...rest];
    if (input instanceof MalformedRecord) {
      reportMalformed(input, at, issues);
      this.#count += input.recordCount - 1;
      return;
    }
    const bucket = this.#buckets.read(input.timestamp, input.granularity, index, issues);
    const filterIndex = this.#filters.read(input.filter ?? [], () => at('filter'), issues);
    validateText(input.elementName, () => at('elementName'), issues);
    const value = parseRecordValue(input.value, () => at('value'), issues);
    const filter = this.#filters.filters[filterIndex];
    if (filter) {
      if (!this.#expected) {
        this.#expected = { granularity: input.granularity, dimensionsText: filter.dimensionsText };
        this.#shape = {
          granularity: input.granularity,
          dimensions: filter.entries.map((entry) => entry.dimension),
        };
      }
      if (filter.dimensionsText !== this.#expected.dimensionsText) {
        const has = filter.entries.map((entry) => entry.dimension);
        issues.add(
          at('filter'),
          'DIMENSIONS_DIFFER',
          `Every record of the stream has exactly the dimensions ${describeDimensions(this.#shape?.dimensions ?? [])}; this one has ${describeDimensions(has)}.`,
        );
      }
    }
    if (this.#expected && input.granularity !== this.#expected.granularity) {
      issues.add(at('granularity'), 'GRANULARITY_DIFFERS', `The stream is ${this.#expected.granularity}.`);
    }
    this.#batch.indexes.push(index);
    this.#batch.bucketIndexes.push(bucket);
    this.#batch.filterIndexes.push(filterIndex);
    this.#batch.elements.push(input.elementName);
    this.#batch.values.push(value ?? '');
    this.#characters += input.elementName.length;
  }

  /** An issue for each record where the stream turns out to be another than they were read for. */
  validateShape(shape: StreamShape | null, issues: IssueCollector): void {
    const own = this.#shape;
    if (!shape || !own) return;
    const code = shape.granularity !== own.granularity ? 'GRANULARITY_DIFFERS' : 'DIMENSIONS_DIFFER';
    if (code === 'DIMENSIONS_DIFFER' && JSON.stringify(shape.dimensions) === JSON.stringify(own.dimensions)) return;
    const message =
      code === 'GRANULARITY_DIFFERS'
        ? `The stream is ${shape.granularity}.`
        : `Every record of the stream has exactly the dimensions ${describeDimensions(shape.dimensions)}; this one has ${describeDimensions(own.dimensions)}.`;
    const field = code === 'GRANULARITY_DIFFERS' ? 'granularity' : 'filter';
    const named = Math.min(this.#count, MAX_LISTED_ISSUES);
    for (let index = 0; index < named; index += 1) {
      issues.add([...this.#options.path, String(index), field], code, message);
    }
    issues.addUnnamed(this.#count - named);
  }

  /** The records since the last time; null where no shape was found yet. To be used only where there are no issues. */
  take(): CanonicalRecords | null {
    const { filters } = this.#filters;
    const { starts: buckets } = this.#buckets;
    const batch = this.#batch;
    this.#filters = new FilterReader();
    this.#buckets = new BucketReader(this.#options);
    this.#characters = 0;
    this.#batch = emptyColumns();
    return this.#shape && { ...this.#shape, buckets, filters, ...batch };
  }
}

type Columns = Pick<CanonicalRecords, 'indexes' | 'bucketIndexes' | 'filterIndexes' | 'elements' | 'values'>;

const emptyColumns = (): Columns => ({ indexes: [], bucketIndexes: [], filterIndexes: [], elements: [], values: [] });

/** The issue of a record that repeats another's key. */
export const duplicateKeyIssue = (at: number, other: number): { code: IssueCode; message: string } => ({
  code: 'DUPLICATE_KEY',
  message: `Record ${at} has the same bucket, filter and element as record ${other}; a replace takes one value for each.`,
});

/** Two records of one replace with the same key: which of them should stay is not told, so both are named. */
export const validateDistinctKeys = (
  records: CanonicalRecords,
  path: readonly string[],
  issues: IssueCollector,
): void => {
  const firstByKey = new Map<string, number>();
  const named = new Set<number>();
  for (const [position, bucket] of records.bucketIndexes.entries()) {
    const index = records.indexes[position] ?? position;
    const filterIndex = records.filterIndexes[position];
    if (bucket === -1 || filterIndex === -1) continue;
    const key = `${bucket}\u001f${filterIndex}\u001f${records.elements[position]}`;
    const first = firstByKey.get(key);
    if (first === undefined) {
      firstByKey.set(key, index);
      continue;
    }
    const add = (at: number, other: number): void => {
      const { code, message } = duplicateKeyIssue(at, other);
      issues.add([...path, String(at)], code, message);
    };
    if (!named.has(first)) {
      named.add(first);
      add(first, index);
    }
    add(index, first);
  }
};
