import type { IncomingMessage } from 'node:http';
import { type Issue, MAX_LISTED_ISSUES, ValidationError } from '../errors/errors.ts';
import type { IssueCode } from '../errors/issue-codes.ts';
import { readChunks } from '../http/request-body.ts';
import type { Held } from '../http/request-memory.ts';
import { timestampProblem, toRfc3339 } from '../lib/iso-8601.ts';
import { JsonBoundsError } from '../lib/json-bounds.ts';
import { parseJsonExactly } from '../lib/json-numbers.ts';
import { createTimeSlices, RECORDS_PER_TICK } from '../lib/event-loop.ts';
import { createLineSplitter, type LineProblem, type Lines } from '../lib/line-splitter.ts';
import { type BulkContext, type BulkRequest, startBulkIngest } from '../streams/bulk-ingest.ts';
import { ingest, type IngestRequest } from '../streams/ingest.ts';
import { MalformedRecord, type WriteKind } from '../streams/pipeline/inputs.ts';
import type { ScopeInput } from '../streams/pipeline/scope.ts';
import type { Receipt, WriteTarget } from '../streams/ingest-request.ts';
import { repeatedNames } from '../http/json-body.ts';
import { NAME_PATH, NamedStream, nameOf, peekStreamName, type StreamOfRecords } from './stream-from-records.ts';
import { BadRecords, type Input, readList, readOne, textReaderFor } from './fast-path/record-lists.ts';
import { spellPath } from './schemas/records.ts';
import type { Call } from './route.ts';

// Records arrive in two formats: as a list in one JSON body, and as NDJSON, one record per line without a limit.

const NDJSON = /^application\/(?:x-)?(?:ndjson|jsonl|jsonlines|json-lines)$/;

function isNdjson(request: IncomingMessage): boolean {
  const [type = ''] = (request.headers['content-type'] ?? '').split(';');
  return NDJSON.test(type.trim().toLowerCase());
}

/** Longer than any record: at most 5 dimensions of 20 values of 256 characters, all of them escaped. */
const MAX_LINE_BYTES = 1024 * 1024;

export interface BodyTarget extends Omit<WriteTarget, 'stream'> {
  /** Null if each record names it. */
  readonly stream: string | null;
}

/** Writes the records of the body, in either format. */
export async function ingestBody(call: Call, kind: WriteKind, target: BodyTarget): Promise<Receipt> {
  const { services, request, principal } = call;
  services.intakeRate.admit(principal);
  const context = { ...services, ended: call.ended };
  if (isNdjson(request)) {
    return call.untimed(async () => {
      const memory = call.memory.open();
      const body = readChunks(request, services.pace, call.memory.open());
      try {
        // Buffered until the first record names its stream: two lines, and one incomplete line.
        if (target.stream === null) memory.resize(3 * MAX_LINE_BYTES);
        const { stream, chunks } =
          target.stream === null ? await peekStreamName(body, MAX_LINE_BYTES) : { stream: target.stream, chunks: body };
        const scope = readScopeParameters(call);
        const bulk = { ...target, stream: nameOf(stream), kind, scope, maxMs: services.pace.maxMs };
        return await writeLines(call, context, bulk, stream, chunks, memory);
      } finally {
        memory.release();
        await body.return(undefined);
      }
    });
  }
  assertNoScopeParameters(call, kind);
  const { stream, records, count, scope } = await readList(
    kind,
    target.stream,
    await call.readText(),
    services.spellings,
    call.ended,
  );
  services.intakeRate.spend(principal, count);
  try {
    return await ingest(context, { ...target, stream: nameOf(stream), kind, records, scope } as IngestRequest);
  } catch (error) {
    throw spelled(error, stream, (index) => records[index], scope);
  }
}

/** Converts paths and messages of an error to the field names and formats of this API. */
function spelled(
  error: unknown,
  stream: StreamOfRecords,
  inputAt: (index: number) => Input | undefined,
  scope?: ScopeInput,
): unknown {
  if (!(error instanceof ValidationError)) return error;
  const issues = error.issues.map((issue): Issue => {
    const [list = '', index = '', ...rest] = issue.path;
    if (list === 'idempotencyKey') return { ...issue, path: ['Idempotency-Key'] };
    if (list === 'stream' && stream instanceof NamedStream) return { ...issue, path: NAME_PATH };
    if (list === 'scope') return { ...issue, path: spellScopePath(scope, issue.path) };
    if (list !== 'records' || index === '') return issue;
    const input = inputAt(Number(index));
    if (input instanceof MalformedRecord) return { ...issue, path: [list, index, ...rest] };
    // The message of the domain names RFC 3339 alone, the only format that GraphQL accepts.
    const problem = input && issue.code === 'BAD_TIMESTAMP' ? timestampProblem(input.timestamp) : null;
    return { ...issue, message: problem ?? issue.message, path: [list, index, ...spellPath(input, rest)] };
  });
  return new ValidationError(issues, error.issueCount);
}

const SCOPE_PARAMETERS = ['from', 'to'] as const;

/** Returns the scope of an NDJSON request; undefined if it has none. Throws ValidationError if one of the two is missing. */
function readScopeParameters(call: Call): ScopeInput | undefined {
  const [from, to] = SCOPE_PARAMETERS.map((name) => call.query().get(name));
  if (from == null && to == null) return undefined;
  if (from == null || to == null) {
    const message = 'Is missing. A scope has both from and to.';
    throw new ValidationError([{ path: [from == null ? 'from' : 'to'], code: 'BAD_SCOPE', message }]);
  }
  return { from: readTimestampParameter(from), to: readTimestampParameter(to) };
}

/** A plus sign of an offset that was not encoded as %2B arrives as a blank. */
function readTimestampParameter(text: string): string {
  const blank = text.lastIndexOf(' ');
  const isOffset = blank > 0 && /[Tt ]/.test(text.slice(0, blank));
  return toRfc3339(isOffset ? `${text.slice(0, blank)}+${text.slice(blank + 1)}` : text);
}

function assertNoScopeParameters(call: Call, kind: WriteKind): void {
  const [given] = SCOPE_PARAMETERS.filter((name) => call.query().has(name));
  if (given === undefined) return;
  throw new ValidationError([
    kind === 'REPLACE'
      ? {
          path: [given],
          code: 'BAD_SCOPE',
          message: 'Only an NDJSON body has its scope in the query. Send it as "scope" beside "records".',
        }
      : {
          path: [given],
          code: 'SCOPE_FORBIDDEN',
          message: 'Only a replace has a scope. Remove it, or send a replace.',
        },
  ]);
}

/** Converts the path of an issue of the scope: in a body its fields have other names, and in the query no parent. */
function spellScopePath(
  scope: ScopeInput | undefined,
  [list = '', field, index, part, ...rest]: readonly string[],
): string[] {
  if (!scope) return field === undefined ? ['from'] : [field];
  if (field === 'elementName') return [list, 'element-name'];
  if (field !== 'filter' || index === undefined) return [list, ...(field === undefined ? [] : [field])];
  const dimension = scope.filter?.[Number(index)]?.dimension ?? index;
  return [list, field, dimension, ...(part === 'values' ? rest : [])];
}

async function writeLines(
  call: Call,
  context: BulkContext,
  request: BulkRequest,
  stream: StreamOfRecords,
  chunks: AsyncIterable<Buffer>,
  memory: Held,
): Promise<Receipt> {
  const bulk = await startBulkIngest(context, request).catch((error: unknown) => {
    throw spelled(error, stream, () => undefined);
  });
  /** Records with issues by index, at most 100. */
  const faulty = new Map<number, Input>();
  const bad = new BadRecords();
  const reader = textReaderFor(request.kind, stream, call.services.spellings, bad);
  const add = (line: Input | string): void => {
    const input = typeof line === 'string' ? readLine(request.kind, stream, line, bad) : line;
    if (input === null) return;
    const { count, issueCount } = bulk;
    bad.note(input);
    bulk.add(input);
    if (bulk.issueCount > issueCount && faulty.size < 100) faulty.set(count, input);
  };
  const timeSlice = createTimeSlices();
  const addAll = async (some: Iterable<Lines>): Promise<void> => {
    for (const lines of some) {
      if ('problem' in lines) {
        add(LINE_PROBLEMS[lines.problem]);
        continue;
      }
      const { text } = lines;
      for (let at = 0; at <= text.length;) {
        at = reader ? reader.readLines(text, at, RECORDS_PER_TICK, add) : addLines(text, at, RECORDS_PER_TICK, add);
        await timeSlice();
      }
    }
  };
  try {
    const splitter = createLineSplitter(MAX_LINE_BYTES);
    for await (const chunk of chunks) {
      await addAll(splitter.lines(chunk));
      await bulk.spill();
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
}

/** Like RecordTextReader.readLines, but passes every line to the general reader. */
function addLines(text: string, from: number, most: number, take: (line: string) => void): number {
  let start = from;
  for (let count = 0; count < most && start <= text.length; count += 1) {
    const newline = text.indexOf('\n', start);
    const end = newline < 0 ? text.length : newline;
    take(text.slice(start, end));
    start = end + 1;
  }
  return start;
}

function misshapen(code: IssueCode, message: string): MalformedRecord {
  return new MalformedRecord([{ path: [], code, message }]);
}

const LINE_PROBLEMS: Readonly<Record<LineProblem, MalformedRecord>> = {
  TOO_LONG: misshapen('LINE_TOO_LONG', `The line is longer than ${MAX_LINE_BYTES} bytes. Write one record per line.`),
  NOT_UTF8: misshapen('BAD_ENCODING', 'Is not UTF-8.'),
};

const NO_JSON = misshapen('NOT_JSON', 'Is not JSON. Each line must be one record: {"timestamp": ...}.');

/** Checks the ends of a line: an error of JSON.parse costs as much as checking a record, and a body may have millions of such lines. */
function cannotBeJson(text: string): boolean {
  if (text.startsWith('{')) return !text.endsWith('}');
  if (text.startsWith('[')) return !text.endsWith(']');
  return text.startsWith('"') && (text.length === 1 || !text.endsWith('"'));
}

/** Reads a record with the general reader; null for a blank line. */
function readLine(kind: WriteKind, stream: StreamOfRecords, line: string, bad: BadRecords): Input | null {
  const text = line.startsWith('\uFEFF') ? line.slice(1) : line;
  const trimmed = text.trim();
  if (trimmed === '') return null;
  if (cannotBeJson(trimmed)) return NO_JSON;
  let value: unknown;
  try {
    const exact = parseJsonExactly(text);
    const repeated = repeatedNames(exact, bad.areListed ? MAX_LISTED_ISSUES : 0);
    if (repeated.count > 0) return new MalformedRecord(repeated.issues, repeated.count);
    value = exact.value;
  } catch (error) {
    if (error instanceof JsonBoundsError) return misshapen('JSON_TOO_LARGE', error.message);
    return NO_JSON;
  }
  return readOne(kind, stream, value, bad);
}
