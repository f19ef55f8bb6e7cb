// Pure: encodes a batch of records or selectors as PostgreSQL arrays, column by column. A batch is encoded as soon as it is full, because
// its strings keep the chunks of the body in memory that they are slices of.
import { formatArray, formatPlainArray } from '../../db/array-text.ts';
import type { CanonicalFilter } from './canonical.ts';

/** Records or selectors in columns. */
export interface BatchColumns {
  /** Distinct bucket starts. */
  readonly buckets: readonly string[];
  readonly filters: readonly CanonicalFilter[];
  /** Index of each record's bucket in `buckets`. */
  readonly bucketIndexes: readonly number[];
  /** Index of each record's filter in `filters`; -1 for a selector that matches every filter. */
  readonly filterIndexes: readonly number[];
  /** Null for a selector that matches every element. */
  readonly elements: readonly (string | null)[];
  /** Empty for selectors. */
  readonly values: readonly string[];
}

/** The columns as arrays in text form. Bucket starts occur once, because PostgreSQL parses a timestamp more slowly than the rest of a record. */
export interface EncodedBatch {
  /** Index of the first record in the request. */
  readonly firstIndex: number;
  readonly buckets: string;
  readonly filters: readonly CanonicalFilter[];
  /** Indexes in `buckets`, from 1 on. */
  readonly bucketIndexes: string;
  /** Indexes in `filters`, from 1 on; NULL for a selector that matches every filter. */
  readonly filterIndexes: string;
  readonly elements: string;
  readonly values: string;
}

export function encodeBatch(batch: BatchColumns, firstIndex = 0): EncodedBatch {
  return {
    firstIndex,
    buckets: formatPlainArray(batch.buckets),
    filters: batch.filters,
    bucketIndexes: encodeIndexes(batch.bucketIndexes),
    filterIndexes: encodeIndexes(batch.filterIndexes),
    elements: formatArray(batch.elements),
    values: formatPlainArray(batch.values),
  };
}

function encodeIndexes(indexes: readonly number[]): string {
  return formatPlainArray(indexes.map((index) => (index < 0 ? 'NULL' : index + 1)));
}

/** Returns the size of a batch without its filters, which batches share. */
export function countBytes({ buckets, bucketIndexes, filterIndexes, elements, values }: EncodedBatch): number {
  return buckets.length + bucketIndexes.length + filterIndexes.length + Buffer.byteLength(elements) + values.length;
}
