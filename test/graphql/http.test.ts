import { once } from 'node:events';
import { connect } from 'node:net';
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import { serverAudits } from 'graphql-http';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestServer, type TestServer } from '../support/server.ts';

const MAX_BODY = 100_000;

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({
    env: {
      ROLE: 'api',
      MAX_BODY_BYTES: String(MAX_BODY),
      CORS_ORIGINS: 'https://app.example.com,https://b.example.com',
    },
  });
});
afterAll(() => server.stop());

const JSON_HEADERS = { 'content-type': 'application/json' };
const QUERY = JSON.stringify({ query: '{ __typename }' });

const send = async (
  init: RequestInit & { readonly duplex?: 'half' },
  path = '/graphql',
): Promise<{ status: number; headers: Headers; body: string; codes: unknown[] }> => {
  const response = await fetch(server.url + path, init);
  const body = await response.text();
  const isJson = /json/.test(response.headers.get('content-type') ?? '') && body !== '';
  const { errors = [] } = (isJson ? JSON.parse(body) : {}) as { errors?: { extensions?: { code?: string } }[] };
  return {
    status: response.status,
    headers: response.headers,
    body,
    codes: errors.map((error) => error.extensions?.code),
  };
};
/** With a valid key: a body without one has limits of its own (test/http/anonymous.test.ts). */
const post = (body: RequestInit['body'], headers: Record<string, string> = {}) =>
  send({ method: 'POST', headers: { ...JSON_HEADERS, 'x-api-key': server.key, ...headers }, body: body ?? null });

/** Returns the response to these exact bytes. */
const sendRaw = async (request: string): Promise<string> => {
  const socket = connect(Number(new URL(server.url).port), '127.0.0.1');
  await once(socket, 'connect');
  socket.write(request);
  const [answer] = (await once(socket, 'data')) as [Buffer];
  socket.destroy();
  return answer.toString();
};

describe('GraphQL over HTTP', () => {
  // The audits know no keys: this is the fetch they are given.
  const audits = serverAudits({
    url: () => `${server.url}/graphql`,
    fetchFn: (input: string, init: RequestInit = {}) =>
      fetch(input, { ...init, headers: { ...init.headers, 'x-api-key': server.key } }),
  });

  test('has 61 audits', () => {
    expect(audits).toHaveLength(61);
  });

  test.each(audits.map((audit) => [audit.id, audit.name, audit] as const))(
    'audit %s: %s',
    async (_id, _name, audit) => {
      expect(await audit.fn()).toMatchObject({ status: 'ok' });
    },
  );

  test('accepts GET for queries and rejects it for mutations', async () => {
    expect(await send({}, `/graphql?query=${encodeURIComponent('{ __typename }')}`)).toMatchObject({
      status: 200,
      body: '{"data":{"__typename":"Query"}}',
    });
    const mutation = encodeURIComponent('mutation { deleteStream(name: "x") { __typename } }');
    const refused = await send({ headers: { 'x-api-key': server.key } }, `/graphql?query=${mutation}`);
    expect(refused).toMatchObject({ status: 405, codes: ['BAD_REQUEST'] });
    expect(refused.headers.get('allow')).toBe('POST');
  });

  test.each(['PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS'])('rejects the method %s', async (method) => {
    const { status, headers } = await send({ method });
    expect(status).toBe(405);
    expect(headers.get('allow')).toBe('GET, POST');
  });

  test('rejects a list of operations', async () => {
    expect(await post(`[${QUERY},${QUERY}]`)).toMatchObject({ status: 400, codes: ['BAD_REQUEST'] });
  });

  test.each([
    ['application/x-www-form-urlencoded', 'query=%7B__typename%7D'],
    [
      'multipart/form-data; boundary=x',
      '--x\r\nContent-Disposition: form-data; name="query"\r\n\r\n{__typename}\r\n--x--',
    ],
    ['text/plain', QUERY],
    ['application/graphql', '{ __typename }'],
    ['application/jsonp', QUERY],
    ['application/json; charset=utf-16', QUERY],
    ['', QUERY],
  ])('rejects a body of the type "%s"', async (contentType, body) => {
    expect(await post(body, { 'content-type': contentType })).toMatchObject({
      status: 415,
      codes: ['UNSUPPORTED_MEDIA_TYPE'],
    });
  });

  test.each([
    'application/json',
    'Application/JSON',
    'application/json;charset="UTF-8"',
    'application/json ; charset=utf-8',
  ])('accepts a body of the type "%s"', async (contentType) => {
    expect(await post(QUERY, { 'content-type': contentType })).toMatchObject({ status: 200 });
  });

  test('returns NOT_ACCEPTABLE when the client accepts none of its formats', async () => {
    expect(await post(QUERY, { accept: 'image/png' })).toMatchObject({ status: 406, codes: ['NOT_ACCEPTABLE'] });
    const subscription = JSON.stringify({ query: 'subscription { runUpdated { id } }' });
    expect(await post(subscription, { accept: 'application/json', 'x-api-key': server.key })).toMatchObject({
      status: 406,
      codes: ['NOT_ACCEPTABLE'],
    });
  });

  test('returns 400 for errors of the request when the client accepts application/graphql-response+json', async () => {
    const accept = { accept: 'application/graphql-response+json' };
    for (const query of ['{', '{ nothing }', 'query A { __typename } query B { __typename }']) {
      const answer = await post(JSON.stringify({ query }), accept);
      expect(answer.status).toBe(400);
      expect(answer.headers.get('content-type')).toBe('application/graphql-response+json; charset=utf-8');
    }
  });

  test('returns the same bytes for any Accept-Language', async () => {
    const languages = ['de', 'fr-CH, fr;q=0.9, *;q=0.5', '*', 'not;;a=language'];
    const queries = ['{ __typename }', '{ nothing }', '{ jobs(first: 101) { totalCount } }', '{'];
    for (const body of [...queries.map((query) => JSON.stringify({ query })), '{', '{}']) {
      const headers = { 'x-api-key': server.key, 'x-request-id': 'the-same' };
      const { date: _, ...plain } = Object.fromEntries((await post(body, headers)).headers);
      const expected = { ...(await post(body, headers)), headers: plain };
      for (const language of languages) {
        const answer = await post(body, { ...headers, 'accept-language': language });
        const { date: __, ...told } = Object.fromEntries(answer.headers);
        expect({ ...answer, headers: told }).toEqual(expected);
      }
      expect(plain['vary']).toBe('Origin');
    }
  });

  test('returns no 2xx without data when the client accepts application/graphql-response+json', async () => {
    const headers = { 'x-api-key': server.key, accept: 'application/graphql-response+json' };
    for (const query of [
      'query ($id: ID!) { job(id: $id) { id } }',
      'subscription { runUpdated(runId: "x") { id } }',
      'query A { __typename } query B { __typename }',
    ]) {
      const { status, body } = await post(JSON.stringify({ query }), headers);
      expect(JSON.parse(body)).not.toHaveProperty('data');
      expect(status).toBeGreaterThanOrEqual(400);
    }
    const { status, body } = await post(JSON.stringify({ query: '{ jobs(first: 101) { totalCount } }' }), headers);
    expect(JSON.parse(body)).toHaveProperty('data', null);
    expect(status).toBe(200);
  });

  test('returns 400 without a query for any Accept header', async () => {
    for (const accept of ['application/json', 'application/graphql-response+json', '*/*']) {
      const headers = { 'x-api-key': server.key, accept };
      for (const answer of [
        await send({ headers }),
        await send({ headers }, '/graphql?variables=%7B%7D'),
        await post('{}', headers),
        await post('{"query": null}', headers),
        await post('null', headers),
      ])
        expect(answer).toMatchObject({ status: 400, codes: ['BAD_REQUEST'] });
    }
  });

  test('returns a short response when a long body is not JSON', async () => {
    for (const malformed of ['"'.repeat(50_000), 'a'.repeat(50_000), '\\'.repeat(50_000)]) {
      const answer = await post(`{"query":"{__typename}","variables":{"v":${malformed}`);
      expect(answer).toMatchObject({ status: 400, codes: ['BAD_REQUEST'] });
      expect(answer.body).toMatch(/in JSON at position|is not valid JSON/);
      // Yoga would quote the body.
      expect(answer.body.length).toBeLessThan(5000);
    }
  });

  test('serves a request when its Host header is invalid', async () => {
    const query = encodeURIComponent('{ __typename }');
    const answer = await sendRaw(`GET /graphql?query=${query} HTTP/1.1\r\nHost: a b:c\r\nConnection: close\r\n\r\n`);
    expect(answer).toContain('HTTP/1.1 200 OK');
  });

  test('ignores the fragment of the URL', async () => {
    const query = encodeURIComponent('{ __typename }');
    for (const rest of ['#&variables={', '#&variables=%7Bx&extensions=%7B', '&operationName=#&variables={']) {
      const answer = await sendRaw(
        `GET /graphql?query=${query}${rest} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`,
      );
      expect(answer).toMatch(/^HTTP\/1\.1 200/);
      expect(answer).toContain('{"data":{"__typename":"Query"}}');
    }
  });
});

describe('request body', () => {
  const padded = (bytes: number): string => QUERY.padEnd(bytes);

  test('is accepted at the limit and rejected with 413 one byte above it, with and without Content-Length', async () => {
    expect(await post(padded(MAX_BODY))).toMatchObject({ status: 200 });
    expect(await post(padded(MAX_BODY + 1))).toMatchObject({ status: 413, codes: ['BODY_TOO_LARGE'] });
    const chunked = (bytes: number) => new Blob([padded(bytes)]).stream();
    expect(
      await send({
        method: 'POST',
        headers: { ...JSON_HEADERS, 'x-api-key': server.key },
        body: chunked(MAX_BODY),
        duplex: 'half',
      }),
    ).toMatchObject({
      status: 200,
    });
    expect(
      await send({
        method: 'POST',
        headers: { ...JSON_HEADERS, 'x-api-key': server.key },
        body: chunked(MAX_BODY + 1),
        duplex: 'half',
      }),
    ).toMatchObject({ status: 413, codes: ['BODY_TOO_LARGE'] });
  });

  test('is rejected before it is sent when its Content-Length is too large', async () => {
    const answer = await sendRaw(
      `POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${MAX_BODY + 1}\r\n\r\n`,
    );
    expect(answer).toContain('HTTP/1.1 413 ');
  });

  test('gets a response instead of a reset when it is far too large', async () => {
    const large = Buffer.alloc(8 * 1024 * 1024);
    const endless = () =>
      new ReadableStream({
        start: (controller) => {
          for (let index = 0; index < 8; index += 1) controller.enqueue(new Uint8Array(1024 * 1024));
          controller.close();
        },
      });
    for (let round = 0; round < 5; round += 1) {
      expect((await post(large)).status).toBe(413);
      expect(
        (
          await send({
            method: 'POST',
            headers: { ...JSON_HEADERS, 'x-api-key': server.key },
            body: endless(),
            duplex: 'half',
          })
        ).status,
      ).toBe(413);
    }
  });

  test.each([
    ['gzip', gzipSync],
    ['deflate', deflateSync],
    ['br', brotliCompressSync],
  ])('with %s is accepted and counted by its decoded size', async (encoding, compress) => {
    const headers = { 'content-encoding': encoding };
    expect(await post(compress(padded(MAX_BODY)), headers)).toMatchObject({ status: 200 });
    expect(await post(compress(padded(MAX_BODY + 1)), headers)).toMatchObject({ status: 413 });
  });

  test('is rejected at the limit when it is a decompression bomb', async () => {
    const bomb = gzipSync(Buffer.alloc(100 * 1024 * 1024));
    expect(bomb.length).toBeGreaterThan(MAX_BODY);
    const inLimit = gzipSync(Buffer.alloc(20 * 1024 * 1024));
    expect(inLimit.length).toBeLessThan(MAX_BODY);
    for (const body of [bomb, inLimit]) {
      const before = process.memoryUsage().arrayBuffers;
      expect(await post(body, { 'content-encoding': 'gzip' })).toMatchObject({
        status: 413,
        codes: ['BODY_TOO_LARGE'],
      });
      expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(10 * 1024 * 1024);
    }
  });

  test.each([
    ['no gzip', 'gzip', 'hello', 400],
    ['half a gzip', 'gzip', gzipSync(QUERY).subarray(0, 20), 400],
    ['an unknown encoding', 'zstd', QUERY, 415],
    ['the name of something every object has', 'constructor', QUERY, 415],
    ['no JSON', 'identity', '{', 400],
    ['no object', 'identity', '7', 400],
  ])('is rejected with a code: %s', async (_, encoding, body, status) => {
    const answer = await post(body as BodyInit, { 'content-encoding': encoding });
    expect(answer.status).toBe(status);
    expect(answer.codes).toEqual([status === 415 ? 'UNSUPPORTED_MEDIA_TYPE' : 'BAD_REQUEST']);
  });

  test('that ends early leaves the server running', async () => {
    const socket = connect(Number(new URL(server.url).port), '127.0.0.1');
    await once(socket, 'connect');
    socket.write(
      'POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{"que',
    );
    socket.resetAndDestroy();
    expect(await post(QUERY)).toMatchObject({ status: 200 });
  });
});

describe('CORS', () => {
  const from = (origin: string, init: RequestInit = {}) =>
    send({ method: 'POST', body: QUERY, ...init, headers: { ...JSON_HEADERS, ...init.headers, origin } });
  const preflight = { method: 'OPTIONS', body: null, headers: { 'access-control-request-method': 'POST' } };

  test('allows listed origins, without credentials', async () => {
    for (const origin of ['https://app.example.com', 'https://b.example.com']) {
      for (const { headers } of [await from(origin), await from(origin, preflight)]) {
        expect(headers.get('access-control-allow-origin')).toBe(origin);
        expect(headers.get('access-control-allow-credentials')).toBeNull();
        expect(headers.get('vary')).toBe('Origin');
      }
    }
    const { status, headers } = await from('https://app.example.com', preflight);
    expect(status).toBe(204);
    expect(headers.get('access-control-allow-headers')).toBe(
      'content-type, content-encoding, x-api-key, authorization, idempotency-key, x-request-id',
    );
    expect(headers.get('access-control-allow-methods')).toBe('GET, POST, PUT, DELETE');
  });

  test('lets listed origins read errors', async () => {
    const { status, headers } = await from('https://app.example.com', { body: 'x'.repeat(MAX_BODY + 1) });
    expect(status).toBe(413);
    expect(headers.get('access-control-allow-origin')).toBe('https://app.example.com');
  });

  test.each(['https://evil.example.com', 'https://app.example.com.evil.com', 'http://app.example.com', 'null'])(
    '%s is not on the list',
    async (origin) => {
      for (const { headers } of [await from(origin), await from(origin, preflight)]) {
        expect(headers.get('access-control-allow-origin')).toBeNull();
      }
    },
  );

  test('allows no origin when the list is empty', async () => {
    const strict = await startTestServer({ env: { ROLE: 'api' }, database: server.database, s3: server.s3 });
    const response = await fetch(`${strict.url}/graphql`, {
      method: 'POST',
      headers: { ...JSON_HEADERS, origin: 'https://app.example.com' },
      body: QUERY,
    });
    expect(response.headers.get('access-control-allow-origin')).toBeNull();
    await strict.stop();
  });
});
