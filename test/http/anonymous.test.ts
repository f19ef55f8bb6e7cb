import { once } from 'node:events';
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import { getIntrospectionQuery } from 'graphql';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { newSecret } from '../../src/accounts/secrets.ts';
import { allocationPath, ask, NDJSON } from '../rest/requests.ts';
import { selectWaiting } from '../support/lock-waits.ts';
import { withClient } from '../support/postgres-admin.ts';
import { openRawConnection, type RawConnection, sendRaw } from '../support/raw-requests.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';
import { openSocket } from '../support/socket-client.ts';

// Limits of requests without a valid key: their size, their duration, and how many are open at the same time.

const MAX_BODY = 64 * 1024;
const MAX_OPEN = 3;
const SECONDS = 1;

let server: TestServer;
/** The same server with a time limit that no test reaches. */
let patient: TestServer;
beforeAll(async () => {
  const env = { ROLE: 'api', MAX_ANONYMOUS_BODIES: String(MAX_OPEN) };
  server = await startTestServer({ env: { ...env, ANONYMOUS_SECONDS: String(SECONDS) } });
  patient = await startTestServer({
    env: { ...env, ANONYMOUS_SECONDS: '600', API_KEY: server.key },
    database: server.database,
    s3: server.s3,
  });
});
afterAll(async () => {
  await patient.stop();
  await server.stop();
});

/** A secret whose checksum is wrong. */
const mistyped = (): string => {
  const secret = newSecret();
  return secret.slice(0, -1) + (secret.endsWith('0') ? '1' : '0');
};

/** No key, a key that does not exist, a key that was mistyped, and a value that no key has. */
const KEYS: readonly (readonly [string, string | null])[] = [
  ['no key', null],
  ['an unknown key', newSecret()],
  ['a mistyped key', mistyped()],
  ['a key of 15 KB', 'k'.repeat(15_000)],
];

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly code: string | undefined;
  readonly text: string;
}

const post = async (
  body: string | Buffer,
  { key = null, headers = {}, to = server }: { key?: string | null; headers?: object; to?: TestServer } = {},
): Promise<Answer> => {
  const response = await fetch(`${to.url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(key !== null && { 'x-api-key': key }), ...headers },
    body: new Uint8Array(Buffer.from(body)),
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, code: /"code":"(\w+)"/.exec(text)?.[1], text };
};

const documentOf = (query: string, bytes = 0): string => JSON.stringify({ query }).padEnd(bytes);

describe.each(KEYS)('request with %s', (_, key) => {
  test('can use introspection, and gets UNAUTHENTICATED for viewer', async () => {
    expect(await post(documentOf(getIntrospectionQuery()), { key })).toMatchObject({ status: 200, code: undefined });
    expect(await post(documentOf('{ viewer { accountName } }'), { key })).toMatchObject({
      status: 401,
      code: 'UNAUTHENTICATED',
    });
    const response = await fetch(`${server.url}/graphql?query=${encodeURIComponent('{ viewer { accountName } }')}`, {
      headers: key === null ? {} : { authorization: key },
    });
    expect(await response.text()).toContain('"UNAUTHENTICATED"');
  });

  test('can have a body of up to 64 KiB', async () => {
    expect(await post(documentOf('{ __typename }', MAX_BODY), { key })).toMatchObject({ status: 200 });
    for (const bytes of [MAX_BODY + 1, 4 * MAX_BODY]) {
      const refused = await post(documentOf('{ __typename }', bytes), { key });
      expect(refused).toMatchObject({ status: 413, code: 'BODY_TOO_LARGE' });
      expect(refused.text).toContain('Without a valid key');
    }
    const head = `POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n${key === null ? '' : `X-API-Key: ${key}\r\n`}\r\n`;
    const chunk = `4000\r\n${' '.repeat(0x4000)}\r\n`;
    expect(await sendRaw(server.url, head + chunk.repeat(5))).toMatch(/^HTTP\/1\.1 413 /);
  });

  test.each([
    ['gzip', gzipSync],
    ['deflate', deflateSync],
    ['br', brotliCompressSync],
  ])('cannot have a compressed body: %s', async (encoding, compress) => {
    const headers = { 'content-encoding': encoding };
    const body = compress(documentOf('{ __typename }'));
    expect(await post(body, { key, headers })).toMatchObject({ status: 415, code: 'UNSUPPORTED_MEDIA_TYPE' });
    expect(await post(body, { key: server.key, headers })).toMatchObject({ status: 200 });
  });

  test('is rejected by the REST routes before its body is sent', async () => {
    for (const [path, status] of [
      [allocationPath('x', 'sum'), 403],
      ['/jobs', 401],
    ] as const) {
      const { socket, closed } = await openRawConnection(server.url);
      socket.write(
        `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n${key === null ? '' : `X-API-Key: ${key}\r\n`}\r\n`,
      );
      const [first] = (await once(socket, 'data')) as [Buffer];
      expect(first.toString()).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
      socket.destroy();
      await closed;
    }
  });
});

test('long number > is rejected before it is parsed when there is no valid key', async () => {
  const documentWith = (zeros: number): string => `{"query":"{ __typename }","variables":{"x":1${'0'.repeat(zeros)}}}`;
  expect(await post(documentWith(160_000))).toMatchObject({ status: 413, code: 'BODY_TOO_LARGE' });
  expect(await post(documentWith(60_000))).toMatchObject({ status: 400, code: 'BAD_REQUEST' });
  const response = await fetch(`${server.url}/graphql?query={__typename}&variables={"x":1${'0'.repeat(10_000)}}`);
  expect(response.status).toBe(400);
});

describe('time limit of a request', () => {
  /** Writes one byte every 50 ms until the server closes the connection. */
  const drip = async ({ socket, closed }: RawConnection): Promise<string> => {
    const timer = setInterval(() => socket.write('x'), 50);
    const answer = await closed;
    clearInterval(timer);
    return answer;
  };

  test('ends a request with slow headers, even with a valid key', async () => {
    const connection = await openRawConnection(server.url);
    connection.socket.write(`GET /healthz HTTP/1.1\r\nHost: x\r\nX-API-Key: ${server.key}\r\nX-Long: `);
    expect(await drip(connection)).toMatch(/^HTTP\/1\.1 408 /);
  });

  test('ends a request with slow headers on a connection that served a request before', async () => {
    const connection = await openRawConnection(server.url);
    connection.socket.write('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n');
    await once(connection.socket, 'data');
    connection.socket.write('GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: ');
    expect(await drip(connection)).toMatch(/^HTTP\/1\.1 200 [^]*HTTP\/1\.1 408 /);
  });

  test('ends a request with a slow body when it has no valid key', async () => {
    const connection = await openRawConnection(server.url);
    connection.socket.write(
      'POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n{',
    );
    const answer = await drip(connection);
    expect(answer).toMatch(/^HTTP\/1\.1 408 /);
    expect(answer).toContain('REQUEST_TIMEOUT');
    expect(answer).toContain('1 seconds together');
  });

  test('closes the connection when the route does not read a slow body', async () => {
    const connection = await openRawConnection(server.url);
    connection.socket.write('POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n{');
    expect(await drip(connection)).toMatch(/^HTTP\/1\.1 200 /);
  });

  test('does not apply to a body with a valid key', async () => {
    const connection = await openRawConnection(server.url);
    const body = documentOf('{ viewer { accountName } }');
    connection.socket.write(
      `POST /graphql HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-API-Key: ${server.key}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n{`,
    );
    // A request without a key, which began later, ends first.
    const other = await openRawConnection(server.url);
    other.socket.write(
      'POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n{',
    );
    expect(await drip(other)).toMatch(/^HTTP\/1\.1 408 /);
    connection.socket.write(body.slice(1));
    expect(await connection.closed).toContain('"accountName":"default"');
  });
});

describe('concurrent bodies', () => {
  const open = async (): Promise<RawConnection> => {
    const connection = await openRawConnection(patient.url);
    connection.socket.write(
      'POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n{',
    );
    return connection;
  };
  const query = documentOf('{ __typename }');

  test('are limited to MAX_ANONYMOUS_BODIES without a valid key, and not limited with one', async () => {
    const connections: RawConnection[] = [];
    for (let index = 0; index < MAX_OPEN; index += 1) connections.push(await open());
    const refused = await eventually(
      () => post(query, { to: patient }),
      ({ status }) => status === 503,
    );
    expect(refused).toMatchObject({ status: 503, code: 'OVERLOADED' });
    expect(refused.headers.get('retry-after')).toBe('1');
    const get = await fetch(`${patient.url}/graphql?query={__typename}`);
    expect([get.status, get.headers.get('retry-after')]).toEqual([503, '1']);
    expect(await post(query, { to: patient, key: server.key })).toMatchObject({ status: 200 });
    expect(await ask(patient, 'GET /jobs', { key: server.key })).toMatchObject({ status: 200 });
    connections[0]?.socket.destroy();
    await eventually(
      () => post(query, { to: patient }),
      ({ status }) => status === 200,
    );
    for (const { socket } of connections) socket.destroy();
  });
});

describe('connection_init', () => {
  test('can have up to 16 KiB', async () => {
    const within = await openSocket(server.url, { Authorization: `Bearer ${'k'.repeat(15_000)}` });
    expect(await within.closed).toBe(4401);
    for (const value of ['k'.repeat(80_000), `bearer${' '.repeat(80_000)}x`]) {
      const beyond = await openSocket(server.url, { Authorization: value });
      expect(await beyond.closed).toBe(1009);
    }
  });

  test('can have up to 16 KiB together with all frames before it', async () => {
    // The last frame exceeds it: frames that the server has not read when it closes the connection would reset it.
    const pieces = await openSocket(server.url);
    for (let sent = 0; sent <= 16_384; sent += 1000) pieces.socket.send('x'.repeat(1000), { fin: false });
    expect(await pieces.closed).toBe(1009);
    const pings = await openSocket(server.url);
    for (let sent = 0; sent <= 16_384; sent += 120) pings.socket.ping('x'.repeat(120));
    expect(await pings.closed).toBe(1009);
  });

  test('removes the limit when it has a valid key', async () => {
    const client = await openSocket(server.url, { 'X-API-Key': server.key });
    await client.until(({ type }) => type === 'connection_ack');
    client.send({
      type: 'subscribe',
      id: '1',
      payload: { query: '{ __typename }', variables: { x: 'x'.repeat(80_000) } },
    });
    expect((await client.until(({ id }) => id === '1')).type).toBe('next');
    client.close();
  });
});

describe('UNAUTHENTICATED', () => {
  const EXPECTED = ['No key was sent', 'it is unknown', 'its checksum is wrong', 'it is unknown'];

  test.each(KEYS.map(([name, key], index) => [name, key, EXPECTED[index] ?? ''] as const))(
    'names the cause over HTTP and WebSocket when a request has %s',
    async (_, key, expected) => {
      const headers = { accept: 'text/event-stream' };
      expect((await post(documentOf('{ viewer { accountName } }'), { key })).text).toContain(expected);
      expect((await post(documentOf('subscription { runUpdated { id } }'), { key, headers })).text).toContain(expected);
      for (const route of [`POST ${allocationPath('x', 'sum')}`, 'GET /jobs']) {
        expect((await ask(server, route, { key })).body.error.message).toContain(expected);
      }
      const socket = await openSocket(server.url, key === null ? {} : { Authorization: `Bearer ${key}` });
      expect(await socket.closed).toBe(4401);
      expect(socket.reason()).toContain(expected);
    },
  );
});

describe('database queries for unknown keys', () => {
  /** Returns the number of backends that wait for the lock on the table of keys. */
  const waiting = (): Promise<number> =>
    withClient(server.database.url, async (client) => {
      const { rows } = await client.query(selectWaiting("relation = 'api_keys'::regclass"));
      return rows.length;
    });

  test('run two at a time and do not delay valid keys', async () => {
    const valid = await server.createKey('default', ['READ']);
    const ask = (key: string): Promise<Answer> => post(documentOf('{ viewer { accountName } }'), { key, to: patient });
    expect(await ask(valid)).toMatchObject({ status: 200 });
    await withClient(server.database.url, async (client) => {
      await client.query('BEGIN; LOCK TABLE api_keys IN ACCESS EXCLUSIVE MODE');
      const strangers = Array.from({ length: 20 }, () => ask(newSecret()));
      await eventually(waiting, (count) => count === 2);
      // A mistyped key is rejected without a query.
      expect(await ask(mistyped())).toMatchObject({ status: 401 });
      // After some time the server reads the valid key again, on a separate connection.
      const known: Promise<Answer>[] = [];
      await eventually(
        () => {
          known.push(ask(valid));
          return waiting();
        },
        (count) => count === 3,
      );
      await client.query('COMMIT');
      expect(new Set((await Promise.all(known)).map(({ status }) => status))).toEqual(new Set([200]));
      const answers = await Promise.all(strangers);
      // Requests beyond MAX_ANONYMOUS_BODIES get 503.
      for (const { status } of answers) expect([401, 503]).toContain(status);
    });
  });
});

test('NDJSON upload > is rejected with UNAUTHENTICATED when its key is unknown', async () => {
  const answer = await ask(server, `POST ${allocationPath('x', 'sum')}`, {
    key: newSecret(),
    body: 'x'.repeat(1_000_000),
    headers: NDJSON,
  });
  expect(answer).toMatchObject({ status: 403, body: { error: { code: 'UNAUTHENTICATED' } } });
});
