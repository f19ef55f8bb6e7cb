import { once } from 'node:events';
import { type ClientRequest, type IncomingMessage, request } from 'node:http';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { withClient } from '../support/postgres-admin.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';

/** All batches wait in the database, not in memory. */
const STAGED = { ROLE: 'api', INTAKE_HELD_BYTES: '0' };

let server: TestServer;
let other: TestServer;
beforeAll(async () => {
  server = await startTestServer({ env: { ...STAGED, DATABASE_POOL: '3' } });
  other = await startTestServer({
    database: server.database,
    s3: server.s3,
    env: { ...STAGED, API_KEY: server.key },
  });
});
afterAll(async () => {
  await other.stop();
  await server.stop();
});

let stream = '';
let count = 0;
beforeEach(() => {
  count += 1;
  stream = `bulk-${count}`;
});

const line = (element: string, value: string | null = '1', filter: object = { region: ['eu'] }): string =>
  `${JSON.stringify({ timestamp: '2026-01-25T00:00:00Z', granularity: 'DAILY', filter, 'element-name': element, ...(value !== null && { value }) })}\n`;

const lines = (from: number, to: number): string =>
  Array.from({ length: to - from }, (_, index) => line(`customer-${from + index}`)).join('');

interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: {
    readonly insertedRecords?: number;
    readonly hiddenRecords?: number;
    readonly replayed?: boolean;
    readonly error?: {
      readonly code: string;
      readonly issueCount?: number;
      readonly issues: readonly { readonly path: readonly string[]; readonly code: string }[];
    };
  };
}

interface OpenRequest {
  readonly sending: ClientRequest;
  readonly answer: Promise<Answer>;
  write(text: string): Promise<void>;
}

/** A request whose body is written in small pieces. */
const open = (
  verb: 'sum' | 'replace' | 'delete',
  headers: Record<string, string> = {},
  to: TestServer = server,
): OpenRequest => {
  const sending = request(`${to.url}/unit-cost/v1/telemetry/allocation/${stream}/${verb}`, {
    method: 'POST',
    headers: { authorization: server.key, 'content-type': 'application/x-ndjson', ...headers },
  });
  const answer = once(sending, 'response').then(async ([response]: IncomingMessage[]) => {
    if (!response) throw new Error('There was no answer.');
    let body = '';
    for await (const chunk of response) body += String(chunk);
    return { status: response.statusCode ?? 0, headers: response.headers, body: JSON.parse(body) as Answer['body'] };
  });
  answer.catch(() => undefined);
  sending.on('error', () => undefined);
  return {
    sending,
    answer,
    write: (text) => new Promise((resolve) => sending.write(text, () => resolve())),
  };
};

const sendAll = async (verb: 'sum' | 'replace' | 'delete', body: string, headers = {}): Promise<Answer> => {
  const { sending, answer } = open(verb, headers);
  sending.end(body);
  return answer;
};

const sumOne = async (element: string, value = '1', filter: object = { region: ['eu'] }): Promise<Answer> => {
  const response = await fetch(`${server.url}/unit-cost/v1/telemetry/allocation/${stream}/sum`, {
    method: 'POST',
    headers: { 'x-api-key': server.key },
    body: `{"records":[${line(element, value, filter)}]}`,
  });
  return { status: response.status, headers: {}, body: (await response.json()) as Answer['body'] };
};

const sql = <Row>(text: string): Promise<Row[]> =>
  withClient(server.database.url, async (client) => (await client.query(text)).rows as Row[]);

const stagedBatches = async (): Promise<number> =>
  Number((await sql<{ count: string }>('SELECT count(*) FROM staged_batches'))[0]?.count);

/** Sum of the live values of the stream. */
const liveTotal = async (): Promise<string | null> => {
  const [row] = await sql<{ total: string | null }>(
    `SELECT trim_scale(sum(value))::text AS total FROM records r JOIN streams s ON s.id = r.stream_id
      WHERE s.name = '${stream}' AND s.deleted_at IS NULL AND r.hidden_by IS NULL`,
  );
  return row?.total ?? null;
};

const untilStaged = () => eventually(stagedBatches, (batches) => batches > 0);

describe('NDJSON request in progress', () => {
  test('does not block other writers of the stream, and is not visible before its end', async () => {
    await sumOne('hooli');
    const slow = open('replace');
    await slow.write(lines(0, 5000));
    await untilStaged();
    expect(await sumOne('hooli')).toMatchObject({ status: 200 });
    expect(await sendAll('replace', line('pied-piper', '7'))).toMatchObject({ status: 200 });
    expect(await sendAll('delete', line('hooli', null))).toMatchObject({ status: 201, body: { hiddenRecords: 2 } });
    expect(await liveTotal()).toBe('7');
    slow.sending.end(line('pied-piper', '1'));
    expect(await slow.answer).toMatchObject({ status: 200, body: { insertedRecords: 5001, hiddenRecords: 1 } });
    expect(await liveTotal()).toBe('5001');
    expect(await stagedBatches()).toBe(0);
  });

  test('leaves nothing and holds no connection when its client disconnects', async () => {
    const gone = Array.from({ length: 6 }, () => open('sum'));
    for (const { write } of gone) await write(lines(0, 5000));
    await untilStaged();
    // More requests than connections in the pool: none is held between two batches.
    expect(await sumOne('hooli')).toMatchObject({ status: 200 });
    for (const { sending } of gone) sending.destroy();
    await eventually(stagedBatches, (batches) => batches === 0);
    expect(await liveTotal()).toBe('1');
  });

  test('is rejected and leaves nothing when its client stalls', async () => {
    const impatient = await startTestServer({
      database: server.database,
      s3: server.s3,
      env: { ...STAGED, API_KEY: server.key, INTAKE_MEASURED_SECONDS: '1' },
    });
    try {
      const hanging = open('sum', {}, impatient);
      await hanging.write(lines(0, 5000));
      expect(await hanging.answer).toMatchObject({ status: 408, body: { error: { code: 'REQUEST_TIMEOUT' } } });
      expect(await stagedBatches()).toBe(0);
    } finally {
      await impatient.stop();
    }
    expect(await sql(`SELECT name FROM streams WHERE name = '${stream}'`)).toEqual([]);
  });

  test('applies backpressure while the database is blocked', async () => {
    await withClient(server.database.url, async (client) => {
      await client.query('BEGIN; LOCK TABLE staged_batches IN ACCESS EXCLUSIVE MODE');
      const { sending, answer } = open('sum');
      const text = lines(0, 4500);
      let written = 0;
      // Writes until the socket accepts no more: only buffers are in between.
      while (sending.write(text) || sending.writableLength < 4 * text.length) {
        written += text.length;
        if (written > 200 * text.length) throw new Error('Everything was taken.');
        await new Promise((resolve) => setImmediate(resolve));
      }
      const before = sending.socket?.bytesWritten ?? 0;
      expect(before).toBeLessThan(60 * text.length);
      await client.query('ROLLBACK');
      sending.end();
      const { status, body } = await answer;
      expect({ status, inserted: (body.insertedRecords ?? 0) > 4500 }).toEqual({ status: 200, inserted: true });
      expect(await liveTotal()).toBe(String(body.insertedRecords));
    });
  });
});

describe('stream that changes during an NDJSON request', () => {
  test('causes each record to be rejected if it was created with other dimensions', async () => {
    const late = open('sum');
    await late.write(lines(0, 4500));
    await untilStaged();
    expect(await sumOne('hooli', '1', { tier: ['gold'] })).toMatchObject({ status: 200 });
    late.sending.end();
    const { status, body } = await late.answer;
    expect({ status, code: body.error?.code, count: body.error?.issueCount }).toEqual({
      status: 400,
      code: 'VALIDATION_FAILED',
      count: 4500,
    });
    expect(body.error?.issues).toHaveLength(100);
    expect(body.error?.issues[3]).toMatchObject({ path: ['records', '3', 'filter'], code: 'DIMENSIONS_DIFFER' });
    expect(await liveTotal()).toBe('1');
    expect(await stagedBatches()).toBe(0);
  });

  test('is created again if it was deleted', async () => {
    await sumOne('hooli');
    const late = open('sum');
    await late.write(lines(0, 4500));
    await untilStaged();
    const url = `${server.url}/unit-cost/v1/telemetry/${stream}?force=true`;
    expect((await fetch(url, { method: 'DELETE', headers: { 'x-api-key': server.key } })).status).toBe(200);
    late.sending.end();
    expect(await late.answer).toMatchObject({ status: 200, body: { insertedRecords: 4500 } });
    expect(await liveTotal()).toBe('4500');
  });

  test('is not changed by selectors if it was created again with other dimensions', async () => {
    await sumOne('hooli');
    const late = open('delete');
    await late.write(line('hooli', null).repeat(4500));
    await untilStaged();
    const url = `${server.url}/unit-cost/v1/telemetry/${stream}?force=true`;
    expect((await fetch(url, { method: 'DELETE', headers: { 'x-api-key': server.key } })).status).toBe(200);
    await sumOne('hooli', '1', { tier: ['gold'] });
    late.sending.end();
    expect(await late.answer).toMatchObject({ status: 409, body: { error: { code: 'CONFLICT' } } });
    expect(await liveTotal()).toBe('1');
  });
});

describe('repeated NDJSON request', () => {
  test('is written once if two servers receive it concurrently with one idempotency key', async () => {
    const headers = { 'idempotency-key': `both-${stream}` };
    const both = [open('sum', headers), open('sum', headers, other)];
    for (const { write } of both) await write(lines(0, 3000));
    for (const { sending } of both) sending.end();
    const answers = await Promise.all(both.map(({ answer }) => answer));
    expect(answers.map(({ status }) => status)).toEqual([200, 200]);
    expect(new Set(answers.map(({ body }) => body.replayed))).toEqual(new Set([false, true]));
    expect(await liveTotal()).toBe('3000');
    expect(await stagedBatches()).toBe(0);
  });

  test('returns the receipt without staging, also after the stream was deleted', async () => {
    const headers = { 'idempotency-key': `again-${stream}` };
    expect(await sendAll('sum', lines(0, 4500), headers)).toMatchObject({ body: { replayed: false } });
    const url = `${server.url}/unit-cost/v1/telemetry/${stream}?force=true`;
    await fetch(url, { method: 'DELETE', headers: { 'x-api-key': server.key } });
    const again = open('sum', headers);
    await again.write(lines(0, 4400));
    expect(await stagedBatches()).toBe(0);
    again.sending.end(lines(4400, 4500));
    expect(await again.answer).toMatchObject({ status: 200, body: { insertedRecords: 4500, replayed: true } });
    expect(await sendAll('sum', lines(0, 4499), headers)).toMatchObject({
      status: 409,
      body: { error: { code: 'IDEMPOTENCY_MISMATCH' } },
    });
    expect(await liveTotal()).toBeNull();
  });
});

describe('lost staging data', () => {
  test('causes a 503 without any write, and a retry succeeds', async () => {
    const headers = { 'idempotency-key': `lost-${stream}` };
    const unlucky = open('replace', headers);
    await unlucky.write(lines(0, 5000));
    await untilStaged();
    // A crash empties unlogged tables.
    await sql('TRUNCATE staged_batches');
    unlucky.sending.end(lines(5000, 5001));
    const { status, headers: answered, body } = await unlucky.answer;
    expect({ status, code: body.error?.code }).toEqual({ status: 503, code: 'UNAVAILABLE' });
    expect(Number(answered['retry-after'])).toBeGreaterThan(0);
    expect(await liveTotal()).toBeNull();
    expect(await sendAll('replace', lines(0, 5001), headers)).toMatchObject({ body: { insertedRecords: 5001 } });
    expect(await liveTotal()).toBe('5001');
  });

  test('of a dead server is deleted by the next worker', async () => {
    await sql(`INSERT INTO staged_batches (account_id, request_id, number, staged_at, first_index, bucket_starts, filter_places, elements, amounts, filter_digests, filter_dimensions)
      SELECT 1, gen_random_uuid(), 0, now() - make_interval(hours => age), 0, '{}', '{}', '{}', '{}', '{}', '{}' FROM (VALUES (1), (48)) AS ages(age)`);
    const worker = await startTestServer({ database: server.database, s3: server.s3, env: { ROLE: 'worker' } });
    try {
      expect(await eventually(stagedBatches, (batches) => batches < 2)).toBe(1);
    } finally {
      await worker.stop();
      await sql('TRUNCATE staged_batches');
    }
  });
});
