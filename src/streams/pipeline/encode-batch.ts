// Pure: a batch of records or selectors as Postgres reads it, column by column. Written as soon as the batch is whole: the
// strings it was made of keep the pieces of the body that they were cut out of.
import { arrayText, plainArrayText } from '../../db/array-text.ts';
import type { CanonicalFilter } from './canonical.ts';

/** Records or selectors, column by column. */
export interface BatchColumns {
  /** Each once. */
  readonly buckets: readonly string[];
  readonly filters: readonly CanonicalFilter[];
  /** Index into `buckets`, one a record, and so on. */
  readonly bucketIndexes: readonly number[];
  /** Index into `filters`; -1 for every filter. */
  readonly filterIndexes: readonly number[];
  /** Null for every element. */
  readonly elements: readonly (string | null)[];
  /** None for selectors. */
  readonly values: readonly string[];
}

/** The same as arrays in text form: a moment takes Postgres longer to read than all else of a record, so each is read once. */
export interface EncodedBatch {
  /** Of its first record, in the request. */
  readonly firstIndex: number;
  readonly buckets: string;
  readonly filters: readonly CanonicalFilter[];
  /** Places in `buckets`, from 1 on. */
  readonly bucketIndexes: string;
  /** Places in `filters`, from 1 on; NULL for every filter. */
  readonly filterIndexes: string;
  readonly elements: string;
  readonly values: string;
}

export const encodeBatch = (batch: BatchColumns, firstIndex = 0): EncodedBatch => ({
  firstIndex,
  buckets: plainArrayText(batch.buckets),
  filters: batch.filters,
  bucketIndexes: encodeIndexes(batch.bucketIndexes),
  filterIndexes: encodeIndexes(batch.filterIndexes),
  elements: arrayText(batch.elements),
  values: plainArrayText(batch.values),
});

const encodeIndexes = (indexes: readonly number[]): string =>
  plainArrayText(indexes.map((index) => (index < 0 ? 'NULL' : index + 1)));

/** Without the filters, which batches share. */
export const countBytes = ({ buckets, bucketIndexes, filterIndexes, elements, values }: EncodedBatch): number =>
  buckets.length + bucketIndexes.length + filterIndexes.length + Buffer.byteLength(elements) + values.length;
