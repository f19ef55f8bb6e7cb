import { type Issue, ValidationError } from '../errors/errors.ts';
import { createLineSplitter, eachLine, type Line } from '../lib/line-splitter.ts';
import { parseJsonExactly } from '../lib/json-numbers.ts';
import { ChunkBuffer } from '../lib/chunk-buffer.ts';

// The oldest path does not contain the stream. Each record names it: the first one decides, and the others must name the same.

/** A stream that each record of the request must name. */
export class NamedStream {
  readonly name: string;
  constructor(name: string) {
    this.name = name;
  }
}

/** The stream of a request: the one in the path, which records may repeat, or the one that each record must name. */
export type StreamOfRecords = string | NamedStream;

export const nameOf = (stream: StreamOfRecords): string => (typeof stream === 'string' ? stream : stream.name);

/** Issue path of the stream in the first record. */
export const NAME_PATH: readonly string[] = ['records', '0', 'telemetry-stream'];

/** Returns the stream that the first record of a list names. Throws ValidationError if the record does not name one. */
export function findStreamName(records: readonly unknown[]): NamedStream {
  if (records.length === 0) throw emptyRequest();
  const [record] = records;
  const isObject = typeof record === 'object' && record !== null && !Array.isArray(record);
  if (!isObject) throw refused(['records', '0'], 'BAD_TYPE', 'Must be an object.');
  const name: unknown = 'telemetry-stream' in record ? record['telemetry-stream'] : undefined;
  if (name === undefined)
    throw refused(NAME_PATH, 'REQUIRED', 'Is required, because this path does not contain the stream.');
  if (typeof name !== 'string') throw refused(NAME_PATH, 'BAD_TYPE', 'Must be a string.');
  return new NamedStream(name);
}

/**
 * Returns the stream that the first line names, and the whole body from its beginning. Throws ValidationError if the line does not
 * name one. The caller ends `chunks`.
 */
export async function peekStreamName(
  chunks: AsyncGenerator<Buffer>,
  maxLineBytes: number,
): Promise<{ readonly stream: NamedStream; readonly chunks: AsyncIterable<Buffer> }> {
  const splitter = createLineSplitter(maxLineBytes);
  const read = new ChunkBuffer();
  for (;;) {
    const { done, value } = await chunks.next();
    if (!done) read.push(value);
    for (const line of eachLine(done ? splitter.rest() : splitter.lines(value))) {
      if ('problem' in line || line.text.trim() !== '') {
        return { stream: streamOfLine(line), chunks: followedBy(read.all, chunks) };
      }
    }
    if (done) throw emptyRequest();
    // The splitter reports a longer line, so these are blank lines, which are buffered until a record arrives.
    if (read.bytes > 2 * maxLineBytes) {
      throw refused(
        ['records', '0'],
        'LINE_TOO_LONG',
        `Must begin within the first ${maxLineBytes} bytes of the body.`,
      );
    }
  }
}

function streamOfLine(line: Line): NamedStream {
  let record: unknown;
  try {
    if ('problem' in line) throw new SyntaxError(line.problem);
    record = parseJsonExactly(line.text.startsWith('\uFEFF') ? line.text.slice(1) : line.text).value;
  } catch {
    throw refused(
      ['records', '0'],
      'NOT_JSON',
      'Is not JSON. Each line must be one record: {"telemetry-stream": ...}.',
    );
  }
  return findStreamName([record]);
}

const followedBy = async function* (read: readonly Buffer[], rest: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  yield* read;
  yield* rest;
};

function refused(path: readonly string[], code: Issue['code'], message: string): ValidationError {
  return new ValidationError([{ path, code, message }]);
}

function emptyRequest(): ValidationError {
  return refused(['records'], 'NO_RECORDS', 'The request has no records. Send at least one.');
}
