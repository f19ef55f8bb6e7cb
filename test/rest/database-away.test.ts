import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { encodeGlobalId } from '../../src/lib/global-ids.ts';
import { createLogLines } from '../support/log-lines.ts';
import { withClient } from '../support/postgres-admin.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';
import { allocationPath, ask, countStored, NDJSON, recordsOf, send, sendPieces } from './requests.ts';

const logged = createLogLines();
let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ env: { ROLE: 'api', INTAKE_HELD_BYTES: '0' }, resources: { log: logged.log } });
});
afterAll(async () => {
  await setDatabase('open');
  await server.stop();
});

const setDatabase = (state: 'open' | 'away'): Promise<void> =>
  withClient(inject('postgresAdminUrl'), async (admin) => {
    const name = new URL(server.database.url).pathname.slice(1);
    await admin.query(`ALTER DATABASE ${name} ALLOW_CONNECTIONS ${state === 'open'}`);
    if (state === 'away')
      await admin.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1', [name]);
  });

const RECORD = '{"timestamp":"2026-01-25T00:00:00Z","granularity":"DAILY","element-name":"hooli","value":"1"}';
const BODY = `{"records":[${RECORD}]}`;

test('REST routes > return 503 with Retry-After while the database is down, and a retry is written once', async () => {
  await send(server, 'JSON', ['x', 'sum'], [RECORD]);
  const before = await countStored(server);
  await setDatabase('away');
  await eventually(
    async () => (await ask(server, 'GET /jobs')).status,
    (status) => status === 503,
  );
  const headers = { 'idempotency-key': 'once' };
  const job = { jobName: 'x', s3Url: 'exports', format: 'csv', aggregationBucket: 'day', range: 'ago(1d)' };
  for (const [route, options] of [
    [`POST ${allocationPath('x', 'sum')}`, { body: BODY, headers }],
    [`POST ${allocationPath('x', 'replace')}`, { body: RECORD, headers: { ...NDJSON, ...headers } }],
    ['GET /unit-cost/v1/telemetry/x/records', {}],
    ['DELETE /unit-cost/v1/telemetry/x?force=true', {}],
    ['GET /jobs', {}],
    ['POST /jobs', { body: job }],
    [`GET /runs/${encodeGlobalId('Run', '00000000-0000-7000-8000-000000000000')}`, {}],
  ] as const) {
    const answer = await ask(server, route, options);
    expect([route, answer.status, answer.headers.get('retry-after')]).toEqual([route, 503, '5']);
    expect(answer.body).toMatchObject({ error: { code: 'UNAVAILABLE', issues: [] } });
    expect(answer.text).not.toMatch(/sluice_test|terminat|connection/i);
  }
  // Routes without the database work.
  for (const path of ['/openapi.json', '/docs']) expect((await ask(server, `GET ${path}`)).status).toBe(200);

  await setDatabase('open');
  await eventually(
    async () => (await ask(server, 'GET /jobs')).status,
    (status) => status === 200,
  );
  expect(await countStored(server)).toEqual(before);
  for (const replayed of [false, true]) {
    const answer = await send(server, 'JSON', ['x', 'sum'], [RECORD], { headers });
    expect(answer).toMatchObject({ status: 200, body: { replayed } });
  }
  expect(await recordsOf(server, 'x')).toMatchObject([{ value: '2' }]);
  expect(logged.text()).not.toContain(server.key);
});

test('NDJSON request > returns 503 and writes nothing when the database goes down between two batches', async () => {
  const line = (index: number): string => RECORD.replace('hooli', `e${index}`);
  const batch = (from: number): Buffer =>
    Buffer.from(Array.from({ length: 6000 }, (_, index) => `${line(from + index)}\n`).join(''));
  const pieces = async function* (): AsyncGenerator<Buffer> {
    yield batch(0);
    await eventually(
      () => countStored(server),
      ({ staged_batches: staged = 0 }) => staged > 0,
    );
    await setDatabase('away');
    yield batch(6000);
    yield batch(12_000);
  };
  const answer = await sendPieces(server, `POST ${allocationPath('lines', 'sum')}`, pieces());
  expect(answer).toMatchObject({ status: 503, body: { error: { code: 'UNAVAILABLE', issues: [] } } });
  await setDatabase('open');
  await eventually(
    async () => (await ask(server, 'GET /jobs')).status,
    (status) => status === 200,
  );
  expect(await ask(server, 'GET /unit-cost/v1/telemetry/lines/records')).toMatchObject({ status: 400 });
  const answerAgain = await send(server, 'NDJSON', ['lines', 'sum'], [line(0)]);
  expect(answerAgain).toMatchObject({ status: 200, body: { insertedRecords: 1 } });
});
