// Pure: rules for names, filters and values of allocation telemetry, each with its issue code.
import type { Issue, IssueCollector } from '../../errors/errors.ts';
import type { IssueCode } from '../../errors/issue-codes.ts';
import { hasControlCharacters } from '../../lib/control-characters.ts';
import { type DecimalInput, parseDecimal, significantDigits } from '../../lib/decimal.ts';

export type WriteKind = 'SUM' | 'REPLACE' | 'DELETE';

export type Granularity = 'HOURLY' | 'DAILY' | 'MONTHLY';

export interface FilterEntry {
  readonly dimension: string;
  readonly values: readonly string[];
}

export interface RecordInput {
  /** RFC 3339 with the offset as sent: daily and monthly buckets are those of the date in it. */
  readonly timestamp: string;
  readonly granularity: Granularity;
  readonly filter?: readonly FilterEntry[] | null | undefined;
  readonly elementName: string;
  readonly value: DecimalInput;
}

export interface SelectorInput extends Pick<RecordInput, 'timestamp' | 'granularity' | 'filter'> {
  readonly elementName?: string | null | undefined;
}

/** Replaces one or more records or selectors that do not have the required fields and types. Paths are relative to the record. */
export class MalformedRecord {
  readonly issues: readonly Issue[];
  /** Number of issues, which may be more than are listed. */
  readonly issueCount: number;
  /** More than 1 for consecutive records whose issues are not listed. */
  readonly recordCount: number;

  constructor(issues: readonly Issue[], issueCount: number = issues.length, recordCount = 1) {
    this.issues = issues;
    this.issueCount = issueCount;
    this.recordCount = recordCount;
  }
}

export function reportMalformed(
  { issues: found, issueCount }: MalformedRecord,
  at: (...rest: string[]) => string[],
  issues: IssueCollector,
): void {
  for (const { path, code, message } of found) issues.add(at(...path), code, message);
  issues.addUnlisted(issueCount - found.length);
}

const MAX_DIMENSIONS = 5;
const MAX_VALUES = 20;
/** Maximum number of items that are validated one by one if a list is too long. */
export const MAX_CHECKED = 1000;
const MAX_TEXT = 256;
const MAX_DIGITS = 38;
const MAX_DECIMALS = 30;

/** Names of the element in `groupBy` and `filter`, which no dimension can have. */
export const ELEMENT_NAMES: ReadonlySet<string> = new Set(['element', 'element-name', 'element_name', 'elementName']);

/** Columns of every export, whose names no dimension can have. */
export const EXPORT_COLUMNS: ReadonlySet<string> = new Set(['meterApiName', 'bucketStart', 'bucketEnd', 'value']);

const STREAM_NAME = /^[A-Za-z0-9_.-]{1,256}$/;

/** Returns null if the name of a stream is valid. */
export function findStreamNameProblem(name: string): string | null {
  return STREAM_NAME.test(name) && name !== '.' && name !== '..'
    ? null
    : 'Must have 1 to 256 of the characters A-Z, a-z, 0-9, "_", "." and "-", and must not be "." or "..".';
}

/** Returns null if the text is valid as a dimension name, a dimension value, an element name or another short text. */
export function findTextProblem(text: string, maxLength = MAX_TEXT): { code: IssueCode; message: string } | null {
  if (text.length === 0) return { code: 'EMPTY', message: 'Must have at least one character.' };
  // Counted in code points, as PostgreSQL does. The cheaper UTF-16 length comes first, because most texts are short.
  if (text.length > maxLength && [...text].length > maxLength)
    return { code: 'TOO_LONG', message: `Must have at most ${maxLength} characters.` };
  if (hasControlCharacters(text)) return { code: 'CONTROL_CHARACTER', message: 'Must not contain control characters.' };
  if (!text.isWellFormed())
    return { code: 'MALFORMED_UNICODE', message: 'Must not contain half of a surrogate pair: UTF-8 cannot encode it.' };
  return null;
}

export function validateText(text: string, pathOf: () => readonly string[], issues: IssueCollector): void {
  const problem = findTextProblem(text);
  if (problem) issues.add(pathOf(), problem.code, problem.message);
}

/** Validates a filter, but not against the dimensions of the stream. */
export function validateFilter(filter: readonly FilterEntry[], path: readonly string[], issues: IssueCollector): void {
  if (filter.length > MAX_DIMENSIONS) {
    issues.add(
      path,
      'TOO_MANY_DIMENSIONS',
      `A filter has at most ${MAX_DIMENSIONS} dimensions; it has ${filter.length}.`,
    );
  }
  const seen = new Map<string, number>();
  for (const [index, entry] of filter.slice(0, MAX_CHECKED).entries()) {
    const at = [...path, String(index)];
    const earlier = seen.get(entry.dimension);
    if (earlier !== undefined) {
      issues.add(
        [...at, 'dimension'],
        'DUPLICATE_DIMENSION',
        `The dimension occurs in entry ${earlier}, too. Put all its values into one entry.`,
      );
    }
    seen.set(entry.dimension, index);
    validateText(entry.dimension, () => [...at, 'dimension'], issues);
    if (ELEMENT_NAMES.has(entry.dimension) || EXPORT_COLUMNS.has(entry.dimension)) {
      issues.add(
        [...at, 'dimension'],
        'RESERVED_DIMENSION',
        `"${entry.dimension}" is reserved: it names the element or a column of the export. Use another name.`,
      );
    }
    validateValues(entry.values, [...at, 'values'], issues);
  }
}

function validateValues(values: readonly string[], path: readonly string[], issues: IssueCollector): void {
  if (values.length === 0) issues.add(path, 'NO_VALUES', 'A dimension needs at least one value.');
  if (values.length > MAX_VALUES) {
    const distinct = countDistinct(values);
    if (distinct > MAX_VALUES) {
      const has = distinct > MAX_CHECKED ? `more than ${MAX_CHECKED}` : distinct;
      issues.add(path, 'TOO_MANY_VALUES', `A dimension has at most ${MAX_VALUES} different values; it has ${has}.`);
      if (distinct > MAX_CHECKED) return;
    }
  }
  for (const [index, value] of values.entries()) {
    const problem = findTextProblem(value);
    if (problem) issues.add([...path, String(index)], problem.code, problem.message);
  }
}

/** Stops counting above MAX_CHECKED. */
function countDistinct(values: readonly string[]): number {
  const found = new Set<string>();
  for (const value of values) {
    found.add(value);
    if (found.size > MAX_CHECKED) break;
  }
  return found.size;
}

/** Returns the decimal as text. Adds PRECISION_LOST and returns null if a double may have lost digits. */
export function readDecimalText(input: DecimalInput, path: readonly string[], issues: IssueCollector): string | null {
  if (typeof input === 'string') return input;
  if (Number.isNaN(input.value) || significantDigits(input.value) > 15) {
    issues.add(
      path,
      'PRECISION_LOST',
      'A JSON number with more than 15 significant digits, or above 1e99, may lose digits. Send it as a string.',
    );
    return null;
  }
  return String(input.value);
}

/** Matches canonical values. One of at most 38 characters is within the limits and needs no parsing, as most values do not. */
const CANONICAL_VALUE = /^(?:0|[1-9]\d{0,37})(?:\.\d{0,29}[1-9])?$/;

/** Returns the canonical text of a record's value: 0 or more, at most 38 significant digits and 30 decimals. */
export function parseRecordValue(
  input: DecimalInput,
  pathOf: () => readonly string[],
  issues: IssueCollector,
): string | null {
  if (typeof input === 'string' && input.length <= MAX_DIGITS && CANONICAL_VALUE.test(input)) return input;
  const path = pathOf();
  const text = readDecimalText(input, path, issues);
  if (text === null) return null;
  const decimal = parseDecimal(text);
  if (!decimal) {
    issues.add(path, 'BAD_DECIMAL', 'Must be a decimal number such as "12.5".');
    return null;
  }
  if (decimal.negative) {
    issues.add(path, 'NEGATIVE_VALUE', 'Must be 0 or more.');
    return null;
  }
  if (decimal.scale > MAX_DECIMALS) {
    issues.add(path, 'TOO_MANY_DECIMALS', `Must have at most ${MAX_DECIMALS} decimals; it has ${decimal.scale}.`);
    return null;
  }
  if (decimal.digits > MAX_DIGITS) {
    issues.add(
      path,
      'TOO_MANY_DIGITS',
      `Must have at most ${MAX_DIGITS} significant digits; it has ${decimal.digits}.`,
    );
    return null;
  }
  return decimal.text;
}
