import { once } from 'node:events';
import { request } from 'node:http';
import WebSocket from 'ws';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ask } from '../rest/requests.ts';
import { openRawConnection, sendRaw } from '../support/raw-requests.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

// Behaviour that proxies and load balancers in front of a server rely on. test/clients/nginx.test.ts runs a real proxy.

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ env: { ROLE: 'api' } });
});
afterAll(() => server.stop());

describe('event stream', () => {
  test.each([
    ['a subscription', 'subscription { runUpdated { id } }'],
    ['a query', '{ __typename }'],
    ['an invalid query', '{ nothing }'],
  ])('has headers that keep proxies from buffering or transforming it: %s', async (_, query) => {
    const leaving = new AbortController();
    const { headers } = await fetch(`${server.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'text/event-stream', 'x-api-key': server.key },
      body: JSON.stringify({ query }),
      signal: leaving.signal,
    });
    leaving.abort();
    expect(headers.get('content-type')).toMatch(/^text\/event-stream/);
    expect(headers.get('x-accel-buffering')).toBe('no');
    expect(headers.get('cache-control')).toBe('no-cache, no-transform');
  });
});

describe('idle connection', () => {
  test('stays open longer than the 60 seconds of common load balancers by default', async () => {
    const response = await fetch(`${server.url}/healthz`);
    expect(response.headers.get('keep-alive')).toBe('timeout=75');
  });

  test('stays open for KEEP_ALIVE_SECONDS, or HEADERS_SECONDS before the first request', async () => {
    const short = await startTestServer({
      env: { ROLE: 'api', KEEP_ALIVE_SECONDS: '1', HEADERS_SECONDS: '1' },
      database: server.database,
      s3: server.s3,
    });
    const used = await openRawConnection(short.url);
    used.socket.write('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n');
    expect(await used.closed).toMatch(/keep-alive: timeout=1\r\n/i);
    const unused = await openRawConnection(short.url);
    expect(await unused.closed).toMatch(/^HTTP\/1\.1 408 /);
    await short.stop();
  });
});

describe('request target in absolute form', () => {
  const get = (target: string, headers = ''): Promise<string> =>
    sendRaw(server.url, `GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${headers}\r\n`);

  test.each([
    ['http://sluice.example/healthz', 'alive'],
    ['HTTP://sluice.example:4000/healthz?x=1', 'alive'],
    ['https://sluice.example/docs', 'docs/start.js'],
    ['http://sluice.example/graphql?query=%7B__typename%7D', '{"data":{"__typename":"Query"}}'],
  ])('is accepted: %s', async (target, expected) => {
    const answer = await get(target);
    expect(answer).toMatch(/^HTTP\/1\.1 200 /);
    expect(answer).toContain(expected);
  });

  test('is accepted by the REST routes with path and query', async () => {
    const answer = await get('http://sluice.example/jobs?limit=0', `X-API-Key: ${server.key}\r\n`);
    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
    expect(answer).toContain('"path":["limit"]');
  });

  test.each(['http://sluice.example', 'http://sluice.example?x=1'])(
    'is the root when it has no path: %s',
    async (target) => {
      const bodyOf = (answer: string): string => answer.slice(answer.indexOf('\r\n\r\n'));
      expect(bodyOf(await get(target))).toBe(bodyOf(await get('/')));
    },
  );

  test('allows a WebSocket from a page of its authority and not from one of the Host header', async () => {
    const open = async (origin: string): Promise<number> => {
      const upgrade = request(server.url, {
        path: 'http://sluice.example/graphql',
        headers: {
          host: 'other.example',
          origin,
          connection: 'Upgrade',
          upgrade: 'websocket',
          'sec-websocket-version': '13',
          'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
          'sec-websocket-protocol': 'graphql-transport-ws',
        },
      }).end();
      return new Promise<number>((resolve) => {
        upgrade.once('upgrade', (response, socket) => {
          socket.destroy();
          resolve(response.statusCode ?? 0);
        });
        upgrade.once('response', (response) => {
          response.resume();
          resolve(response.statusCode ?? 0);
        });
      });
    };
    expect(await open('http://sluice.example')).toBe(101);
    expect(await open('http://other.example')).toBe(403);
  });
});

describe('path prefix of a proxy', () => {
  test('works with pages and documents, which have only relative addresses', async () => {
    const page = (await ask(server, 'GET /docs', { key: null })).text;
    expect([...page.matchAll(/(?:src|href)="([^"]*)"/g)].map(([, address = '']) => address)).toEqual([
      'data:,',
      'docs/swagger-ui.css',
      'docs/swagger-ui-bundle.js',
      'docs/start.js',
    ]);
    expect((await ask(server, 'GET /docs/start.js', { key: null })).text).toContain("url: 'openapi.json'");
    const document = await ask<{ servers: unknown[] }>(server, 'GET /openapi.json', { key: null });
    expect(document.body.servers).toEqual([{ url: '.', description: 'This server.' }]);
  });

  test.each([
    ['/docs/', '../docs'],
    ['/openapi.json/', '../openapi.json'],
    ['/graphql/', '../graphql'],
    ['/graphql/?query=%7B__typename%7D', '../graphql?query=%7B__typename%7D'],
  ])('is kept when %s redirects a browser to the path without a trailing slash', async (path, location) => {
    const headers = { accept: 'text/html' };
    const response = await fetch(server.url + path, { headers, redirect: 'manual' });
    expect([response.status, response.headers.get('location')]).toEqual([308, location]);
    const followed = await fetch(server.url + path, { headers });
    expect([followed.status, followed.url]).toEqual([200, server.url + path.replace('/?', '?').replace(/\/$/, '')]);
  });

  test.each(['GET /nothing', 'GET /jobs/check/more', 'POST /unit-cost/v1/telemetry/metric/x'])(
    'works with the response to %s, which names no absolute path of another resource',
    async (route) => {
      const { status, text } = await ask(server, route, { body: route.startsWith('P') ? '{}' : undefined });
      expect(status).toBe(404);
      expect(text).toMatch(/described at docs\b/);
      expect(text.replace(route, '')).not.toMatch(/[\s"(`]\/[a-z]/);
    },
  );

  test('works with descriptions of the OpenAPI document, which name no absolute paths except its routes', async () => {
    const { text, body } = await ask<{ paths: object }>(server, 'GET /openapi.json', { key: null });
    const described = [...text.matchAll(/"(?:description|summary)":"((?:[^"\\]|\\.)*)"/g)].map(
      ([, words = '']) => words,
    );
    expect(described.length).toBeGreaterThan(100);
    const named = described.flatMap((words) => words.match(/(?<![\w.}/<:])\/[a-z][\w./{}-]*/g) ?? []);
    expect(named.filter((path) => !(path in body.paths))).toEqual([]);
  });

  test('works with Link headers, which are relative to the path of the request', async () => {
    const record = { timestamp: '2026-01-25T00:00:00Z', granularity: 'DAILY', 'element-name': 'hooli', value: '1' };
    const path = '/unit-cost/v1/telemetry/allocation/usage.v1';
    const { headers } = await ask(server, `POST ${path}`, { body: { records: [record] } });
    expect(headers.get('link')).toBe('<usage.v1/sum>; rel="successor-version"');
    const successor = new URL('usage.v1/sum', `https://example.com/billing${path}`);
    expect(successor.pathname).toBe('/billing/unit-cost/v1/telemetry/allocation/usage.v1/sum');
  });
});

describe('path with a trailing slash', () => {
  test.each([
    ['/healthz/', 200, 'alive'],
    ['/readyz/?x=1', 200, 'ready'],
    ['/metrics/', 200, 'sluice_build_info'],
    ['/jobs/', 200, '[]'],
    ['/graphql/?query=%7B__typename%7D', 200, '{"data":{"__typename":"Query"}}'],
    // Two slashes are another path, to which other addresses would be relative.
    ['/healthz//', 404, 'nothing at this path'],
    ['/graphql//', 404, 'nothing at this path'],
    ['//', 404, 'nothing at this path'],
  ])('%s returns %i', async (path, status, text) => {
    const answer = await ask(server, `GET ${path}`, { headers: { accept: '*/*' } });
    expect(answer.status).toBe(status);
    expect(answer.text).toContain(text);
  });

  test('is accepted for GraphQL by POST', async () => {
    const answer = await ask(server, 'POST /graphql/', {
      body: { query: '{ __typename }' },
      headers: { 'content-type': 'application/json' },
    });
    expect([answer.status, answer.body]).toEqual([200, { data: { __typename: 'Query' } }]);
  });

  test('is accepted for a WebSocket', async () => {
    const socket = new WebSocket(`${server.url.replace('http', 'ws')}/graphql/`, 'graphql-transport-ws');
    await once(socket, 'open');
    expect(socket.protocol).toBe('graphql-transport-ws');
    socket.terminate();
  });

  test('redirects without characters that are not valid in headers', async () => {
    for (const query of ['\x7f', '\xff', '%0d%0ax:y', '#x', '//x']) {
      const sent = `GET /graphql/?${query} HTTP/1.1\r\nHost: x\r\nAccept: text/html\r\nConnection: close\r\n\r\n`;
      const answer = await sendRaw(server.url, sent);
      expect(answer).toMatch(/^HTTP\/1\.1 (?:308|400) /);
      expect(answer).not.toMatch(/^location: (?!\.\.\/graphql)|^x:/im);
    }
  });
});

test('WebSocket without an origin > is opened with any Host', async () => {
  const socket = new WebSocket(`${server.url.replace('http', 'ws')}/graphql`, 'graphql-transport-ws', {
    headers: { host: 'other.example' },
  });
  await once(socket, 'open');
  expect(socket.protocol).toBe('graphql-transport-ws');
  socket.terminate();
});
