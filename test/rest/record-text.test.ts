import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseJsonExactly } from '../../src/lib/json-numbers.ts';
import { findDuplicateKeys } from '../../src/lib/duplicate-keys.ts';
import type { RecordInput } from '../../src/streams/pipeline/inputs.ts';
import { readRecord } from '../../src/rest/schemas/records.ts';
import { PAUSE, RecordTextReader } from '../../src/rest/fast-path/record-parser.ts';
import { KnownSpellings } from '../../src/rest/fast-path/repeated-values.ts';

// Differential test: the fast path is compared with JSON.parse and the general reader, with which it must always agree.

const STREAM = 'usage';

const anyReader = (value: unknown) => readRecord(value, STREAM);
const textReader = () => new RecordTextReader(anyReader, new KnownSpellings());

const linesOf = (text: string): (RecordInput | string)[] => {
  const found: (RecordInput | string)[] = [];
  textReader().readLines(text, 0, Infinity, (line) => found.push(line));
  return found;
};

/** Result of the general reader; undefined if the text is not JSON or has duplicate keys. */
const asAnyJson = (text: string): unknown => {
  try {
    const { value, text: exact } = parseJsonExactly(text);
    return findDuplicateKeys(exact, value, 0).count > 0 ? undefined : value;
  } catch {
    return undefined;
  }
};

const blank = fc.constantFrom('', '', '', '', ' ', '  ', '\n', '\t ', '\r\n');
const word = fc.oneof(
  fc.constantFrom('prod', 'dev', 'hooli', 'a{b}', 'x:y,z', '[1]', 'ä', '𝒳'),
  fc.constantFrom('a"b', 'back\\slash', 'line\nbreak', '\u2028', 'null', ''),
);
const timestamp = fc.constantFrom('2026-01-25T00:00:00Z', '2026-01-25', '2026-01-26 10:00:00', 'yesterday', '');
const filter = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom<unknown>({ region: ['r1'] }, { region: ['r"1'], tier: [] }, {}) },
  { weight: 2, arbitrary: fc.dictionary(fc.constantFrom('region', 'tier', 'tag:"x"'), fc.array(word), { maxKeys: 3 }) },
  fc.constantFrom<unknown>(null, '*', {}, [], 7, { region: 'prod' }, { region: [1] }, { a: { b: ['c'] } }),
);
const value = fc.oneof(
  fc.constantFrom('"12.5"', '"1e3"', '"1.500"', '"-1"', '"abc"', '""', 'null', 'true', '{}', '["1"]'),
  fc.constantFrom(
    '12.5',
    '1.500',
    '0',
    '-0',
    '1e3',
    '1E+2',
    '0.1234567890123',
    '12345678901234567890',
    '12345.123456789012',
    '007',
    '1.',
    '.5',
    '+1',
  ),
);

/** Fields of a record as JSON text, some omitted, changed or duplicated. */
const fields = fc
  .tuple(
    timestamp,
    fc.constantFrom('DAILY', 'HOURLY', 'daily', 'WEEKLY'),
    filter,
    word,
    value,
    fc.constantFrom('-', '_'),
  )
  .chain(([at, granularity, selects, element, amount, dash]) =>
    fc
      .tuple(
        fc.shuffledSubarray(
          [
            `"timestamp":${JSON.stringify(at)}`,
            `"granularity":${JSON.stringify(granularity)}`,
            `"filter":${JSON.stringify(selects)}`,
            `"element${dash}name":${JSON.stringify(element)}`,
            `"value":${amount}`,
          ],
          { minLength: 4 },
        ),
        fc.oneof(
          { weight: 4, arbitrary: fc.constant(null) },
          fc.constantFrom(
            '"telemetry-stream":"usage"',
            '"element-name":"again"',
            '"timestamp":"2026-01-25T00:00:00Z"',
            '"x":1',
          ),
        ),
      )
      .map(([parts, more]) => (more === null ? parts : [...parts, more])),
  );

const recordText = fc.tuple(fields, blank, blank, blank).map(([parts, first, second, third]) => {
  const spaced = parts.map((part) => part.replace(/^("[^"]+"):/, (_, name: string) => `${name}${first}:${second}`));
  return `${third}{${first}${spaced.join(`${second},${third}`)}${second}}${first}`;
});

const plainText = fc
  .tuple(fc.integer({ min: 0, max: 20 }), fc.integer({ min: 0, max: 99_999 }), fc.boolean())
  .map(
    ([customer, amount, quoted]) =>
      `{"timestamp":"2026-01-25T00:00:00Z","granularity":"DAILY","filter":{"region":["r${customer % 3}"]},"element-name":"customer-${customer}","value":${quoted ? `"${amount}.5"` : amount}}`,
  );

/** A text with one character removed, inserted or changed. */
const damaged = fc
  .tuple(
    fc.oneof(plainText, recordText),
    fc.nat(),
    fc.constantFrom('', '"', '\\', '{', '}', ',', ':', '0', ' ', 'x', '\u0007'),
    fc.boolean(),
  )
  .map(([text, at, inserted, replaces]) => {
    const place = at % (text.length + 1);
    return text.slice(0, place) + inserted + text.slice(place + (replaces || inserted === '' ? 1 : 0));
  });

const line = fc.oneof(plainText, recordText, damaged);

describe('RecordTextReader > record', () => {
  test('equals the result of the general reader after any earlier records, or is passed to it', () => {
    let left = 0;
    let read = 0;
    fc.assert(
      // Some texts contain line ends, and are several lines.
      fc.property(fc.array(line, { minLength: 1, maxLength: 30 }), (some) => {
        const text = some.join('\n');
        const found = linesOf(text);
        const lines = text.split('\n');
        expect(found, text).toHaveLength(lines.length);
        for (const [index, record] of found.entries()) {
          if (typeof record === 'string') {
            left += 1;
            expect(record, text).toBe(lines[index]);
          } else {
            read += 1;
            expect(record, text).toStrictEqual(readRecord(asAnyJson(lines[index] as string), STREAM));
          }
        }
      }),
      { numRuns: 2000 },
    );
    expect(Math.min(left, read)).toBeGreaterThan(1000);
  });

  test('is never passed to the general reader if it is plain', () => {
    fc.assert(
      fc.property(fc.array(plainText, { minLength: 1, maxLength: 30 }), (lines) => {
        for (const record of linesOf(lines.join('\n'))) expect(record).toBeTypeOf('object');
      }),
      { numRuns: 200 },
    );
  });

  test('keeps all digits with any cached spellings', () => {
    const lineOf = (amount: string): string =>
      `{"timestamp":"2026-01-25T00:00:00Z","granularity":"DAILY","element-name":"a","value":${amount}}`;
    const amounts = ['1', '"12345678901234567890.123456789012"', '1234567890123456'];
    expect(linesOf(amounts.map(lineOf).join('\n'))).toMatchObject([
      { value: '1' },
      { value: '12345678901234567890.123456789012' },
      lineOf('1234567890123456'),
    ]);
  });
});

describe('RecordTextReader > list of records', () => {
  const listText = fc
    .tuple(
      fc.array(fc.oneof({ weight: 3, arbitrary: plainText }, recordText), { maxLength: 12 }),
      blank,
      blank,
      fc.constantFrom('}', '}', '}', '', '},', ',"x":1}', '}}'),
    )
    .map(
      ([records, first, second, end]) =>
        `{${first}"records"${second}:[${first}${records.join(`${second},${first}`)}]${second}${end}`,
    );

  test('equals the result of the general reader, or is passed to it', () => {
    let read = 0;
    fc.assert(
      fc.property(
        fc.oneof(
          { weight: 3, arbitrary: listText },
          listText.map((text) => text.replace(/[}\]]/, '')),
        ),
        (text) => {
          const found = [...textReader().readList(text)];
          const records = found.includes(null) ? null : found;
          if (records === null) return;
          read += 1;
          const parsed = asAnyJson(text) as { records: unknown[] };
          expect(Object.keys(parsed), text).toEqual(['records']);
          expect(records, text).toStrictEqual(parsed.records.map(anyReader));
        },
      ),
      { numRuns: 2000 },
    );
    expect(read).toBeGreaterThan(100);
  });

  test.each([
    ['a bad filter', '"filter":{"region":[0]},"value":1'],
    ['a bad filter that is long', `"filter":{"region":[${'0,'.repeat(1000)}0]},"value":1`],
    ['a long filter', `"filter":{"region":["${'r'.repeat(1000)}"]},"value":1`],
    ['another bad field', '"value":"x"'],
    ['two filters', '"filter":{"region":["a"]},"filter":{"region":["b"]},"value":1'],
  ])('passes each record at most once to the general reader: with %s', (_, fields) => {
    let calls = 0;
    const reader = new RecordTextReader((record) => {
      calls += 1;
      return anyReader(record);
    }, new KnownSpellings());
    const text = `{"timestamp":"2026-01-25T00:00:00Z","granularity":"DAILY","element-name":"e",${fields}}`;
    const expected = asAnyJson(text);
    for (const round of [1, 2]) {
      calls = 0;
      const [record] = reader.readList(`{"records":[${text}]}`);
      expect(record).toStrictEqual(expected === undefined ? null : anyReader(expected));
      expect(calls, `round ${round}`).toBeLessThanOrEqual(1);
    }
  });

  test.each([
    ['good', 'value', '1'],
    ['bad', 'value', '"x"'],
    ['of which the timestamp is unknown', 'timestamp', '"2026-01-26"'],
  ])('pauses twice in a long record that is %s', (_, name, changed) => {
    const textOf = (region: string): string =>
      JSON.stringify({
        timestamp: '2026-01-25',
        granularity: 'DAILY',
        'element-name': 'e',
        filter: { region: [region] },
        value: 1,
      });
    const long = textOf('r'.repeat(300_000)).replace(new RegExp(`"${name}":[^,}]+`), `"${name}":${changed}`);
    const found = [...textReader().readList(`{"records":[${textOf('a')},${long},${textOf('b')}]}`)];
    const [first, second, third] = [textOf('a'), long, textOf('b')].map((text) => anyReader(JSON.parse(text)));
    expect(found).toStrictEqual([first, PAUSE, PAUSE, second, third]);
  });
});
