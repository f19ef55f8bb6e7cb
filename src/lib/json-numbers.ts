// Finds numbers of a JSON text that a double cannot represent exactly. JSON.parse changes them silently:
// 100000000000000000001 becomes 1e20, and 1e-400 becomes 0. A reviver is not an option: it makes JSON.parse 20 to 100 times
// slower.
import { randomUUID } from 'node:crypto';
import { checkJsonBounds } from './json-bounds.ts';

const LONG = 'sluice:digits';

/** Replaces such a number in the variables of GraphQL. A client that sends this object gets the same issue: digits were lost. */
export interface LongNumber {
  readonly [LONG]: string;
}

export function isLongNumber(value: unknown): value is LongNumber {
  return typeof value === 'object' && value !== null && LONG in value;
}

/** A random key, so that a client cannot send such an object instead of a number. */
const EXACT = `sluice:digits:${randomUUID()}`;

/** Replaces such a number in what parseJsonExactly returns. */
export interface ExactNumber {
  readonly [name: string]: string;
}

export function isExactNumber(value: unknown): value is ExactNumber {
  return typeof value === 'object' && value !== null && EXACT in value;
}

/** Returns the digits as they were sent. */
export const digitsOf = (number: ExactNumber): string => number[EXACT] ?? '';

const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;

const QUOTE = 0x22;
const PLUS = 0x2b;
const MINUS = 0x2d;
const POINT = 0x2e;
const ZERO = 0x30;
const NINE = 0x39;
const CAPITAL_E = 0x45;
const BACKSLASH = 0x5c;
const SMALL_E = 0x65;

const isDigit = (code: number): boolean => code >= ZERO && code <= NINE;

function isInNumber(code: number): boolean {
  return isDigit(code) || code === POINT || code === MINUS || code === PLUS || code === SMALL_E || code === CAPITAL_E;
}

/** Beyond 1e±308 a double ends; what is shorter, with an exponent of two digits, is far from that. */
const MAX_WRITTEN_OUT = 200;

/** Up to 15 digits survive a double; beyond 1e±308 it ends, and near that it has fewer digits (IEEE 754). */
function isLong(source: string): boolean {
  return source.length > MAX_WRITTEN_OUT || significantDigits(source) > 15 || hasLargeExponent(source);
}

/** Digits that count: zeros at either end are held by the exponent. */
function significantDigits(source: string): number {
  let count = 0;
  let zeros = 0;
  for (let at = 0; at < source.length; at += 1) {
    const code = source.charCodeAt(at);
    if (code === ZERO) {
      if (count > 0) zeros += 1;
    } else if (isDigit(code)) {
      count += zeros + 1;
      zeros = 0;
    } else if (code === SMALL_E || code === CAPITAL_E) break;
  }
  return count;
}

const hasLargeExponent = (source: string): boolean => /[eE][+-]?\d{3,}$/.test(source);

/**
 * The same JSON with LongNumbers, for a parser that comes after. Text that is not JSON is not JSON afterwards either. Throws
 * JsonBoundsError.
 */
export function markLongNumbers(text: string): string {
  return checkJsonBounds(Buffer.from(text)).mayHaveLongNumbers ? replaceLongNumbers(text, LONG) : text;
}

/**
 * The same for bytes, which are UTF-8. Mostly they come back as they are. Returns as well about how many bytes the parsed value
 * takes beside its strings.
 */
export function markLongNumbersInBytes(bytes: Buffer): { readonly bytes: Buffer; readonly parsedBytes: number } {
  const { mayHaveLongNumbers, parsedBytes } = checkJsonBounds(bytes);
  return {
    bytes: mayHaveLongNumbers ? Buffer.from(replaceLongNumbers(bytes.toString('utf8'), LONG)) : bytes,
    parsedBytes,
  };
}

function replaceLongNumbers(text: string, name: string): string {
  const parts: string[] = [];
  let copied = 0;
  let inString = false;
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) inString = !inString;
    else if (code === BACKSLASH) at += 1;
    else if (inString || !(isDigit(code) || code === MINUS)) continue;
    else {
      let end = at + 1;
      while (isInNumber(text.charCodeAt(end))) end += 1;
      const number = text.slice(at, end);
      if (isLong(number) && NUMBER.test(number)) {
        parts.push(text.slice(copied, at), `{"${name}":"${number}"}`);
        copied = end;
      }
      at = end - 1;
    }
  }
  return copied === 0 ? text : parts.join('') + text.slice(copied);
}

/** The parsed value, with an ExactNumber instead of each number that JSON.parse would change, and its text. */
export interface ExactJson {
  readonly value: unknown;
  readonly text: string;
}

/** Throws SyntaxError and JsonBoundsError. */
export function parseJsonExactly(text: string): ExactJson {
  const kept = prepareJson(text);
  return { value: parsePreparedJson(kept, text), text: kept };
}

/** Returns the text with an ExactNumber instead of each number that JSON.parse would change. Throws JsonBoundsError. */
export function prepareJson(text: string): string {
  return checkJsonBounds(Buffer.from(text)).mayHaveLongNumbers ? replaceLongNumbers(text, EXACT) : text;
}

/** Parses the result of prepareJson(text). Throws SyntaxError. */
export function parsePreparedJson(kept: string, text: string): unknown {
  // A body may have a million lines that are not JSON; the stack of an error is half of what each costs.
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  try {
    return JSON.parse(kept);
  } catch (error) {
    // Its message names a position, which is to be one of the text that was sent.
    if (kept !== text) JSON.parse(text);
    throw error;
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}
