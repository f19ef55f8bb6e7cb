import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestServer, type TestServer } from '../support/server.ts';
import { TEXTS, VALUES } from '../streams/spellings.ts';
import {
  allocationPath,
  ask,
  countStored,
  issuesOf,
  NDJSON,
  type RestAnswer,
  type RestFailure,
  send,
  type Verb,
} from './requests.ts';

// Invalid records, and their errors in both formats.

let server: TestServer;
let before: Record<string, number>;
const STREAM = 'known';
beforeAll(async () => {
  server = await startTestServer({ env: { ROLE: 'api' } });
  await send(server, 'JSON', [STREAM, 'sum'], [JSON.stringify(record())]);
  before = await countStored(server);
});
afterAll(async () => {
  // None of these requests stored anything, and the staging table is empty.
  expect(before).toMatchObject({ records: 1, operations: 1, staged_batches: 0 });
  expect(await countStored(server)).toEqual(before);
  await server.stop();
});

type Fields = Readonly<Record<string, unknown>>;

const record = (changes: Fields = {}): Fields => ({
  timestamp: '2026-01-25T00:00:00Z',
  granularity: 'DAILY',
  filter: { 'tag:x': ['a'] },
  'element-name': 'hooli',
  value: '1',
  ...changes,
});
const selector = (changes: Fields = {}): Fields => {
  const { value: _, ...rest } = record();
  return { ...rest, ...changes };
};
const without = (fields: Fields, ...names: string[]): Fields =>
  Object.fromEntries(Object.entries(fields).filter(([name]) => !names.includes(name)));

const FORMS = ['JSON', 'NDJSON'] as const;

/** Checks that both formats return the same error, and returns it. */
const expectRefused = async (
  target: readonly [stream: string, verb: Verb],
  records: readonly unknown[],
  issues: readonly string[],
): Promise<RestAnswer<RestFailure>[]> => {
  const answers: RestAnswer<RestFailure>[] = [];
  for (const form of FORMS) {
    const answer = await send<RestFailure>(
      server,
      form,
      target,
      records.map((one) => JSON.stringify(one)),
    );
    expect([form, answer.status, ...issuesOf(answer).toSorted()]).toEqual([form, 400, ...issues.toSorted()]);
    expect(answer.body.error).toMatchObject({ code: 'VALIDATION_FAILED', issueCount: issues.length });
    expect(Object.keys(answer.body)).toEqual(['error']);
    for (const issue of answer.body.error.issues) expect(Object.keys(issue)).toEqual(['path', 'code', 'message']);
    answers.push(answer);
  }
  return answers;
};

const inFourth = (bad: unknown, good: Fields): unknown[] => [good, good, good, bad, good];

const badRecords: [what: string, record: unknown, issues: string[]][] = [
  // Rules of the format.
  ['no timestamp', without(record(), 'timestamp'), ['timestamp: REQUIRED']],
  ['no granularity', without(record(), 'granularity'), ['granularity: REQUIRED']],
  ['no element', without(record(), 'element-name'), ['element-name: REQUIRED']],
  ['no value', without(record(), 'value'), ['value: REQUIRED']],
  ['nothing at all', {}, ['timestamp: REQUIRED', 'granularity: REQUIRED', 'element-name: REQUIRED', 'value: REQUIRED']],
  ['null', null, [': BAD_TYPE']],
  ['a text', 'x', [': BAD_TYPE']],
  ['a list', [record()], [': BAD_TYPE']],
  ['both spellings of the element', record({ element_name: 'hooli' }), ['element_name: TWO_ELEMENTS']],
  [
    'a misspelled field',
    record({ filters: {}, elementname: 'hooli' }),
    ['filters: UNKNOWN_FIELD', 'elementname: UNKNOWN_FIELD'],
  ],
  [
    'the name of GraphQL',
    { ...without(record(), 'element-name'), elementName: 'hooli' },
    ['elementName: UNKNOWN_FIELD', 'element-name: REQUIRED'],
  ],
  ['a field of every object', record({ constructor: 1 }), ['constructor: UNKNOWN_FIELD']],
  ['a timestamp that is a number', record({ timestamp: 1769299200 }), ['timestamp: BAD_TYPE']],
  ['an element that is a number', record({ 'element-name': 7 }), ['element-name: BAD_TYPE']],
  ['an element that is null', record({ 'element-name': null }), ['element-name: BAD_TYPE']],
  ['a granularity that there is not', record({ granularity: 'WEEKLY' }), ['granularity: BAD_VALUE']],
  ['a granularity that is null', record({ granularity: null }), ['granularity: BAD_VALUE']],
  ['a filter that is a text', record({ filter: 'tag:x' }), ['filter: BAD_TYPE']],
  ['a filter that is a list', record({ filter: [{ 'tag:x': ['a'] }] }), ['filter: BAD_TYPE']],
  ['values that are a number', record({ filter: { 'tag:x': 7 } }), ['filter/tag:x: BAD_TYPE']],
  ['another stream than that of the path', record({ 'telemetry-stream': 'other' }), ['telemetry-stream: OTHER_STREAM']],
  [
    'a stream that is a number',
    record({ 'telemetry-stream': 7 }),
    ['telemetry-stream: BAD_TYPE', 'telemetry-stream: OTHER_STREAM'],
  ],
  ['a value that is not a string', record({ filter: { 'tag:x': ['a', 7] } }), ['filter/tag:x/1: BAD_TYPE']],
  // Rules of the domain.
  ['an invalid timestamp', record({ timestamp: '2026-02-29T00:00:00Z' }), ['timestamp: BAD_TIMESTAMP']],
  ['a word instead of a timestamp', record({ timestamp: 'yesterday' }), ['timestamp: BAD_TIMESTAMP']],
  ['an hour that there is not', record({ timestamp: '2026-01-25 24:00:01' }), ['timestamp: BAD_TIMESTAMP']],
  ['a timestamp in the future', record({ timestamp: '9999-01-01' }), ['timestamp: FUTURE_TIMESTAMP']],
  ['another granularity', record({ granularity: 'hourly' }), ['granularity: GRANULARITY_DIFFERS']],
  ['no filter', without(record(), 'filter'), ['filter: DIMENSIONS_DIFFER']],
  ['the filter "*"', record({ filter: '*' }), ['filter: DIMENSIONS_DIFFER']],
  ['another dimension', record({ filter: { 'tag:y': ['a'] } }), ['filter: DIMENSIONS_DIFFER']],
  ['one dimension more', record({ filter: { 'tag:x': ['a'], b: ['b'] } }), ['filter: DIMENSIONS_DIFFER']],
  ['no values', record({ filter: { 'tag:x': [] } }), ['filter/tag:x: NO_VALUES']],
  [
    '21 values',
    record({ filter: { 'tag:x': Array.from({ length: 21 }, (_, index) => `v${index}`) } }),
    ['filter/tag:x: TOO_MANY_VALUES'],
  ],
  [
    'six dimensions',
    record({ filter: Object.fromEntries([...'abcdef'].map((name) => [name, ['a']])) }),
    ['filter: TOO_MANY_DIMENSIONS'],
  ],
  ...['element', 'element-name', 'element_name', 'elementName', 'meterApiName', 'bucketStart', 'value'].map(
    (name): [string, unknown, string[]] => [
      `the reserved dimension ${name}`,
      record({ filter: { [name]: ['a'] } }),
      [`filter/${name}: RESERVED_DIMENSION`],
    ],
  ),
  ...TEXTS.filter(([, , code]) => code !== null).flatMap(([what, text, code]): [string, unknown, string[]][] => [
    [`an element of ${what}`, record({ 'element-name': text }), [`element-name: ${code}`]],
    [`a dimension of ${what}`, record({ filter: { [text]: ['a'] } }), [`filter/${text}: ${code}`]],
    [`a value of ${what}`, record({ filter: { 'tag:x': ['a', text] } }), [`filter/tag:x/1: ${code}`]],
  ]),
  ...VALUES.filter(([sent, read]) => typeof sent === 'string' && /^[A-Z_]+$/.test(read)).map(
    ([sent, code]): [string, unknown, string[]] => [
      `the value ${JSON.stringify(sent)}`,
      record({ value: sent }),
      [`value: ${code}`],
    ],
  ),
  [
    'several issues',
    record({ timestamp: 'x', 'element-name': '', value: '-1', filter: { 'tag:x': [''] } }),
    ['timestamp: BAD_TIMESTAMP', 'element-name: EMPTY', 'value: NEGATIVE_VALUE', 'filter/tag:x/0: EMPTY'],
  ],
];

const below = (issues: readonly string[], index: number): string[] =>
  issues.map((issue) => `records/${index}${issue.startsWith(':') ? '' : '/'}${issue}`);

describe.each<'sum' | 'replace'>(['sum', 'replace'])('%s', (verb) => {
  test.each(badRecords)('is rejected for %s', async (_, bad, issues) => {
    // Valid records with different record keys, because a replace rejects duplicates.
    const records = inFourth(bad, record()).map((one, index) =>
      index === 3 ? one : record({ 'element-name': `e${index}` }),
    );
    await expectRefused([STREAM, verb], records, below(issues, 3));
  });
});

describe('delete', () => {
  const badSelectors: [what: string, selector: unknown, issues: string[]][] = [
    ['a value', selector({ value: '1' }), ['value: VALUE_FORBIDDEN']],
    ['a value of 0', selector({ value: 0 }), ['value: VALUE_FORBIDDEN']],
    ['no timestamp', without(selector(), 'timestamp'), ['timestamp: REQUIRED']],
    ['no granularity', without(selector(), 'granularity'), ['granularity: REQUIRED']],
    [
      'a misspelled field',
      selector({ filters: {}, elementname: 'x' }),
      ['filters: UNKNOWN_FIELD', 'elementname: UNKNOWN_FIELD'],
    ],
    ['both spellings of the element', selector({ element_name: 'hooli' }), ['element_name: TWO_ELEMENTS']],
    ['both spellings, one null', selector({ element_name: null }), ['element_name: TWO_ELEMENTS']],
    ['another granularity', selector({ granularity: 'MONTHLY' }), ['granularity: GRANULARITY_DIFFERS']],
    ['a dimension that the stream lacks', selector({ filter: { nope: ['a'] } }), ['filter/nope: UNKNOWN_DIMENSION']],
    ['no values', selector({ filter: { 'tag:x': [] } }), ['filter/tag:x: NO_VALUES']],
    ['an empty element', selector({ 'element-name': '' }), ['element-name: EMPTY']],
    ['an invalid timestamp', selector({ timestamp: 'x' }), ['timestamp: BAD_TIMESTAMP']],
    ['a timestamp in the future', selector({ timestamp: '9999-01-01' }), ['timestamp: FUTURE_TIMESTAMP']],
    ['another stream than that of the path', selector({ 'telemetry-stream': 'x' }), ['telemetry-stream: OTHER_STREAM']],
    ['null', null, [': BAD_TYPE']],
  ];

  test.each(badSelectors)('is rejected for %s', async (_, bad, issues) => {
    await expectRefused([STREAM, 'delete'], inFourth(bad, selector()), below(issues, 3));
  });

  test.each(FORMS)('is rejected if the stream does not exist, in %s', async (form) => {
    const answer = await send<RestFailure>(server, form, ['nowhere', 'delete'], [JSON.stringify(selector())]);
    expect(answer).toMatchObject({
      status: 400,
      body: { error: { code: 'NOT_FOUND', message: 'The stream "nowhere" does not exist.', issues: [] } },
    });
  });
});

describe('issues of a request', () => {
  test('have paths with the field names of this API', async () => {
    const records = [
      record({ 'element-name': '' }),
      record(),
      record({ filter: { 'tag:x': [''], 'tag:y': ['a'] } }),
      without(record({ filters: 1 }), 'value'),
    ];
    const [inJson] = await expectRefused([STREAM, 'sum'], records, [
      'records/0/element-name: EMPTY',
      'records/2/filter/tag:x/0: EMPTY',
      'records/3/value: REQUIRED',
      'records/3/filters: UNKNOWN_FIELD',
    ]);
    expect(inJson?.body.error.issues.map(({ path }) => path)).toContainEqual(['records', '2', 'filter', 'tag:x', '0']);
    expect(inJson?.body.error.message).toContain('4 issues');
  });

  test.each(FORMS)('are the first 100 with the total number, in %s', async (form) => {
    const bad = [JSON.stringify(record({ 'element-name': '', value: '-1' })), '{}'];
    const records = Array.from({ length: 200 }, (_, index) => bad[index % 2] ?? '');
    const answer = await send<RestFailure>(server, form, [STREAM, 'sum'], records);
    const { issues, issueCount } = answer.body.error;
    expect([answer.status, issues.length, issueCount]).toEqual([400, 100, 100 * 2 + 100 * 4]);
    expect(new Set(issues.map(({ path }) => path[1]))).toEqual(
      new Set(Array.from({ length: 34 }, (_, index) => String(index))),
    );
  });

  test.each(FORMS)(
    'use the dimensions of the first valid record if the stream does not exist yet, in %s',
    async (form) => {
      const records = [
        { ...record(), filter: { '': [] } },
        record(),
        record({ filter: {} }),
        record({ granularity: 'HOURLY' }),
      ].map((one) => JSON.stringify(one));
      const answer = await send<RestFailure>(server, form, ['new', 'sum'], records);
      expect(issuesOf(answer)).toEqual([
        'records/0/filter/: EMPTY',
        'records/0/filter/: NO_VALUES',
        'records/2/filter: DIMENSIONS_DIFFER',
        'records/3/granularity: GRANULARITY_DIFFERS',
      ]);
    },
  );
});

describe('two records of a replace with the same record key', () => {
  test('are both reported, in every spelling', async () => {
    const records = [
      record({ filter: { 'tag:x': ['a', 'b'] } }),
      record(),
      { ...without(record(), 'element-name'), element_name: 'hooli', timestamp: '2026-01-25 23:00:00' },
      record({ filter: { 'tag:x': ['b', 'a', 'b'] } }),
    ];
    const answers = await expectRefused(
      [STREAM, 'replace'],
      records,
      [0, 1, 2, 3].map((index) => `records/${index}: DUPLICATE_KEY`),
    );
    for (const { body } of answers) {
      const others = body.error.issues.map(({ path, message }) => [path[1], /as record (\d+)/.exec(message)?.[1]]);
      expect(Object.fromEntries(others)).toEqual({ 0: '3', 1: '2', 2: '1', 3: '0' });
    }
  });

  test('are reported if they are in different batches of one body', async () => {
    const records = Array.from({ length: 12_000 }, (_, index) => record({ 'element-name': `e${index}` }));
    for (const [at, like] of [
      [7010, 10],
      [11_999, 10],
      [11_998, 5000],
    ] as const) {
      records[at] = record({ 'element-name': `e${like}`, timestamp: '2026-01-25' });
    }
    const answers = await expectRefused(
      [STREAM, 'replace'],
      records,
      [10, 5000, 7010, 11_998, 11_999].map((index) => `records/${index}: DUPLICATE_KEY`),
    );
    for (const { body } of answers) {
      const others = body.error.issues.map(({ path, message }) => [path[1], /as record (\d+)/.exec(message)?.[1]]);
      expect(Object.fromEntries(others)).toEqual({
        10: '7010',
        5000: '11998',
        7010: '10',
        11998: '5000',
        11999: '10',
      });
    }
  });

  test('are counted beyond the 100 that are listed', async () => {
    const records = Array.from({ length: 6000 }, (_, index) =>
      JSON.stringify(record({ 'element-name': `e${index % 3000}` })),
    );
    for (const form of FORMS) {
      const answer = await send<RestFailure>(server, form, [STREAM, 'replace'], records);
      expect(answer.status).toBe(400);
      expect(answer.body.error).toMatchObject({ issueCount: 6000 });
      expect(answer.body.error.issues).toHaveLength(100);
    }
  });
});

describe('body', () => {
  const bodies: [what: string, body: string | Buffer, code: string, issues: string[]][] = [
    ['that is empty', '', 'VALIDATION_FAILED', [': BAD_TYPE']],
    ['of blanks', ' \n', 'VALIDATION_FAILED', [': BAD_TYPE']],
    ['that is not JSON', '{"records":[}', 'BAD_REQUEST', []],
    ['with something behind its JSON', '{"records":[]} x', 'BAD_REQUEST', []],
    ['of lines that is called JSON', '{}\n{}\n', 'BAD_REQUEST', []],
    ['that is not UTF-8', Buffer.from('{"records":["\xff"]}', 'latin1'), 'BAD_REQUEST', []],
    ['in UTF-16', Buffer.from('{"records":[]}', 'utf16le'), 'BAD_REQUEST', []],
    ['that is a list', '[]', 'VALIDATION_FAILED', [': BAD_TYPE']],
    ['that is a text', '"x"', 'VALIDATION_FAILED', [': BAD_TYPE']],
    ['that is null', 'null', 'VALIDATION_FAILED', [': BAD_TYPE']],
    ['without records', '{}', 'VALIDATION_FAILED', ['records: REQUIRED']],
    ['with misspelled records', '{"record":[]}', 'VALIDATION_FAILED', ['record: UNKNOWN_FIELD', 'records: REQUIRED']],
    ['whose records are not a list', '{"records":{}}', 'VALIDATION_FAILED', ['records: BAD_TYPE']],
    ['whose records are null', '{"records":null}', 'VALIDATION_FAILED', ['records: BAD_TYPE']],
    ['with no record', '{"records":[]}', 'VALIDATION_FAILED', ['records: NO_RECORDS']],
  ];

  test.each(bodies)('%s > is rejected', async (_, body, code, issues) => {
    for (const verb of ['sum', 'replace', 'delete'] as const) {
      const answer = await ask(server, `POST ${allocationPath(STREAM, verb)}`, { body });
      expect([answer.status, answer.body.error.code, issuesOf(answer)]).toEqual([400, code, issues]);
    }
  });

  test.each([
    ['with nothing in it', ''],
    ['of blank lines', '\n\r\n \n'],
  ])('of NDJSON %s > is rejected', async (_, body) => {
    for (const verb of ['sum', 'replace', 'delete'] as const) {
      const answer = await ask(server, `POST ${allocationPath(STREAM, verb)}`, { body, headers: NDJSON });
      expect([answer.status, issuesOf(answer)]).toEqual([400, ['records: NO_RECORDS']]);
    }
  });
});

describe('NDJSON line', () => {
  const good = `${JSON.stringify(record())}\n`;
  const post = (body: string | Buffer) =>
    ask(server, `POST ${allocationPath(STREAM, 'sum')}`, { body, headers: NDJSON });

  test.each([
    ['that is not JSON', '{"timestamp":', 'NOT_JSON'],
    ['that is a whole request', `{"records":[${good.trim()}]}`, 'UNKNOWN_FIELD'],
    ['of two records', `${good.trim()}${good.trim()}`, 'NOT_JSON'],
    ['that is not UTF-8', Buffer.from('{"timestamp":"\xe9"}', 'latin1'), 'BAD_ENCODING'],
    ['of more than a mebibyte', `{"value":"${'1'.repeat(1024 * 1024)}"}`, 'LINE_TOO_LONG'],
  ])('%s > is reported with its index among the records, from 0', async (_, bad, code) => {
    // Blank lines are not records.
    const body = Buffer.concat([Buffer.from(`${good}\n${good}\r\n`), Buffer.from(bad), Buffer.from(`\n\n${good}`)]);
    const answer = await post(body);
    expect(answer.status).toBe(400);
    expect(answer.body.error.issues.map((issue) => issue.code)).toContain(code);
    for (const { path } of answer.body.error.issues) expect(path.slice(0, 2)).toEqual(['records', '2']);
    // Also reported as the last line without a line end.
    const last = await post(Buffer.concat([Buffer.from(good), Buffer.from(bad)]));
    expect(last.body.error.issues.map((issue) => issue.code)).toContain(code);
    for (const { path } of last.body.error.issues) expect(path.slice(0, 2)).toEqual(['records', '1']);
  });

  test('of exactly 1 MiB is read', async () => {
    const text = JSON.stringify(record({ value: 'x' }));
    const answer = await post(`${text}${' '.repeat(1024 * 1024 - text.length)}\n`);
    expect(issuesOf(answer)).toEqual(['records/0/value: BAD_DECIMAL']);
  });

  test('is reported after thousands of staged lines, and nothing remains staged', async () => {
    const lines = Array.from({ length: 12_000 }, (_, index) =>
      index === 11_007 ? JSON.stringify(record({ filter: { 'tag:x': ['a', ''] } })) : good.trim(),
    );
    const answer = await post(lines.join('\n'));
    expect([answer.status, issuesOf(answer)]).toEqual([400, ['records/11007/filter/tag:x/1: EMPTY']]);
    expect(await countStored(server)).toMatchObject({ staged_batches: 0 });
  });
});

describe('request', () => {
  test.each(['%', '%zz', '%ff'])(
    'is rejected for the stream "%s", which is not valid percent-encoding',
    async (name) => {
      const answer = await ask(server, `POST /unit-cost/v1/telemetry/allocation/${name}/sum`, {
        body: '{"records":[]}',
      });
      expect(answer).toMatchObject({ status: 400, body: { error: { code: 'BAD_REQUEST' } } });
    },
  );

  test.each(['%2E%2E', 'a%20b', 'a%2Fb', '%C3%A9', 'x'.repeat(257), '%00'])(
    'is rejected for the stream "%s"',
    async (name) => {
      for (const form of FORMS) {
        const body = form === 'JSON' ? `{"records":[${JSON.stringify(record())}]}` : JSON.stringify(record());
        const answer = await ask(server, `POST /unit-cost/v1/telemetry/allocation/${name}/sum`, {
          body,
          headers: form === 'NDJSON' ? NDJSON : {},
        });
        // A path with ".." is another path.
        if (name === '%2E%2E') expect(answer.status).toBe(404);
        else expect([answer.status, issuesOf(answer)]).toEqual([400, ['stream: BAD_STREAM_NAME']]);
      }
    },
  );

  test.each([
    ['with nothing in it', '', 'EMPTY'],
    ['of 256 characters', 'x'.repeat(256), 'TOO_LONG'],
    // Sent as one byte each; they are control characters.
    ['with a control character', 'a\u0085b', 'CONTROL_CHARACTER'],
  ])('is rejected for an Idempotency-Key %s', async (_, key, code) => {
    for (const form of FORMS) {
      const bytes = Buffer.from(key, 'utf8').toString('latin1');
      const headers = { 'idempotency-key': bytes };
      const answer = await send<RestFailure>(server, form, [STREAM, 'sum'], [JSON.stringify(record())], { headers });
      expect([form, answer.status, issuesOf(answer)]).toEqual([form, 400, [`Idempotency-Key: ${code}`]]);
    }
  });
});

describe('job', () => {
  const good = {
    jobName: 'refused',
    s3Url: 'exports/refused',
    format: 'csv',
    aggregationBucket: 'day',
    range: 'ago(7d)',
  };
  const badJobs: [what: string, changes: Fields, issues: string[]][] = [
    [
      'for every field that is required',
      Object.fromEntries(Object.keys(good).map((name) => [name, undefined])),
      ['jobName: REQUIRED', 's3Url: REQUIRED', 'format: REQUIRED', 'aggregationBucket: REQUIRED', 'range: REQUIRED'],
    ],
    ['for its name', { jobName: ' x' }, ['jobName: BAD_JOB_NAME']],
    ['for its bucket', { s3Url: 'arn:aws:s3:::x' }, ['s3Url: BAD_BUCKET']],
    ['for its format', { format: 'xml' }, ['format: BAD_VALUE']],
    ['for its bucket of time', { aggregationBucket: 'year' }, ['aggregationBucket: BAD_VALUE']],
    ['for its range', { range: '7d' }, ['range: BAD_RANGE']],
    ['for its time zone', { timeZone: '+01:00' }, ['timeZone: BAD_TIME_ZONE']],
    ['for its cron', { cron: '@daily' }, ['cron: BAD_CRON']],
    [
      'for two schedules',
      { cron: '0 2 * * *', scheduledTimeInSeconds: 4_102_444_800 },
      ['scheduledTimeInSeconds: TWO_SCHEDULES'],
    ],
    ['for a time in the past', { scheduledTimeInSeconds: 1 }, ['scheduledTimeInSeconds: IN_THE_PAST']],
    ['for milliseconds', { scheduledTimeInSeconds: 4_102_444_800_000 }, ['scheduledTimeInSeconds: BAD_EPOCH_SECONDS']],
    [
      'for a part of a second',
      { scheduledTimeInSeconds: 4_102_444_800.5 },
      ['scheduledTimeInSeconds: BAD_EPOCH_SECONDS'],
    ],
    ['for its e-mail', { email: 'x' }, ['email: BAD_EMAIL']],
    ['for no streams', { meterApiNames: [] }, ['meterApiNames: NO_STREAMS']],
    ['for the name of a stream', { meterApiNames: ['a', '..'] }, ['meterApiNames/1: BAD_STREAM_NAME']],
    ['for names that are not strings', { meterApiNames: ['a', 7] }, ['meterApiNames/1: BAD_TYPE']],
    ['for a filter that is a list', { filter: [] }, ['filter: BAD_TYPE']],
    ['for values that are not strings', { filter: { region: 5 } }, ['filter/region: BAD_TYPE']],
    ['for a value', { filter: { region: ['eu', ''] } }, ['filter/region/1: EMPTY']],
    ['for no values', { filter: { region: [] } }, ['filter/region: NO_VALUES']],
    [
      'for its coefficient',
      { rescaleFunction: { function: 'multiply', coefficient: 'x' } },
      ['rescaleFunction/coefficient: BAD_DECIMAL'],
    ],
    [
      'for its function',
      { rescaleFunction: { function: 'divide', coefficient: 2 } },
      ['rescaleFunction/function: BAD_VALUE'],
    ],
    ['for a flag that is a text', { enabled: 'true' }, ['enabled: BAD_TYPE']],
    [
      'with all issues of format and domain together',
      { format: 7, range: 'x', timeZone: 'Mars', filters: {}, enabled: 1 },
      [
        'filters: UNKNOWN_FIELD',
        'format: BAD_VALUE',
        'enabled: BAD_TYPE',
        'range: BAD_RANGE',
        'timeZone: BAD_TIME_ZONE',
      ],
    ],
  ];

  test.each(badJobs)('is rejected: %s', async (_, changes, issues) => {
    for (const route of ['POST /jobs', 'POST /jobs/check']) {
      const answer = await ask(server, route, { body: { ...good, ...changes } });
      expect([answer.status, issuesOf(answer).toSorted()]).toEqual([400, issues.toSorted()]);
      expect(answer.body.error).toMatchObject({ code: 'VALIDATION_FAILED', issueCount: issues.length });
    }
  });

  test.each([
    ['nothing', '', 'VALIDATION_FAILED'],
    ['a list', '[]', 'VALIDATION_FAILED'],
    ['no JSON', '{', 'BAD_REQUEST'],
  ])('is rejected for a body of %s', async (_, body, code) => {
    for (const route of ['POST /jobs', 'POST /jobs/check', 'PUT /jobs', 'PUT /jobs/nothing']) {
      expect(await ask(server, route, { body })).toMatchObject({ status: 400, body: { error: { code } } });
    }
  });
});
