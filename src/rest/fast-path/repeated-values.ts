// Pure: timestamps, granularities and filters of plain records, whose spellings repeat. Part of record-parser.ts.
import { LRUCache } from 'lru-cache';
import type { RecordInput } from '../../streams/pipeline/inputs.ts';

/** Cached spellings of timestamps, and as many of filters, of up to 500 characters each: about 5 MB in all. */
const MAX_KNOWN = 10_000;
const MAX_SPELLING = 500;

export type Filter = NonNullable<RecordInput['filter']>;

/** Returned instead of an end if the meaning of the value is not cached yet. */
export const UNKNOWN = -2;

/** Cached meanings of spellings. They are the same in every request and for every account. */
export class KnownSpellings {
  readonly timestamps = new LRUCache<string, string>({ max: MAX_KNOWN });
  readonly filters = new LRUCache<string, Filter>({ max: MAX_KNOWN });
}

type EndOf = (text: string, from: number, limit: number) => number;

/** Meanings by spelling: an LRU cache, or a Map that is complete. */
interface Meanings<Meaning> {
  get(spelling: string): Meaning | undefined;
  set(spelling: string, meaning: Meaning): unknown;
}

/** Reads a field whose values repeat. */
export class RepeatedValue<Meaning> {
  readonly #known: Meanings<Meaning>;
  readonly #endOf: EndOf;
  #spelling = '';
  #meaning: Meaning | undefined;

  constructor(known: Meanings<Meaning>, endOf: EndOf) {
    this.#known = known;
    this.#endOf = endOf;
  }

  /** Meaning of the last value. */
  get meaning(): Meaning | undefined {
    return this.#meaning;
  }

  /** Reads the value that begins there. Returns its end; UNKNOWN if its meaning is not cached; -1 if it is not plain or too long for that. */
  read(text: string, from: number, limit: number): number {
    if (this.#meaning !== undefined && text.startsWith(this.#spelling, from)) return from + this.#spelling.length;
    const end = this.#endOf(text, from, Math.min(limit, from + MAX_SPELLING));
    if (end < 0) return end;
    this.#spelling = text.slice(from, end);
    this.#meaning = this.#known.get(this.#spelling);
    return this.#meaning === undefined ? UNKNOWN : end;
  }

  /** Caches the meaning of the last value. */
  learn(meaning: Meaning): void {
    if (this.#spelling.length > MAX_SPELLING) return;
    this.#known.set(copyText(this.#spelling), meaning);
  }
}

/** Copies a text, because a substring keeps the whole text in memory. */
const copyText = (text: string): string => Buffer.from(text, 'utf16le').toString('utf16le');
