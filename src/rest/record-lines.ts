// A line of NDJSON as a record, and the issues of a record in the field names of this API.
import { type Issue, MAX_LISTED_ISSUES } from '../errors/errors.ts';
import type { IssueCode } from '../errors/issue-codes.ts';
import { repeatedNames } from '../http/json-body.ts';
import { timestampProblem } from '../lib/iso-8601.ts';
import { JsonBoundsError } from '../lib/json-bounds.ts';
import { parseJsonExactly } from '../lib/json-numbers.ts';
import type { LineProblem } from '../lib/line-splitter.ts';
import { MalformedRecord, type WriteKind } from '../streams/pipeline/inputs.ts';
import { type BadRecords, type Input, readOne } from './fast-path/record-lists.ts';
import { spellPath } from './schemas/records.ts';
import type { StreamOfRecords } from './stream-from-records.ts';

/** Longer than any record: at most 5 dimensions of 20 values of 256 characters, all of them escaped. */
export const MAX_LINE_BYTES = 1024 * 1024;

/** Converts an issue of the domain, whose path is below its record. */
export function spellIssue(issue: Issue, input: Input | undefined): Issue {
  if (input instanceof MalformedRecord) return issue;
  // The message of the domain names RFC 3339 alone, the only format that GraphQL accepts.
  const problem = input && issue.code === 'BAD_TIMESTAMP' ? timestampProblem(input.timestamp) : null;
  return { ...issue, message: problem ?? issue.message, path: spellPath(input, issue.path) };
}

function misshapen(code: IssueCode, message: string): MalformedRecord {
  return new MalformedRecord([{ path: [], code, message }]);
}

export const LINE_PROBLEMS: Readonly<Record<LineProblem, MalformedRecord>> = {
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
export function readLine(kind: WriteKind, stream: StreamOfRecords, line: string, bad: BadRecords): Input | null {
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
