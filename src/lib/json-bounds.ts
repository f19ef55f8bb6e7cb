// Pure: checks the bounds of a JSON text in one pass before it is parsed, so that later code may recurse over its levels, names
// and numbers.

/** No request needs more than 10 levels. */
const MAX_JSON_DEPTH = 64;
/** No object of a request has more than 30 fields, or dimensions of a filter. */
const MAX_JSON_NAMES = 1000;
/** No number within the limits of a value is longer. */
const MAX_JSON_NUMBER = 1000;
/** A record has at most one number, and more bytes than this. */
const BYTES_PER_LONG_NUMBER = 50;
const LONG_NUMBERS_OF_ANY = 1000;

/** Memory that V8 uses for an almost empty object or array, and for a name with its value. */
const BYTES_PER_CONTAINER = 64;
const BYTES_PER_NAME = 16;

/** Thrown instead of parsing a text beyond the bounds. */
export class JsonBoundsError extends Error {}

export interface JsonMeasure {
  /** Whether the text has numbers that a double may not hold as they were sent: never wrong if false. */
  readonly mayHaveLongNumbers: boolean;
  /** About how many bytes the parsed value takes beside its strings: 5 MB of [] become 100 MB. */
  readonly parsedBytes: number;
}

const QUOTE = 0x22;
const PLUS = 0x2b;
const MINUS = 0x2d;
const POINT = 0x2e;
const ZERO = 0x30;
const NINE = 0x39;
const COLON = 0x3a;
const CAPITAL_E = 0x45;
const BACKSLASH = 0x5c;
const SMALL_E = 0x65;
const OPENING_BRACE = 0x7b;
const CLOSING_BRACE = 0x7d;
/** Brackets and braces differ in one bit. */
const CASE = 0x20;

/** A double holds every number of 15 digits, unless it has an exponent of three: no shorter text can be changed by it. */
const SHORTEST_LONG_NUMBER = 16;
const SHORTEST_LARGE_EXPONENT = '1e400'.length;

/** Names counted at each depth. Shared by all calls: a new one for each record of a body would cost more than the check. */
const names = new Uint32Array(MAX_JSON_DEPTH + 1);

/** The text, as UTF-8, need not be valid JSON. Throws JsonBoundsError. */
export function checkJsonBounds(bytes: Uint8Array): JsonMeasure {
  const { length } = bytes;
  names[0] = 0;
  let containers = 0;
  let allNames = 0;
  let depth = 0;
  let longNumbers = 0;
  for (let at = 0; at < length; at += 1) {
    const code = bytes[at] as number;
    if (code === QUOTE) {
      for (at += 1; at < length && bytes[at] !== QUOTE; at += 1) if (bytes[at] === BACKSLASH) at += 1;
    } else if (code >= BACKSLASH - 1) {
      if ((code | CASE) === OPENING_BRACE) {
        depth += 1;
        if (depth > MAX_JSON_DEPTH)
          throw new JsonBoundsError(`JSON may be nested at most ${MAX_JSON_DEPTH} levels deep.`);
        names[depth] = 0;
        containers += 1;
      } else if ((code | CASE) === CLOSING_BRACE && depth > 0) depth -= 1;
    } else if (code === COLON) {
      names[depth] = (names[depth] as number) + 1;
      allNames += 1;
      if ((names[depth] as number) > MAX_JSON_NAMES) {
        throw new JsonBoundsError(`A JSON object may have at most ${MAX_JSON_NAMES} names.`);
      }
    } else if (code >= ZERO && code <= NINE) {
      const end = endOfNumber(bytes, at);
      if (end - at > MAX_JSON_NUMBER) {
        throw new JsonBoundsError(`A number in JSON may have at most ${MAX_JSON_NUMBER} characters.`);
      }
      if (end - at >= SHORTEST_LARGE_EXPONENT && mayBeLong(bytes, at, end)) longNumbers += 1;
      at = end - 1;
    }
  }
  if (longNumbers > LONG_NUMBERS_OF_ANY + length / BYTES_PER_LONG_NUMBER) {
    throw new JsonBoundsError('The JSON has more numbers of many digits or large exponents than records could have.');
  }
  return {
    mayHaveLongNumbers: longNumbers > 0,
    parsedBytes: containers * BYTES_PER_CONTAINER + allNames * BYTES_PER_NAME,
  };
}

function endOfNumber(bytes: Uint8Array, from: number): number {
  let at = from + 1;
  for (; at < bytes.length; at += 1) {
    const code = bytes[at] as number;
    const isPart =
      (code >= ZERO && code <= NINE) ||
      code === POINT ||
      code === SMALL_E ||
      code === CAPITAL_E ||
      code === MINUS ||
      code === PLUS;
    if (!isPart) break;
  }
  return at;
}

function mayBeLong(bytes: Uint8Array, from: number, end: number): boolean {
  if (end - from >= SHORTEST_LONG_NUMBER) return true;
  for (let at = from; at < end; at += 1) {
    const code = bytes[at];
    if (code === SMALL_E || code === CAPITAL_E) return true;
  }
  return false;
}
