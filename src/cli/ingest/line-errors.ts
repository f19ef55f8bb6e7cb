// Pure: error messages that name the lines of an input.
import type { ApiError } from '../../api-client/errors.ts';
import { MAX_LISTED_ISSUES } from '../../errors/errors.ts';
import { pluralize } from '../../lib/format-amounts.ts';
import { CommandError } from '../command-error.ts';

/** Collects the errors of lines. Keeps the first 100 and counts all of them. */
export class LineErrors {
  readonly #messages: string[] = [];
  #count = 0;

  add(line: number, location: string | null, message: string): void {
    this.#count += 1;
    if (this.#messages.length < MAX_LISTED_ISSUES) this.#messages.push(formatLine(line, location, message));
  }

  addUnlisted(count: number): void {
    this.#count += count;
  }

  /** Throws CommandError if there are errors. The footer follows the last one. */
  throwIfAny(footer: string | null): void {
    if (this.#count > 0) throw toCommandError(this.#messages, this.#count, footer);
  }
}

function formatLine(line: number, location: string | null, message: string): string {
  return `Line ${line}${location === null ? '' : `, ${location}`}: ${message}`;
}

function toCommandError(messages: readonly string[], count: number, footer: string | null): CommandError {
  const more = count > messages.length ? [`and ${pluralize(count - messages.length, 'more problem')}.`] : [];
  return new CommandError([...messages, ...more, ...(footer === null ? [] : [footer])].join('\n'));
}

/** The record of a request that an issue of the server is about, and the path in the record. */
export interface RejectedField {
  readonly index: number;
  readonly path: readonly string[];
}

function parseIssuePath([list, index = '', ...path]: readonly string[]): RejectedField | null {
  return list === 'records' && /^\d+$/.test(index) ? { index: Number(index), path } : null;
}

/** Returns the indices of the records that the server rejected. */
export function findRejectedIndices({ details: { issues = [] } }: ApiError): ReadonlySet<number> {
  return new Set(issues.flatMap(({ path }) => parseIssuePath(path)?.index ?? []));
}

export interface InputLocations {
  readonly lineOf: (index: number) => number;
  /** Returns the column and cell of a field; null if they are not known. */
  readonly describeCell: (field: RejectedField) => string | null;
  readonly footer: string | null;
}

/** Replaces the indices of records in the message about a duplicate. */
export function nameLines(message: string, lineOf: (index: number) => number): string {
  return message.replaceAll(
    /(r)ecord (\d+)/gi,
    (_, letter: string, index: string) => `${letter === 'R' ? 'L' : 'l'}ine ${lineOf(Number(index))}`,
  );
}

/** Translates the issues of the server, which name records by index, to lines of the input. Null if there are no issues. */
export function toLineErrors(error: ApiError, { lineOf, describeCell, footer }: InputLocations): CommandError | null {
  const { issues = [], issueCount = issues.length } = error.details;
  if (issues.length === 0) return null;
  const messages = issues.map(({ path, message, code }) => {
    const text = code === 'DUPLICATE_KEY' ? nameLines(message, lineOf) : message;
    const field = parseIssuePath(path);
    if (field === null) return `${path.filter(Boolean).join('.')}: ${text}`;
    return formatLine(lineOf(field.index), describeCell(field) ?? (field.path.join('.') || null), text);
  });
  return toCommandError(messages, issueCount, footer);
}
