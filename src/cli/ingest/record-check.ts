// Validates records with the readers of the server, and summarizes the request that they would be.
import { createHash } from 'node:crypto';
import { type Issue, IssueCollector } from '../../errors/errors.ts';
import { DecimalSum } from '../../lib/decimal-sum.ts';
import { BadRecords, type Input, textReaderFor } from '../../rest/fast-path/record-lists.ts';
import { KnownSpellings } from '../../rest/fast-path/repeated-values.ts';
import { readLine, spellIssue } from '../../rest/record-lines.ts';
import type { Granularity, RecordInput } from '../../streams/pipeline/inputs.ts';
import { type CanonicalRecords, duplicateKeyIssue, RecordReader } from '../../streams/pipeline/records.ts';

export interface RecordCheckOptions {
  readonly stream: string;
  readonly kind: 'sum' | 'replace';
  readonly now: Date;
  /** Called with each listed issue and the line of its record. The path is below the record. */
  readonly onIssue: (line: number, record: string | null, issue: Issue) => void;
  /** Called with the number of further issues of a record. */
  readonly onUnlistedIssues: (count: number) => void;
}

/** Summary of the request that the records would be. */
export interface RecordSummary {
  readonly records: number;
  readonly granularity: Granularity;
  readonly dimensions: readonly string[];
  /** Null if there are more than 100,000. */
  readonly buckets: number | null;
  /** Start of the first bucket. */
  readonly from: string;
  /** Start of the last bucket. */
  readonly to: string;
  /** Null if there are more than 100,000. */
  readonly elements: number | null;
  /** Exact sum of all values. */
  readonly sum: string;
  /** False if a replace has more than a million record keys, of which only the first million are compared. */
  readonly duplicatesChecked: boolean;
}

const BATCH_RECORDS = 4000;
const BATCH_CHARACTERS = 1_000_000;
const MAX_DISTINCT = 100_000;
/** About 100 MB. */
const MAX_KEYS = 1_000_000;
/** The default of MAX_FUTURE_HOURS: the setting of the server is not known. */
const MAX_FUTURE_MS = 24 * 3_600_000;

/** Memory does not depend on the number of records. */
export class RecordCheck {
  readonly #options: RecordCheckOptions;
  readonly #issues = new IssueCollector();
  readonly #bad = new BadRecords();
  readonly #reader: RecordReader;
  readonly #textReader;
  /** The lines of the records since the last batch. */
  #lines: number[] = [];
  readonly #buckets = new DistinctTexts(MAX_DISTINCT);
  readonly #elements = new DistinctTexts(MAX_DISTINCT);
  readonly #sum = new DecimalSum();
  readonly #lineByKey = new Map<string, number>();
  #duplicatesChecked = true;
  #from = '';
  #to = '';

  constructor(options: RecordCheckOptions) {
    this.#options = options;
    this.#reader = new RecordReader(null, { path: [], now: options.now, maxFutureMs: MAX_FUTURE_MS }, this.#issues);
    this.#textReader = textReaderFor('SUM', options.stream, new KnownSpellings(), this.#bad);
  }

  /** Number of records so far. */
  get count(): number {
    return this.#reader.count;
  }

  /** Adds the JSON text of a record. */
  add(record: string, line: number): void {
    const { issues, count } = this.#issues;
    const listed = issues.length;
    const input = this.#parse(record);
    if (input === null) return;
    this.#bad.note(input);
    this.#reader.read(input as RecordInput);
    for (const issue of issues.slice(listed)) {
      this.#options.onIssue(line, record, spellIssue({ ...issue, path: issue.path.slice(1) }, input));
    }
    const unlisted = this.#issues.count - count - (issues.length - listed);
    if (unlisted > 0) this.#options.onUnlistedIssues(unlisted);
    this.#lines.push(line);
    const { records, characters } = this.#reader.pending;
    if (records >= BATCH_RECORDS || characters >= BATCH_CHARACTERS) this.#endBatch();
  }

  /** Returns the summary of all records; null if there are none, or if a record has an issue. */
  finish(): RecordSummary | null {
    this.#endBatch();
    const { shape } = this.#reader;
    if (shape === null || this.#issues.count > 0) return null;
    return {
      records: this.#reader.count,
      granularity: shape.granularity,
      dimensions: shape.dimensions,
      buckets: this.#buckets.count,
      from: this.#from,
      to: this.#to,
      elements: this.#elements.count,
      sum: this.#sum.text,
      duplicatesChecked: this.#duplicatesChecked,
    };
  }

  #parse(record: string): Input | null {
    let input: Input | null = null;
    const take = (line: RecordInput | string): void => {
      input = typeof line === 'string' ? readLine('SUM', this.#options.stream, line, this.#bad) : line;
    };
    if (this.#textReader) this.#textReader.readLines(record, 0, 1, take);
    else take(record);
    return input;
  }

  #endBatch(): void {
    const batch = this.#reader.take();
    const lines = this.#lines;
    this.#lines = [];
    // The values of a record with an issue are not complete.
    if (batch === null || this.#issues.count > 0) return;
    for (const bucket of batch.buckets) {
      this.#buckets.add(bucket);
      if (this.#from === '' || bucket < this.#from) this.#from = bucket;
      if (bucket > this.#to) this.#to = bucket;
    }
    for (const element of batch.elements) this.#elements.add(element);
    for (const value of batch.values) this.#sum.add(value);
    if (this.#options.kind === 'replace') this.#findDuplicates(batch, lines);
  }

  /** A replace takes one value for each record key. */
  #findDuplicates(
    { elements, buckets, bucketIndexes, filters, filterIndexes }: CanonicalRecords,
    lines: readonly number[],
  ): void {
    for (const [index, element] of elements.entries()) {
      const bucket = buckets[bucketIndexes[index] ?? -1];
      const filter = filters[filterIndexes[index] ?? -1]?.text;
      const key = createHash('sha256')
        .update(JSON.stringify([bucket, filter, element]))
        .digest('base64');
      const line = lines[index] ?? 0;
      const other = this.#lineByKey.get(key);
      if (other !== undefined) {
        this.#options.onIssue(line, null, { path: [], ...duplicateKeyIssue(line, other) });
      } else if (this.#lineByKey.size < MAX_KEYS) this.#lineByKey.set(key, line);
      else this.#duplicatesChecked = false;
    }
  }
}

/** Counts distinct texts up to a maximum. */
class DistinctTexts {
  readonly #texts = new Set<string>();
  readonly #max: number;
  #isExceeded = false;

  constructor(max: number) {
    this.#max = max;
  }

  /** Null if there are more than the maximum. */
  get count(): number | null {
    return this.#isExceeded ? null : this.#texts.size;
  }

  add(text: string): void {
    if (this.#isExceeded || this.#texts.has(text)) return;
    if (this.#texts.size >= this.#max) {
      this.#isExceeded = true;
      return;
    }
    // A copy, because a substring keeps its whole record in memory.
    this.#texts.add(Buffer.from(text, 'utf8').toString('utf8'));
  }
}
