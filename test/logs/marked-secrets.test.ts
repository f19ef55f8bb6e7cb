import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { withClient } from '../support/postgres-admin.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';
import { eventually } from '../support/server.ts';
import { runSluice, type Settings, type SluiceProcess, startSluice } from '../support/sluice-process.ts';
import { startSmtp, type TestSmtp } from '../support/smtp.ts';
import { openSocket } from '../support/socket-client.ts';
import { startStrictS3, type StrictS3 } from '../support/strict-s3.ts';

// A server with the most verbose log gets marked secrets and marked records. Its output may never contain a mark, even if
// operations fail.

const MARK = 'qzmark';
const secretOf = (what: string): string => `${MARK}-${what}-${randomBytes(16).toString('hex')}`;
const ELEMENT = `${MARK} element "quoted"`;
const DIMENSION = `${MARK}-dimension`;
const VALUE = `${MARK} value of a dimension`;
const AMOUNT = '918273645546372.819';
const IDEMPOTENCY = `${MARK}-idempotency`;
/** Control characters (C0 and C1) that clear the screen, start a line and set a title. */
const COMMANDS = '\u001b[2J\u001b]0;title\u0007\r\nlevel 50\u009b31m';
// oxlint-disable-next-line no-control-regex -- the pattern matches control characters
const RAW_COMMANDS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/;

const record = (element = ELEMENT, value: string | number = AMOUNT) => ({
  timestamp: '2026-01-25T00:00:00Z',
  granularity: 'DAILY',
  filter: [{ dimension: DIMENSION, values: [VALUE] }],
  elementName: element,
  value,
});
const restRecord = (element = ELEMENT, value: string | number = AMOUNT) => ({
  timestamp: '2026-01-25T00:00:00Z',
  granularity: 'DAILY',
  filter: { [DIMENSION]: [VALUE] },
  'element-name': element,
  value,
});
const SUM = `mutation Sum($input: AllocationInput!) { allocationSum(input: $input) { __typename ... on UserError { code } } }`;
const USAGE = `query ($input: UsageInput!) { usage(input: $input) { __typename ... on Usage { series { total group { values } } } } }`;

describe.each(['json', 'pretty'])('log in the format %s, at the level trace', (format) => {
  const isPretty = format === 'pretty';
  let database: TestDatabase;
  let s3: StrictS3;
  let smtp: TestSmtp;
  let sluice: SluiceProcess;
  let url = '';
  const role = `sluice_${randomBytes(6).toString('hex')}`;
  const secrets = {
    apiKey: secretOf('api-key'),
    database: secretOf('database'),
    smtp: secretOf('smtp'),
    wrong: secretOf('wrong-key'),
    made: '',
  };

  beforeAll(async () => {
    database = await createTestDatabase();
    s3 = await startStrictS3({ buckets: ['exports'] });
    smtp = await startSmtp({ login: { user: 'sluice', password: secrets.smtp } });
    await withClient(inject('postgresAdminUrl'), (admin) =>
      admin.query(`CREATE ROLE ${role} SUPERUSER LOGIN PASSWORD '${secrets.database}'`),
    );
    const databaseUrl = new URL(database.url);
    databaseUrl.username = role;
    databaseUrl.password = secrets.database;
    const settings: Settings = {
      DATABASE_URL: databaseUrl.href,
      PORT: '0',
      API_KEY: secrets.apiKey,
      AWS_ENDPOINT_URL_S3: s3.endpoint,
      AWS_REGION: s3.region,
      AWS_ACCESS_KEY_ID: s3.credentials.accessKeyId,
      AWS_SECRET_ACCESS_KEY: s3.credentials.secretAccessKey,
      S3_FORCE_PATH_STYLE: 'true',
      SMTP_URL: smtp.url,
      STATEMENT_TIMEOUT_MS: '500',
      MAX_RECORDS: '10',
      LOG_LEVEL: 'trace',
      LOG_FORMAT: format,
    };
    sluice = startSluice(settings);
    const said = await sluice.said('server started');
    url = await eventually(
      async () =>
        /http:\/\/127\.0\.0\.1:\d+/.exec(sluice.stderr.slice(said.indexOf('server started') - 200))?.[0] ?? '',
      (found) => found !== '',
    );
  });
  afterAll(async () => {
    await sluice.destroy();
    await s3.close();
    await smtp.close();
    await database.drop();
    await withClient(inject('postgresAdminUrl'), (admin) => admin.query(`DROP ROLE ${role}`));
  });

  const send = async (method: string, path: string, headers: Record<string, string>, body?: unknown) => {
    const response = await fetch(url + path, {
      method,
      headers,
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    return { status: response.status, text: await response.text() };
  };
  const withKey = (more: Record<string, string> = {}) => ({ 'x-api-key': secrets.apiKey, ...more });
  const JSON_TYPE = { 'content-type': 'application/json' };
  const gql = (query: string, variables: object = {}, headers: Record<string, string> = withKey()) =>
    send('POST', '/graphql', { ...JSON_TYPE, ...headers }, { query, variables });
  const telemetry = '/unit-cost/v1/telemetry/allocation/calls/sum';
  const admin = (statement: string) => withClient(database.url, (client) => client.query(statement));

  test('reports successful operations', async () => {
    for (const headers of [
      withKey(),
      { authorization: secrets.apiKey },
      { authorization: `Bearer ${secrets.apiKey}` },
    ]) {
      const answer = await gql(SUM, { input: { stream: 'calls', records: [record()] } }, headers);
      expect(answer.text).toContain('AllocationReceipt');
    }
    const keyed = { input: { stream: 'calls', records: [record()], idempotencyKey: IDEMPOTENCY } };
    expect((await gql(SUM, keyed)).text).toContain('AllocationReceipt');
    const key = { 'idempotency-key': `${IDEMPOTENCY} 2` };
    expect((await send('POST', telemetry, withKey({ ...JSON_TYPE, ...key }), { records: [restRecord()] })).status).toBe(
      200,
    );
    const lines = { 'content-type': 'application/x-ndjson' };
    expect((await send('POST', telemetry, withKey(lines), JSON.stringify(restRecord()))).status).toBe(200);
    const window = { from: '2026-01-01T00:00:00Z', to: '2026-02-01T00:00:00Z', aggregationBucket: 'DAY' };
    const usage = await gql(USAGE, { input: { ...window, groupBy: [DIMENSION, 'element'] } });
    expect(usage.text).toContain(VALUE);
    const made = await gql(
      `mutation { createApiKey(input: { name: "${MARK}", scopes: [READ] }) { ... on NewApiKey { secret } } }`,
    );
    secrets.made = /"secret":"([^"]+)"/.exec(made.text)?.[1] ?? '';
    expect(secrets.made).not.toBe('');
    const socket = await openSocket(url, { 'X-API-Key': secrets.apiKey });
    await socket.until(({ type }) => type === 'connection_ack');
    socket.send({ type: 'subscribe', id: '1', payload: { query: SUM, variables: keyed } });
    expect(JSON.stringify(await socket.until(({ id }) => id === '1'))).toContain('AllocationReceipt');
    socket.close();
  });

  test('reports rejected requests', async () => {
    for (const headers of [
      { 'x-api-key': secrets.wrong },
      { authorization: secrets.wrong },
      { authorization: `Bearer ${secrets.wrong}` },
      { authorization: `Basic ${Buffer.from(`user:${secrets.wrong}`).toString('base64')}` },
      { cookie: `key=${secrets.wrong}` },
    ]) {
      const given = headers as Record<string, string>;
      expect((await gql('{ viewer { accountName } }', {}, given)).status).toBe(401);
      expect((await send('POST', telemetry, given, { records: [restRecord()] })).status).toBe(403);
      expect((await send('GET', `/jobs?key=${secrets.wrong}`, given)).status).toBe(401);
    }
    for (const payload of [{ 'X-API-Key': secrets.wrong }, { Authorization: `Bearer ${secrets.wrong}` }]) {
      expect(await (await openSocket(url, payload)).closed).toBe(4401);
    }
    const socket = await openSocket(url, { 'X-API-Key': secrets.apiKey });
    socket.socket.send(`{"no json ${ELEMENT} ${secrets.wrong}`);
    await socket.closed;
    for (const [value, code] of [
      [`${AMOUNT}x`, /VALIDATION_FAILED|BAD_USER_INPUT/],
      [-918273645546372, /VALIDATION_FAILED/],
    ] as const) {
      expect((await gql(SUM, { input: { stream: 'calls', records: [record(ELEMENT, value)] } })).text).toMatch(code);
    }
    const other = { stream: 'calls', records: [record(`${ELEMENT} 2`)], idempotencyKey: IDEMPOTENCY };
    expect((await gql(SUM, { input: other })).text).toContain('IDEMPOTENCY_MISMATCH');
    expect((await gql(SUM, { input: { stream: 'calls', records: Array(11).fill(record()) } })).text).toContain(
      'LIMIT_EXCEEDED',
    );
    expect(
      (await gql(SUM, { input: { stream: 'calls', records: [record(ELEMENT, 0.1234567890123456)] } })).text,
    ).toContain('VALIDATION_FAILED');
    expect((await gql(`{ "${ELEMENT}" }`)).text).toContain('GRAPHQL_PARSE_FAILED');
    expect((await gql(`query { stream(name: "${MARK}", no: "${VALUE}") { id } }`)).text).toContain(
      'GRAPHQL_VALIDATION_FAILED',
    );
    expect((await gql('query ($n: Int) { jobs(first: $n) { totalCount } }', { n: ELEMENT })).text).toContain(
      'BAD_USER_INPUT',
    );
    expect((await send('POST', telemetry, withKey(), `{"records": [${ELEMENT}`)).status).toBe(400);
    const lines = { 'content-type': 'application/x-ndjson' };
    expect((await send('POST', telemetry, withKey(lines), `${ELEMENT}\n{"${VALUE}": 1}`)).status).toBe(400);
    expect((await send('GET', `/graphql?query=${encodeURIComponent(`{"${ELEMENT}"`)}`, withKey())).status).toBe(200);
    expect((await send('GET', `/jobs/${encodeURIComponent(ELEMENT)}`, withKey())).status).toBe(404);
    expect((await send('GET', `/${MARK}/nothing`, withKey())).status).toBe(404);
  });

  test('reports names that contain control characters', async () => {
    const jobOf = (more: object) => ({
      jobName: 'x',
      s3Url: 'exports',
      format: 'CSV',
      aggregationBucket: 'DAY',
      range: 'ago(1d)',
      ...more,
    });
    const CREATE = 'mutation ($input: CreateJobInput!) { createJob(input: $input) { __typename } }';
    for (const more of [
      { jobName: COMMANDS },
      { s3Url: `exports/${COMMANDS}` },
      { email: `a${COMMANDS}@example.com` },
      { cron: COMMANDS },
      { timeZone: COMMANDS },
      { range: COMMANDS },
      { groupBy: [COMMANDS] },
      { meterApiNames: [COMMANDS] },
    ]) {
      expect((await gql(CREATE, { input: jobOf(more) })).text).not.toContain('"__typename":"Job"');
    }
    for (const input of [
      { stream: COMMANDS, records: [record()] },
      { stream: 'calls', records: [record(COMMANDS)] },
      { stream: 'calls', records: [{ ...record(), filter: [{ dimension: COMMANDS, values: [COMMANDS] }] }] },
    ]) {
      expect((await gql(SUM, { input })).text).toContain('VALIDATION_FAILED');
    }
    // Stored as sent, and never printed raw.
    const noted = { stream: 'calls', records: [record()], idempotencyKey: COMMANDS };
    expect((await gql(SUM, { input: noted })).text).toMatch(/AllocationReceipt|VALIDATION_FAILED/);
    expect(
      (await gql(CREATE, { input: jobOf({ jobName: 'described', description: COMMANDS, enabled: false }) })).text,
    ).not.toContain('errors');
    const socket = await openSocket(url, { 'X-API-Key': secrets.apiKey });
    await socket.until(({ type }) => type === 'connection_ack');
    socket.send({
      type: 'subscribe',
      id: COMMANDS,
      payload: { query: '{ __typename }', operationName: COMMANDS },
    });
    expect(JSON.stringify(await socket.until(({ id }) => id === COMMANDS))).toContain('error');
    socket.close();
    const C1 = '\u009b31m\u0085';
    await send('GET', `/${encodeURIComponent(COMMANDS)}`, withKey({ 'user-agent': C1, 'idempotency-key': C1 }));
    await send('POST', telemetry, withKey({ ...JSON_TYPE, 'idempotency-key': C1 }), { records: [restRecord()] });
    expect((await send('POST', '/graphql', withKey({ 'content-type': C1 }), '{}')).status).toBe(415);
  });

  test('reports failed operations', async () => {
    const input = { input: { stream: 'calls', records: [record()] } };
    await admin('ALTER TABLE streams RENAME TO streams_away');
    expect((await gql(SUM, input)).text).toContain('INTERNAL');
    expect((await send('POST', telemetry, withKey(JSON_TYPE), { records: [restRecord()] })).status).toBe(500);
    await admin('ALTER TABLE streams_away RENAME TO streams');
    await admin(`ALTER TABLE records ADD CONSTRAINT refuses CHECK (element NOT LIKE '%refused%') NOT VALID`);
    const refused = { input: { stream: 'calls', records: [record(`${ELEMENT} refused`)] } };
    expect((await gql(SUM, refused)).text).toContain('INTERNAL');
    const lines = { 'content-type': 'application/x-ndjson' };
    expect(
      (await send('POST', telemetry, withKey(lines), JSON.stringify(restRecord(`${ELEMENT} refused`)))).status,
    ).toBe(500);
    await withClient(database.url, async (client) => {
      await client.query('BEGIN; LOCK TABLE streams IN ACCESS EXCLUSIVE MODE');
      expect((await gql(SUM, input)).text).toContain('TIMEOUT');
    });
  });

  test('reports failed exports and mails', async () => {
    const CREATE = `mutation ($input: CreateJobInput!) { createJob(input: $input) { __typename ... on UserError { message } } }`;
    const job = (jobName: string) => ({
      jobName,
      s3Url: 's3://exports/path',
      format: 'CSV',
      aggregationBucket: 'MONTH',
      range: 'ago(700d)',
      groupBy: [DIMENSION, 'element'],
      filter: [{ dimension: DIMENSION, values: [VALUE] }],
      email: `${MARK}@example.com`,
    });
    const ends = async (jobName: string, status: string) => {
      expect((await gql(CREATE, { input: job(jobName) })).text).toContain('"Job"');
      await eventually(
        async () => (await gql('{ runs(first: 50) { edges { node { jobName status } } } }')).text,
        (text) => text.includes(`{"jobName":"${jobName}","status":"${status}"}`),
      );
    };
    await ends('written', 'SUCCEEDED');
    expect(s3.puts.some(({ body }) => body.includes(VALUE))).toBe(true);
    await eventually(
      async () => smtp.messages.length,
      (count) => count > 0,
    );
    smtp.setBehavior({ refuse: 'data', code: 554 });
    s3.setFault(() => ({ status: 403, code: 'AccessDenied' }));
    await ends('denied', 'FAILED');
    await sluice.said('the mail about this run failed permanently');
    smtp.setBehavior({ refuse: 'rcpt', code: 450 });
    s3.setFault(({ count }) => (count % 2 === 0 ? 'reset' : { status: 503, code: 'SlowDown' }));
    expect((await gql(CREATE, { input: job('slowed') })).text).toContain('"Job"');
    await eventually(
      async () => sluice.stderr.split(isPretty ? 'FAILED, will be retried' : 'attempt failed').length - 1,
      (count) => count >= 3,
    );
    s3.setFault(undefined);
    await withClient(inject('postgresAdminUrl'), async (client) => {
      const name = new URL(database.url).pathname.slice(1);
      await client.query(`ALTER DATABASE ${name} ALLOW_CONNECTIONS false`);
      await client.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1', [name]);
      await eventually(
        async () => (await gql(SUM, { input: { stream: 'calls', records: [record()] } })).status,
        (status) => status === 503,
      );
      await delay(1500);
      await client.query(`ALTER DATABASE ${name} ALLOW_CONNECTIONS true`);
    });
    await eventually(
      async () => (await send('GET', '/readyz', {})).status,
      (status) => status === 200,
    );
  });

  test('contains none of the marks, and no control character', async () => {
    sluice.kill('SIGTERM');
    expect(await sluice.ended).toBe(0);
    const written = sluice.stdout + sluice.stderr;
    // The log has lines about each of these events.
    for (const words of [
      'unexpected error in a request',
      'request failed: a statement exceeded STATEMENT_TIMEOUT_MS',
      'request failed: database unavailable',
      ...(isPretty
        ? ['written  SUCCEEDED  ', 'denied  FAILED  ACCESS_DENIED: ', 'FAILED, will be retried']
        : ['run started', 'attempt failed', 'attempt ended']),
      'database connection lost',
      'stopping; running exports',
    ]) {
      expect(written).toContain(words);
    }
    expect(sluice.stdout).toBe('');
    const forms = (secret: string) => [
      secret,
      encodeURIComponent(secret),
      Buffer.from(secret).toString('base64').replace(/=+$/, ''),
      Buffer.from(secret).toString('hex'),
    ];
    const marks = [MARK, AMOUNT, AMOUNT.split('.')[0] ?? '', secrets.made, s3.credentials.secretAccessKey, 'LEAK'];
    for (const mark of [...marks, ...Object.values(secrets)].flatMap(forms)) {
      const at = written.indexOf(mark);
      expect(at === -1 ? null : written.slice(Math.max(0, at - 300), at + 200)).toBeNull();
    }
    expect(written).not.toMatch(/\bINSERT INTO\b|\bselect "|\bWHERE\b/);
    expect(RAW_COMMANDS.exec(written)).toBeNull();
    if (format === 'json') {
      for (const line of sluice.stderr.trim().split('\n')) expect(typeof JSON.parse(line)).toBe('object');
    }
  });
});

test('a refused start > shows no secret of its settings', async () => {
  const secret = secretOf('setting');
  const wrong: Settings[] = [
    { DATABASE_URL: `mysql://sluice:${secret}@127.0.0.1/sluice` },
    { DATABASE_URL: `postgres://sluice:${secret}@127.0.0.1:1/sluice` },
    { DATABASE_URL: `postgres://sluice:${secret}%zz@127.0.0.1:1/sluice` },
    { DATABASE_URL: `postgres://sluice:${secret}@127.0.0.1:99999/sluice` },
    { DATABASE_URL: 'postgres://127.0.0.1:1/x', SMTP_URL: `http://sluice:${secret}@mail.example.com` },
    {
      DATABASE_URL: 'postgres://127.0.0.1:1/x',
      SMTP_URL: `smtp://sluice:${secret}%zz@mail.example.com`,
      API_KEY: secret,
    },
    {
      DATABASE_URL: 'postgres://127.0.0.1:1/x',
      API_KEY: secret.slice(0, 31),
      PORT: secret,
      AWS_ENDPOINT_URL_S3: secret,
    },
  ];
  for (const settings of wrong) {
    const { code, stdout, stderr } = await runSluice('main', [], { ...settings, LOG_LEVEL: 'trace' });
    expect(code).toBe(1);
    expect(stderr.length).toBeGreaterThan(20);
    expect(stdout + stderr).not.toContain(secret.slice(0, 31));
  }
});
