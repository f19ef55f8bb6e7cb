// Pure: timestamps and filters in their one spelling, for records and selectors alike.
import { createHash } from 'node:crypto';
import type { IssueCollector } from '../../errors/errors.ts';
import { compareUtf8 } from '../../lib/compare-utf8.ts';
import { Interner } from '../../lib/interner.ts';
import { formatTimestamp, readTimestamp, type WrittenTimestamp } from '../../lib/timestamps.ts';
import { validateFilter, type FilterEntry, type Granularity } from './inputs.ts';

/** A filter in its one spelling: dimensions and values sorted bytewise, repeated values merged. */
export interface CanonicalFilter {
  readonly entries: readonly FilterEntry[];
  /** JSON of the entries: equal for equal filters and for no others. */
  readonly text: string;
  /** The dimensions alone, in the same way. */
  readonly dimensionsText: string;
}

/** What a stream demands of each record that comes after its first request. */
export interface StreamShape {
  readonly granularity: Granularity;
  readonly dimensions: readonly string[];
}

export interface ReaderOptions {
  /** The path of the list, e.g. ["input", "records"]. */
  readonly path: readonly string[];
  readonly now: Date;
  /** Milliseconds from now at which the last bucket may start. */
  readonly maxFutureMs: number;
}

const toCanonicalFilter = (filter: readonly FilterEntry[]): CanonicalFilter => {
  const entries = filter
    .map(({ dimension, values }) => ({ dimension, values: [...new Set(values)].sort(compareUtf8) }))
    .sort((a, b) => compareUtf8(a.dimension, b.dimension));
  return {
    entries,
    text: JSON.stringify(entries.map((entry) => [entry.dimension, entry.values])),
    dimensionsText: JSON.stringify(entries.map((entry) => entry.dimension)),
  };
};

/** Of a record without dimensions. */
export const EMPTY_FILTER: CanonicalFilter = toCanonicalFilter([]);

export const hashFilter = (filter: CanonicalFilter): Buffer => createHash('sha256').update(filter.text).digest();

/** As `filters.dimensions` holds it. */
export const encodeDimensions = (filter: CanonicalFilter): string =>
  JSON.stringify(Object.fromEntries(filter.entries.map((entry) => [entry.dimension, entry.values])));

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

/** The start of the bucket: that of the instant's hour, or midnight UTC of the date or the month as written. */
const computeBucketStart = ({ instant, wallTime }: WrittenTimestamp, granularity: Granularity): number => {
  if (granularity === 'HOURLY') return Math.floor(instant / HOUR) * HOUR;
  const date = Math.floor(wallTime / DAY) * DAY;
  return granularity === 'DAILY' ? date : date - (new Date(date).getUTCDate() - 1) * DAY;
};

/** Buckets of many records that mostly share their timestamps; a text that is none is an issue each time. */
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

  /** RFC 3339 in UTC, each once. */
  get starts(): readonly string[] {
    return this.#starts.items;
  }

  /** The index of the bucket's start, or -1 where the timestamp breaks a rule. */
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
        `Its bucket starts more than ${this.#options.maxFutureMs / HOUR} hours from now, at ${start}.`,
      );
      return -1;
    }
    const bucket = this.#starts.intern(start, start);
    known.set(timestamp, bucket);
    return bucket;
  }
}

/** Of filters that were in order, for as long as somebody holds on to the filter: whoever reads many requests does. */
const knownFilters = new WeakMap<readonly FilterEntry[], CanonicalFilter>();

/** Canonical filters by the spelling they were sent in: a request repeats few filters many times. */
export class FilterReader {
  /** Of the spellings that are remembered. */
  characters = 0;
  /** The same object again is the same filter: whoever read the request may have seen that already. */
  readonly #byIdentity = new Map<readonly FilterEntry[], number>();
  readonly #bySpelling = new Map<string, number>();
  readonly #filters = new Interner<CanonicalFilter>();

  /** Each once. */
  get filters(): readonly CanonicalFilter[] {
    return this.#filters.items;
  }

  /** The index of the canonical filter, or -1 where the filter breaks a rule. */
  read(filter: readonly FilterEntry[], path: () => readonly string[], issues: IssueCollector): number {
    const seen = this.#byIdentity.get(filter);
    if (seen !== undefined) return seen;
    const canonical = knownFilters.get(filter);
    const known = canonical ? this.#indexOf(canonical) : this.#readSpelling(filter, path, issues);
    // A bad filter is checked again, so that each of its records is named.
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
    knownFilters.set(filter, canonical);
    const index = this.#indexOf(canonical);
    this.#bySpelling.set(spelling, index);
    this.characters += spelling.length;
    return index;
  }

  #indexOf(canonical: CanonicalFilter): number {
    return this.#filters.intern(canonical.text, canonical);
  }
}

export const describeDimensions = (dimensions: readonly string[]): string =>
  dimensions.length === 0 ? 'none (an empty filter)' : dimensions.map((name) => `"${name}"`).join(', ');
