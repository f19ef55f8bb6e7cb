import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createGate } from '../support/faults.ts';
import { hearStatements } from '../support/sent-statements.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';
import { deleteStream } from '../streams/writes.ts';
import {
  allocationPath,
  ask,
  countStored,
  issuesOf,
  linesOf,
  NDJSON,
  type Receipt,
  recordsOf,
  sendPieces,
  type Verb,
} from './requests.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

let stream = '';
let count = 0;
beforeEach(() => {
  count += 1;
  stream = `scope-${count}`;
});

const NOVEMBER = { from: '2026-11-01T00:00:00Z', to: '2026-12-01T00:00:00Z' };

const line = (day: number, element: string, filter: object = { env: ['prod'] }): string =>
  JSON.stringify({
    timestamp: `2026-11-${String(day).padStart(2, '0')}T00:00:00Z`,
    granularity: 'DAILY',
    filter,
    'element-name': element,
    value: '1',
  });

const path = (verb: Verb, query: Readonly<Record<string, string>> = {}): string =>
  `POST ${allocationPath(stream, verb)}?${new URLSearchParams(query).toString()}`;

const sendLines = (verb: Verb, lines: readonly string[], query: Readonly<Record<string, string>> = {}) =>
  ask<Receipt>(server, path(verb, query), { body: linesOf(lines), headers: NDJSON });

const sendJson = (verb: Verb, body: unknown, query: Readonly<Record<string, string>> = {}) =>
  ask<Receipt>(server, path(verb, query), { body });

const elements = async (): Promise<string[]> =>
  (await recordsOf(server, stream)).map((record) => record['element-name']).toSorted();

describe('replace with a scope in a JSON body', () => {
  test.each(['before', 'after'])('hides what is in the scope, which is %s the records', async (where) => {
    await sendLines('sum', [line(1, 'acme'), line(2, 'hooli'), line(3, 'acme', { env: ['dev'] })]);
    const scope = { ...NOVEMBER, filter: { env: 'prod' }, 'element-name': 'acme' };
    const records = [JSON.parse(line(9, 'acme')) as object];
    const answer = await sendJson('replace', where === 'before' ? { scope, records } : { records, scope });
    expect(answer).toMatchObject({ status: 200, body: { insertedRecords: 1, hiddenRecords: 1 } });
    expect((await recordsOf(server, stream)).map(({ timestamp }) => timestamp.slice(8, 10))).toEqual([
      '09',
      '03',
      '02',
    ]);
  });

  test('accepts no records, and is 400 if the stream does not exist either', async () => {
    expect(await sendJson('replace', { scope: NOVEMBER, records: [] })).toMatchObject({
      status: 400,
      body: { error: { code: 'NOT_FOUND' } },
    });
    await sendLines('sum', [line(1, 'acme')]);
    expect(await sendJson('replace', { scope: NOVEMBER, records: [] })).toMatchObject({
      status: 200,
      body: { insertedRecords: 0, hiddenRecords: 1 },
    });
  });

  test.each<[string, Verb, unknown, Readonly<Record<string, string>>, string[]]>([
    [
      'its fields are wrong',
      'replace',
      { from: 1, until: 'x' },
      {},
      ['scope/from: BAD_TYPE', 'scope/until: UNKNOWN_FIELD', 'scope/to: REQUIRED'],
    ],
    ['it is a list', 'replace', [], {}, ['scope: BAD_TYPE']],
    ['it ends within a day', 'replace', { ...NOVEMBER, to: '2026-11-15 12:00' }, {}, ['scope/to: BAD_SCOPE']],
    [
      'it names another dimension',
      'replace',
      { ...NOVEMBER, filter: { team: ['a'] } },
      {},
      ['scope/filter/team: UNKNOWN_DIMENSION'],
    ],
    ['the query has one too', 'replace', NOVEMBER, NOVEMBER, ['from: BAD_SCOPE']],
    ['the query has its element', 'replace', NOVEMBER, { 'element-name': 'acme' }, ['element-name: BAD_SCOPE']],
    ['it belongs to a sum', 'sum', NOVEMBER, {}, ['scope: SCOPE_FORBIDDEN']],
    ['it is in the query of a sum', 'sum', undefined, NOVEMBER, ['from: SCOPE_FORBIDDEN']],
    ['it belongs to a delete', 'delete', NOVEMBER, {}, ['scope: UNKNOWN_FIELD']],
  ])('is rejected if %s', async (_, verb, scope, query, expected) => {
    await sendLines('sum', [line(1, 'acme')]);
    const before = await countStored(server);
    const answer = await sendJson(verb, { records: [JSON.parse(line(2, 'acme')) as object], scope }, query);
    expect(answer.status).toBe(400);
    expect(issuesOf(answer).toSorted()).toEqual(expected.toSorted());
    expect(await countStored(server)).toEqual(before);
  });
});

describe('replace with a scope in the query of NDJSON', () => {
  test('replaces a month of any size in one operation', async () => {
    await sendLines('sum', [line(1, 'old'), line(30, 'old')]);
    const lines = Array.from({ length: 9000 }, (_, index) => line((index % 30) + 1, `customer-${index}`));
    const answer = await sendLines('replace', lines, NOVEMBER);
    expect(answer).toMatchObject({ status: 200, body: { insertedRecords: 9000, hiddenRecords: 2 } });
    const headers = { ...NDJSON, 'idempotency-key': stream };
    const again = () => ask<Receipt>(server, path('replace', NOVEMBER), { body: linesOf(lines.slice(1)), headers });
    expect((await again()).body).toMatchObject({ insertedRecords: 8999, hiddenRecords: 9000, replayed: false });
    expect((await again()).body).toMatchObject({ insertedRecords: 8999, hiddenRecords: 9000, replayed: true });
  });

  test('accepts an empty body, which a repeated request replays', async () => {
    await sendLines('sum', [line(1, 'acme'), line(30, 'hooli')]);
    const headers = { ...NDJSON, 'idempotency-key': stream };
    const send = (query: Readonly<Record<string, string>>) =>
      ask<Receipt>(server, path('replace', query), { body: '', headers });
    const written = await send({ ...NOVEMBER, to: '2026-11-02T00:00:00Z' });
    expect(written.body).toMatchObject({ insertedRecords: 0, hiddenRecords: 1, replayed: false });
    expect((await send({ ...NOVEMBER, to: '2026-11-02' })).body).toEqual({ ...written.body, replayed: true });
    expect(await send(NOVEMBER)).toMatchObject({ status: 409 });
    expect(await elements()).toEqual(['hooli']);
  });

  test('reads a plus sign that arrives as a blank', async () => {
    await sendLines('sum', [line(1, 'acme')]);
    const query = 'from=2026-11-01T00:00:00+02:00&to=2026-12-01 00:00:00+0200';
    const answer = await ask<Receipt>(server, `POST ${allocationPath(stream, 'replace')}?${encodeURI(query)}`, {
      body: '',
      headers: NDJSON,
    });
    expect(answer.body).toMatchObject({ hiddenRecords: 1 });
  });

  test.each([' UTC', ' GMT', ' +0000 UTC', '  0000 UTC', ' 00', ' 0200', ' 02:00[Europe/Berlin]', '  0300  03'])(
    'reads a time that "%s" follows',
    async (offset) => {
      await sendLines('sum', [line(1, 'acme')]);
      const from = `2026-11-01 00:00:00${offset}`;
      const answer = await sendLines('replace', [], { from, to: '2026-12-01 00:00' });
      expect(answer).toMatchObject({ status: 200, body: { hiddenRecords: 1 } });
    },
  );

  test('is a conflict if another request creates the stream while an empty body arrives', async () => {
    const { opened, open } = createGate();
    const pieces = async function* (): AsyncGenerator<Buffer> {
      yield Buffer.from('\n');
      await opened;
    };
    const heard = hearStatements();
    const answered = sendPieces(server, path('replace', NOVEMBER), pieces(), { ...NDJSON, 'idempotency-key': stream });
    // The server reads the key after it has looked for the stream.
    await eventually(
      () => Promise.resolve(heard.count('"operations"."idempotency_key" =')),
      (reads) => reads > 0,
    );
    heard.stop();
    await sendLines('sum', [line(1, 'acme')]);
    open();
    expect(await answered).toMatchObject({ status: 409, body: { error: { code: 'CONFLICT' } } });
    expect(await elements()).toEqual(['acme']);
    const headers = { ...NDJSON, 'idempotency-key': stream };
    const again = await ask<Receipt>(server, path('replace', NOVEMBER), { body: '', headers });
    expect(again).toMatchObject({ status: 200, body: { hiddenRecords: 1, replayed: false } });
  });

  test('has one issue for a wrong scope with any number of records', async () => {
    const hourly = (index: number): string => line((index % 28) + 1, `customer-${index}`).replace('DAILY', 'HOURLY');
    await sendLines('sum', [hourly(0)]);
    const lines = Array.from({ length: 20_000 }, (_, index) => hourly(index));
    const answer = await ask(server, path('replace', { ...NOVEMBER, from: '2026-11-01T00:30:00Z' }), {
      body: linesOf(lines),
      headers: NDJSON,
    });
    expect(answer.status).toBe(400);
    expect(issuesOf(answer)).toEqual(['from: BAD_SCOPE']);
    expect(answer.body.error.issueCount ?? 1).toBe(1);
  });

  test.each<[string, Verb, Readonly<Record<string, string>>, string]>([
    ['a replace', 'replace', NOVEMBER, ''],
    ['a delete', 'delete', {}, linesOf(['{"timestamp":"2026-11-01T00:00:00Z","granularity":"MONTHLY"}'])],
  ])('validates %s against the present stream if another server created it again', async (_, verb, query, body) => {
    const other = await startTestServer({
      database: server.database,
      s3: server.s3,
      env: { API_KEY: server.key, ROLE: 'api' },
    });
    try {
      await sendLines('sum', [line(1, 'acme')]);
      const elsewhere = { ...other, key: server.key };
      await deleteStream(elsewhere, stream);
      const monthly = line(1, 'hooli').replace('DAILY', 'MONTHLY');
      await ask(elsewhere, path('sum'), { body: linesOf([monthly]), headers: NDJSON });
      const answer = await ask<Receipt>(server, path(verb, query), { body, headers: NDJSON });
      expect(answer).toMatchObject({ body: { hiddenRecords: 1 } });
    } finally {
      await other.stop();
    }
  });

  test('rejects each line outside the scope, and writes nothing', async () => {
    await sendLines('sum', [line(1, 'acme')]);
    const before = await countStored(server);
    const october = line(1, 'acme').replace('2026-11', '2026-10');
    const answer = await sendLines('replace', [line(1, 'a'), october, line(3, 'b'), october], NOVEMBER);
    expect(issuesOf(answer)).toEqual(['records/1: OUTSIDE_SCOPE', 'records/3: OUTSIDE_SCOPE']);
    expect(await countStored(server)).toEqual(before);
  });

  test.each<[string, Readonly<Record<string, string>>, string[]]>([
    ['the end is missing', { from: NOVEMBER.from }, ['to: BAD_SCOPE']],
    ['the start is missing', { to: NOVEMBER.to }, ['from: BAD_SCOPE']],
    ['the start is not a timestamp', { ...NOVEMBER, from: 'November' }, ['from: BAD_SCOPE']],
    ['it has an element', { ...NOVEMBER, 'element-name': 'hooli' }, ['element-name: BAD_SCOPE']],
    ['it has a filter', { ...NOVEMBER, filter: 'env=prod' }, ['filter: BAD_SCOPE']],
  ])('is rejected if %s', async (_, query, expected) => {
    await sendLines('sum', [line(1, 'acme')]);
    const answer = await sendLines('replace', [line(1, 'acme')], query);
    expect(answer.status).toBe(400);
    expect(issuesOf(answer)).toEqual(expected);
  });

  test('is rejected if the end is given twice', async () => {
    await sendLines('sum', [line(1, 'acme')]);
    const answer = await ask(server, `${path('replace', NOVEMBER)}&to=2026-11-02T00:00:00Z`, {
      body: '',
      headers: NDJSON,
    });
    expect(issuesOf(answer)).toEqual(['to: BAD_SCOPE']);
    expect(await elements()).toEqual(['acme']);
  });

  test('changes nothing if the body breaks off', async () => {
    await sendLines('sum', [line(1, 'acme')]);
    const before = await countStored(server);
    const pieces = function* (): Generator<Buffer> {
      yield Buffer.from(linesOf([line(1, 'a')]));
      throw new Error('The client is gone.');
    };
    await expect(sendPieces(server, path('replace', NOVEMBER), pieces())).rejects.toThrow('The client is gone.');
    await eventually(
      () => countStored(server),
      (stored) => stored['staged_batches'] === 0,
    );
    expect(await elements()).toEqual(['acme']);
    expect(await countStored(server)).toEqual(before);
  });
});
