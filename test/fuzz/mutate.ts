import type { Random } from './random.ts';

// Changes inputs that are right into ones that are nearly right: bytes of a text, and values of a JSON document.

const words = (text: string): string[] => text.split(' ');

/** Bytes that mean something to a parser of JSON, GraphQL, HTTP, UTF-8 or WebSocket frames. */
const TELLING: readonly Buffer[] = [
  ...words(
    '" \\ { } [ ] : , - . # $ @ ! ... """ /* // %00 %2e%2e % & = ; null true NaN -0 1e400 1e-400 __proto__ constructor',
  ),
  ...words('\\u0000 \\ud800 \\udfff\\ud800 \\u{110000} \\u{1f600} \ufeff \u{1f600} \u00e9 \u202e sluice:digits'),
  ...words('0.1234567890123456789 9999999999999999999999999999999999999999 {"sluice:digits":"1"} {"sluice:digits":7}'),
  '\n',
  '\r\n',
  '\r\n\r\n',
  '\0',
  '\t',
  ' ',
  '\u2028',
].map((text) => Buffer.from(text));
const BROKEN_UTF8: readonly Buffer[] = [
  [0xff],
  [0xc0, 0x80],
  [0xed, 0xa0, 0x80],
  [0xf4, 0x90, 0x80, 0x80],
  [0xe2, 0x82],
].map((bytes) => Buffer.from(bytes));

const splice = (bytes: Buffer, start: number, end: number, put: Buffer): Buffer =>
  Buffer.concat([bytes.subarray(0, start), put, bytes.subarray(end)]);

/** One to six changes: bits, bytes, tokens; pieces cut out, doubled or moved; the end cut off. */
export const mutateBytes = (random: Random, bytes: Buffer): Buffer => {
  let changed = bytes;
  const rounds = 1 + random.below(random.chance(0.3) ? 6 : 2);
  for (let round = 0; round < rounds; round += 1) {
    const at = random.below(changed.length + 1);
    const to = Math.min(changed.length, at + 1 + random.below(12));
    switch (random.below(9)) {
      case 0:
        if (at < changed.length) {
          changed = Buffer.from(changed);
          changed[at] = (changed[at] ?? 0) ^ (1 << random.below(8));
        }
        break;
      case 1:
        changed = splice(changed, at, Math.min(changed.length, at + 1), random.bytes(1));
        break;
      case 2:
        changed = splice(changed, at, to, Buffer.alloc(0));
        break;
      case 3:
        changed = splice(changed, at, at, changed.subarray(at, to));
        break;
      case 4:
        changed = splice(changed, at, random.chance(0.5) ? at : to, random.pick(TELLING));
        break;
      case 5:
        changed = splice(changed, at, at, random.pick(BROKEN_UTF8));
        break;
      case 6:
        if (random.chance(0.3)) changed = changed.subarray(0, at);
        break;
      case 7: {
        const from = random.below(changed.length + 1);
        changed = splice(changed, at, at, changed.subarray(from, from + random.below(40)));
        break;
      }
      default:
        // Now and then very much of one thing, which is what recursion and backtracking suffer from.
        changed = splice(
          changed,
          at,
          at,
          Buffer.from(
            random
              .pick(TELLING)
              .toString()
              .repeat(random.pick([2, 30, 3000])),
          ),
        );
    }
  }
  return changed;
};

export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json } | RawJson;

/** JSON text that JSON.stringify would not write: numbers beyond a double, repeated names. */
export class RawJson {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

export const writeJson = (value: Json | undefined): string => {
  if (value instanceof RawJson) return value.text;
  if (Array.isArray(value)) return `[${value.map((one: Json) => writeJson(one)).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  return `{${Object.entries(value)
    .map(([name, one]) => `${JSON.stringify(name)}:${writeJson(one)}`)
    .join(',')}}`;
};

/** Changes one value somewhere in a document, the values nearer to its root less often. */
export const mutateJson = (random: Random, value: Json, leaf: () => Json): Json => {
  const isList = Array.isArray(value);
  const isObject = typeof value === 'object' && value !== null && !isList && !(value instanceof RawJson);
  if ((!isList && !isObject) || random.chance(0.08)) return leaf();
  const entries = Object.entries(value as Record<string, Json>);
  if (entries.length === 0) return isList ? [leaf()] : { [keyOf(leaf())]: leaf() };
  const at = random.below(entries.length);
  const [name = '', one = null] = entries[at] ?? [];
  const changed = [...entries];
  const action = random.below(20);
  if (action === 0) changed.splice(at, 1);
  else if (action === 1) changed.push([keyOf(leaf()), leaf()]);
  else if (action === 2) changed[at] = [keyOf(leaf()), one];
  else if (action === 3)
    for (let more = random.pick([1, 21, 200]); more > 0; more -= 1) changed.push([`${name}${more}`, one]);
  else changed[at] = [name, mutateJson(random, one, leaf)];
  if (isList) return changed.map(([, each]) => each);
  // A duplicate key.
  if (action === 4) {
    return new RawJson(
      `{${[...changed, [name, leaf()] as const].map(([key, each]) => `${JSON.stringify(key)}:${writeJson(each)}`).join(',')}}`,
    );
  }
  // Not by assignment, which changes the prototype of an object if the name is __proto__.
  return Object.fromEntries(changed);
};

const keyOf = (value: Json): string =>
  typeof value === 'string' ? value.slice(0, 300) : writeJson(value).slice(0, 30);
