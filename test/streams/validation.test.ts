import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestServer, type TestServer } from '../support/server.ts';
import { NOW, TEXTS, TIMESTAMPS, VALUES } from './spellings.ts';
import {
  deleteStream,
  readRecords,
  readValues,
  type RecordInput,
  tryWrite,
  verdict,
  write,
  type WriteInput,
  type WriteKind,
} from './writes.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ resources: { clock: { now: () => NOW } } });
});
afterAll(() => server.stop());

const RECORD: RecordInput = {
  timestamp: '2026-01-25T00:00:00Z',
  granularity: 'DAILY',
  elementName: 'hooli',
  value: '1',
};
const record = (changes: Partial<RecordInput>): RecordInput => ({ ...RECORD, ...changes });
const filter = (...entries: readonly (readonly [string, ...string[]])[]) => ({
  filter: entries.map(([dimension, ...values]) => ({ dimension, values })),
});

let streams = 0;
const newName = (): string => `stream-${(streams += 1)}`;

/** Writes one record as the first of its stream and returns the result. A rejected record must not create the stream. */
const fate = async (changes: Partial<RecordInput>, input: Partial<WriteInput> = {}): Promise<string> => {
  const stream = input.stream ?? newName();
  const answer = await write(server, 'Sum', { stream, records: [record(changes)], ...input });
  const told = verdict(answer).replace('input.records.0.', '');
  if (told !== 'taken') {
    const { stream: made } = await server.graphql<{ stream: object | null }>(
      `query ($name: String!) { stream(name: $name) { id } }`,
      { name: stream },
    );
    expect(made).toBeNull();
  }
  return told;
};

const EMOJI = '\u{1f600}';
const x = (length: number): string => 'x'.repeat(length);

test.each([
  ['a', 'taken'],
  [x(256), 'taken'],
  [x(257), 'BAD_STREAM_NAME'],
  ['Az09_.-', 'taken'],
  ['...', 'taken'],
  ['-', 'taken'],
  ['__proto__', 'taken'],
  ['', 'BAD_STREAM_NAME'],
  ['.', 'BAD_STREAM_NAME'],
  ['..', 'BAD_STREAM_NAME'],
  ['a b', 'BAD_STREAM_NAME'],
  ['a/b', 'BAD_STREAM_NAME'],
  ['ä', 'BAD_STREAM_NAME'],
  ['a\n', 'BAD_STREAM_NAME'],
  ['a\u0000', 'BAD_STREAM_NAME'],
])('a stream named %j: %s', async (stream, expected) => {
  expect(await fate({}, { stream })).toBe(expected === 'taken' ? expected : `input.stream: ${expected}`);
});

test('stream names > are case-sensitive', async () => {
  await write(server, 'Sum', { stream: 'Case', records: [RECORD] });
  await write(server, 'Sum', { stream: 'case', records: [record({ value: '2' })] });
  expect([await readValues(server, 'Case'), await readValues(server, 'case')]).toEqual([
    { '2026-01-25T00:00:00Z hooli': '1' },
    { '2026-01-25T00:00:00Z hooli': '2' },
  ]);
});

const dimensions = (count: number) =>
  filter(...Array.from({ length: count }, (_, index) => [`d${index}`, 'v'] as const));
const values = (count: number) => Array.from({ length: count }, (_, index) => `v${index}`);

test.each<[string, Partial<RecordInput>, string]>([
  ['no filter', {}, 'taken'],
  ['5 dimensions', dimensions(5), 'taken'],
  ['6 dimensions', dimensions(6), 'filter: TOO_MANY_DIMENSIONS'],
  ['1 value', filter(['d', 'v']), 'taken'],
  ['20 values', filter(['d', ...values(20)]), 'taken'],
  ['21 values', filter(['d', ...values(21)]), 'filter.0.values: TOO_MANY_VALUES'],
  ['21 values of which two are the same', filter(['d', ...values(20), 'v7']), 'taken'],
  ['no value', filter(['e', 'v'], ['d']), 'filter.1.values: NO_VALUES'],
  ['a dimension named twice', filter(['d', 'v'], ['e', 'v'], ['d', 'w']), 'filter.2.dimension: DUPLICATE_DIMENSION'],
  ['two dimensions that differ in case', filter(['d', 'v'], ['D', 'v']), 'taken'],
  ['names of Object.prototype', filter(['__proto__', '__proto__'], ['constructor', 'toString']), 'taken'],
])('a filter with %s: %#', async (_, changes, expected) => {
  expect(await fate(changes)).toBe(expected);
});

test.each([
  'element',
  'element-name',
  'element_name',
  'elementName',
  'meterApiName',
  'bucketStart',
  'bucketEnd',
  'value',
])('the dimension name %s is reserved, in another case it is not', async (name) => {
  expect(await fate(filter([name, 'v']))).toBe('filter.0.dimension: RESERVED_DIMENSION');
  expect(await fate(filter([name.toUpperCase(), 'v']))).toBe('taken');
});

describe('dimension names, dimension values and element names', () => {
  const places: Record<string, (text: string) => Partial<RecordInput>> = {
    'filter.0.dimension': (text) => filter([text, 'v']),
    'filter.0.values.1': (text) => filter(['d', 'v', text]),
    elementName: (text) => ({ elementName: text }),
  };
  test.each(TEXTS)('%s', async (_, text, code) => {
    for (const [place, changes] of Object.entries(places)) {
      const stream = newName();
      expect(await fate(changes(text), { stream })).toBe(code === null ? 'taken' : `${place}: ${code}`);
      if (code !== null) continue;
      const [kept] = (await readRecords(server, stream)) ?? [];
      const sent = record(changes(text));
      expect(kept).toMatchObject({
        elementName: sent.elementName,
        filter: (sent.filter ?? []).map((entry) => ({ ...entry, values: [...entry.values].toSorted() })),
      });
    }
  });
});

test.each(VALUES)('the value %j: %s', async (value, expected) => {
  const stream = newName();
  const told = await fate({ value }, { stream });
  if (/^\d/.test(expected)) {
    expect(told).toBe('taken');
    expect((await readRecords(server, stream))?.[0]?.value).toBe(expected);
  } else expect(told).toBe(`value: ${expected}`);
});

test.each(['1e400', '1e-400'])(
  'validation > rejects the number %s in variables, which no double can hold',
  async (number) => {
    // Both are valid JSON; once read, one would be Infinity and the other, unnoticed, 0.
    const response = await fetch(`${server.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-api-key': server.key },
      body: `{"query":"mutation ($value: Decimal!) { allocationSum(input: {stream: \\"infinite\\", records: [{timestamp: \\"2026-01-25T00:00:00Z\\", granularity: DAILY, elementName: \\"hooli\\", value: $value}]}) { ... on ValidationError { issues { code } } } }","variables":{"value":${number}}}`,
    });
    expect(await response.json()).toEqual({ data: { allocationSum: { issues: [{ code: 'PRECISION_LOST' }] } } });
  },
);

test.each([
  ['12345678901234567890123456.789012345678', '12345678901234567890123456.789012345678'],
  ['0.30000000000000004', '0.30000000000000004'],
  ['1.2345678901234567e-14', '0.000000000000012345678901234567'],
  ['0.1234567890123456789012345678901', 'TOO_MANY_DECIMALS'],
  ['1234567890123456789e-12', '1234567.890123456789'],
  ['1E3', '1000'],
  ['-0', '0'],
  ['"12345678901234567890123456.789012345678"', '12345678901234567890123456.789012345678'],
])('the literal %s in the document keeps its digits: %s', async (literal, expected) => {
  const stream = newName();
  const { allocationSum } = await server.graphql<{ allocationSum: { issues?: readonly { code: string }[] } }>(
    `mutation { allocationSum(input: { stream: "${stream}", records: [{
      timestamp: "2026-01-25T00:00:00Z", granularity: DAILY, elementName: "hooli", value: ${literal} }] }) {
        ... on ValidationError { issues { code } } } }`,
  );
  const kept = (await readRecords(server, stream))?.[0]?.value;
  expect(allocationSum.issues?.[0]?.code ?? kept).toBe(expected);
});

test.each(TIMESTAMPS)('the timestamp %j of a DAILY record: %s', async (timestamp, expected) => {
  const stream = newName();
  const told = await fate({ timestamp }, { stream });
  if (/^\d/.test(expected)) {
    expect(told).toBe('taken');
    expect((await readRecords(server, stream))?.[0]?.timestamp).toBe(`${expected}T00:00:00Z`);
  } else expect(told).toBe(`timestamp: ${expected}`);
});

test.each<[RecordInput['granularity'], string]>([
  ['HOURLY', '2025-12-31T23:00:00Z'],
  ['DAILY', '2026-01-01T00:00:00Z'],
  ['MONTHLY', '2026-01-01T00:00:00Z'],
])('a timestamp with an offset > has the %s bucket %s', async (granularity, expected) => {
  const stream = newName();
  await write(server, 'Sum', {
    stream,
    records: [record({ granularity, timestamp: '2026-01-01T00:59:59.999+01:00' })],
  });
  expect((await readRecords(server, stream))?.[0]?.timestamp).toBe(expected);
});

test.each([
  ['', 'EMPTY'],
  ['k', 'taken'],
  [x(255), 'taken'],
  [x(256), 'TOO_LONG'],
  [EMOJI.repeat(255), 'taken'],
  [EMOJI.repeat(256), 'TOO_LONG'],
  ['a\u0000', 'CONTROL_CHARACTER'],
  ['\ud83d', 'MALFORMED_UNICODE'],
])('the idempotency key %j: %s', async (idempotencyKey, expected) => {
  expect(await fate({}, { idempotencyKey })).toBe(
    expected === 'taken' ? expected : `input.idempotencyKey: ${expected}`,
  );
});

test.each<WriteKind>(['Sum', 'Replace', 'Delete'])('a %s without records is rejected', async (kind) => {
  expect(verdict(await write(server, kind, { stream: 'none', records: [] }))).toBe('input.records: NO_RECORDS');
});

test('validation > reports every invalid record, and stores no record of the request', async () => {
  const answer = await write(server, 'Sum', {
    stream: 'several',
    idempotencyKey: 'several',
    records: [
      record(filter(['region', 'eu'])),
      record({ ...filter(['region']), timestamp: 'yesterday', value: '-1', elementName: '' }),
      record({ ...filter(['region', 'us'], ['region', 'eu']), granularity: 'HOURLY' }),
      record(filter(['team', 'a'])),
      record(filter(['region', 'eu'])),
    ],
  });
  expect(answer.issues?.map(({ path, code }) => `${path.join('.')} ${code}`).toSorted()).toEqual([
    'input.records.1.elementName EMPTY',
    'input.records.1.filter.0.values NO_VALUES',
    'input.records.1.timestamp BAD_TIMESTAMP',
    'input.records.1.value NEGATIVE_VALUE',
    'input.records.2.filter.1.dimension DUPLICATE_DIMENSION',
    'input.records.2.granularity GRANULARITY_DIFFERS',
    'input.records.3.filter DIMENSIONS_DIFFER',
  ]);
  expect(await readRecords(server, 'several')).toBeNull();
  // The key stayed free for the corrected request.
  const corrected = { stream: 'several', idempotencyKey: 'several', records: [record(filter(['region', 'eu']))] };
  expect(await write(server, 'Sum', corrected)).toMatchObject({ replayed: false });
});

test('validation > lists the first 100 of 10,000 invalid records and counts all; 10,001 records are too many', async () => {
  const bad = Array.from({ length: 10_001 }, () => record({ value: '-1' }));
  const answer = await write(server, 'Sum', { stream: 'large', records: bad.slice(0, 10_000) });
  expect(answer.issueCount).toBe(10_000);
  expect(answer.issues?.map((issue) => issue.path.join('.'))).toEqual(
    Array.from({ length: 100 }, (_, index) => `input.records.${index}.value`),
  );
  for (const kind of ['Sum', 'Replace'] as const) {
    expect(await write(server, kind, { stream: 'large', records: bad })).toMatchObject({
      __typename: 'LimitExceededError',
      code: 'LIMIT_EXCEEDED',
      limit: 10_000,
      actual: 10_001,
    });
  }
  const selectors = bad.map(({ timestamp, granularity }) => ({ timestamp, granularity }));
  expect(verdict(await write(server, 'Delete', { stream: 'large', records: selectors }))).toBe('LIMIT_EXCEEDED');
  expect(await readRecords(server, 'large')).toBeNull();
});

describe('existing stream', () => {
  beforeAll(async () => {
    const records = [record({ ...filter(['region', 'eu'], ['team', 'a']) })];
    expect(verdict(await write(server, 'Sum', { stream: 'shaped', records }))).toBe('taken');
  });

  test.each<[string, Partial<RecordInput>, string]>([
    ['its dimensions in another order', filter(['team', 'a'], ['region', 'eu']), 'taken'],
    ['one dimension less', filter(['region', 'eu']), 'filter: DIMENSIONS_DIFFER'],
    ['no dimensions', {}, 'filter: DIMENSIONS_DIFFER'],
    ['one more', filter(['region', 'eu'], ['team', 'a'], ['x', 'a']), 'filter: DIMENSIONS_DIFFER'],
    ['another instead', filter(['region', 'eu'], ['Team', 'a']), 'filter: DIMENSIONS_DIFFER'],
    [
      'another granularity',
      { ...filter(['region', 'eu'], ['team', 'a']), granularity: 'MONTHLY' },
      'granularity: GRANULARITY_DIFFERS',
    ],
  ])('takes records with %s, or says why not', async (_, changes, expected) => {
    for (const kind of ['Sum', 'Replace'] as const) {
      const answer = await write(server, kind, { stream: 'shaped', records: [record(changes)] });
      expect(verdict(answer).replace('input.records.0.', '')).toBe(expected);
    }
  });

  test.each<[string, Partial<RecordInput>, string]>([
    ['one of its dimensions', filter(['team', 'nobody']), 'taken'],
    ['a dimension that it lacks', filter(['team', 'a'], ['Team', 'a']), 'filter.1.dimension: UNKNOWN_DIMENSION'],
    ['a dimension twice', filter(['team', 'a'], ['team', 'a']), 'filter.1.dimension: DUPLICATE_DIMENSION'],
    ['21 values', filter(['team', ...values(21)]), 'filter.0.values: TOO_MANY_VALUES'],
    ['another granularity', { granularity: 'HOURLY' }, 'granularity: GRANULARITY_DIFFERS'],
    ['a bad timestamp', { timestamp: 'x' }, 'timestamp: BAD_TIMESTAMP'],
    ['an empty element', { elementName: '' }, 'elementName: EMPTY'],
  ])('validates a delete selector with %s', async (_, changes, expected) => {
    const { timestamp, granularity } = RECORD;
    const selector = { timestamp, granularity, elementName: 'nobody', ...changes };
    const answer = await write(server, 'Delete', { stream: 'shaped', records: [selector] });
    expect(verdict(answer).replace('input.records.0.', '')).toBe(expected);
  });

  test('deleted stream > is not found by a delete, and frees its name for another shape', async () => {
    await write(server, 'Sum', { stream: 'reshaped', records: [RECORD, record({ elementName: 'globex' })] });
    await write(server, 'Replace', { stream: 'reshaped', records: [RECORD] });
    const { deletedId: id } = await deleteStream(server, 'reshaped');
    const selector = { timestamp: RECORD.timestamp, granularity: RECORD.granularity };
    expect(verdict(await write(server, 'Delete', { stream: 'reshaped', records: [selector] }))).toBe('NOT_FOUND');
    const hourly = record({ granularity: 'HOURLY', ...filter(['region', 'eu']) });
    expect(verdict(await write(server, 'Sum', { stream: 'reshaped', records: [hourly] }))).toBe('taken');
    const { node } = await server.graphql<{ node: Record<string, unknown> }>(
      `query ($id: ID!) { node(id: $id) { ... on Stream { name granularity dimensions deletedAt firstTimestamp
        records { edges { cursor } } operations { edges { node { kind hiddenRecords } } } } } }`,
      { id },
    );
    expect(node).toEqual({
      name: 'reshaped',
      granularity: 'DAILY',
      dimensions: [],
      deletedAt: '2026-01-25T12:00:00Z',
      firstTimestamp: null,
      records: { edges: [] },
      operations: {
        edges: [
          { node: { kind: 'DELETE_STREAM', hiddenRecords: 2 } },
          { node: { kind: 'REPLACE', hiddenRecords: 1 } },
          { node: { kind: 'SUM', hiddenRecords: 0 } },
        ],
      },
    });
  });
});

test('replace > reports both records of a key that occurs twice, even if their spelling differs', async () => {
  const answer = await write(server, 'Replace', {
    stream: 'twice',
    records: [
      record({ elementName: 'other', ...filter(['a', '1', '2'], ['b', '3']) }),
      record(filter(['a', '1', '2'], ['b', '3'])),
      record({ ...filter(['a', '1', '2'], ['b', '4']) }),
      record({ ...filter(['b', '3', '3'], ['a', '2', '1']), timestamp: '2026-01-25T23:30:00+00:30', value: '2' }),
      record({ ...filter(['b', '3'], ['a', '1', '2', '1']), value: '3' }),
    ],
  });
  expect(verdict(answer).split(', ').toSorted()).toEqual([
    'input.records.1: DUPLICATE_KEY',
    'input.records.3: DUPLICATE_KEY',
    'input.records.4: DUPLICATE_KEY',
  ]);
  expect(answer.issues?.[0]?.message).toMatch(/\b1\b.*\b3\b/);
  expect(await readRecords(server, 'twice')).toBeNull();
});

test.each<[string, unknown]>([
  ['a number as timestamp', { timestamp: 1_769_299_200 }],
  ['null as timestamp', { timestamp: null }],
  ['an unknown granularity', { granularity: 'WEEKLY' }],
  ['a granularity in lower case', { granularity: 'daily' }],
  ['a number as element', { elementName: 7 }],
  ['null as element', { elementName: null }],
  ['null as filter', { filter: null }],
  ['a map as filter', { filter: { region: ['eu'] } }],
  ['a number as dimension value', { filter: [{ dimension: 'region', values: [1] }] }],
  ['null as dimension value', { filter: [{ dimension: 'region', values: [null] }] }],
  ['a boolean as value', { value: true }],
  ['null as value', { value: null }],
  ['a list as value', { value: ['1'] }],
  ['an unknown field', { element: 'hooli' }],
])('%s is of the wrong type: BAD_USER_INPUT', async (_, changes) => {
  const records = [{ ...RECORD, ...(changes as object) }];
  const answer = await tryWrite(server, 'Sum', { stream: 'typed', records });
  expect(new Set(answer.errors?.map((error) => error.extensions?.['code']))).toEqual(new Set(['BAD_USER_INPUT']));
  expect(await readRecords(server, 'typed')).toBeNull();
});

test('delete > is BAD_USER_INPUT when a selector has a value', async () => {
  const answer = await tryWrite(server, 'Delete', { stream: 'shaped', records: [RECORD] });
  expect(answer.errors?.map((error) => error.extensions?.['code'])).toEqual(['BAD_USER_INPUT']);
});
