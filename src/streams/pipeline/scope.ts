// Pure: the scope of a replace: the buckets, and optionally the filter and element, whose live records the request hides.
import type { IssueCollector } from '../../errors/errors.ts';
import { formatTimestamp, readTimestamp } from '../../lib/timestamps.ts';
import {
  type CanonicalFilter,
  computeBucketStart,
  describeDimensions,
  FilterReader,
  type StreamShape,
} from './canonical.ts';
import { type FilterEntry, type Granularity, validateText } from './inputs.ts';
import type { CanonicalRecords } from './records.ts';

export interface ScopeInput {
  /** RFC 3339 with the offset as sent, like the timestamp of a record. */
  readonly from: string;
  readonly to: string;
  readonly filter?: readonly FilterEntry[] | null | undefined;
  readonly elementName?: string | null | undefined;
}

export interface CanonicalScope {
  /** Start of the first bucket: RFC 3339 in UTC. */
  readonly from: string;
  /** Start of the first bucket after the scope. */
  readonly to: string;
  /** Start of the last bucket. */
  readonly last: string;
  /** Null matches every filter. An entry matches the filters that have exactly its values in its dimension. */
  readonly filter: CanonicalFilter | null;
  /** Null matches every element. */
  readonly element: string | null;
}

const BOUNDARY: Readonly<Record<Granularity, string>> = {
  HOURLY: 'the start of an hour in UTC',
  DAILY: 'midnight of a date, as written',
  MONTHLY: 'midnight of the first day of a month, as written',
};

/** Reads the scope of one request once its stream's shape is known, and validates that every record lies in it. */
export class ScopeReader {
  readonly #input: ScopeInput;
  readonly #path: readonly string[];
  readonly #issues: IssueCollector;
  #scope: CanonicalScope | null | undefined;

  /** @param path path of the input, such as ["input"] */
  constructor(input: ScopeInput, path: readonly string[], issues: IssueCollector) {
    this.#input = input;
    this.#path = path;
    this.#issues = issues;
  }

  /** Returns the scope; null if it has issues, which the first call adds. */
  read(shape: StreamShape): CanonicalScope | null {
    if (this.#scope === undefined) this.#scope = this.#read(shape);
    return this.#scope;
  }

  /** Adds an issue for each record outside the scope. */
  validateRecords(records: CanonicalRecords): void {
    const scope = this.read(records);
    if (!scope) return;
    const isInside = records.buckets.map((bucket) => scope.from <= bucket && bucket < scope.to);
    const matches = records.filters.map((filter) => matchesFilter(filter, scope.filter));
    for (const [index, element] of records.elements.entries()) {
      const bucket = records.bucketIndexes[index] as number;
      const filter = records.filterIndexes[index] as number;
      // -1: the timestamp or the filter has an issue of its own.
      const problem =
        bucket >= 0 && !isInside[bucket]
          ? `Its bucket ${records.buckets[bucket]} is not in the scope, which has the buckets from ${scope.from} to before ${scope.to}.`
          : filter >= 0 && !matches[filter]
            ? 'Its filter does not have the values of the filter of the scope.'
            : scope.element !== null && element !== scope.element
              ? `Its element is not "${scope.element}", the element of the scope.`
              : null;
      if (problem !== null) {
        this.#issues.add([...this.#path, 'records', String(records.indexes[index])], 'OUTSIDE_SCOPE', problem);
      }
    }
  }

  #read(shape: StreamShape): CanonicalScope | null {
    const { filter, elementName } = this.#input;
    const issues = this.#issues;
    const before = issues.count;
    const path = [...this.#path, 'scope'];
    const from = this.#readBoundary('from', shape.granularity);
    const to = this.#readBoundary('to', shape.granularity);
    if (from !== null && to !== null && from >= to) issues.add([...path, 'to'], 'BAD_SCOPE', 'Must be after from.');
    const filters = new FilterReader();
    const given = filter ?? [];
    if (given.length > 0) filters.read(given, () => [...path, 'filter'], issues);
    for (const [index, entry] of given.entries()) {
      if (!shape.dimensions.includes(entry.dimension)) {
        issues.add(
          [...path, 'filter', String(index), 'dimension'],
          'UNKNOWN_DIMENSION',
          `Must be a dimension of the stream, which has ${describeDimensions(shape.dimensions)}.`,
        );
      }
    }
    if (elementName != null) validateText(elementName, () => [...path, 'elementName'], issues);
    if (issues.count > before || from === null || to === null) return null;
    return {
      from: formatTimestamp(new Date(from)),
      to: formatTimestamp(new Date(to)),
      last: formatTimestamp(new Date(computeBucketStart({ instant: to - 1, wallTime: to - 1 }, shape.granularity))),
      filter: filters.filters[0] ?? null,
      element: elementName ?? null,
    };
  }

  /** Returns the start of the bucket at which the scope begins or ends; null if the timestamp is not the start of one. */
  #readBoundary(field: 'from' | 'to', granularity: Granularity): number | null {
    const written = readTimestamp(this.#input[field]);
    const start = written && computeBucketStart(written, granularity);
    if (written && start === (granularity === 'HOURLY' ? written.instant : written.wallTime)) return start;
    this.#issues.add(
      [...this.#path, 'scope', field],
      'BAD_SCOPE',
      written
        ? `Must be ${BOUNDARY[granularity]}, because the stream is ${granularity}.`
        : 'Must be an RFC 3339 date and time with an offset, such as "2026-01-25T00:00:00Z".',
    );
    return null;
  }
}

/** Whether a filter has exactly the values of the scope in each dimension of the scope. Both are canonical. */
function matchesFilter(filter: CanonicalFilter, scope: CanonicalFilter | null): boolean {
  return (scope?.entries ?? []).every(({ dimension, values }) => {
    const own = filter.entries.find((entry) => entry.dimension === dimension);
    return own !== undefined && JSON.stringify(own.values) === JSON.stringify(values);
  });
}

/** The first and the last bucket that an operation may touch: RFC 3339 in UTC. */
export interface BucketBounds {
  readonly first: string;
  readonly last: string;
}

/** Returns the bounds of bucket starts in UTC, whose texts have the order of time; null if there are none. */
export function computeBounds(buckets: Iterable<string>, earlier: BucketBounds | null = null): BucketBounds | null {
  let bounds = earlier;
  for (const bucket of buckets) {
    bounds = {
      first: !bounds || bucket < bounds.first ? bucket : bounds.first,
      last: !bounds || bucket > bounds.last ? bucket : bounds.last,
    };
  }
  return bounds;
}

export const boundsOfScope = ({ from, last }: CanonicalScope): BucketBounds => ({ first: from, last });
