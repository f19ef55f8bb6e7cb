// Pure: records straight out of JSON text. Requests repeat few timestamps and filters many times: what one means is asked of
// the reader for any JSON once for each spelling, and remembered. Whatever is not plain is that reader's, too.
import { parseExactly } from '../lib/long-numbers.ts';
import { findRepeatedNames } from '../lib/repeated-names.ts';
import { type Granularity, Misshapen, type RecordInput } from '../streams/inputs.ts';

/** Reads what JSON.parse made of a record. */
export type ReadRecord = (value: unknown) => RecordInput | Misshapen;

/** Spellings that are remembered, and how long one of them may be: 5 MB or so in all. */
const MAX_KNOWN = 10_000;
const MAX_SPELLING = 500;

/** The fields of a plain record; the bit of each stands at its place. */
const TIMESTAMP = 0;
const GRANULARITY = 1;
const FILTER = 2;
const ELEMENT = 3;
const VALUE = 4;
const FIELDS = ['"timestamp"', '"granularity"', '"filter"', '"element-name"', '"value"'] as const;
/** An older spelling, as long as the other. */
const ELEMENT_ALIAS = '"element_name"';
/** Only the filter may be left out. */
const REQUIRED = 0b11011;

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const BACKSLASH = 0x5c;
const CLOSING_BRACKET = 0x5d;
const OPENING_BRACE = 0x7b;
const CLOSING_BRACE = 0x7d;

/** What JSON writes in a string as something else. */
// oxlint-disable-next-line no-control-regex -- control characters are what it looks for
const NOT_PLAIN = /[\u0000-\u001f\\]/;
/** A decimal that a double holds as it was sent: of 15 digits or fewer. */
const PLAIN_NUMBER = /^(?:0|[1-9]\d{0,14})(?:\.\d{1,14})?$/;
const MAX_PLAIN_NUMBER = 16;

const GRANULARITIES: ReadonlyMap<string, Granularity> = new Map([
  ['HOURLY', 'HOURLY'],
  ['DAILY', 'DAILY'],
  ['MONTHLY', 'MONTHLY'],
]);

/** What spellings mean: the same in every request, whosever it is. */
export class KnownSpellings {
  readonly timestamps = new Map<string, string>();
  readonly filters = new Map<string, RecordInput['filter']>();
}

export class RecordTextReader {
  readonly #readRecord: ReadRecord;
  readonly #known: KnownSpellings;
  /** Behind the record that was read last. */
  #end = 0;

  /** @param readRecord the general reader, from which this one never differs */
  constructor(readRecord: ReadRecord, known: KnownSpellings) {
    this.#readRecord = readRecord;
    this.#known = known;
  }

  /** The record that is all of a line; null where the general reader has to look at it. */
  readLine(line: string): RecordInput | null {
    const record = this.#readPlain(line, 0);
    return record && afterBlanks(line, this.#end) === line.length ? record : null;
  }

  /** The records of `{"records":[...]}`, one by one; null at last where the general reader has to look at all of it. */
  *readList(text: string): Generator<RecordInput | Misshapen | null, void> {
    let at = afterBlanks(text, 0);
    for (const token of ['{', '"records"', ':', '[']) {
      if (!text.startsWith(token, at)) return yield null;
      at = afterBlanks(text, at + token.length);
    }
    for (;;) {
      const record = this.#readPlain(text, at) ?? this.#readAny(text, at);
      yield record;
      if (!record) return;
      at = afterBlanks(text, this.#end);
      const code = text.charCodeAt(at);
      at = afterBlanks(text, at + 1);
      if (code === CLOSING_BRACKET) break;
      if (code !== COMMA) return yield null;
    }
    if (text.charCodeAt(at) !== CLOSING_BRACE || afterBlanks(text, at + 1) !== text.length) yield null;
  }

  /** A record that has each field once and nothing else, its strings without escapes; null for any other. */
  #readPlain(text: string, from: number): RecordInput | null {
    let at = afterBlanks(text, from);
    if (text.charCodeAt(at) !== OPENING_BRACE) return null;
    let seen = 0;
    let timestamp = '';
    let granularity: Granularity | undefined;
    let filter: RecordInput['filter'];
    let elementName = '';
    let value = '';
    for (;;) {
      at = afterBlanks(text, at + 1);
      const field = fieldAt(text, at);
      if (field < 0 || (seen & (1 << field)) !== 0) return null;
      seen |= 1 << field;
      at = afterBlanks(text, at + (FIELDS[field] as string).length);
      if (text.charCodeAt(at) !== COLON) return null;
      const start = afterBlanks(text, at + 1);
      if (field === FILTER) {
        at = endOfObject(text, start);
        if (at < 0) return null;
        const spelling = text.slice(start, at);
        filter = this.#known.filters.get(spelling);
        if (filter === undefined) return this.#learn(text, from, this.#known.filters, spelling, (one) => one.filter);
      } else if (text.charCodeAt(start) === QUOTE) {
        const end = text.indexOf('"', start + 1);
        const word = text.slice(start + 1, end);
        at = end + 1;
        if (field === GRANULARITY) {
          granularity = GRANULARITIES.get(word);
          if (granularity === undefined) return null;
        } else {
          const known = field === TIMESTAMP ? this.#known.timestamps.get(word) : undefined;
          if (known === undefined && (end < 0 || NOT_PLAIN.test(word))) return null;
          if (field === ELEMENT) elementName = word;
          else if (field === VALUE) value = word;
          else if (known === undefined) {
            return this.#learn(text, from, this.#known.timestamps, word, (one) => one.timestamp);
          } else timestamp = known;
        }
      } else {
        if (field !== VALUE) return null;
        at = endOfNumber(text, start);
        const number = text.slice(start, at);
        if (number.length > MAX_PLAIN_NUMBER || !PLAIN_NUMBER.test(number)) return null;
        value = String(Number(number));
      }
      at = afterBlanks(text, at);
      const next = text.charCodeAt(at);
      if (next === CLOSING_BRACE) break;
      if (next !== COMMA) return null;
    }
    if ((seen & REQUIRED) !== REQUIRED || granularity === undefined) return null;
    this.#end = at + 1;
    return { timestamp, granularity, filter, elementName, value };
  }

  /** Has the general reader look at a record, and remembers what one of its spellings means. */
  #learn<Meaning>(
    text: string,
    from: number,
    known: Map<string, Meaning>,
    spelling: string,
    meaningOf: (record: RecordInput) => Meaning,
  ): RecordInput | null {
    const record = this.#readAny(text, from);
    if (!record || record instanceof Misshapen) return null;
    if (known.size >= MAX_KNOWN) known.clear();
    if (spelling.length <= MAX_SPELLING) known.set(copyOf(spelling), meaningOf(record));
    return record;
  }

  /** Any object; null where it is no JSON, or a name stands in it twice. */
  #readAny(text: string, from: number): RecordInput | Misshapen | null {
    const start = afterBlanks(text, from);
    const end = endOfObject(text, start);
    if (end < 0) return null;
    const json = text.slice(start, end);
    let value: unknown;
    try {
      value = parseExactly(json);
    } catch {
      return null;
    }
    if (findRepeatedNames(json, value).length > 0) return null;
    this.#end = end;
    return this.#readRecord(value);
  }
}

/** The field that is named there, or -1. */
const fieldAt = (text: string, at: number): number => {
  for (let field = TIMESTAMP; field <= VALUE; field += 1)
    if (text.startsWith(FIELDS[field] as string, at)) return field;
  return text.startsWith(ELEMENT_ALIAS, at) ? ELEMENT : -1;
};

const afterBlanks = (text: string, from: number): number => {
  for (let at = from; ; at += 1) {
    const code = text.charCodeAt(at);
    if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return at;
  }
};

const endOfNumber = (text: string, from: number): number => {
  for (let at = from; ; at += 1) {
    const code = text.charCodeAt(at);
    // Digits, "+", "-", "." and letters: what is no number is seen later.
    if (!(code >= 0x2b && code <= 0x7a) || code === COMMA || code === CLOSING_BRACKET) return at;
  }
};

/** Behind the object that begins there, or -1. */
const endOfObject = (text: string, from: number): number => {
  if (text.charCodeAt(from) !== OPENING_BRACE) return -1;
  let depth = 0;
  let inString = false;
  for (let at = from; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) inString = !inString;
    else if (code === BACKSLASH) at += 1;
    else if (inString) continue;
    else if (code === OPENING_BRACE) depth += 1;
    else if (code === CLOSING_BRACE) {
      depth -= 1;
      if (depth === 0) return at + 1;
    }
  }
  return -1;
};

/** By itself: a part of a text keeps all of that in memory. */
const copyOf = (text: string): string => Buffer.from(text, 'utf16le').toString('utf16le');
