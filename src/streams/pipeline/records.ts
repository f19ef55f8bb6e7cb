// Pure: validates records and brings them into canonical form, column by column.
import { type IssueCollector, MAX_LISTED_ISSUES } from '../../errors/errors.ts';
import type { IssueCode } from '../../errors/issue-codes.ts';
import {
  BucketReader,
  type CanonicalFilter,
  type ReaderOptions,
  describeDimensions,
  describeGranularity,
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

/** Records in columns, as `unnest` takes them. */
export interface CanonicalRecords {
  readonly granularity: Granularity;
  /** Sorted bytewise. */
  readonly dimensions: readonly string[];
  /** Distinct bucket starts: RFC 3339 in UTC. */
  readonly buckets: readonly string[];
  readonly filters: readonly CanonicalFilter[];
  /** Index of each record in the request. */
  readonly indexes: number[];
  /** Index of each record's bucket in `buckets`. */
  readonly bucketIndexes: number[];
  /** Index of each record's filter in `filters`. */
  readonly filterIndexes: number[];
  readonly elements: string[];
  readonly values: string[];
}

/**
 * Validates records one by one and collects all issues. Without a shape, which a new stream does not have, the first record with a
 * valid filter determines it.
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

  /** Number of records that were read. */
  get count(): number {
    return this.#count;
  }

  /** Number of records that were read since the last `take`, and approximately their characters. */
  get pending(): { readonly records: number; readonly characters: number } {
    return { records: this.#batch.indexes.length, characters: this.#characters + this.#filters.characters };
  }

  /** Null until it is known. */
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
        issues.add(at('filter'), 'DIMENSIONS_DIFFER', describeDifference(this.#shape?.dimensions ?? [], has));
      }
    }
    if (this.#expected && input.granularity !== this.#expected.granularity) {
      issues.add(at('granularity'), 'GRANULARITY_DIFFERS', describeGranularity(this.#expected.granularity));
    }
    this.#batch.indexes.push(index);
    this.#batch.bucketIndexes.push(bucket);
    this.#batch.filterIndexes.push(filterIndex);
    this.#batch.elements.push(input.elementName);
    this.#batch.values.push(value ?? '');
    this.#characters += input.elementName.length;
  }

  /** Adds an issue for each record if the stream has another shape than the records were validated against. */
  validateShape(shape: StreamShape | null, issues: IssueCollector): void {
    const own = this.#shape;
    if (!shape || !own) return;
    const code = shape.granularity !== own.granularity ? 'GRANULARITY_DIFFERS' : 'DIMENSIONS_DIFFER';
    if (code === 'DIMENSIONS_DIFFER' && JSON.stringify(shape.dimensions) === JSON.stringify(own.dimensions)) return;
    const message =
      code === 'GRANULARITY_DIFFERS'
        ? describeGranularity(shape.granularity)
        : describeDifference(shape.dimensions, own.dimensions);
    const field = code === 'GRANULARITY_DIFFERS' ? 'granularity' : 'filter';
    const named = Math.min(this.#count, MAX_LISTED_ISSUES);
    for (let index = 0; index < named; index += 1) {
      issues.add([...this.#options.path, String(index), field], code, message);
    }
    issues.addUnlisted(this.#count - named);
  }

  /** Returns the records since the last call; null if the shape is not known yet. Use them only if there are no issues. */
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

function describeDifference(expected: readonly string[], actual: readonly string[]): string {
  return `Every record of the stream has the dimensions ${describeDimensions(expected)}; this one has ${describeDimensions(actual)}.`;
}

type Columns = Pick<CanonicalRecords, 'indexes' | 'bucketIndexes' | 'filterIndexes' | 'elements' | 'values'>;

export function emptyColumns(): Columns {
  return { indexes: [], bucketIndexes: [], filterIndexes: [], elements: [], values: [] };
}

/** The issue of a record with the same key as another one. */
export function duplicateKeyIssue(at: number, other: number): { code: IssueCode; message: string } {
  return {
    code: 'DUPLICATE_KEY',
    message: `Record ${at} has the same bucket, filter and element as record ${other}. A replace takes one value for each.`,
  };
}

/** Adds an issue for every record of a replace whose key occurs twice: which one should stay is unknown. */
export function validateDistinctKeys(records: CanonicalRecords, path: readonly string[], issues: IssueCollector): void {
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
}
