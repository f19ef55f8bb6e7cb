import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestServer, type TestServer } from '../support/server.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ env: { ROLE: 'api' } });
});
afterAll(() => server.stop());

const post = async (path: string, body: string, type = 'application/json') => {
  const response = await fetch(server.url + path, {
    method: 'POST',
    headers: { 'x-api-key': server.key, 'content-type': type },
    body,
  });
  const answer = (await response.json()) as { error?: { issues: { path: string[]; code: string }[] } };
  return {
    status: response.status,
    issues: answer.error?.issues.map(({ path: at, code }) => `${at.join('.')}: ${code}`),
  };
};

const record = (filter: string, more = ''): string =>
  `{"timestamp":"2026-01-25","granularity":"DAILY","filter":${filter},"element-name":"a \\"b\\": {c","value":1${more}}`;
const GOOD = record('{"d":["a"],"e":["d"]}');
const SUM = '/unit-cost/v1/telemetry/allocation/names/sum';

// JSON.parse would keep the last value of each key, and the records would be different.
const CASES: [what: string, record: string, issue: string][] = [
  ['a dimension', record('{"d":["a"],"e":["x"],"d":["b"]}'), 'filter.d: DUPLICATE_DIMENSION'],
  [
    'a dimension in another spelling',
    record(String.raw`{"d":["a"],"e":["x"],"\u0064":["b"]}`),
    'filter.d: DUPLICATE_DIMENSION',
  ],
  ['a value', record('{"d":["a"],"e":["x"]}', ',"value":2'), 'value: REPEATED_NAME'],
  [
    'a value beside a long number',
    record('{"d":["a"],"e":["x"]}', ',"value":12345678901234567890'),
    'value: REPEATED_NAME',
  ],
];

test.each(CASES)('duplicate key of a record > is rejected with its path: %s', async (_, bad, issue) => {
  expect(await post(SUM, `{"records":[${GOOD},${bad}]}`)).toEqual({ status: 400, issues: [`records.1.${issue}`] });
  expect(await post(SUM, `${GOOD}\n${bad}\n`, 'application/x-ndjson')).toEqual({
    status: 400,
    issues: [`records.1.${issue}`],
  });
});

test('duplicate keys > are not reported for different objects, or for text that looks like a key', async () => {
  expect(await post(SUM, `{"records":[${GOOD},${GOOD}]}`)).toMatchObject({ status: 200 });
});

test('duplicate settings of a job > are rejected, each with its name', async () => {
  const job =
    '{"jobName":"j","jobName":"k","s3Url":"b","format":"csv","aggregationBucket":"day","range":"ago(1d)","filter":{"a":["x"],"a":["y"]}}';
  expect(await post('/jobs', job)).toEqual({
    status: 400,
    issues: ['jobName: REPEATED_NAME', 'filter.a: DUPLICATE_DIMENSION'],
  });
});

test('deeply nested body > is rejected as invalid', async () => {
  const deep = '['.repeat(100_000) + ']'.repeat(100_000);
  expect(await post('/jobs', deep)).toMatchObject({ status: 400 });
  expect(await post(SUM, `{"records":[${deep}]}`)).toMatchObject({ status: 400 });
});
