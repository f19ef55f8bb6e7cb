// Pure: the canonical form of timestamps and filters, for records and selectors.
import { createHash } from 'node:crypto';
import type { IssueCollector } from '../../errors/errors.ts';
import { compareUtf8 } from '../../lib/compare-utf8.ts';
import { Interner } from '../../lib/interner.ts';
import { formatTimestamp, readTimestamp, type WrittenTimestamp } from '../../lib/timestamps.ts';
import { validateFilter, type FilterEntry, type Granularity } from './inputs.ts';

/** A filter with dimensions and values sorted bytewise, and without repeated values. */
export interface CanonicalFilter {
  readonly entries: readonly FilterEntry[];
  /** JSON of the entries: equal only for equal filters. */
  readonly text: string;
  /** JSON of the dimensions. */
  readonly dimensionsText: string;
}

/** Properties that all records of a stream share. The first request of the stream determines them. */
export interface StreamShape {
  readonly granularity: Granularity;
  readonly dimensions: readonly string[];
}

export interface ReaderOptions {
  /** Path of the list for issues, such as ["input", "records"]. */
  readonly path: readonly string[];
  readonly now: Date;
  /** Maximum milliseconds from now to the start of a bucket. */
  readonly maxFutureMs: number;
}

function toCanonicalFilter(filter: readonly FilterEntry[]): CanonicalFilter {
  const entries = filter
    .map(({ dimension, values }) => ({ dimension, values: [...new Set(values)].sort(compareUtf8) }))
    .sort((a, b) => compareUtf8(a.dimension, b.dimension));
  return {
    entries,
    text: JSON.stringify(entries.map((entry) => [entry.dimension, entry.values])),
    dimensionsText: JSON.stringify(entries.map((entry) => entry.dimension)),
  };
}

/** The filter of a record without dimensions. */
export const EMPTY_FILTER: CanonicalFilter = toCanonicalFilter([]);

export const hashFilter = (filter: CanonicalFilter): Buffer => createHash('sha256').update(filter.text).digest();

/** Encodes the filter as the column `filters.dimensions` has it. */
export function encodeDimensions(filter: CanonicalFilter): string {
  return JSON.stringify(Object.fromEntries(filter.entries.map((entry) => [entry.dimension, entry.values])));
}

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

/** Returns the start of the hour of the instant, or midnight UTC of the date or of the first of the month as written. */
export function computeBucketStart({ instant, wallTime }: WrittenTimestamp, granularity: Granularity): number {
  if (granularity === 'HOURLY') return Math.floor(instant / HOUR) * HOUR;
  const date = Math.floor(wallTime / DAY) * DAY;
  return granularity === 'DAILY' ? date : date - (new Date(date).getUTCDate() - 1) * DAY;
}

/** Reads timestamps into buckets. Caches valid timestamps, because most records share theirs; an invalid one is an issue each time. */
export class BucketReader {
  readonly #options: ReaderOptions;
  readonly #latest: number;
  readonly #byTimestamp = {
    HOURLY: new Map<string, number>(),
    DAILY: new Map<string, number>(),
    MONTHLY: new Map<string, number>(),
  };
  readonly #starts = new Interner<string>();

  constructor(options: ReaderOptions) {
    this.#options = options;
    this.#latest = options.now.getTime() + options.maxFutureMs;
  }

  /** Distinct bucket starts: RFC 3339 in UTC. */
  get starts(): readonly string[] {
    return this.#starts.items;
  }

  /** Returns the index of the bucket start; -1 if the timestamp has an issue. */
  read(timestamp: string, granularity: Granularity, index: number, issues: IssueCollector): number {
    const known = this.#byTimestamp[granularity];
    const seen = known.get(timestamp);
    if (seen !== undefined) return seen;
    const path = () => [...this.#options.path, String(index), 'timestamp'];
    const written = readTimestamp(timestamp);
    if (written === null) {
      issues.add(
        path(),
        'BAD_TIMESTAMP',
        'Must be an RFC 3339 date and time with an offset, such as "2026-01-25T00:00:00Z".',
      );
      return -1;
    }
    const milliseconds = computeBucketStart(written, granularity);
    const start = formatTimestamp(new Date(milliseconds));
    if (milliseconds > this.#latest) {
      issues.add(
        path(),
        'FUTURE_TIMESTAMP',
        `The bucket starts at ${start}, more than ${this.#options.maxFutureMs / HOUR} hours from now (MAX_FUTURE_HOURS).`,
      );
      return -1;
    }
    const bucket = this.#starts.intern(start, start);
    known.set(timestamp, bucket);
    return bucket;
  }
}

/** Canonical forms of valid filters, by the identity of the input array: parsers reuse the array of a filter in later requests. */
const canonicalFilters = new WeakMap<readonly FilterEntry[], CanonicalFilter>();

/** Reads filters into canonical filters. Caches by spelling, because a request repeats few filters many times. */
export class FilterReader {
  /** Characters of the cached spellings. */
  characters = 0;
  /** By the identity of the input array: a parser may use one array for equal filters. */
  readonly #byIdentity = new Map<readonly FilterEntry[], number>();
  readonly #bySpelling = new Map<string, number>();
  readonly #filters = new Interner<CanonicalFilter>();

  /** Distinct filters. */
  get filters(): readonly CanonicalFilter[] {
    return this.#filters.items;
  }

  /** Returns the index of the canonical filter; -1 if the filter has an issue. */
  read(filter: readonly FilterEntry[], path: () => readonly string[], issues: IssueCollector): number {
    const seen = this.#byIdentity.get(filter);
    if (seen !== undefined) return seen;
    const canonical = canonicalFilters.get(filter);
    const known = canonical ? this.#indexOf(canonical) : this.#readSpelling(filter, path, issues);
    // An invalid filter is not cached, so that each record with it is an issue.
    if (known >= 0) this.#byIdentity.set(filter, known);
    return known;
  }

  #readSpelling(filter: readonly FilterEntry[], path: () => readonly string[], issues: IssueCollector): number {
    const spelling = JSON.stringify(filter);
    const known = this.#bySpelling.get(spelling);
    if (known !== undefined) return known;
    const before = issues.count;
    validateFilter(filter, path(), issues);
    if (issues.count > before) return -1;
    const canonical = toCanonicalFilter(filter);
    canonicalFilters.set(filter, canonical);
    const index = this.#indexOf(canonical);
    this.#bySpelling.set(spelling, index);
    this.characters += spelling.length;
    return index;
  }

  #indexOf(canonical: CanonicalFilter): number {
    return this.#filters.intern(canonical.text, canonical);
  }
}

export function describeGranularity(expected: Granularity): string {
  return `Must be ${expected}, the granularity of the stream.`;
}

export function describeDimensions(dimensions: readonly string[]): string {
  return dimensions.length === 0 ? 'none (an empty filter)' : dimensions.map((name) => `"${name}"`).join(', ');
}
