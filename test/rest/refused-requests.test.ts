import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';
import { allocationPath, ask, countStored, NDJSON, type RestFailure, sendPieces } from './requests.ts';

// Requests that are rejected before their handler runs.

const MAX_BODY = 100_000;

let server: TestServer;
let before: Record<string, number>;
beforeAll(async () => {
  server = await startTestServer({
    env: { ROLE: 'api', MAX_BODY_BYTES: String(MAX_BODY), INTAKE_HELD_BYTES: '0', INTAKE_MEASURED_SECONDS: '1' },
  });
  before = await countStored(server);
});
afterAll(async () => {
  // None of them stored anything, and the staging table is empty.
  expect(Object.values(before).every((count) => count === 0)).toBe(true);
  expect(await countStored(server)).toEqual(before);
  await server.stop();
});

const RECORD = '{"timestamp":"2026-01-25T00:00:00Z","granularity":"DAILY","element-name":"hooli","value":"1"}';
const BODY = `{"records":[${RECORD}]}`;
const SUM = `POST ${allocationPath('x', 'sum')}`;

const failure = (code: string) => ({ error: { code, message: expect.any(String), issues: [] } });

describe('unknown route', () => {
  test.each([
    'GET /jobs/check/more',
    'PATCH /jobs',
    'DELETE /jobs',
    'POST /jobs/x',
    'PUT /jobs/check/x',
    'OPTIONS /jobs',
    'GET /runs',
    'POST /runs/x',
    'GET /unit-cost',
    'GET /unit-cost/v1/telemetry/x',
    'GET /unit-cost/v1/telemetry/allocation/x/sum',
    'PUT /unit-cost/v1/telemetry/allocation/x/sum',
    'POST /unit-cost/v1/telemetry/allocation/x/summ',
    'POST /unit-cost/v2/telemetry/allocation/x/sum',
    'POST /unit-cost/v1/telemetry/x/records',
    'POST /openapi.json',
    'GET /docs/package.json',
    'GET /docs/..%2fpackage.json',
  ])('%s > is 404 and says where the routes are described', async (route) => {
    const answer = await ask(server, route, { ...(route.startsWith('P') && { body: BODY }) });
    expect(answer).toMatchObject({ status: 404, body: failure('NOT_FOUND') });
    expect(answer.body.error.message).toContain('described at docs');
  });

  test.each([
    'GET /jobs/nothing',
    'PUT /jobs/nothing',
    'DELETE /jobs/nothing',
    'POST /jobs/nothing/run',
    'GET /jobs/nothing/runs',
    'GET /runs/nothing',
    // An id of another type, and one that does not contain a UUID.
    `GET /jobs/${Buffer.from('Run:00000000-0000-7000-8000-000000000000').toString('base64url')}`,
    `GET /jobs/${Buffer.from('Job:1').toString('base64url')}`,
    `GET /runs/${Buffer.from("Run:'").toString('base64url')}`,
  ])('%s > is not found', async (route) => {
    const body = { jobName: 'x', s3Url: 'exports', format: 'csv', aggregationBucket: 'day', range: 'ago(1d)' };
    const answer = await ask(server, route, { ...(route.startsWith('PUT') && { body }) });
    expect(answer).toMatchObject({ status: 404, body: failure('NOT_FOUND') });
  });
});

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

describe('JSON body beyond the limit', () => {
  const padded = (bytes: number): string => BODY.replace('"hooli"', `"${'x'.repeat(300)}"`).padEnd(bytes);

  test('is 413 by its Content-Length, at the first byte beyond the limit, and after decompression', async () => {
    // Exactly the limit: it is read, and rejected only for its element.
    expect(await ask(server, SUM, { body: padded(MAX_BODY) })).toMatchObject({ status: 400 });
    for (const route of [SUM, 'POST /jobs', 'PUT /jobs', 'POST /jobs/check', 'DELETE /unit-cost/v1/telemetry/x']) {
      const answer = await ask(server, route, { body: padded(MAX_BODY + 1) });
      expect([route, answer.status]).toEqual([route, 413]);
      expect(answer.body).toMatchObject(failure('BODY_TOO_LARGE'));
    }
    for (const [encoding, compress] of [
      ['gzip', gzipSync],
      ['br', brotliCompressSync],
    ] as const) {
      const headers = { 'content-encoding': encoding };
      expect(await ask(server, SUM, { body: compress(padded(MAX_BODY)), headers })).toMatchObject({ status: 400 });
      expect(await ask(server, SUM, { body: compress(padded(MAX_BODY + 1)), headers })).toMatchObject({
        status: 413,
        body: failure('BODY_TOO_LARGE'),
      });
    }
    const pieces = Array.from({ length: 3 }, () => Buffer.alloc(MAX_BODY / 2, ' '));
    expect(await sendPieces(server, SUM, pieces, {})).toMatchObject({ status: 413, body: failure('BODY_TOO_LARGE') });
  });

  test('is not decompressed beyond the limit', async () => {
    const bomb = gzipSync(Buffer.alloc(50 * 1024 * 1024, ' '));
    expect(bomb.length).toBeLessThan(MAX_BODY);
    collectGarbage();
    const held = process.memoryUsage().arrayBuffers;
    const answer = await ask(server, SUM, { body: bomb, headers: { 'content-encoding': 'gzip' } });
    expect(answer).toMatchObject({ status: 413, body: failure('BODY_TOO_LARGE') });
    collectGarbage();
    expect(process.memoryUsage().arrayBuffers - held).toBeLessThan(10 * 1024 * 1024);
    // As one line it is too long, and is not buffered either.
    const headers = { 'content-encoding': 'gzip', ...NDJSON };
    const line = await ask(server, SUM, { body: bomb, headers });
    expect(line).toMatchObject({ status: 400, body: { error: { issues: [{ code: 'LINE_TOO_LONG' }] } } });
    // Buffers are freed a little later than their owners.
    await eventually(
      async () => {
        collectGarbage();
        return process.memoryUsage().arrayBuffers - held;
      },
      (bytes) => bytes < 10 * 1024 * 1024,
      10_000,
    );
  });

  test('does not prevent the response for any size of the body', async () => {
    for (let round = 0; round < 3; round += 1) {
      expect((await ask(server, SUM, { body: Buffer.alloc(8 * 1024 * 1024, ' ') })).status).toBe(413);
    }
  });
});

test.each([
  ['zstd', {}, 415, 'UNSUPPORTED_MEDIA_TYPE'],
  ['gzip, gzip', {}, 415, 'UNSUPPORTED_MEDIA_TYPE'],
  ['constructor', NDJSON, 415, 'UNSUPPORTED_MEDIA_TYPE'],
  ['gzip', {}, 400, 'BAD_REQUEST'],
  ['gzip', NDJSON, 400, 'BAD_REQUEST'],
])(
  'body with the Content-Encoding %s in another format > is rejected, with %j',
  async (encoding, headers, status, code) => {
    const answer = await ask(server, SUM, { body: BODY, headers: { ...headers, 'content-encoding': encoding } });
    expect(answer).toMatchObject({ status, body: failure(code) });
  },
);

test.each([{}, NDJSON])('truncated gzip > is rejected, with %j', async (headers) => {
  const half = gzipSync(`${RECORD}\n`.repeat(2000)).subarray(0, 100);
  const answer = await ask(server, SUM, { body: half, headers: { ...headers, 'content-encoding': 'gzip' } });
  expect(answer).toMatchObject({ status: 400, body: failure('BAD_REQUEST') });
});

describe('slow body', () => {
  /** The first pieces immediately, then a byte from time to time. */
  const trickle = async function* (first: string): AsyncGenerator<Buffer> {
    yield Buffer.from(first);
    for (;;) {
      await delay(100);
      yield Buffer.from(' ');
    }
  };

  test.each([
    ['JSON', {}, BODY.slice(0, -1)],
    ['lines', NDJSON, RECORD],
    ['lines of which a batch was staged', NDJSON, `${RECORD}\n`.repeat(6000)],
  ])('is 408: %s', async (_, headers, first) => {
    const answer = await sendPieces(server, SUM, trickle(first), headers);
    expect(answer).toMatchObject({ status: 408, body: failure('REQUEST_TIMEOUT') });
    await eventually(
      () => countStored(server),
      ({ staged_batches: staged }) => staged === 0,
    );
  });
});

test('NDJSON body that breaks off > is not written, and its staged batches are deleted', async () => {
  // The other server rejects the body after a second.
  const patient = await startTestServer({
    env: { ROLE: 'api', INTAKE_HELD_BYTES: '0' },
    database: server.database,
    s3: server.s3,
  });
  const socket = connect(Number(new URL(patient.url).port), '127.0.0.1');
  await once(socket, 'connect');
  const lines = `${RECORD}\n`.repeat(11_000);
  socket.write(
    `${SUM} HTTP/1.1\r\nHost: x\r\nX-API-Key: ${patient.key}\r\nContent-Type: application/x-ndjson\r\nContent-Length: ${lines.length + 1}\r\n\r\n${lines}`,
  );
  try {
    await eventually(
      () => countStored(server),
      ({ staged_batches: staged = 0 }) => staged > 0,
    );
    socket.resetAndDestroy();
    await eventually(
      () => countStored(server),
      ({ staged_batches: staged }) => staged === 0,
    );
  } finally {
    await patient.stop();
  }
});

describe('error response', () => {
  test('has the same JSON format for every failure', async () => {
    for (const [route, options, status] of [
      ['GET /nothing-of-the-kind', {}, null],
      ['GET /jobs/nothing', {}, 404],
      ['GET /jobs', { key: null }, 401],
      [SUM, { key: null, body: BODY }, 403],
      [SUM, { body: '{' }, 400],
      [SUM, { body: '{}' }, 400],
      [SUM, { body: Buffer.alloc(MAX_BODY + 1) }, 413],
    ] as const) {
      const answer = await ask<RestFailure | null>(server, route, options);
      // Paths outside of the routes do not have this format.
      if (status === null) {
        expect(answer.status).toBe(404);
        continue;
      }
      expect([route, answer.status]).toEqual([route, status]);
      expect(answer.headers.get('content-type')).toBe('application/json; charset=utf-8');
      expect(Object.keys(answer.body ?? {})).toEqual(['error']);
      const { code, message, issues } = answer.body?.error ?? {};
      expect([typeof code, typeof message, Array.isArray(issues)]).toEqual(['string', 'string', true]);
    }
  });

  test('to HEAD > has the status and no body', async () => {
    for (const [path, status] of [
      ['/jobs', 200],
      ['/jobs/nothing', 404],
    ] as const) {
      const response = await fetch(server.url + path, { method: 'HEAD', headers: { 'x-api-key': server.key } });
      expect([response.status, await response.text()]).toEqual([status, '']);
    }
  });
});
