import { once } from 'node:events';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { allocationPath, ask, issuesOf, NDJSON, type Receipt } from '../rest/requests.ts';
import { openRawConnection, sendRaw } from '../support/raw-requests.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

// Every header that Sluice reads or writes, with the rule of its RFC or draft. Other files of this folder test more of them:
// browsers.test.ts (Origin, Vary), proxies.test.ts (event streams, Keep-Alive, request targets), anonymous.test.ts.

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ env: { ROLE: 'api', INTAKE_RECORDS_PER_SECOND: '1', INTAKE_BURST: '1000' } });
});
afterAll(() => server.stop());

const RECORD = '{"timestamp":"2026-01-25T00:00:00Z","granularity":"DAILY","element-name":"hooli","value":"1"}';
const BODY = `{"records":[${RECORD}]}`;
const QUERY = '{"query":"{ viewer { accountName } }"}';
const SUM = allocationPath('headers', 'sum');

/** Sends a request with these headers over a connection that closes, and returns the response. */
const raw = (line: string, headers: readonly string[], body = ''): Promise<string> =>
  sendRaw(
    server.url,
    `${line} HTTP/1.1\r\n${['Host: x', 'Connection: close', ...headers].join('\r\n')}\r\n\r\n${body}`,
  );
const withKey = (...headers: string[]): string[] => [`X-API-Key: ${server.key}`, ...headers];
const graphql = (...headers: string[]): Promise<string> =>
  raw('POST /graphql', withKey(`Content-Length: ${QUERY.length}`, ...headers), QUERY);

interface Case {
  /** Header, RFC or draft, and its rule. */
  readonly rule: string;
  readonly send: () => Promise<string>;
  readonly status: number;
  /** Expected lines of the head or parts of the body. */
  readonly has?: readonly RegExp[];
  readonly lacks?: RegExp;
}

const CASES: readonly Case[] = [
  {
    rule: 'Authorization (RFC 9110, 11.1): the scheme is case-insensitive, and several spaces can follow',
    send: () => raw('GET /jobs', [`Authorization: BEARER   ${server.key}`]),
    status: 200,
  },
  {
    rule: 'WWW-Authenticate (RFC 6750, 3): 401 has a challenge, without an error if there was no key',
    send: () => raw('GET /jobs', []),
    status: 401,
    has: [/^www-authenticate: Bearer realm="Sluice"\r$/im],
  },
  {
    rule: 'WWW-Authenticate (RFC 6750, 3.1): invalid_token for a wrong key',
    send: () => raw('GET /jobs', [`X-API-Key: ${'x'.repeat(40)}`]),
    status: 401,
    has: [/^www-authenticate: Bearer realm="Sluice", error="invalid_token"\r$/im],
  },
  {
    rule: 'Content-Type (RFC 9110, 8.3.1): type and parameters in any case, a value in quotes, spaces around ";"',
    send: () => graphql('Content-Type: Application/JSON ; Charset="UTF-8"'),
    status: 200,
  },
  {
    rule: 'Content-Type (RFC 9110, 8.3.1): unknown parameters are ignored',
    send: () => graphql('Content-Type: application/json; profile="x"; charset=utf-8'),
    status: 200,
  },
  {
    rule: 'Content-Type (RFC 9110, 15.5.16): 415 for another charset',
    send: () => graphql('Content-Type: application/json; charset=iso-8859-1'),
    status: 415,
  },
  {
    rule: 'Content-Type of NDJSON: in any case, with parameters',
    send: () =>
      raw(
        `POST ${SUM}`,
        withKey('Content-Type: Application/X-NDJSON; charset=utf-8', `Content-Length: ${RECORD.length}`),
        RECORD,
      ),
    status: 200,
  },
  {
    rule: 'Content-Encoding (RFC 9110, 5.6.1, 8.4): empty elements and identity are ignored',
    send: () => graphql('Content-Type: application/json', 'Content-Encoding: , identity,'),
    status: 200,
  },
  {
    rule: 'Accept-Encoding (RFC 9110, 15.5.16): a 415 for the encoding lists the supported encodings',
    send: () => graphql('Content-Type: application/json', 'Content-Encoding: zstd'),
    status: 415,
    has: [/^accept-encoding: gzip, deflate, br\r$/im],
  },
  {
    rule: 'Accept-Encoding: the REST routes list them too, after a request with two encodings',
    send: () => raw(`POST ${SUM}`, withKey('Content-Encoding: gzip, gzip', `Content-Length: ${BODY.length}`), BODY),
    status: 415,
    has: [/^accept-encoding: gzip, deflate, br\r$/im],
  },
  {
    rule: 'Accept (RFC 9110, 12.4.2): a client that prefers JSON does not get a page',
    send: () => raw('GET /graphql?query={__typename}', withKey('Accept: text/html;q=0.5, application/json')),
    status: 200,
    has: [/^content-type: application\/json; charset=utf-8\r$/im],
  },
  {
    rule: 'Accept (RFC 9110, 12.4.2): q=0 excludes a page',
    send: () => raw('GET /graphql?query={__typename}', withKey('Accept: text/html;q=0, */*')),
    status: 200,
    has: [/^content-type: application\/(?:graphql-response\+)?json; charset=utf-8\r$/im],
  },
  {
    rule: 'Accept (RFC 9110, 12.5.1): the media type with the highest weight wins in any order',
    send: () =>
      graphql(
        'Content-Type: application/json',
        'Accept: application/json;q=0.5, application/graphql-response+json;q=0.9',
      ),
    status: 200,
    has: [/^content-type: application\/graphql-response\+json; charset=utf-8\r$/im],
  },
  {
    rule: 'Accept (RFC 9110, 12.4.2): q=0 excludes a media type',
    send: () =>
      graphql(
        'Content-Type: application/json',
        'Accept: application/graphql-response+json;q=0, application/json;q=0.1',
      ),
    status: 200,
    has: [/^content-type: application\/json; charset=utf-8\r$/im],
  },
  {
    rule: 'Accept-Encoding (RFC 9110, 12.5.3): gzip;q=0 is not gzip',
    send: () => raw('GET /graphql', ['Accept: text/html', 'Accept-Encoding: gzip;q=0']),
    status: 200,
    lacks: /^content-encoding:/im,
  },
  {
    rule: 'Content-Length and Transfer-Encoding (RFC 9112, 6.3): a request with both is rejected',
    send: () =>
      raw(
        'POST /graphql',
        withKey('Content-Type: application/json', 'Content-Length: 5', 'Transfer-Encoding: chunked'),
        '0\r\n\r\n',
      ),
    status: 400,
  },
  {
    rule: 'Content-Length (RFC 9112, 6.3): two different values are rejected',
    send: () => raw('POST /graphql', withKey('Content-Length: 5', 'Content-Length: 6'), 'xxxxxx'),
    status: 400,
  },
  {
    rule: 'Host (RFC 9112, 3.2): a request without it is rejected',
    send: () => sendRaw(server.url, 'GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n'),
    status: 400,
  },
  {
    rule: 'Expect (RFC 9110, 10.1.1): the final status instead of 100 if the body is not read',
    send: () => raw(`POST ${SUM}`, ['Expect: 100-continue', 'Content-Length: 1000000']),
    status: 403,
    lacks: /100 Continue/,
  },
  {
    rule: 'Expect (RFC 9110, 10.1.1): 417 for another expectation',
    send: () => raw('GET /healthz', ['Expect: something-else']),
    status: 417,
  },
  {
    rule: 'Allow (RFC 9110, 15.5.6): a 405 lists the methods',
    send: () => raw('PUT /graphql', withKey()),
    status: 405,
    has: [/^allow: GET, POST\r$/im],
  },
  {
    rule: 'Cache-Control (RFC 9111, 5.2.2.5): no response of the API is stored',
    send: () => raw('GET /jobs', withKey()),
    status: 200,
    has: [/^cache-control: no-store\r$/im],
  },
  {
    rule: 'X-Request-Id: a well-formed id is returned',
    send: () => raw('GET /healthz', ['X-Request-Id: abc-1']),
    status: 200,
    has: [/^x-request-id: abc-1\r$/im],
  },
  {
    rule: 'X-Request-Id: an id that would need quotes in a log is replaced',
    send: () => raw('GET /healthz', ['X-Request-Id: a"b']),
    status: 200,
    has: [/^x-request-id: [0-9a-f-]{36}\r$/im],
  },
  {
    rule: 'Last-Event-ID (HTML, 9.2): events have no ids, and the first one is the current state, so it changes nothing',
    send: () =>
      raw(
        'POST /graphql',
        withKey(
          'Content-Type: application/json',
          'Accept: text/event-stream',
          'Last-Event-ID: 7',
          `Content-Length: ${QUERY.length}`,
        ),
        QUERY,
      ),
    status: 200,
    has: [/^content-type: text\/event-stream/im, /"accountName":"default"/],
    lacks: /^id:|^content-encoding:|^connection: keep-alive/im,
  },
  {
    rule: 'Deprecation (RFC 9745): a date as a structured field; Link (RFC 8288) with a quoted relation',
    send: () => raw('POST /unit-cost/v1/telemetry/allocation/headers', withKey(`Content-Length: ${BODY.length}`), BODY),
    status: 200,
    has: [/^deprecation: @\d{10}\r$/im, /^link: <headers\/sum>; rel="successor-version"\r$/im],
  },
];

test.each(CASES.map((one) => [one.rule, one] as const))('%s', async (_, { send, status, has = [], lacks }) => {
  const response = await send();
  expect(response).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
  for (const part of has) expect(response).toMatch(part);
  if (lacks) expect(response).not.toMatch(lacks);
});

test('Expect (RFC 9110, 10.1.1): 100 Continue before the body if it is read', async () => {
  const { socket, closed } = await openRawConnection(server.url);
  const headers = ['Host: x', 'Connection: close', 'Content-Type: application/json', 'Expect: 100-continue'];
  socket.write(
    `POST /graphql HTTP/1.1\r\n${withKey(...headers, `Content-Length: ${QUERY.length}`).join('\r\n')}\r\n\r\n`,
  );
  const [first] = (await once(socket, 'data')) as [Buffer];
  expect(first.toString()).toBe('HTTP/1.1 100 Continue\r\n\r\n');
  socket.write(QUERY);
  expect(await closed).toMatch(/\r\n\r\nHTTP\/1\.1 200 OK\r\n/);
});

test('Retry-After (RFC 9110, 10.2.3): a whole number of seconds', async () => {
  const key = await server.createKey('default', ['INGEST']);
  const many = `${RECORD}\n`.repeat(3000);
  await ask(server, `POST ${SUM}`, { key, body: many, headers: NDJSON });
  const refused = await ask(server, `POST ${SUM}`, { key, body: RECORD, headers: NDJSON });
  expect(refused.status).toBe(429);
  expect(refused.headers.get('retry-after')).toMatch(/^[1-9]\d*$/);
});

describe('Idempotency-Key (draft-ietf-httpapi-idempotency-key-header, RFC 8941)', () => {
  const send = async (value: string, body: string | Buffer = BODY, headers = {}) => {
    const key = await server.createKey('default', ['INGEST']);
    return ask<Receipt>(server, `POST ${SUM}`, { key, body, headers: { 'idempotency-key': value, ...headers } });
  };

  test.each([
    ['"order 1"', 'order 1'],
    ['"a\\"b\\\\c"', 'a"b\\c'],
  ])('is decoded from %s to %s', async (quoted, plain) => {
    const first = await send(quoted);
    expect(first).toMatchObject({ status: 200, body: { replayed: false } });
    // GraphQL and NDJSON requests with the same key are replays.
    const { operation } = await server.graphql<{ operation: { operation: { id: string }; replayed: boolean } }>(
      `mutation ($key: String!) { operation: allocationSum(input: { stream: "headers", idempotencyKey: $key, records: [
        { timestamp: "2026-01-25T00:00:00Z", granularity: DAILY, elementName: "hooli", value: "1" }] })
        { ... on AllocationReceipt { replayed operation { id } } } }`,
      { key: plain },
    );
    expect(operation).toEqual({ replayed: true, operation: { id: first.body.operationId } });
    const zipped = { ...NDJSON, 'content-encoding': 'gzip' };
    expect(await send(quoted, gzipSync(RECORD), zipped)).toMatchObject({ status: 200, body: { replayed: true } });
  });

  test('is used unchanged when it has no quotes', async () => {
    expect(await send('plain')).toMatchObject({ status: 200, body: { replayed: false } });
    expect(await send('"plain"')).toMatchObject({ status: 200, body: { replayed: true } });
  });

  test.each(['"', '"open', '"a"b"', '"a", "b"', String.raw`"\x"`, String.raw`"end\"`, '"\u00fc"'])(
    'is rejected when it is %s, which is not well-formed',
    async (value) => {
      const answer = await send(value);
      expect([answer.status, issuesOf(answer)]).toEqual([400, ['Idempotency-Key: BAD_TEXT']]);
    },
  );

  test('is rejected when it is empty', async () => {
    expect(await send('""')).toMatchObject({ status: 400 });
  });
});
