// Pure: validates the selectors of deletes and brings them into canonical form.
import type { IssueCollector } from '../../errors/errors.ts';
import { Interner } from '../../lib/interner.ts';
import {
  BucketReader,
  type CanonicalFilter,
  type ReaderOptions,
  describeDimensions,
  describeGranularity,
  EMPTY_FILTER,
  FilterReader,
  type StreamShape,
} from './canonical.ts';
import { reportMalformed, validateText, type Granularity, MalformedRecord, type SelectorInput } from './inputs.ts';
import { type CanonicalRecords, emptyColumns } from './records.ts';

export interface CanonicalSelector {
  readonly granularity: Granularity;
  readonly bucket: string;
  /** Null matches every filter. */
  readonly filter: CanonicalFilter | null;
  /** Null matches every element. */
  readonly element: string | null;
}

/** Validates selectors one by one, against the shape of the stream if it is given, and collects all issues. */
export class SelectorReader {
  readonly #shape: StreamShape | null;
  readonly #options: ReaderOptions;
  readonly #issues: IssueCollector;
  readonly #dimensions: ReadonlySet<string>;
  #buckets: BucketReader;
  #filters = new FilterReader();
  #count = 0;
  #characters = 0;
  #batch: CanonicalSelector[] = [];

  constructor(shape: StreamShape | null, options: ReaderOptions, issues: IssueCollector) {
    this.#shape = shape;
    this.#options = options;
    this.#issues = issues;
    this.#dimensions = new Set(shape?.dimensions);
    this.#buckets = new BucketReader(options);
  }

  /** Number of selectors that were read. */
  get count(): number {
    return this.#count;
  }

  /** Number of selectors that were read since the last `take`, and approximately their characters. */
  get pending(): { readonly records: number; readonly characters: number } {
    return { records: this.#batch.length, characters: this.#characters + this.#filters.characters };
  }

  read(input: SelectorInput | MalformedRecord): void {
    const shape = this.#shape;
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
    if (shape && input.granularity !== shape.granularity) {
      issues.add(at('granularity'), 'GRANULARITY_DIFFERS', describeGranularity(shape.granularity));
    }
    const given = input.filter ?? [];
    const filterIndex = given.length === 0 ? -1 : this.#filters.read(given, () => at('filter'), issues);
    for (const [entryIndex, entry] of given.entries()) {
      if (shape && !this.#dimensions.has(entry.dimension)) {
        issues.add(
          at('filter', String(entryIndex), 'dimension'),
          'UNKNOWN_DIMENSION',
          `Must be a dimension of the stream, which has ${describeDimensions(shape.dimensions)}.`,
        );
      }
    }
    if (input.elementName != null) validateText(input.elementName, () => at('elementName'), issues);
    this.#characters += input.elementName?.length ?? 0;
    this.#batch.push({
      granularity: input.granularity,
      bucket: this.#buckets.starts[bucket] ?? '',
      filter: this.#filters.filters[filterIndex] ?? null,
      element: input.elementName ?? null,
    });
  }

  /** Returns the selectors since the last call. Use them only if there are no issues. */
  take(): CanonicalSelector[] {
    const batch = this.#batch;
    this.#batch = [];
    this.#characters = 0;
    this.#filters = new FilterReader();
    this.#buckets = new BucketReader(this.#options);
    return batch;
  }
}

/** Returns the distinct keys that the selectors match, without values; null if a selector matches more than one key. */
export function extractWholeKeys(selectors: readonly CanonicalSelector[], shape: StreamShape): CanonicalRecords | null {
  const keys = new Interner<CanonicalSelector>();
  const buckets = new Interner<string>();
  const filters = new Interner<CanonicalFilter>();
  const columns = emptyColumns();
  for (const [index, selector] of selectors.entries()) {
    const { bucket, element } = selector;
    const filter = selector.filter ?? EMPTY_FILTER;
    if (element === null || filter.entries.length < shape.dimensions.length) return null;
    const known = keys.items.length;
    if (keys.intern(`${bucket} ${filter.text} ${element}`, selector) < known) continue;
    columns.indexes.push(index);
    columns.bucketIndexes.push(buckets.intern(bucket, bucket));
    columns.filterIndexes.push(filters.intern(filter.text, filter));
    columns.elements.push(element);
  }
  const { granularity, dimensions } = shape;
  return { granularity, dimensions, buckets: buckets.items, filters: filters.items, ...columns };
}
