import { once } from 'node:events';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { addRecords, createJob, endedRun, runJob } from '../support/job-steps.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';
import { startSmtp, type TestSmtp } from '../support/smtp.ts';

// Text of clients is written into headers, object keys and mails. No character of it can begin a new line there.

let smtp: TestSmtp;
let server: TestServer;
beforeAll(async () => {
  smtp = await startSmtp();
  server = await startTestServer({ env: { SMTP_URL: smtp.url, MAIL_FROM: 'sluice@example.com' } });
  await addRecords(server, 'calls', 'DAILY', [{ timestamp: '2026-01-25T00:00:00Z', elementName: 'e', value: '1' }]);
});
afterAll(async () => {
  await server.stop();
  await smtp.close();
});

const INJECTED = [
  'x\r\nSet-Cookie: a=b',
  'x\nBcc: victim@example.com',
  'x\r',
  'x\u0000',
  '\u001b[2J',
  'x\u007f',
  'x\u009b31m',
];

const record = { timestamp: '2026-01-25T00:00:00Z', granularity: 'DAILY', elementName: 'e', value: '1' };
const job = {
  jobName: 'x',
  s3Url: 'exports',
  format: 'CSV',
  aggregationBucket: 'DAY',
  range: 'ago(1d)',
  enabled: false,
};
const sum = (input: object) =>
  ['allocationSum(input: $i)', 'AllocationInput', { stream: 'calls', records: [record], ...input }] as const;
const create = (input: object) => ['createJob(input: $i)', 'CreateJobInput', { ...job, ...input }] as const;

describe.each<[string, (text: string) => readonly [field: string, type: string, input: object]]>([
  ['the name of a stream', (text) => sum({ stream: text })],
  ['an idempotency key', (text) => sum({ idempotencyKey: text })],
  ['an element', (text) => sum({ records: [{ ...record, elementName: text }] })],
  ['a dimension', (text) => sum({ records: [{ ...record, filter: [{ dimension: text, values: ['v'] }] }] })],
  [
    'a value of a dimension',
    (text) => sum({ stream: 'new', records: [{ ...record, filter: [{ dimension: 'd', values: [text] }] }] }),
  ],
  ['a timestamp', (text) => sum({ records: [{ ...record, timestamp: `2026-01-25T00:00:00Z${text}` }] })],
  ['a value', (text) => sum({ records: [{ ...record, value: `1${text}` }] })],
  ['the name of a job', (text) => create({ jobName: text })],
  ['a bucket', (text) => create({ s3Url: `exports${text}` })],
  ['a path', (text) => create({ s3Url: `s3://exports/${text}/x` })],
  ['the owner of a bucket', (text) => create({ bucketOwner: `123456789012${text}` })],
  ['an address', (text) => create({ email: `finops@example.com${text}` })],
  ['the name of an address', (text) => create({ email: `${text}@example.com` })],
  ['a cron', (text) => create({ cron: `0 0 * * *${text}` })],
  ['a time zone', (text) => create({ timeZone: `UTC${text}` })],
  ['a range', (text) => create({ range: `ago(1d)${text}` })],
  ['a group', (text) => create({ groupBy: [text] })],
  ['a stream of a job', (text) => create({ meterApiNames: [text] })],
  ['a filter of a job', (text) => create({ filter: [{ dimension: 'd', values: [text] }] })],
  [
    'the name of a key',
    (text) => ['createApiKey(input: $i)', 'CreateApiKeyInput', { name: `k${text}k`, scopes: ['READ'] }],
  ],
])('%s', (_name, inputWith) => {
  test('is rejected with VALIDATION_FAILED when it contains a control character', async () => {
    for (const text of INJECTED) {
      const [field, type, input] = inputWith(text);
      const answer = await server.request<Record<string, { code?: string }>>(
        `mutation ($i: ${type}!) { it: ${field} { __typename ... on UserError { code } } }`,
        { i: input },
      );
      expect([text, answer.errors, answer.data?.['it']?.code]).toEqual([text, undefined, 'VALIDATION_FAILED']);
    }
  });
});

/** Sends exactly these bytes and returns the head of the response. */
const headOf = async (request: string): Promise<string> => {
  const socket = connect(Number(new URL(server.url).port), '127.0.0.1');
  await once(socket, 'connect');
  let answer = '';
  socket.on('data', (data: Buffer) => (answer += data.toString('latin1'))).on('error', () => undefined);
  socket.write(request);
  await eventually(
    async () => answer,
    (text) => text.includes('\r\n\r\n'),
  );
  socket.destroy();
  return answer.slice(0, answer.indexOf('\r\n\r\n'));
};

test('path, query or header with a line break > adds no header to the response', async () => {
  const evil = 'x%0d%0aSet-Cookie:%20a=b%0d%0a%0d%0a';
  const body = JSON.stringify({ records: [{ ...record, elementName: undefined, 'element-name': 'e' }] });
  for (const [line, more] of [
    [`POST /unit-cost/v1/telemetry/allocation/${evil}`, ''],
    [`POST /unit-cost/v1/telemetry/allocation/calls?${evil}`, ''],
    [`GET /jobs?limit=1&after=${evil}`, ''],
    [`GET /jobs/${evil}/runs`, ''],
    [`GET /docs/${evil}`, ''],
    [`GET /${evil}`, ''],
    [`GET /graphql?query=${evil}&operationName=${evil}`, ''],
    [`POST /graphql?${evil}`, 'Origin: x%0d%0aSet-Cookie: a=b\r\nAccess-Control-Request-Method: \u009bSet-Cookie\r\n'],
    ['OPTIONS /jobs', `Origin: https://x\u0085Set-Cookie: a=b\r\n`],
    ['POST /unit-cost/v1/telemetry/allocation/calls/sum', 'Idempotency-Key: \u0085Set-Cookie: a=b\r\n'],
  ] as const) {
    const sent = line.startsWith('POST') ? body : '';
    const head = await headOf(
      `${line} HTTP/1.1\r\nHost: x\r\nX-API-Key: ${server.key}\r\nContent-Type: application/json\r\n${more}Content-Length: ${sent.length}\r\nConnection: close\r\n\r\n${sent}`,
    );
    expect(head).toMatch(/^HTTP\/1\.1 [2-4]\d\d /);
    expect(head).not.toMatch(/^set-cookie/im);
    // oxlint-disable-next-line no-control-regex -- the pattern matches control characters
    expect(head.replaceAll('\r\n', '')).not.toMatch(/[\u0000-\u001f\u007f-\u009f]/);
  }
});

test('request > is rejected with 400 when a header breaks its line or two headers give the length', async () => {
  for (const more of [
    'Idempotency-Key: a\nSet-Cookie: a=b\r\n',
    'Idempotency-Key: a\rSet-Cookie: a=b\r\n',
    'Idempotency-Key: a\u0000b\r\n',
    'Transfer-Encoding: chunked\r\nContent-Length: 5\r\n',
  ]) {
    const head = await headOf(
      `POST /unit-cost/v1/telemetry/allocation/calls/sum HTTP/1.1\r\nHost: x\r\nX-API-Key: ${server.key}\r\n${more}\r\n{}`,
    );
    expect(head).toMatch(/^HTTP\/1\.1 400 /);
    expect(head).not.toMatch(/^set-cookie/im);
  }
});

test('name, description, path and e-mail of a job > are escaped in requests to S3 and in mails', async () => {
  const description = 'first\r\nBcc: victim@example.com\r\n\u001b[2J';
  const made = await createJob(server, {
    ...job,
    jobName: 'Daily (EU), no 1',
    description,
    s3Url: 's3://exports/a b+c&d=é/x?y#z',
    email: "o'neil+billing@example.com",
    range: 'ago(400d)',
  });
  const run = await endedRun(server, await runJob(server, made));
  expect(run.status).toBe('SUCCEEDED');
  expect(server.s3.refusals).toEqual([]);
  expect(server.s3.puts.length).toBeGreaterThan(0);
  for (const put of server.s3.puts) {
    expect(put.key).toMatch(/^a b\+c&d=é\/x\?y#z\/daily-eu-no-1\//);
    expect(Object.keys(put.headers).filter((name) => name.startsWith('x-amz-'))).toEqual(
      expect.arrayContaining(['x-amz-acl', 'x-amz-content-sha256']),
    );
    expect(JSON.stringify(put.headers)).not.toMatch(/Daily|victim|neil/);
  }
  const mail = await eventually(
    async () => smtp.messages[0],
    (message) => message !== undefined,
  );
  expect(mail?.to).toEqual(["o'neil+billing@example.com"]);
  expect(mail?.headers.get('bcc')).toBeUndefined();
  expect(mail?.subject).toMatch(/^Sluice: Daily \(EU\), no 1 succeeded/);
  expect(mail?.raw).not.toContain('victim');
});
