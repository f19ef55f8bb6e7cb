// Pure: parsers of option values. Each throws commander's InvalidArgumentError with what is expected.
import { InvalidArgumentError } from 'commander';
import { isScope, type Scope, SCOPES } from '../accounts/scopes.ts';
import { ELEMENT_NAMES, EXPORT_COLUMNS } from '../streams/pipeline/inputs.ts';
import { findNearestName } from '../lib/nearest-name.ts';
import { findTimeZone, timeZoneProblem } from '../lib/time-zones.ts';
import { ROLES } from './ingest/csv-columns.ts';
import { parseRange } from './time-range.ts';

type Filters = readonly { readonly dimension: string; readonly values: readonly string[] }[];

export const parseList = (text: string): string[] => text.split(',');

/** Appends the value of an option that can be repeated. */
export const appendValue = (text: string, previous: readonly string[]): readonly string[] => [...previous, text];

export function parseScopes(text: string): Scope[] {
  return text.split(',').map((part) => {
    const scope = part.trim().toUpperCase();
    if (!isScope(scope)) throw new InvalidArgumentError(`"${part.trim()}" is not one of ${SCOPES.join(', ')}.`);
    return scope;
  });
}

export const DELIVERY_STATES = ['MISSING', 'RETIRED', 'SUPERSEDED', 'STALE', 'TOUCHED', 'CURRENT'] as const;

/** Returns a parser of comma-separated words in upper or lower case. */
export function parseStatuses(allowed: readonly string[]): (text: string) => string[] {
  return (text) =>
    text.split(',').map((part) => {
      const status = part.trim().toUpperCase();
      if (allowed.includes(status)) return status;
      const nearest = findNearestName(status, allowed);
      const hint = nearest === null ? '' : ` Did you mean ${nearest}?`;
      throw new InvalidArgumentError(`"${part.trim()}" is not one of ${allowed.join(', ')}.${hint}`);
    });
}

const UNIT_MS: Readonly<Record<string, number>> = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1000 };

/** Returns milliseconds. */
export function parseDuration(text: string): number {
  const [, count, unit = ''] = /^(\d{1,5})([dhms])$/.exec(text) ?? [];
  if (count === undefined) throw new InvalidArgumentError('Expected a number with d, h, m or s, such as 10m or 30d.');
  return Number(count) * (UNIT_MS[unit] ?? 0);
}

export function parseAgoRange(text: string): string {
  const range = parseRange(text);
  if (range === null) throw new InvalidArgumentError('Expected a number with d, h or m, such as 30d or ago(30d).');
  return range;
}

export function parseTimeZone(text: string): string {
  const timeZone = findTimeZone(text);
  if (timeZone === null) throw new InvalidArgumentError(timeZoneProblem(text));
  return timeZone;
}

/** Adds the value to those of the same dimension. */
export function parseFilter(text: string, previous: Filters): Filters {
  const [, dimension = '', value = ''] = /^([^=]+)=(.*)$/s.exec(text) ?? [];
  if (dimension === '') throw new InvalidArgumentError('Expected a dimension and a value, such as region=eu.');
  const values = previous.find((filter) => filter.dimension === dimension)?.values ?? [];
  return [...previous.filter((filter) => filter.dimension !== dimension), { dimension, values: [...values, value] }];
}

/** Adds the column of a role or dimension. */
export function parseColumn(
  text: string,
  previous: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  const [, name = '', column = ''] = /^([^=]+)=(.+)$/s.exec(text) ?? [];
  if (name === '') {
    throw new InvalidArgumentError(
      'Expected timestamp, element, value, granularity or a dimension, and a column, such as element=Customer.',
    );
  }
  if (Object.hasOwn(previous, name)) {
    throw new InvalidArgumentError(`"${name}" is already the column "${previous[name]}".`);
  }
  const other = Object.keys(previous).find((role) => previous[role] === column);
  if (other !== undefined) throw new InvalidArgumentError(`The column "${column}" is already "${other}".`);
  const isReserved = EXPORT_COLUMNS.has(name) || ELEMENT_NAMES.has(name);
  if (isReserved && !(ROLES as readonly string[]).includes(name)) {
    throw new InvalidArgumentError(`"${name}" cannot be the name of a dimension. Use another one.`);
  }
  return { ...previous, [name]: column };
}

export function parseDelimiter(text: string): string {
  if (text === 'tab') return '\t';
  if (!/^[^"\r\n\\]$/.test(text)) throw new InvalidArgumentError('Expected one character, or the word tab.');
  return text;
}

export function parseTop(text: string): number {
  if (!/^(?:[1-9]\d?|100)$/.test(text)) throw new InvalidArgumentError('Expected a whole number from 1 to 100.');
  return Number(text);
}

export function parseCount(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError('Expected a whole number from 1 to 999999999.');
  return Number(text);
}

/** Returns a name of the WHATWG Encoding Standard. */
export function parseEncoding(text: string): string {
  try {
    return new TextDecoder(text).encoding;
  } catch {
    throw new InvalidArgumentError('Expected the name of an encoding, such as windows-1252, utf-8 or utf-16le.');
  }
}

/** A value has at most 30 decimals. */
export function parseDecimals(text: string): number {
  if (!/^(?:[12]?\d|30)$/.test(text)) throw new InvalidArgumentError('Expected a whole number from 0 to 30.');
  return Number(text);
}
