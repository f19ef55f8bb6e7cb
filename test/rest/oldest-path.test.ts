import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestServer, type TestServer } from '../support/server.ts';
import {
  allocationPath,
  ask,
  issuesOf,
  jsonOf,
  linesOf,
  NDJSON,
  type Receipt,
  type RestAnswer,
  type RestFailure,
  recordsOf,
  send,
  sendPieces,
} from './requests.ts';

// CloudZero's first path, POST /unit-cost/v1/telemetry: the records name their stream.

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ env: { ROLE: 'api' } });
});
afterAll(() => server.stop());

const PATH = '/unit-cost/v1/telemetry';
const FORMS = ['JSON', 'NDJSON'] as const;

let streams = 0;
const newStream = (): string => `stream-${(streams += 1)}`;

const recordText = (fields: Readonly<Record<string, unknown>>): string =>
  JSON.stringify({
    timestamp: '2026-01-25',
    granularity: 'DAILY',
    filter: { region: ['eu'] },
    'element-name': 'hooli',
    value: '1',
    ...fields,
  });

const post = <Body = Receipt>(
  form: (typeof FORMS)[number],
  records: readonly string[],
  headers: Readonly<Record<string, string>> = {},
): Promise<RestAnswer<Body>> =>
  ask<Body>(server, `POST ${PATH}`, {
    body: form === 'JSON' ? jsonOf(records) : linesOf(records),
    headers: { ...(form === 'NDJSON' && NDJSON), ...headers },
  });

describe.each(FORMS)('oldest path, in %s', (form) => {
  test('adds records to the stream that they name, and returns the Link of its successor', async () => {
    const stream = newStream();
    const records = [recordText({ 'telemetry-stream': stream }), recordText({ 'telemetry-stream': stream, value: 2 })];
    const answer = await post(form, records);
    expect(answer).toMatchObject({ status: 200, body: { message: 'Telemetry accepted', insertedRecords: 2 } });
    expect(await recordsOf(server, stream)).toMatchObject([{ 'element-name': 'hooli', value: '3' }]);
    // RFC 9745: a date in the format of a structured field.
    expect(answer.headers.get('deprecation')).toMatch(/^@\d{10}$/);
    const [, successor = ''] = /^<([^>]+)>; rel="successor-version"$/.exec(answer.headers.get('link') ?? '') ?? [];
    expect(new URL(successor, server.url + PATH).pathname).toBe(allocationPath(stream, 'sum'));
  });

  test('accepts the records of a sum, and replays idempotency keys of either path', async () => {
    const stream = newStream();
    const headers = { 'idempotency-key': `key-${stream}` };
    const first = await post(form, [recordText({ 'telemetry-stream': stream })], headers);
    const second = await send(server, 'JSON', [stream, 'sum'], [recordText({})], { headers });
    expect(second.body).toEqual({ ...first.body, replayed: true });
    expect(await recordsOf(server, stream)).toMatchObject([{ value: '1' }]);
  });

  test.each<[what: string, records: readonly string[], issues: readonly string[]]>([
    ['no name', [recordText({})], ['records/0/telemetry-stream: REQUIRED']],
    [
      'no name in a later record',
      [recordText({ 'telemetry-stream': 'a' }), recordText({})],
      ['records/1/telemetry-stream: REQUIRED'],
    ],
    [
      'another name in later records',
      [
        recordText({ 'telemetry-stream': 'a' }),
        recordText({ 'telemetry-stream': 'A' }),
        recordText({ 'telemetry-stream': 'a' }),
        recordText({ 'telemetry-stream': 'b' }),
      ],
      ['records/1/telemetry-stream: OTHER_STREAM', 'records/3/telemetry-stream: OTHER_STREAM'],
    ],
    ['a name that is a number', [recordText({ 'telemetry-stream': 7 })], ['records/0/telemetry-stream: BAD_TYPE']],
    [
      'a name that no stream has',
      [recordText({ 'telemetry-stream': 'a/b' })],
      ['records/0/telemetry-stream: BAD_STREAM_NAME'],
    ],
    ['no object', ['7'], ['records/0: BAD_TYPE']],
    ['no records', [], ['records: NO_RECORDS']],
    [
      'a bad value too',
      [recordText({ 'telemetry-stream': 'a', value: '-1' }), recordText({ 'telemetry-stream': 'b', value: 'x' })],
      ['records/0/value: NEGATIVE_VALUE', 'records/1/telemetry-stream: OTHER_STREAM'],
    ],
  ])('rejects %s and stores nothing', async (_, records, issues) => {
    const answer = await post<RestFailure>(form, records);
    expect([answer.status, issuesOf(answer)]).toEqual([400, issues]);
    expect(answer.headers.get('deprecation')).toBeNull();
    expect(await ask(server, `GET ${PATH}/a/records`)).toMatchObject({
      status: 400,
      body: { error: { code: 'NOT_FOUND' } },
    });
  });

  test('requires an API key with the scope INGEST', async () => {
    const body = form === 'JSON' ? jsonOf([recordText({})]) : linesOf([recordText({})]);
    const headers = form === 'NDJSON' ? NDJSON : {};
    expect((await ask(server, `POST ${PATH}`, { body, headers, key: null })).status).toBe(403);
    const key = await server.createKey('reader', ['READ']);
    expect((await ask(server, `POST ${PATH}`, { body, headers, key })).status).toBe(403);
  });

  test('accepts compressed bodies, and a slash at the end of the path', async () => {
    const stream = newStream();
    const records = [recordText({ 'telemetry-stream': stream })];
    const answer = await ask(server, `POST ${PATH}/`, {
      body: gzipSync(form === 'JSON' ? jsonOf(records) : linesOf(records)),
      headers: { 'content-encoding': 'gzip', ...(form === 'NDJSON' && NDJSON) },
    });
    expect(answer.status).toBe(200);
    const [, successor = ''] = /^<([^>]+)>/.exec(answer.headers.get('link') ?? '') ?? [];
    expect(new URL(successor, `${server.url}${PATH}/`).pathname).toBe(allocationPath(stream, 'sum'));
  });
});

describe('NDJSON on the oldest path', () => {
  test('may arrive in any pieces, with blank lines and a byte order mark first', async () => {
    const stream = newStream();
    const records = Array.from({ length: 30 }, (_, index) =>
      recordText({ 'telemetry-stream': stream, 'element-name': `é${index}` }),
    );
    const bytes = Buffer.from(`\uFEFF\n\r\n  \n${linesOf(records)}`);
    const pieces = Array.from({ length: Math.ceil(bytes.length / 7) }, (_, at) => bytes.subarray(at * 7, at * 7 + 7));
    const answer = await sendPieces(server, `POST ${PATH}`, pieces);
    expect(answer).toMatchObject({ status: 200, body: { insertedRecords: 30 } });
    expect(await recordsOf(server, stream)).toHaveLength(30);
  });

  test('is read as a stream beyond the limit of a JSON body', async () => {
    const stream = newStream();
    const record = recordText({ 'telemetry-stream': stream, filter: { region: ['x'.repeat(250)] } });
    const count = 20_000;
    const answer = await post(
      'NDJSON',
      Array.from({ length: count }, () => record),
    );
    expect(answer).toMatchObject({ status: 200, body: { insertedRecords: count } });
  });

  test.each([
    ['blank lines alone', '\n\n  \n', ['records: NO_RECORDS']],
    ['a first line that is not JSON', '{"telemetry-stream": "a"\n', ['records/0: NOT_JSON']],
    ['a first line that is not UTF-8', Buffer.from('7b22ff22', 'hex'), ['records/0: NOT_JSON']],
    ['a first line that is too long', `{"telemetry-stream":"${'x'.repeat(1024 * 1024)}"}\n`, ['records/0: NOT_JSON']],
    ['blank lines without an end', '\n'.repeat(3 * 1024 * 1024), ['records/0: LINE_TOO_LONG']],
  ])('with %s > is rejected', async (_, body, issues) => {
    const answer = await ask<RestFailure>(server, `POST ${PATH}`, { body, headers: NDJSON });
    expect([answer.status, issuesOf(answer)]).toEqual([400, issues]);
  });
});

test.each(FORMS)('record on the path of another stream > is rejected, in %s', async (form) => {
  const record = recordText({ 'telemetry-stream': 'other' });
  for (const verb of ['sum', 'replace'] as const) {
    const answer = await send<RestFailure>(server, form, [newStream(), verb], [record]);
    expect([answer.status, issuesOf(answer)]).toEqual([400, ['records/0/telemetry-stream: OTHER_STREAM']]);
  }
});

describe('unit metrics', () => {
  test.each([
    'POST /unit-cost/v1/telemetry/metric/cost-per-customer/sum',
    'POST /unit-cost/v1/telemetry/metric/cost-per-customer/replace',
    'POST /unit-cost/v1/telemetry/metric/cost-per-customer',
    'POST /unit-cost/v1/telemetry/metric',
    'GET /unit-cost/v1/telemetry/metric/cost-per-customer/records',
    'GET /unit-cost/v1/telemetry/metric/records',
    'DELETE /unit-cost/v1/telemetry/metric/cost-per-customer',
    'DELETE /unit-cost/v1/telemetry/metric',
    'PUT /unit-cost/v1/telemetry/metric/',
  ])('%s > is 404 and says that only allocation streams are served', async (route) => {
    const { status, body } = await ask(server, route);
    expect([status, body.error.code]).toEqual([404, 'NOT_FOUND']);
    expect(body.error.message).toContain('only allocation streams are served');
  });
});

describe('streams named allocation and metric', () => {
  const NAMES = ['allocation', 'metric'] as const;
  beforeAll(async () => {
    for (const name of NAMES) {
      expect((await send(server, 'JSON', [name, 'sum'], [recordText({})])).status).toBe(200);
      expect((await post('JSON', [recordText({ 'telemetry-stream': name })])).status).toBe(200);
    }
  });

  test.each(NAMES)('%s > are not deleted by the short path, where the word is reserved', async (name) => {
    expect((await ask(server, `GET ${PATH}/${name}/records`)).status).toBe(404);
    expect((await ask(server, `DELETE ${PATH}/${name}?force=true`)).status).toBe(404);
    const { stream } = await server.graphql<{ stream: { records: { edges: { node: { value: string } }[] } } }>(
      'query ($name: String!) { stream(name: $name) { records { edges { node { value } } } } }',
      { name },
    );
    expect(stream.records.edges.map(({ node }) => node.value)).toEqual(['2']);
  });

  test('do not affect a stream named records, which the path without a verb writes', async () => {
    const answer = await ask(server, `POST ${PATH}/allocation/records`, { body: jsonOf([recordText({})]) });
    expect(answer.status).toBe(200);
    expect(await recordsOf(server, 'records')).toMatchObject([{ value: '1' }]);
  });
});
