import { type Issue, MAX_LISTED_ISSUES, ValidationError } from '../../errors/errors.ts';
import { elementsOf } from '../../lib/json-elements.ts';
import type { RequestSignals } from '../../lib/lifecycle.ts';
import { yieldToEventLoop, RECORDS_PER_TICK } from '../../lib/event-loop.ts';
import { MalformedRecord, type RecordInput, type SelectorInput } from '../../streams/pipeline/inputs.ts';
import type { WriteKind } from '../../streams/pipeline/inputs.ts';
import { parseBody } from '../../http/json-body.ts';
import { NamedStream, type StreamOfRecords, findStreamName } from '../stream-from-records.ts';
import { type KnownSpellings, RecordTextReader } from './record-parser.ts';
import { readRecord, readSelector } from '../schemas/records.ts';

// Records in one JSON body. Their parsed forms are never in memory all at once: 5 MB of {} would become 80.

export type Input = RecordInput | SelectorInput | MalformedRecord;

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

  /** Whether the issues of the next bad record are listed. */
  get areListed(): boolean {
    return this.#count < MAX_LISTED_ISSUES;
  }

  note(input: Input): void {
    if (input instanceof MalformedRecord) this.#count += 1;
  }
}

/** The records of a list. Consecutive bad records whose issues are not listed become one: a body may have a million of them. */
class ReadRecords {
  readonly bad = new BadRecords();
  readonly inputs: Input[] = [];
  count = 0;
  #run = { records: 0, issues: 0 };

  /** Returns whether others are due for a turn. */
  push(input: Input): boolean {
    this.count += 1;
    if (input instanceof MalformedRecord && !this.bad.areListed) {
      this.#run.records += 1;
      this.#run.issues += input.issueCount;
    } else {
      this.endRun();
      this.bad.note(input);
      this.inputs.push(input);
    }
    return this.count % RECORDS_PER_TICK === 0;
  }

  endRun(): void {
    const { records, issues } = this.#run;
    if (records === 0) return;
    this.inputs.push(new MalformedRecord([], issues, records));
    this.#run = { records: 0, issues: 0 };
  }
}

export interface RecordList {
  readonly stream: StreamOfRecords;
  /** Each at its index, up to the hundredth that is bad. */
  readonly records: readonly Input[];
  /** How many records were sent. */
  readonly count: number;
}

export const readList = async (
  kind: WriteKind,
  given: string | null,
  text: string,
  known: KnownSpellings,
  ended: RequestSignals,
): Promise<RecordList> => {
  const plain = given === null ? null : await readPlainList(kind, given, text, known, ended);
  if (plain !== null && given !== null) return { stream: given, records: plain.inputs, count: plain.count };
  const { stream, text: checked } = checkList(given, text);
  const { inputs, count } = await readAnyList(kind, stream, checked, ended);
  return { stream, records: inputs, count };
};

/** Lets others have their turn. Throws if nobody waits for the answer any more: a large body takes seconds. */
const nextTurn = async (ended: RequestSignals): Promise<void> => {
  await yieldToEventLoop();
  for (const signal of ended()) signal.throwIfAborted();
};

/**
 * Checks the body as a whole, and returns its text with numbers that JSON.parse does not change. The parsed body is garbage
 * when this returns: the bodies of concurrent requests are never parsed at the same time.
 */
const checkList = (given: string | null, text: string): { readonly stream: StreamOfRecords; readonly text: string } => {
  const body = parseBody(text);
  const records = listOf(body?.value);
  return { stream: given ?? findStreamName(records), text: body?.text ?? '' };
};

/** Each record is parsed by itself. The text is that of a body with a list of records and nothing else. */
const readAnyList = async (
  kind: WriteKind,
  stream: StreamOfRecords,
  text: string,
  ended: RequestSignals,
): Promise<ReadRecords> => {
  const read = new ReadRecords();
  for (const element of elementsOf(text)) {
    if (read.push(readOne(kind, stream, JSON.parse(element), read.bad))) await nextTurn(ended);
  }
  read.endRun();
  return read;
};

/** Null where the text is none that the reader takes. */
const readPlainList = async (
  kind: WriteKind,
  stream: string,
  text: string,
  known: KnownSpellings,
  ended: RequestSignals,
): Promise<ReadRecords | null> => {
  const read = new ReadRecords();
  const reader = textReaderFor(kind, stream, known, read.bad);
  if (!reader) return null;
  for (const record of reader.readList(text)) {
    if (record === null) return null;
    if (read.push(record)) await nextTurn(ended);
  }
  read.endRun();
  return read;
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
