import { isUtf8 } from 'node:buffer';
import type { IncomingMessage } from 'node:http';
import { type Issue, MAX_LISTED_ISSUES, ValidationError } from '../errors.ts';
import type { IssueCode } from '../issue-codes.ts';
import { BodyError, readChunks } from '../http/request-body.ts';
import type { Held } from '../http/request-memory.ts';
import { timestampProblem } from '../lib/iso-8601.ts';
import { JsonBoundsError } from '../lib/json-bounds.ts';
import type { RequestSignals } from '../lib/lifecycle.ts';
import { type ExactJson, parseExactly } from '../lib/long-numbers.ts';
import { afterOthers, createTurns, RECORDS_IN_ONE_GO } from '../lib/turns.ts';
import { findRepeatedNames } from '../lib/repeated-names.ts';
import { createLineSplitter, type LineProblem, type Lines } from '../lib/lines.ts';
import { type BulkContext, type BulkRequest, startBulkWrite } from '../streams/bulk.ts';
import { allocationDelete, allocationReplace, allocationSum } from '../streams/ingest.ts';
import { Misshapen, type RecordInput, type SelectorInput } from '../streams/inputs.ts';
import type { Receipt, WriteKind, WriteTarget } from '../streams/write.ts';
import { NAME_PATH, NamedStream, nameOf, peekStream, streamNamedBy, type StreamOfRecords } from './named-stream.ts';
import { type KnownSpellings, RecordTextReader } from './record-text.ts';
import { readRecord, readSelector, spellPath } from './records.ts';
import type { Call } from './route.ts';

// The two ways that records come in: as a list in one JSON body, and one a line, as many as there are.

type Input = RecordInput | SelectorInput | Misshapen;

const NDJSON = /^application\/(?:x-)?(?:ndjson|jsonl|jsonlines|json-lines)$/;

const isNdjson = (request: IncomingMessage): boolean => {
  const [type = ''] = (request.headers['content-type'] ?? '').split(';');
  return NDJSON.test(type.trim().toLowerCase());
};

/** Longer than any record can be that has at most 5 dimensions of 20 values of 256 characters, all of them escaped. */
const MAX_LINE_BYTES = 1024 * 1024;

export interface BodyTarget extends Omit<WriteTarget, 'stream'> {
  /** Null if each record names it. */
  readonly stream: string | null;
}

/** Writes the records of the body, whichever form it has. */
export const writeBody = async (call: Call, kind: WriteKind, target: BodyTarget): Promise<Receipt> => {
  const { services, request, principal } = call;
  services.intakeRate.admit(principal);
  const { db, clock, limits, known, batches, held, streamQueue, onWritten } = services;
  const context = { db, clock, limits, known, batches, held, streamQueue, ended: call.ended, onWritten };
  if (isNdjson(request)) {
    return call.untimed(async () => {
      const memory = call.memory.open();
      const body = readChunks(request, services.pace, call.memory.open());
      try {
        // What is read until the first record names its stream: two lines, and one in the making.
        if (target.stream === null) memory.resize(3 * MAX_LINE_BYTES);
        const { stream, chunks } =
          target.stream === null ? await peekStream(body, MAX_LINE_BYTES) : { stream: target.stream, chunks: body };
        const bulk = { ...target, stream: nameOf(stream), kind, maxMs: services.pace.maxMs };
        return await writeLines(call, context, bulk, stream, chunks, memory);
      } finally {
        memory.release();
        await body.return(undefined);
      }
    });
  }
  const { stream, records } = await readList(
    kind,
    target.stream,
    await call.readText(),
    services.spellings,
    call.ended,
  );
  services.intakeRate.spend(principal, records.length);
  const written = { ...target, stream: nameOf(stream) };
  try {
    if (kind === 'DELETE') {
      return await allocationDelete(context, { ...written, records });
    }
    const write = kind === 'SUM' ? allocationSum : allocationReplace;
    return await write(context, { ...written, records: records as (RecordInput | Misshapen)[] });
  } catch (error) {
    throw spelled(error, stream, (index) => records[index]);
  }
};

const readOne = (kind: WriteKind, stream: StreamOfRecords, value: unknown): Input =>
  kind === 'DELETE' ? readSelector(value, stream) : readRecord(value, stream);

/** Null for selectors, of which a request has few, and for records with a field that most do not have. */
const textReaderFor = (kind: WriteKind, stream: StreamOfRecords, known: KnownSpellings): RecordTextReader | null =>
  kind === 'DELETE' || stream instanceof NamedStream
    ? null
    : new RecordTextReader((value) => readRecord(value, stream), known);

const readList = async (
  kind: WriteKind,
  given: string | null,
  text: string,
  known: KnownSpellings,
  ended: RequestSignals,
): Promise<{ readonly stream: StreamOfRecords; readonly records: readonly Input[] }> => {
  const plain = given === null ? null : await readPlainList(textReaderFor(kind, given, known), text, ended);
  if (plain !== null && given !== null) return { stream: given, records: plain };
  const values = listOf(parseJson(text));
  const stream = given ?? streamNamedBy(values);
  return { stream, records: await readAnyList(kind, stream, values, ended) };
};

/** Lets others have their turn. Throws if nobody waits for the answer any more: a large body takes seconds. */
const nextTurn = async (ended: RequestSignals): Promise<void> => {
  await afterOthers();
  for (const signal of ended()) signal.throwIfAborted();
};

const readAnyList = async (
  kind: WriteKind,
  stream: StreamOfRecords,
  values: readonly unknown[],
  ended: RequestSignals,
): Promise<readonly Input[]> => {
  const inputs: Input[] = [];
  const brief = createAbridger();
  for (const value of values) {
    if (inputs.push(brief(readOne(kind, stream, value))) % RECORDS_IN_ONE_GO === 0) await nextTurn(ended);
  }
  return inputs;
};

/** Null where the text is none that the reader takes. */
const readPlainList = async (
  reader: RecordTextReader | null,
  text: string,
  ended: RequestSignals,
): Promise<readonly Input[] | null> => {
  if (!reader) return null;
  const records: Input[] = [];
  const brief = createAbridger();
  for (const record of reader.readList(text)) {
    if (record === null) return null;
    if (records.push(brief(record)) % RECORDS_IN_ONE_GO === 0) await nextTurn(ended);
  }
  return records;
};

/** Of many bad records only the first keep their issues: those of the others are counted, and would take a kilobyte each. */
const createAbridger = (): ((input: Input) => Input) => {
  let kept = 0;
  const counted = new Map<number, Misshapen>();
  return (input) => {
    if (!(input instanceof Misshapen)) return input;
    kept += 1;
    if (kept <= MAX_LISTED_ISSUES) return input;
    const { issueCount } = input;
    const same = counted.get(issueCount) ?? new Misshapen([], issueCount);
    counted.set(issueCount, same);
    return same;
  };
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

/** The error with its paths and messages in the words of this API. */
const spelled = (error: unknown, stream: StreamOfRecords, inputAt: (index: number) => Input | undefined): unknown => {
  if (!(error instanceof ValidationError)) return error;
  const issues = error.issues.map((issue): Issue => {
    const [list = '', index = '', ...rest] = issue.path;
    if (list === 'idempotencyKey') return { ...issue, path: ['Idempotency-Key'] };
    if (list === 'stream' && stream instanceof NamedStream) return { ...issue, path: NAME_PATH };
    if (list !== 'records' || index === '') return issue;
    const input = inputAt(Number(index));
    if (input instanceof Misshapen) return { ...issue, path: [list, index, ...rest] };
    // The message of the rules for records names RFC 3339 alone, which is the only form that GraphQL accepts.
    const problem = input && issue.code === 'BAD_TIMESTAMP' ? timestampProblem(input.timestamp) : null;
    return { ...issue, message: problem ?? issue.message, path: [list, index, ...spellPath(input, rest)] };
  });
  return new ValidationError(issues, error.issueCount);
};

const writeLines = async (
  call: Call,
  context: BulkContext,
  request: BulkRequest,
  stream: StreamOfRecords,
  chunks: AsyncIterable<Buffer>,
  memory: Held,
): Promise<Receipt> => {
  const bulk = await startBulkWrite(context, request).catch((error: unknown) => {
    throw spelled(error, stream, () => undefined);
  });
  /** Those with issues, of which a hundred are named at most. */
  const faulty = new Map<number, Input>();
  const reader = textReaderFor(request.kind, stream, call.services.spellings);
  const add = (line: Input | string): void => {
    const input = typeof line === 'string' ? readLine(request.kind, stream, line) : line;
    if (input === null) return;
    const { count, issueCount } = bulk;
    bulk.add(input);
    if (bulk.issueCount > issueCount && faulty.size < 100) faulty.set(count, input);
  };
  const turns = createTurns();
  const addAll = async (some: Iterable<Lines>): Promise<void> => {
    for (const lines of some) {
      if ('problem' in lines) {
        add(LINE_PROBLEMS[lines.problem]);
        continue;
      }
      const { text } = lines;
      for (let at = 0; at <= text.length;) {
        at = reader ? reader.readLines(text, at, RECORDS_IN_ONE_GO, add) : addLines(text, at, RECORDS_IN_ONE_GO, add);
        await turns();
      }
    }
  };
  try {
    const splitter = createLineSplitter(MAX_LINE_BYTES);
    for await (const chunk of chunks) {
      await addAll(splitter.lines(chunk));
      await bulk.stage();
      memory.resize(splitter.heldBytes + bulk.heldBytes);
    }
    await addAll(splitter.rest());
    return await bulk.finish();
  } catch (error) {
    throw spelled(error, stream, (index) => faulty.get(index));
  } finally {
    call.services.intakeRate.spend(call.principal, bulk.count);
    await bulk.close();
  }
};

/** As RecordTextReader.readLines does, every line for the general reader. */
const addLines = (text: string, from: number, most: number, take: (line: string) => void): number => {
  let start = from;
  for (let count = 0; count < most && start <= text.length; count += 1) {
    const newline = text.indexOf('\n', start);
    const end = newline < 0 ? text.length : newline;
    take(text.slice(start, end));
    start = end + 1;
  }
  return start;
};

const misshapen = (code: IssueCode, message: string): Misshapen => new Misshapen([{ path: [], code, message }]);

const LINE_PROBLEMS: Readonly<Record<LineProblem, Misshapen>> = {
  TOO_LONG: misshapen('LINE_TOO_LONG', `A line has at most ${MAX_LINE_BYTES} bytes; no record needs more.`),
  NOT_UTF8: misshapen('BAD_ENCODING', 'Is not UTF-8.'),
};

const NO_JSON = misshapen('NOT_JSON', 'Is not JSON: each line is one record, {"timestamp": ...}.');

/** By its ends: the error of JSON.parse costs as much as the check of a record, and a body may have millions of such lines. */
const cannotBeJson = (text: string): boolean => {
  if (text.startsWith('{')) return !text.endsWith('}');
  if (text.startsWith('[')) return !text.endsWith(']');
  return text.startsWith('"') && (text.length === 1 || !text.endsWith('"'));
};

/** Null for a blank line, which is none. */
const readLine = (kind: WriteKind, stream: StreamOfRecords, line: string): Input | null => {
  const text = line.startsWith('\uFEFF') ? line.slice(1) : line;
  const trimmed = text.trim();
  if (trimmed === '') return null;
  if (cannotBeJson(trimmed)) return NO_JSON;
  let value: unknown;
  try {
    const exact = parseExactly(text);
    const repeated = repeatedNames(exact);
    if (repeated.count > 0) return new Misshapen(repeated.issues, repeated.count);
    value = exact.value;
  } catch (error) {
    if (error instanceof JsonBoundsError) return misshapen('JSON_TOO_LARGE', error.message);
    return NO_JSON;
  }
  return readOne(kind, stream, value);
};

/** The body as text. Throws BodyError. */
export const decodeBody = (body: Buffer): string => {
  if (!isUtf8(body)) throw new BodyError(400, 'The body is not UTF-8.');
  return body.toString('utf8').replace(/^\uFEFF/, '');
};

/** The body as JSON; undefined where it is empty. Throws BodyError, and ValidationError for names that are repeated. */
export const parseJson = (text: string): unknown => {
  if (text.trim() === '') return undefined;
  let exact: ExactJson;
  try {
    exact = parseExactly(text);
  } catch (error) {
    if (error instanceof JsonBoundsError) throw new BodyError(400, error.message);
    throw new BodyError(400, `The body is not JSON: ${error instanceof Error ? error.message : 'it cannot be read'}.`);
  }
  const repeated = repeatedNames(exact);
  if (repeated.count > 0) throw new ValidationError(repeated.issues, repeated.count);
  return exact.value;
};

const repeatedNames = ({ text, value }: ExactJson): { readonly issues: Issue[]; readonly count: number } => {
  const { paths, count } = findRepeatedNames(text, value, MAX_LISTED_ISSUES);
  const issues = paths.map((path): Issue => ({
    path,
    code: path.at(-2) === 'filter' ? 'DUPLICATE_DIMENSION' : 'REPEATED_NAME',
    message: `"${path.at(-1)}" stands in this object already: which of them is meant is not told.`,
  }));
  return { issues, count };
};
