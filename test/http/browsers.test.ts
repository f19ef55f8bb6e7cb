import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import WebSocket from 'ws';
import { ask, countStored } from '../rest/requests.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

// Requests that a page of another site can make a browser send, and the policies that responses set for browsers.

const FRIEND = 'https://app.example.com';
const STRANGER = 'https://evil.example.com';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ env: { ROLE: 'api', CORS_ORIGINS: FRIEND } });
});
afterAll(() => server.stop());

const RECORD = '{"timestamp":"2026-01-25T00:00:00Z","granularity":"DAILY","element-name":"hooli","value":"1"}';
const JOB = '{"jobName":"forged","s3Url":"exports","format":"csv","aggregationBucket":"day","range":"ago(1d)"}';
const SUM = `mutation { allocationSum(input: { stream: "forged", records: [
  { timestamp: "2026-01-25T00:00:00Z", granularity: DAILY, elementName: "hooli", value: 1 }] }) { __typename } }`;

describe('page of another site that sends requests without a CORS preflight', () => {
  const boundary = (body: string) => `--x\r\nContent-Disposition: form-data; name="operations"\r\n\r\n${body}\r\n--x--`;
  const bodies = (body: string): [type: string, body: string][] => [
    ['application/x-www-form-urlencoded', `query=${encodeURIComponent(body)}`],
    ['multipart/form-data; boundary=x', boundary(body)],
    ['text/plain', body],
    ['text/plain; charset=application/json', body],
  ];
  /** Cookies and the credentials of a login dialog, which browsers send automatically and Sluice does not accept. */
  const ambient = () => ({
    origin: STRANGER,
    cookie: `key=${server.key}; X-API-Key=${server.key}; session=1`,
    authorization: `Basic ${Buffer.from(`${server.key}:${server.key}`).toString('base64')}`,
  });

  test('cannot use the credentials that the browser sends automatically', async () => {
    const before = await countStored(server);
    const statuses = new Set<number>();
    for (const [type, body] of bodies(JSON.stringify({ query: SUM }))) {
      const answer = await ask(server, 'POST /graphql', {
        key: null,
        body,
        headers: { ...ambient(), 'content-type': type },
      });
      expect([type, answer.status]).toEqual([type, 415]);
    }
    for (const [route, sent] of [
      ['POST /unit-cost/v1/telemetry/allocation/forged/sum', `{"records":[${RECORD}]}`],
      ['POST /unit-cost/v1/telemetry/allocation/forged/replace', RECORD],
      ['POST /jobs', JOB],
      ['POST /jobs/check', JOB],
    ] as const) {
      for (const [type, body] of bodies(sent)) {
        const answer = await ask(server, route, { key: null, body, headers: { ...ambient(), 'content-type': type } });
        statuses.add(answer.status);
      }
    }
    for (const path of [
      '/jobs',
      `/jobs?api_key=${server.key}`,
      '/unit-cost/v1/telemetry/forged/records',
      `/unit-cost/v1/telemetry/forged/records?x-api-key=${server.key}`,
    ]) {
      statuses.add((await ask(server, `GET ${path}`, { key: null, headers: ambient() })).status);
    }
    expect(statuses).toEqual(new Set([401, 403]));
    expect(await countStored(server)).toEqual(before);
  });

  test('cannot read with a key in the URL, nor execute a mutation by GET', async () => {
    const get = (query: string, more = '') =>
      ask<unknown>(server, `GET /graphql?query=${encodeURIComponent(query)}${more}`, { key: null, headers: ambient() });
    for (const more of ['', `&key=${server.key}`, `&X-API-Key=${server.key}`, `&access_token=${server.key}`]) {
      expect(await get('{ streams { totalCount } }', more)).toMatchObject({
        status: 401,
        body: { errors: [{ extensions: { code: 'UNAUTHENTICATED' } }] },
      });
    }
    expect(await get('{ __typename }')).toMatchObject({ status: 200 });
    const before = await countStored(server);
    const forged = await ask<unknown>(server, `GET /graphql?query=${encodeURIComponent(SUM)}`, {
      headers: { origin: STRANGER },
    });
    expect(forged.status).toBe(405);
    expect(await countStored(server)).toEqual(before);
  });
});

describe('CORS_ORIGINS', () => {
  const origins = [STRANGER, 'null', 'http://app.example.com', `${FRIEND}.evil.com`, 'https://APP.example.com', ''];
  const routes = ['GET /jobs', 'POST /jobs', 'PUT /jobs/x', 'DELETE /jobs/x', 'GET /openapi.json', 'POST /graphql'];

  test.each(routes)(
    'lets listed origins send %s and read error responses, and sends no CORS headers to others',
    async (route) => {
      const [method = '', path = ''] = route.split(' ');
      for (const [origin, isFriend] of [[FRIEND, true] as const, ...origins.map((one) => [one, false] as const)]) {
        const preflight = await fetch(server.url + path, {
          method: 'OPTIONS',
          headers: {
            origin,
            'access-control-request-method': method,
            'access-control-request-headers': 'x-api-key,content-type,idempotency-key',
          },
        });
        const refused = await fetch(server.url + path, { method, headers: { origin } });
        expect(preflight.ok).toBe(isFriend);
        for (const { headers } of [preflight, refused]) {
          expect(headers.get('access-control-allow-origin')).toBe(isFriend ? FRIEND : null);
          expect(headers.get('access-control-allow-credentials')).toBeNull();
          expect(headers.get('vary')).toBe('Origin');
        }
        expect(preflight.headers.get('access-control-allow-methods')).toBe(isFriend ? 'GET, POST, PUT, DELETE' : null);
      }
    },
  );

  test('lets listed origins, pages of this server and clients without an origin open a WebSocket', async () => {
    const open = async (origin: string | undefined): Promise<number> => {
      const socket = new WebSocket(`${server.url.replace('http', 'ws')}/graphql`, 'graphql-transport-ws', {
        ...(origin !== undefined && { origin }),
      });
      const status = Promise.race([
        once(socket, 'open').then(() => 101),
        new Promise<number>((resolve) => {
          socket.on('unexpected-response', (_request, response) => resolve(response.statusCode ?? 0));
        }),
      ]);
      socket.on('error', () => undefined);
      const answered = await status;
      socket.terminate();
      return answered;
    };
    expect(await Promise.all([undefined, FRIEND, server.url].map(open))).toEqual([101, 101, 101]);
    for (const origin of [STRANGER, 'null', 'http://127.0.0.1', 'http://localhost.evil.com', 'file://', 'a b']) {
      expect([origin, await open(origin)]).toEqual([origin, 403]);
    }
  });
});

const NOTHING = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

describe('every response', () => {
  test.each<[route: string, options: Parameters<typeof ask>[2], status: number]>([
    ['GET /healthz', {}, 200],
    ['GET /readyz', {}, 200],
    ['GET /metrics', {}, 200],
    ['GET /nothing', {}, 404],
    ['GET /jobs', {}, 200],
    ['GET /jobs', { key: null }, 401],
    ['GET /jobs/nothing', {}, 404],
    ['GET /openapi.json', {}, 200],
    ['GET /graphql?query=%7B__typename%7D', {}, 200],
    ['POST /graphql', { body: '{' }, 415],
    ['POST /graphql', { body: Buffer.alloc(6_000_000), headers: { 'content-type': 'application/json' } }, 413],
    ['POST /jobs', { body: Buffer.alloc(6_000_000) }, 413],
  ])('forbids sniffing, framing, caching and loading by other sites: %s, %#', async (route, options, status) => {
    const answer = await ask<unknown>(server, route, options);
    expect(answer.status).toBe(status);
    const headers = Object.fromEntries(answer.headers);
    expect(headers).toMatchObject({
      'x-content-type-options': 'nosniff',
      'cache-control': 'no-store',
      'referrer-policy': 'no-referrer',
      'content-security-policy': NOTHING,
      'cross-origin-resource-policy': 'same-origin',
    });
    expect(headers).not.toHaveProperty('strict-transport-security');
    expect(headers).not.toHaveProperty('x-powered-by');
    expect(headers).not.toHaveProperty('server');
  });

  test.each(['/graphql', '/docs'])(
    'has a Content-Security-Policy without other hosts or frames when it is the page %s',
    async (path) => {
      const { headers } = await fetch(server.url + path, { headers: { accept: 'text/html' } });
      const policy = headers.get('content-security-policy') ?? '';
      expect(policy).toMatch(/^default-src 'none'; script-src /);
      for (const part of ["base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"])
        expect(policy).toContain(part);
      expect(policy).not.toMatch(/https?:|\*|unsafe-eval|script-src[^;]*unsafe/);
      expect(Object.fromEntries(headers)).toMatchObject({
        'content-type': 'text/html; charset=utf-8',
        'x-content-type-options': 'nosniff',
        'x-frame-options': 'DENY',
        'referrer-policy': 'no-referrer',
        'cross-origin-opener-policy': 'same-origin',
        'cache-control': 'no-store',
      });
    },
  );
});

describe('server with GRAPHIQL, INTROSPECTION and DOCS set to false', () => {
  let silent: TestServer;
  beforeAll(async () => {
    const env = { ROLE: 'api', GRAPHIQL: 'false', INTROSPECTION: 'false', DOCS: 'false' };
    silent = await startTestServer({ env, database: server.database, s3: server.s3 });
  });
  afterAll(() => silent.stop());

  test('does not serve GraphiQL', async () => {
    for (const accept of ['text/html', 'text/html,application/xhtml+xml,*/*;q=0.8']) {
      const answer = await fetch(`${silent.url}/graphql`, { headers: { accept } });
      expect([400, 406]).toContain(answer.status);
      expect(await answer.text()).not.toContain('<');
    }
  });

  test('does not serve the description of the REST routes', async () => {
    for (const path of ['/docs', '/docs/', '/docs/swagger-ui.css', '/openapi.json']) {
      const answer = await ask(silent, `GET ${path}`, { key: null });
      expect(answer).toMatchObject({ status: 404, body: { error: { code: 'NOT_FOUND' } } });
      expect(answer.text).not.toContain('described at');
    }
    expect((await ask(silent, 'GET /nothing')).text).not.toContain('docs');
    expect((await ask(silent, 'GET /jobs')).status).toBe(200);
  });

  test.each([
    '{ __schema { queryType { name } } }',
    '{ __type(name: "Job") { name } }',
    '{ viewer { accountName } ...F } fragment F on Query { __schema { types { name } } }',
  ])('rejects introspection with and without a key: %s', async (query) => {
    for (const key of [silent.key, null]) {
      const { data, errors = [] } = await silent.request(query, {}, key);
      expect(data).toBeUndefined();
      expect(new Set(errors.map(({ extensions }) => extensions?.['code']))).toEqual(
        new Set(['GRAPHQL_VALIDATION_FAILED']),
      );
    }
    expect((await server.request(query, {}, server.key)).errors).toBeUndefined();
  });

  test('still returns __typename', async () => {
    expect(await silent.graphql('{ __typename viewer { __typename } }')).toEqual({
      __typename: 'Query',
      viewer: { __typename: 'Viewer' },
    });
  });

  test.each<[query: string, variables?: Record<string, unknown>]>([
    ['{ jobss { totalCount } }'],
    ['{ jobs(frist: 1) { totalCount } }'],
    ['{ node(id: "x") { jobName } }'],
    ['{ runs(status: [QUEUD]) { totalCount } }'],
    ['query ($s: RunStatu) { runs(status: [$s]) { totalCount } }'],
    ['{ viewer { ... on Viewr { accountName } } }'],
    ['{ viewer @skp(if: true) { accountName } }'],
    ['{ viewer { ...Al } } fragment All on Viewer { accountName }'],
    ['mutation { runJob(input: { jobID: "x" }) { __typename } }'],
    ['mutation ($i: RunJobInput!) { runJob(input: $i) { __typename } }', { i: { jobID: 'x' } }],
    ['query ($s: [RunStatus!]) { runs(status: $s) { totalCount } }', { s: ['QUEUD'] }],
    [
      'query ($b: AggregationBucket!) { usage(input: { from: "", to: "", aggregationBucket: $b }) { __typename } }',
      { b: 'DAYS' },
    ],
  ])('suggests no names in errors: %s', async (query, variables) => {
    const told = await silent.request(query, variables);
    expect(told.errors?.length).toBeGreaterThan(0);
    expect(JSON.stringify(told.errors)).not.toMatch(/did you mean/i);
    const helped = JSON.stringify((await server.request(query, variables)).errors);
    expect(helped).toMatch(/did you mean|Unknown (?:fragment|directive)/i);
  });
});
