import { type Issue, MAX_LISTED_ISSUES, ValidationError } from '../errors.ts';
import { elementsOf } from '../lib/json-elements.ts';
import type { RequestSignals } from '../lib/lifecycle.ts';
import { afterOthers, RECORDS_IN_ONE_GO } from '../lib/turns.ts';
import { Misshapen, type RecordInput, type SelectorInput } from '../streams/inputs.ts';
import type { WriteKind } from '../streams/write.ts';
import { parseBody } from './json-bodies.ts';
import { NamedStream, type StreamOfRecords, streamNamedBy } from './named-stream.ts';
import { type KnownSpellings, RecordTextReader } from './record-text.ts';
import { readRecord, readSelector } from './records.ts';

// Records in one JSON body. Their parsed forms are never in memory all at once: 5 MB of {} would become 80.

export type Input = RecordInput | SelectorInput | Misshapen;

export const readOne = (kind: WriteKind, stream: StreamOfRecords, value: unknown, bad: BadRecords): Input =>
  kind === 'DELETE' ? readSelector(value, stream, bad.areListed) : readRecord(value, stream, bad.areListed);

/** Null for selectors, of which a request has few, and for records with a field that most do not have. */
export const textReaderFor = (
  kind: WriteKind,
  stream: StreamOfRecords,
  known: KnownSpellings,
  bad: BadRecords,
): RecordTextReader | null =>
  kind === 'DELETE' || stream instanceof NamedStream
    ? null
    : new RecordTextReader((value) => readRecord(value, stream, bad.areListed), known);

/** Bad records of a request. The issues of the first hundred are listed; those of the others are counted. */
export class BadRecords {
  #count = 0;
  readonly #counted = new Map<number, Misshapen>();

  /** Whether the issues of the next bad record are listed. */
  get areListed(): boolean {
    return this.#count < MAX_LISTED_ISSUES;
  }

  /** Counts the input if it is bad. Returns it, without its issues if they are not listed: they take a kilobyte each. */
  note(input: Input): Input {
    if (!(input instanceof Misshapen)) return input;
    if (this.areListed) {
      this.#count += 1;
      return input;
    }
    const { issueCount } = input;
    const same = this.#counted.get(issueCount) ?? new Misshapen([], issueCount);
    this.#counted.set(issueCount, same);
    return same;
  }
}

export const readList = async (
  kind: WriteKind,
  given: string | null,
  text: string,
  known: KnownSpellings,
  ended: RequestSignals,
): Promise<{ readonly stream: StreamOfRecords; readonly records: readonly Input[] }> => {
  const plain = given === null ? null : await readPlainList(kind, given, text, known, ended);
  if (plain !== null && given !== null) return { stream: given, records: plain };
  const { stream, text: checked } = checkList(given, text);
  return { stream, records: await readAnyList(kind, stream, checked, ended) };
};

/** Lets others have their turn. Throws if nobody waits for the answer any more: a large body takes seconds. */
const nextTurn = async (ended: RequestSignals): Promise<void> => {
  await afterOthers();
  for (const signal of ended()) signal.throwIfAborted();
};

/**
 * Checks the body as a whole, and returns its text with numbers that JSON.parse does not change. The parsed body is garbage
 * when this returns: the bodies of concurrent requests are never parsed at the same time.
 */
const checkList = (given: string | null, text: string): { readonly stream: StreamOfRecords; readonly text: string } => {
  const body = parseBody(text);
  const records = listOf(body?.value);
  return { stream: given ?? streamNamedBy(records), text: body?.text ?? '' };
};

/** Each record is parsed by itself. The text is that of a body with a list of records and nothing else. */
const readAnyList = async (
  kind: WriteKind,
  stream: StreamOfRecords,
  text: string,
  ended: RequestSignals,
): Promise<readonly Input[]> => {
  const inputs: Input[] = [];
  const bad = new BadRecords();
  for (const element of elementsOf(text)) {
    const input = bad.note(readOne(kind, stream, JSON.parse(element), bad));
    if (inputs.push(input) % RECORDS_IN_ONE_GO === 0) await nextTurn(ended);
  }
  return inputs;
};

/** Null where the text is none that the reader takes. */
const readPlainList = async (
  kind: WriteKind,
  stream: string,
  text: string,
  known: KnownSpellings,
  ended: RequestSignals,
): Promise<readonly Input[] | null> => {
  const bad = new BadRecords();
  const reader = textReaderFor(kind, stream, known, bad);
  if (!reader) return null;
  const records: Input[] = [];
  for (const record of reader.readList(text)) {
    if (record === null) return null;
    if (records.push(bad.note(record)) % RECORDS_IN_ONE_GO === 0) await nextTurn(ended);
  }
  return records;
};

const listOf = (body: unknown): readonly unknown[] => {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw new ValidationError([{ path: [], code: 'BAD_TYPE', message: 'Must be an object: {"records": [...]}.' }]);
  }
  const unknown = Object.keys(body).filter((name) => name !== 'records');
  const issues: Issue[] = unknown.slice(0, MAX_LISTED_ISSUES).map((name) => ({
    path: [name],
    code: 'UNKNOWN_FIELD',
    message: `There is no field "${name}".`,
  }));
  const records = 'records' in body ? body.records : undefined;
  if (records === undefined) issues.push({ path: ['records'], code: 'REQUIRED', message: 'Is required.' });
  else if (!Array.isArray(records)) issues.push({ path: ['records'], code: 'BAD_TYPE', message: 'Must be a list.' });
  if (issues.length > 0 || !Array.isArray(records)) {
    throw new ValidationError(issues, issues.length + Math.max(0, unknown.length - MAX_LISTED_ISSUES));
  }
  return records;
};
