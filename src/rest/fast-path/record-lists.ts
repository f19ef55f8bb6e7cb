import { MAX_LISTED_ISSUES, ValidationError } from '../../errors/errors.ts';
import { elementsOf } from '../../lib/json-elements.ts';
import type { RequestSignals } from '../../lib/lifecycle.ts';
import { BYTES_PER_TICK, yieldToEventLoop, RECORDS_PER_TICK } from '../../lib/event-loop.ts';
import {
  MalformedRecord,
  type RecordInput,
  type SelectorInput,
  type WriteKind,
} from '../../streams/pipeline/inputs.ts';
import { parseBody } from '../../http/json-body.ts';
import { NamedStream, type StreamOfRecords, findStreamName } from '../stream-from-records.ts';
import { unknownField } from '../../validation/zod-issues.ts';
import { PAUSE, RecordTextReader } from './record-parser.ts';
import type { KnownSpellings } from './repeated-values.ts';
import { readRecord, readScope, readSelector } from '../schemas/records.ts';
import type { ScopeInput } from '../../streams/pipeline/scope.ts';

// Fast path: reads the records of a JSON body without parsing the body as a whole. If the text has only plain records, one pass of
// record-parser.ts reads them; otherwise the body is checked once and each record is parsed alone. Either way the parsed records are
// never all in memory: 5 MB of {} would take 80 MB (measured in November 2026).
// Gain: see record-parser.ts. Depends on: JSON.parse only. Guards: test/rest/record-text.test.ts (differential test against
// the general reader), test/rest/bad-records.test.ts and test/rest/long-bodies.test.ts (memory and fairness).

export type Input = RecordInput | SelectorInput | MalformedRecord;

export function readOne(kind: WriteKind, stream: StreamOfRecords, value: unknown, bad: BadRecords): Input {
  return kind === 'DELETE' ? readSelector(value, stream, bad.areListed) : readRecord(value, stream, bad.areListed);
}

/** Returns null for selectors, of which a request has few, and for records that contain telemetry-stream. */
export function textReaderFor(
  kind: WriteKind,
  stream: StreamOfRecords,
  known: KnownSpellings,
  bad: BadRecords,
): RecordTextReader | null {
  return kind === 'DELETE' || stream instanceof NamedStream
    ? null
    : new RecordTextReader((value) => readRecord(value, stream, bad.areListed), known);
}

/** Bad records of a request. The issues of the first hundred are listed; those of the others are counted. */
export class BadRecords {
  #count = 0;

  /** Whether the issues of the next bad record are listed, or only counted. */
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

  /** Adds a record. Returns whether it is time to yield to the event loop. */
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
  /** Each record at its index, up to the 100th bad record. */
  readonly records: readonly Input[];
  /** Number of records that were sent. */
  readonly count: number;
  /** Scope of a replace, if the body has one. */
  readonly scope?: ScopeInput | undefined;
}

export async function readList(
  kind: WriteKind,
  given: string | null,
  text: string,
  known: KnownSpellings,
  ended: RequestSignals,
): Promise<RecordList> {
  const plain = given === null ? null : await readPlainList(kind, given, text, known, ended);
  // Each step reads the whole text, and one record may be as long.
  const isLarge = text.length > BYTES_PER_TICK;
  if (isLarge) await nextTurn(ended);
  if (plain !== null && given !== null) return { stream: given, records: plain.inputs, count: plain.count };
  const { stream, scope, text: checked } = checkList(kind, given, text);
  if (isLarge) await nextTurn(ended);
  const { inputs, count } = await readAnyList(kind, stream, checked, ended);
  return { stream, records: inputs, count, scope };
}

/** Yields to the event loop. Throws if the client no longer waits for the response: a large body takes seconds. */
async function nextTurn(ended: RequestSignals): Promise<void> {
  await yieldToEventLoop();
  for (const signal of ended()) signal.throwIfAborted();
}

/**
 * Checks the body as a whole, and returns its text with numbers that JSON.parse does not change. The parsed body is garbage when this
 * returns, so concurrent requests never hold their parsed bodies at the same time.
 */
function checkList(
  kind: WriteKind,
  given: string | null,
  text: string,
): Pick<RecordList, 'stream' | 'scope'> & { readonly text: string } {
  const body = parseBody(text);
  const { records, scope } = readBody(kind, body?.value);
  return { stream: given ?? findStreamName(records), scope, text: body?.text ?? '' };
}

/** Parses each record alone. The text must be a checked body. */
async function readAnyList(
  kind: WriteKind,
  stream: StreamOfRecords,
  text: string,
  ended: RequestSignals,
): Promise<ReadRecords> {
  const read = new ReadRecords();
  for (const element of elementsOf(text, 'records')) {
    if (read.push(readOne(kind, stream, JSON.parse(element), read.bad))) await nextTurn(ended);
  }
  read.endRun();
  return read;
}

/** Reads a list with the fast path; null if the text needs the general reader. */
async function readPlainList(
  kind: WriteKind,
  stream: string,
  text: string,
  known: KnownSpellings,
  ended: RequestSignals,
): Promise<ReadRecords | null> {
  const read = new ReadRecords();
  const reader = textReaderFor(kind, stream, known, read.bad);
  if (!reader) return null;
  for (const record of reader.readList(text)) {
    if (record === null) return null;
    if (record === PAUSE || read.push(record)) await nextTurn(ended);
  }
  read.endRun();
  return read;
}

function readBody(
  kind: WriteKind,
  body: unknown,
): { readonly records: readonly unknown[]; readonly scope: ScopeInput | undefined } {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw new ValidationError([{ path: [], code: 'BAD_TYPE', message: 'Must be an object: {"records": [...]}.' }]);
  }
  // A sum with a scope is reported by the domain. A delete has selectors instead.
  const mayHaveScope = kind !== 'DELETE';
  const known = mayHaveScope ? ['records', 'scope'] : ['records'];
  const unknown = Object.keys(body).filter((name) => !known.includes(name));
  const issues = unknown.slice(0, MAX_LISTED_ISSUES).map((name) => unknownField([name], known));
  const records = 'records' in body ? body.records : undefined;
  if (records === undefined) issues.push({ path: ['records'], code: 'REQUIRED', message: 'Is required.' });
  else if (!Array.isArray(records)) issues.push({ path: ['records'], code: 'BAD_TYPE', message: 'Must be a list.' });
  if (issues.length > 0 || !Array.isArray(records)) {
    throw new ValidationError(issues, issues.length + Math.max(0, unknown.length - MAX_LISTED_ISSUES));
  }
  const scope = mayHaveScope && 'scope' in body && body.scope != null ? readScope(body.scope) : undefined;
  return { records, scope };
}
