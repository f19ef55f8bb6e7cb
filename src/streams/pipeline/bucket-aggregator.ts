// Pure: sums the values of records by bucket and filter, over all elements.
import { DecimalSum } from '../../lib/decimal-sum.ts';
import type { CanonicalFilter } from './canonical.ts';
import type { CanonicalRecords } from './records.ts';

/** Totals in columns. */
export interface BucketTotals {
  readonly buckets: readonly string[];
  /** Index of each total's filter in `filters`. */
  readonly filterIndexes: readonly number[];
  readonly values: readonly string[];
  /** Number of records of each total. */
  readonly counts: readonly number[];
  readonly filters: readonly CanonicalFilter[];
}

export class BucketAggregator {
  #filters = new Map<string, { readonly filter: CanonicalFilter; readonly sums: Map<string, DecimalSum> }>();
  #size = 0;
  readonly #limit: number;

  /** @param limit maximum number of totals; all are dropped if there are more */
  constructor(limit = Infinity) {
    this.#limit = limit;
  }

  add({ buckets, bucketIndexes, filters, filterIndexes, values }: CanonicalRecords): this {
    if (this.overflowed) return this;
    const sumsOf = filters.map((filter) => this.#sumsOf(filter));
    for (let index = 0; index < values.length; index += 1) {
      const sums = sumsOf[filterIndexes[index] as number] as Map<string, DecimalSum>;
      const bucket = buckets[bucketIndexes[index] as number] as string;
      let sum = sums.get(bucket);
      if (sum === undefined) {
        sum = new DecimalSum();
        sums.set(bucket, sum);
        this.#size += 1;
      }
      sum.add(values[index] as string);
    }
    if (this.overflowed) this.#filters = new Map();
    return this;
  }

  /** Number of totals in memory. */
  get size(): number {
    return this.overflowed ? 0 : this.#size;
  }

  /** Whether there were more totals than the limit, so that all were dropped. */
  get overflowed(): boolean {
    return this.#size > this.#limit;
  }

  /** Null if the aggregator overflowed. Filters are in the order in which they were added. */
  get totals(): BucketTotals | null {
    if (this.overflowed) return null;
    const columns = {
      buckets: [] as string[],
      filterIndexes: [] as number[],
      values: [] as string[],
      counts: [] as number[],
      filters: [...this.#filters.values()].map(({ filter }) => filter),
    };
    for (const [index, { sums }] of [...this.#filters.values()].entries()) {
      for (const [bucket, sum] of sums) {
        columns.buckets.push(bucket);
        columns.filterIndexes.push(index);
        columns.values.push(sum.text);
        columns.counts.push(sum.count);
      }
    }
    return columns;
  }

  #sumsOf(filter: CanonicalFilter): Map<string, DecimalSum> {
    let known = this.#filters.get(filter.text);
    if (known === undefined) {
      known = { filter, sums: new Map() };
      this.#filters.set(filter.text, known);
    }
    return known.sums;
  }
}

/** Returns the totals of the records. */
export function aggregate(records: CanonicalRecords): BucketTotals {
  const { totals } = new BucketAggregator().add(records);
  if (!totals) throw new Error('An aggregator without a limit overflowed.');
  return totals;
}
