import type { IncomingMessage } from 'node:http';
import { type Issue, ValidationError } from '../errors/errors.ts';
import { readChunks } from '../http/request-body.ts';
import type { Held } from '../http/request-memory.ts';
import { createTimeSlices, RECORDS_PER_TICK } from '../lib/event-loop.ts';
import { createLineSplitter, type Lines } from '../lib/line-splitter.ts';
import { type BulkContext, type BulkRequest, startBulkIngest } from '../streams/bulk-ingest.ts';
import { ingest, type IngestRequest } from '../streams/ingest.ts';
import type { WriteKind } from '../streams/pipeline/inputs.ts';
import type { ScopeInput } from '../streams/pipeline/scope.ts';
import type { Receipt, WriteTarget } from '../streams/ingest-request.ts';
import { NAME_PATH, NamedStream, nameOf, peekStreamName, type StreamOfRecords } from './stream-from-records.ts';
import { BadRecords, type Input, readList, textReaderFor } from './fast-path/record-lists.ts';
import { LINE_PROBLEMS, MAX_LINE_BYTES, readLine, spellIssue } from './record-lines.ts';
import type { Call } from './route.ts';
import { readTimestampParameter } from './timestamp-parameter.ts';

// Records arrive in two formats: as a list in one JSON body, and as NDJSON, one record per line without a limit.

const NDJSON = /^application\/(?:x-)?(?:ndjson|jsonl|jsonlines|json-lines)$/;

function isNdjson(request: IncomingMessage): boolean {
  const [type = ''] = (request.headers['content-type'] ?? '').split(';');
  return NDJSON.test(type.trim().toLowerCase());
}

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
    const spelledIssue = spellIssue({ ...issue, path: rest }, inputAt(Number(index)));
    return { ...spelledIssue, path: [list, index, ...spelledIssue.path] };
  });
  return new ValidationError(issues, error.issueCount);
}

const SCOPE_PARAMETERS = ['from', 'to', 'filter', 'element-name'] as const;

/**
 * Returns the scope of an NDJSON request; undefined if it has none. Throws ValidationError if `from` or `to` is missing or given
 * twice, or if the query has a part of a scope that only a body can have: without it the replace would hide more than was asked.
 */
function readScopeParameters(call: Call): ScopeInput | undefined {
  const query = call.query();
  const [from, to] = [query.get('from'), query.get('to')];
  for (const name of SCOPE_PARAMETERS) {
    const count = query.getAll(name).length;
    if (count > 0 && (name === 'filter' || name === 'element-name')) {
      const message =
        'The scope of an NDJSON body has only from and to. Send a JSON body with "scope" beside "records".';
      throw new ValidationError([{ path: [name], code: 'BAD_SCOPE', message }]);
    }
    if (count > 1) {
      throw new ValidationError([{ path: [name], code: 'BAD_SCOPE', message: 'Is given twice. Send it once.' }]);
    }
  }
  if (from == null && to == null) return undefined;
  if (from == null || to == null) {
    const message = 'Is missing. A scope has both from and to.';
    throw new ValidationError([{ path: [from == null ? 'from' : 'to'], code: 'BAD_SCOPE', message }]);
  }
  return { from: readTimestampParameter(from), to: readTimestampParameter(to) };
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
