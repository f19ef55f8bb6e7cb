import { isUtf8 } from 'node:buffer';
import type { IncomingMessage } from 'node:http';
import { type Issue, ValidationError } from '../errors.ts';
import type { IssueCode } from '../issue-codes.ts';
import { BodyError, readChunks } from '../http/request-body.ts';
import type { Held } from '../http/request-memory.ts';
import { timestampProblem } from '../lib/iso-8601.ts';
import { parseExactly } from '../lib/long-numbers.ts';
import { afterOthers, RECORDS_IN_ONE_GO } from '../lib/turns.ts';
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
  const { stream, records } = await readList(kind, target.stream, await call.readText(), services.spellings);
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
): Promise<{ readonly stream: StreamOfRecords; readonly records: readonly Input[] }> => {
  const plain = given === null ? null : await readPlainList(textReaderFor(kind, given, known), text);
  if (plain !== null && given !== null) return { stream: given, records: plain };
  const values = listOf(parseJson(text));
  const stream = given ?? streamNamedBy(values);
  return { stream, records: values.map((value) => readOne(kind, stream, value)) };
};

/** Null where the text is none that the reader takes. */
const readPlainList = async (reader: RecordTextReader | null, text: string): Promise<readonly Input[] | null> => {
  if (!reader) return null;
  const records: Input[] = [];
  for (const record of reader.readList(text)) {
    if (record === null) return null;
    if (records.push(record) % RECORDS_IN_ONE_GO === 0) await afterOthers();
  }
  return records;
};

const listOf = (body: unknown): readonly unknown[] => {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw new ValidationError([{ path: [], code: 'BAD_TYPE', message: 'Must be an object: {"records": [...]}.' }]);
  }
  const unknown = Object.keys(body).filter((name) => name !== 'records');
  const issues: Issue[] = unknown.map((name) => ({
    path: [name],
    code: 'UNKNOWN_FIELD',
    message: `There is no field "${name}".`,
  }));
  const records = 'records' in body ? body.records : undefined;
  if (records === undefined) issues.push({ path: ['records'], code: 'REQUIRED', message: 'Is required.' });
  else if (!Array.isArray(records)) issues.push({ path: ['records'], code: 'BAD_TYPE', message: 'Must be a list.' });
  if (issues.length > 0 || !Array.isArray(records)) throw new ValidationError(issues);
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
  const addAll = (some: Iterable<Lines>): void => {
    for (const lines of some) {
      if ('problem' in lines) add(LINE_PROBLEMS[lines.problem]);
      else if (reader) reader.readLines(lines.text, add);
      else for (const line of lines.text.split('\n')) add(line);
    }
  };
  try {
    const splitter = createLineSplitter(MAX_LINE_BYTES);
    for await (const chunk of chunks) {
      addAll(splitter.lines(chunk));
      await bulk.stage();
      memory.resize(splitter.heldBytes + bulk.heldBytes);
    }
    addAll(splitter.rest());
    return await bulk.finish();
  } catch (error) {
    throw spelled(error, stream, (index) => faulty.get(index));
  } finally {
    call.services.intakeRate.spend(call.principal, bulk.count);
    await bulk.close();
  }
};

const misshapen = (code: IssueCode, message: string): Misshapen => new Misshapen([{ path: [], code, message }]);

const LINE_PROBLEMS: Readonly<Record<LineProblem, Misshapen>> = {
  TOO_LONG: misshapen('LINE_TOO_LONG', `A line has at most ${MAX_LINE_BYTES} bytes; no record needs more.`),
  NOT_UTF8: misshapen('BAD_ENCODING', 'Is not UTF-8.'),
};

/** Null for a blank line, which is none. */
const readLine = (kind: WriteKind, stream: StreamOfRecords, line: string): Input | null => {
  const text = line.startsWith('\uFEFF') ? line.slice(1) : line;
  if (text.trim() === '') return null;
  let value: unknown;
  try {
    value = parseExactly(text);
    const repeated = repeatedNames(text, value);
    if (repeated.length > 0) return new Misshapen(repeated);
  } catch {
    return misshapen('NOT_JSON', 'Is not JSON: each line is one record, {"timestamp": ...}.');
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
  let value: unknown;
  try {
    value = parseExactly(text);
  } catch (error) {
    throw new BodyError(400, `The body is not JSON: ${error instanceof Error ? error.message : 'it cannot be read'}.`);
  }
  const repeated = repeatedNames(text, value);
  if (repeated.length > 0) throw new ValidationError(repeated);
  return value;
};

const repeatedNames = (text: string, value: unknown): Issue[] =>
  findRepeatedNames(text, value).map((path) => ({
    path,
    code: path.at(-2) === 'filter' ? 'DUPLICATE_DIMENSION' : 'REPEATED_NAME',
    message: `"${path.at(-1)}" stands in this object already: which of them is meant is not told.`,
  }));
