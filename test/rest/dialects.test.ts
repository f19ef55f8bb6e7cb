import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestServer, type TestServer } from '../support/server.ts';
import { readRecords, write } from '../streams/writes.ts';
import {
  allocationPath,
  ask,
  issuesOf,
  jsonOf,
  linesOf,
  NDJSON,
  type Receipt,
  recordsOf,
  type RestRecord,
  send,
  sendPieces,
} from './requests.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ env: { ROLE: 'api' } });
});
afterAll(() => server.stop());

let streams = 0;
const newStream = (): string => `stream-${(streams += 1)}`;

const FORMS = ['JSON', 'NDJSON'] as const;

/** A record as JSON text, from the text of each field; fields that are null are omitted. */
const recordText = (changes: Readonly<Record<string, string | null>> = {}): string => {
  const fields = {
    timestamp: '"2026-01-25T00:00:00Z"',
    granularity: '"DAILY"',
    'element-name': '"hooli"',
    value: '"1"',
    ...changes,
  };
  const texts = Object.entries(fields).flatMap(([name, text]) => (text === null ? [] : [`"${name}":${text}`]));
  return `{${texts.join(',')}}`;
};

const PLAIN = {
  timestamp: '2026-01-25T00:00:00Z',
  granularity: 'DAILY',
  filter: {},
  'element-name': 'hooli',
  value: '1',
};

const spellings: [what: string, changes: Record<string, string | null>, read: Partial<RestRecord>][] = [
  ['element-name', {}, {}],
  ['element_name', { 'element-name': null, element_name: '"hooli"' }, {}],
  ['a value as a string', { value: '"250.50"' }, { value: '250.5' }],
  ['a value as a number', { value: '20' }, { value: '20' }],
  ['zero', { value: '0' }, { value: '0' }],
  ['minus zero', { value: '-0.0' }, { value: '0' }],
  ['0.1', { value: '0.1' }, { value: '0.1' }],
  ['0.30000000000000004', { value: '0.30' }, { value: '0.3' }],
  ['1e3', { value: '1e3' }, { value: '1000' }],
  ['1E+3', { value: '1E+3' }, { value: '1000' }],
  ['1e3 as a string', { value: '"1e3"' }, { value: '1000' }],
  ['0.000000000001', { value: '0.000000000001' }, { value: '0.000000000001' }],
  ['8e-7', { value: '8e-7' }, { value: '0.0000008' }],
  ['the double 3.3333333333333335', { value: '3.3333333333333335' }, { value: '3.3333333333333335' }],
  ['30 decimals', { value: `8.${'1'.repeat(30)}` }, { value: `8.${'1'.repeat(30)}` }],
  ['1e-12', { value: '1e-12' }, { value: '0.000000000001' }],
  ['0e-400, which is 0', { value: '0e-400' }, { value: '0' }],
  ['20 digits', { value: '12345678901234567890' }, { value: '12345678901234567890' }],
  ['17 digits', { value: '9007199254740993' }, { value: '9007199254740993' }],
  [
    '38 digits with 12 decimals',
    { value: '99999999999999999999999999.999999999999' },
    { value: '99999999999999999999999999.999999999999' },
  ],
  ['38 digits as a string', { value: `"${'9'.repeat(38)}"` }, { value: '9'.repeat(38) }],
  ['1e37', { value: '1e37' }, { value: `1${'0'.repeat(37)}` }],
  ['DAILY in lower case', { granularity: '"daily"' }, {}],
  ['DAILY in mixed case', { granularity: '"Daily"' }, {}],
  ['HOURLY in lower case', { granularity: '"hourly"' }, { granularity: 'HOURLY' }],
  [
    'MONTHLY in mixed case',
    { granularity: '"monthLY"' },
    { granularity: 'MONTHLY', timestamp: '2026-01-01T00:00:00Z' },
  ],
  ['an empty filter', { filter: '{}' }, {}],
  ['the filter "*"', { filter: '"*"' }, {}],
  ['the filter null', { filter: 'null' }, {}],
  [
    'a filter whose values repeat and are in another order',
    { filter: '{"tag:b":["y","x","y"],"custom:a":["1"]}' },
    { filter: { 'custom:a': ['1'], 'tag:b': ['x', 'y'] } },
  ],
  ['one value instead of a list', { filter: '{"d":"a"}' }, { filter: { d: ['a'] } }],
  [
    '21 values that are 20 different ones',
    { filter: JSON.stringify({ d: [...'abcdefghijklmnopqrsta'] }) },
    { filter: { d: [...'abcdefghijklmnopqrst'] } },
  ],
  ['a dimension called __proto__', { filter: '{"__proto__":["a"]}' }, { filter: { ['__proto__']: ['a'] } }],
  ['a timestamp with milliseconds', { timestamp: '"2026-01-25T23:59:59.999Z"' }, {}],
  ['a timestamp with an offset', { timestamp: '"2026-01-25T01:00:00+05:30"' }, {}],
  ['a timestamp with a blank and an offset', { timestamp: '"2026-01-25 20:00:00-08:00"' }, {}],
  ['a timestamp with a blank before the offset', { timestamp: '"2026-01-25 00:00:00 +00:00"' }, {}],
  ['a timestamp without a zone', { timestamp: '"2026-01-25T23:59:59"' }, {}],
  ['a timestamp with a blank and no zone', { timestamp: '"2026-01-25 00:00:00"' }, {}],
  ['a timestamp with microseconds and no zone', { timestamp: '"2026-01-25 00:00:00.000001"' }, {}],
  ['the date alone', { timestamp: '"2026-01-25"' }, {}],
  ['a timestamp in lower case', { timestamp: '"2026-01-25t00:00:00z"' }, {}],
  ['escapes and letters beyond ASCII', { 'element-name': '"\\u00e9é\\ud83d\\ude00"' }, { 'element-name': 'éé😀' }],
];

describe('spellings of a record', () => {
  test.each(spellings)('are equivalent in JSON and NDJSON: %s', async (_, changes, read) => {
    for (const form of FORMS) {
      const stream = newStream();
      const answer = await send(server, form, [stream, 'sum'], [recordText(changes)]);
      expect([answer.status, answer.text]).toMatchObject([200, expect.stringContaining('"insertedRecords":1,')]);
      expect(await recordsOf(server, stream)).toEqual([{ ...PLAIN, ...read }]);
    }
  });

  test('have the same receipt for the same content, across GraphQL, JSON and NDJSON', async () => {
    const records = [{ timestamp: PLAIN.timestamp, granularity: 'DAILY', elementName: 'hooli', value: '1' }];
    const first = await write(server, 'Sum', { stream: 'one', idempotencyKey: 'one', records });
    const same = [
      {},
      { 'element-name': null, element_name: '"hooli"' },
      { value: '1.000' },
      { value: '"+1e0"' },
      { granularity: '"daily"' },
      { filter: '"*"' },
      { filter: 'null' },
      { timestamp: '"2026-01-25"' },
      { timestamp: '"2026-01-25 12:00:00"' },
    ];
    for (const changes of same) {
      for (const form of FORMS) {
        const headers = { 'idempotency-key': 'one' };
        const answer = await send(server, form, ['one', 'sum'], [recordText(changes)], { headers });
        expect(answer.body).toMatchObject({ replayed: true, operationId: first.operation?.id });
      }
    }
    expect(await readRecords(server, 'one')).toMatchObject([{ value: '1' }]);
  });

  test.each(FORMS)('may repeat the stream of the path, in %s', async (form) => {
    const stream = newStream();
    const named = { 'telemetry-stream': JSON.stringify(stream) };
    expect((await send(server, form, [stream, 'sum'], [recordText(named)])).status).toBe(200);
    expect(await recordsOf(server, stream)).toEqual([PLAIN]);
    const { body } = await send(server, form, [stream, 'delete'], [recordText({ ...named, value: null })]);
    expect(body).toMatchObject({ hiddenRecords: 1 });
  });

  test('are accepted in selectors of a delete', async () => {
    const selectors = [
      {},
      { 'element-name': null, element_name: '"hooli"' },
      { 'element-name': null },
      { 'element-name': 'null' },
      { granularity: '"daily"' },
      { filter: '"*"' },
      { filter: 'null' },
      { filter: '{}' },
      { filter: '{"d":["b","a","b"]}' },
      { timestamp: '"2026-01-25 12:00:00"' },
    ];
    for (const changes of selectors) {
      for (const form of FORMS) {
        const stream = newStream();
        await send(server, form, [stream, 'sum'], [recordText({ filter: '{"d":["a","b"]}' })]);
        const answer = await send(server, form, [stream, 'delete'], [recordText({ ...changes, value: null })]);
        expect(answer).toMatchObject({ status: 201, body: { hiddenRecords: 1, insertedRecords: 0 } });
      }
    }
  });
});

const refusedValues: [value: string, code: string][] = [
  ['1e-400', 'TOO_MANY_DECIMALS'],
  ['1e400', 'TOO_MANY_DIGITS'],
  ['"1e-400"', 'TOO_MANY_DECIMALS'],
  ['1e-31', 'TOO_MANY_DECIMALS'],
  ['0.1234567890123456789012345678901', 'TOO_MANY_DECIMALS'],
  ['1'.repeat(39), 'TOO_MANY_DIGITS'],
  ['-0.1', 'NEGATIVE_VALUE'],
  ['""', 'BAD_DECIMAL'],
  ['" 1"', 'BAD_DECIMAL'],
  ['"NaN"', 'BAD_DECIMAL'],
  ['true', 'BAD_TYPE'],
  ['null', 'BAD_TYPE'],
  ['["1"]', 'BAD_TYPE'],
  ['{"sluice:digits":"1"}', 'BAD_TYPE'],
];

const writtenOut: [what: string, value: string, code: string][] = [
  ['1e-401 written out', `0.${'0'.repeat(400)}1`, 'TOO_MANY_DECIMALS'],
  ['1e-400 in zeros and an exponent', `0.${'0'.repeat(300)}1e-99`, 'TOO_MANY_DECIMALS'],
  ['1e400 written out', '1'.padEnd(401, '0'), 'TOO_MANY_DIGITS'],
];

test.each([...writtenOut, ...refusedValues.map(([value, code]) => [value, value, code] as const)])(
  'value %s > is rejected, not rounded',
  async (_, value, code) => {
    for (const form of FORMS) {
      const answer = await send(server, form, ['refused', 'sum'], [recordText({ value })]);
      expect([answer.status, issuesOf(answer)]).toEqual([400, [`records/0/value: ${code}`]]);
    }
  },
);

const encodings: [name: string, compress: (bytes: string) => Buffer][] = [
  ['gzip', (bytes) => gzipSync(bytes)],
  ['GZIP', (bytes) => gzipSync(bytes)],
  ['x-gzip', (bytes) => gzipSync(bytes)],
  ['deflate', (bytes) => deflateSync(bytes)],
  ['br', (bytes) => brotliCompressSync(bytes)],
  ['identity', (bytes) => Buffer.from(bytes)],
];

test.each(encodings)('body > is accepted as %s', async (encoding, compress) => {
  const records = [recordText(), recordText({ value: '2' })];
  for (const form of FORMS) {
    const stream = newStream();
    const answer = await ask<Receipt>(server, `POST ${allocationPath(stream, 'sum')}`, {
      body: compress(form === 'JSON' ? jsonOf(records) : linesOf(records)),
      headers: { 'content-encoding': encoding, ...(form === 'NDJSON' && NDJSON) },
    });
    expect(answer).toMatchObject({ status: 200, body: { insertedRecords: 2 } });
    expect(await recordsOf(server, stream)).toEqual([{ ...PLAIN, value: '3' }]);
  }
});

const jsonTypes = [
  null,
  'application/json',
  'application/json; charset=utf-8',
  'Application/JSON',
  'application/x-www-form-urlencoded',
  'text/plain',
];

test.each(jsonTypes)('JSON body > is accepted with the Content-Type %s', async (type) => {
  const stream = newStream();
  const headers: Record<string, string> = type === null ? {} : { 'content-type': type };
  expect(await send(server, 'JSON', [stream, 'sum'], [recordText()], { headers })).toMatchObject({ status: 200 });
  expect(await recordsOf(server, stream)).toEqual([PLAIN]);
  const body = { jobName: stream, s3Url: stream, format: 'csv', aggregationBucket: 'day', range: 'ago(1d)' };
  expect(await ask(server, 'POST /jobs/check', { body, headers })).toMatchObject({ status: 200 });
});

const lineTypes = [
  'application/x-ndjson',
  'application/ndjson',
  'application/x-ndjson; charset=utf-8',
  'Application/X-NDJSON',
  'application/jsonl',
  'application/x-jsonlines',
];

test.each(lineTypes)('NDJSON body > is accepted with the Content-Type %s', async (type) => {
  const stream = newStream();
  const headers = { 'content-type': type };
  const answer = await send(server, 'NDJSON', [stream, 'sum'], [recordText(), recordText()], { headers });
  expect(answer).toMatchObject({ status: 200, body: { insertedRecords: 2 } });
});

const [LINE_1, LINE_2] = [recordText(), recordText({ value: '2' })];
const bodiesOfLines: [what: string, body: string | Buffer][] = [
  ['with LF', `${LINE_1}\n${LINE_2}\n`],
  ['with CRLF', `${LINE_1}\r\n${LINE_2}\r\n`],
  ['with no end of the last line', `${LINE_1}\n${LINE_2}`],
  ['with blank lines', `\n${LINE_1}\n\n  \n\r\n\t${LINE_2}\n\n`],
  ['with a byte order mark', `\ufeff${LINE_1}\n${LINE_2}\n`],
  ['with a byte order mark on a line of its own', `\ufeff\n${LINE_1}\n${LINE_2}\n`],
];

describe('NDJSON body', () => {
  const expectBoth = async (stream: string): Promise<void> =>
    expect(await recordsOf(server, stream)).toEqual([{ ...PLAIN, value: '3' }]);

  test.each(bodiesOfLines)('with %s > is read, also one byte at a time', async (_, body) => {
    const whole = newStream();
    const answer = await ask<Receipt>(server, `POST ${allocationPath(whole, 'sum')}`, { body, headers: NDJSON });
    expect(answer).toMatchObject({ status: 200, body: { insertedRecords: 2 } });
    await expectBoth(whole);
    const pieces = newStream();
    const bytes = Array.from(Buffer.from(body), (byte) => Buffer.from([byte]));
    expect(await sendPieces(server, `POST ${allocationPath(pieces, 'sum')}`, bytes)).toMatchObject({
      status: 200,
      body: { insertedRecords: 2 },
    });
    await expectBoth(pieces);
  });

  test('is read as one if it was compressed in several members', async () => {
    const stream = newStream();
    const body = Buffer.concat([gzipSync(`${LINE_1}\n`), gzipSync(LINE_2)]);
    const headers = { ...NDJSON, 'content-encoding': 'gzip' };
    expect(await ask(server, `POST ${allocationPath(stream, 'sum')}`, { body, headers })).toMatchObject({
      status: 200,
    });
    await expectBoth(stream);
  });

  test('may exceed the limit of a JSON body', async () => {
    const stream = newStream();
    const filter = JSON.stringify({ d: Array.from({ length: 20 }, (_, index) => `${index}`.padStart(250, 'x')) });
    const lines = Array.from({ length: 1200 }, (_, index) => recordText({ filter, value: String(index) }));
    const body = linesOf(lines);
    expect(body.length).toBeGreaterThan(6_000_000);
    const answer = await ask<Receipt>(server, `POST ${allocationPath(stream, 'sum')}`, { body, headers: NDJSON });
    expect(answer).toMatchObject({ status: 200, body: { insertedRecords: 1200 } });
    expect(await recordsOf(server, stream)).toMatchObject([{ value: String((1199 * 1200) / 2) }]);
    expect(await send(server, 'JSON', [stream, 'sum'], lines)).toMatchObject({ status: 413 });
  });
});

test('JSON body > may begin with a byte order mark', async () => {
  const stream = newStream();
  const body = `\ufeff${jsonOf([LINE_1])}`;
  expect(await ask(server, `POST ${allocationPath(stream, 'sum')}`, { body })).toMatchObject({ status: 200 });
});

const keyHeaders: [what: string, headersOf: (key: string) => Record<string, string>][] = [
  ['X-API-Key', (key) => ({ 'X-API-Key': key })],
  ['x-api-key', (key) => ({ 'x-api-key': key })],
  ['Authorization without Bearer', (key) => ({ Authorization: key })],
  ['Authorization with Bearer', (key) => ({ Authorization: `Bearer ${key}` })],
  ['Authorization with bearer', (key) => ({ authorization: `bearer ${key}` })],
];

test.each(keyHeaders)('API key > is accepted as %s', async (_, headersOf) => {
  const headers = headersOf(server.key);
  expect(await send(server, 'JSON', ['keys', 'sum'], [LINE_1], { headers, key: null })).toMatchObject({ status: 200 });
  expect(await ask(server, 'GET /jobs', { headers, key: null })).toMatchObject({ status: 200 });
});

test('route without a verb > returns Deprecation and the Link of its successor', async () => {
  const path = '/unit-cost/v1/telemetry/allocation/usage.v1';
  const answer = await ask(server, `POST ${path}`, { body: jsonOf([LINE_1]) });
  expect(answer.status).toBe(200);
  // RFC 9745: a date in the format of a structured field.
  expect(answer.headers.get('deprecation')).toMatch(/^@\d{10}$/);
  expect(answer.headers.get('link')).toBe('<usage.v1/sum>; rel="successor-version"');
  const [, successor = ''] = /<(.*)>/.exec(answer.headers.get('link') ?? '') ?? [];
  const followed = await ask(server, `POST ${new URL(successor, server.url + path).pathname}`, {
    body: jsonOf([LINE_1]),
  });
  expect(followed.status).toBe(200);
  expect(followed.headers.get('deprecation')).toBeNull();
});

describe('list of records', () => {
  const COUNT = 1005;
  const path = '/unit-cost/v1/telemetry/list/records';
  beforeAll(async () => {
    const lines = Array.from({ length: COUNT }, (_, index) => {
      const moment = new Date(Date.UTC(2026, 0, 1) + (index % 500) * 3_600_000).toISOString();
      return recordText({ timestamp: `"${moment}"`, granularity: '"HOURLY"', 'element-name': `"e${index}"` });
    });
    const { body } = await send(server, 'NDJSON', ['list', 'sum'], lines);
    expect(body.insertedRecords).toBe(COUNT);
  });
  const list = async (query: string): Promise<RestRecord[]> =>
    (await ask<{ records: RestRecord[] }>(server, `GET ${path}${query}`)).body.records;

  test.each([
    ['', 1000],
    ['?limit=1', 1],
    ['?limit=999', 999],
    ['?limit=1000', 1000],
  ])('with %s > has %i records, newest first', async (query, count) => {
    const records = await list(query);
    expect(records).toHaveLength(count);
    const moments = records.map((record) => record.timestamp);
    expect(moments).toEqual(moments.toSorted().toReversed());
    expect(moments[0]).toBe('2026-01-21T19:00:00Z');
  });

  test.each(['0', '1001', '-1', '1.5', 'x', '', '1e9', 'NaN'])('rejects limit=%s', async (limit) => {
    const answer = await ask(server, `GET ${path}?limit=${limit}`);
    expect([answer.status, issuesOf(answer)]).toEqual([400, ['limit: BAD_VALUE']]);
  });

  test('returns 400 for a stream that does not exist, as CloudZero does', async () => {
    expect(await ask(server, 'GET /unit-cost/v1/telemetry/nowhere/records')).toMatchObject({
      status: 400,
      body: { error: { code: 'NOT_FOUND', issues: [] } },
    });
  });
});

describe('DELETE of a stream', () => {
  const force: [what: string, query: string, body: string | undefined][] = [
    ['?force=true', '?force=true', undefined],
    ['{"force": true}', '', '{"force": true}'],
    ['both', '?force=true', '{"force": true}'],
    ['?force=true and {"force": false}', '?force=true', '{"force": false}'],
  ];
  const others: [what: string, query: string, body: string | undefined][] = [
    ['no force', '', undefined],
    ['?force=false', '?force=false', undefined],
    ['{}', '', '{}'],
    ['{"force": false}', '', '{"force": false}'],
  ];

  test.each(others)('with %s > is rejected if the stream has live records', async (_, query, body) => {
    const stream = newStream();
    await send(server, 'JSON', [stream, 'sum'], [LINE_1]);
    const answer = await ask(server, `DELETE /unit-cost/v1/telemetry/${stream}${query}`, {
      ...(body !== undefined && { body }),
    });
    expect([answer.status, issuesOf(answer)]).toEqual([400, ['force: STREAM_NOT_EMPTY']]);
    expect(await recordsOf(server, stream)).toEqual([PLAIN]);
    // Without live records the stream is deleted.
    await send(server, 'JSON', [stream, 'delete'], [recordText({ value: null })]);
    const again = await ask(server, `DELETE /unit-cost/v1/telemetry/${stream}${query}`, {
      ...(body !== undefined && { body }),
    });
    expect(again).toMatchObject({ status: 200, body: { message: 'Stream deleted', name: stream } });
  });

  test.each(force)('with %s > deletes a stream with live records and releases its name', async (_, query, body) => {
    const stream = newStream();
    await send(server, 'JSON', [stream, 'sum'], [LINE_1]);
    const answer = await ask<{ id: string }>(server, `DELETE /unit-cost/v1/telemetry/${stream}${query}`, {
      ...(body !== undefined && { body }),
    });
    expect(answer).toMatchObject({ status: 200, body: { name: stream } });
    expect(await readRecords(server, stream)).toBeNull();
    const { node } = await server.graphql<{ node: { name: string } }>(
      'query ($id: ID!) { node(id: $id) { ... on Stream { name } } }',
      { id: answer.body.id },
    );
    expect(node).toEqual({ name: stream });
    const monthly = recordText({ granularity: '"MONTHLY"' });
    expect(await send(server, 'JSON', [stream, 'sum'], [monthly])).toMatchObject({ status: 200 });
  });

  test('is rejected if the stream does not exist', async () => {
    const answer = await ask(server, 'DELETE /unit-cost/v1/telemetry/nowhere?force=true');
    expect(answer).toMatchObject({ status: 400, body: { error: { code: 'NOT_FOUND' } } });
  });

  test.each([
    ['?force=yes', undefined, 'force: BAD_VALUE'],
    ['', '{"force": "true"}', 'force: BAD_TYPE'],
    ['', '{"forced": true}', 'forced: UNKNOWN_FIELD'],
  ])('with %s %s > is rejected', async (query, body, issue) => {
    const answer = await ask(server, `DELETE /unit-cost/v1/telemetry/list${query}`, {
      ...(body !== undefined && { body }),
    });
    expect([answer.status, issuesOf(answer)]).toEqual([400, [issue]]);
  });
});

test('stream name > may be percent-encoded in the path', async () => {
  const name = 'Usage.v1_a-b';
  const escaped = 'Usage%2Ev1%5Fa%2Db';
  await ask(server, `POST /unit-cost/v1/telemetry/allocation/${escaped}/sum`, { body: jsonOf([LINE_1]) });
  expect(await recordsOf(server, name)).toEqual([PLAIN]);
});
