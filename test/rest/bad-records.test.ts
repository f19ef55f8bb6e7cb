import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { elementsOf } from '../../src/lib/json-elements.ts';
import { NamedStream } from '../../src/rest/stream-from-records.ts';
import { readRecord, readSelector } from '../../src/rest/schemas/records.ts';
import { MalformedRecord } from '../../src/streams/pipeline/inputs.ts';

// The issues of a bad record are listed or only counted. Both give the same number, and the same values for a good record.

const value = fc.oneof(
  fc.constantFrom<unknown>(
    '2026-01-25',
    'daily',
    'usage',
    'yesterday',
    '*',
    '1.5',
    7,
    null,
    true,
    '',
    '100000000000000001',
  ),
  fc.constantFrom<unknown>({}, [], { region: ['r1'] }, { region: 'r1', tier: [1] }, { region: 2, tier: [null, 3] }),
);
const FIELDS = ['timestamp', 'granularity', 'filter', 'element-name', 'element_name', 'telemetry-stream', 'value'];
const goodSelector = { timestamp: '2026-01-25', granularity: 'DAILY', 'element-name': 'a' };
const goodRecord = { ...goodSelector, value: '1' };
const record = fc.oneof(
  fc.dictionary(
    fc.oneof({ weight: 9, arbitrary: fc.constantFrom(...FIELDS) }, { weight: 1, arbitrary: fc.string() }),
    value,
  ),
  fc
    .tuple(
      fc.constantFrom<object>(goodSelector, goodRecord),
      fc.dictionary(fc.constantFrom(...FIELDS), value, { maxKeys: 2 }),
    )
    .map(([good, changed]): object => ({ ...good, ...changed })),
  fc.constantFrom<unknown>(null, 1, 'text', [], [{}]),
);
const stream = fc.constantFrom('usage', new NamedStream('usage'));

describe('readRecord and readSelector', () => {
  test.each([
    ['record', readRecord],
    ['selector', readSelector],
  ])('count as many issues as they list: %s', (_, read) => {
    const seen = { bad: 0, good: 0 };
    fc.assert(
      fc.property(record, stream, (sent, of) => {
        const listed = read(sent, of);
        const counted = read(sent, of, false);
        if (listed instanceof MalformedRecord) {
          expect(counted).toBeInstanceOf(MalformedRecord);
          expect((counted as MalformedRecord).issueCount).toBe(listed.issueCount);
          seen.bad += 1;
        } else {
          expect(counted).toEqual(listed);
          seen.good += 1;
        }
      }),
      { numRuns: 2000 },
    );
    expect(seen.bad).toBeGreaterThan(100);
    expect(seen.good).toBeGreaterThan(10);
  });
});

describe('elementsOf', () => {
  const space = fc.constantFrom('', ' ', '\n\t');
  test('returns the elements that JSON.parse finds', () => {
    const json = fc.oneof(
      fc.jsonValue(),
      fc.constantFrom<unknown>('a"b', '\\', ']', '},{', '\\"', [']'], { '[': '{' }),
    );
    fc.assert(
      fc.property(fc.array(json), space, space, fc.nat(2), (values, before, after, at) => {
        const list = values.map((one) => before + JSON.stringify(one) + after).join(',');
        const member = `${before}"\\u0072ecords"${after}:${before}[${after}${list}]`;
        const others = [`"scope":{"records":[1],"a]":["[",{}]}`, '"x":"records"'];
        const text = `${before}{${[...others.slice(at), member, ...others.slice(0, at)].join(`${after},`)}${before}}${after}`;
        const elements = [...elementsOf(text, 'records')].map((element): unknown => JSON.parse(element));
        expect(elements).toEqual((JSON.parse(text) as { records: unknown }).records);
      }),
    );
  });
});
