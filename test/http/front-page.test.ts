import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestServer, type TestServer } from '../support/server.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ env: { ROLE: 'api' } });
});
afterAll(() => server.stop());

const BROWSER = 'text/html,application/xhtml+xml,*/*;q=0.8';

const open = (at: TestServer, accept?: string, method = 'GET'): Promise<Response> =>
  fetch(`${at.url}/`, { method, redirect: 'manual', ...(accept !== undefined && { headers: { accept } }) });

/** Runs the work with another server on the same database. */
const withServer = async (env: Record<string, string>, work: (other: TestServer) => Promise<void>): Promise<void> => {
  const other = await startTestServer({ env, database: server.database, s3: server.s3 });
  try {
    await work(other);
  } finally {
    await other.stop();
  }
};

/** Returns the first column of the list. */
const pathsIn = (text: string): string[] => [...text.matchAll(/^ {2}(\S.*?) {2}/gm)].map(([, path = '']) => path);

describe('front page', () => {
  test('redirects a browser to the console, relative to a path prefix', async () => {
    for (const method of ['GET', 'HEAD']) {
      const response = await open(server, BROWSER, method);
      expect(response.status).toBe(302);
      // Behind a proxy, /sluice/ leads to /sluice/console/.
      expect(response.headers.get('location')).toBe('console/');
      expect(response.headers.get('vary')).toBe('Accept');
    }
    const page = await fetch(`${server.url}/`, { headers: { accept: BROWSER } });
    expect({ url: page.url, status: page.status }).toEqual({ url: `${server.url}/console/`, status: 200 });
  });

  test('lists what is served as text when another client asks', async () => {
    for (const accept of [undefined, '*/*', 'application/json']) {
      const response = await open(server, accept);
      expect(response.status).toBe(200);
      expect(response.headers.get('content-type')).toBe('text/plain; charset=utf-8');
      const text = await response.text();
      expect(text).toContain('GraphiQL in a browser');
      expect(pathsIn(text)).toEqual([
        'graphql',
        'unit-cost/v1/telemetry/...',
        'jobs, runs, backfills',
        'docs',
        'openapi.json',
        'healthz',
        'readyz',
        'metrics',
      ]);
    }
  });

  test('redirects a browser to GraphiQL when CONSOLE is false', () =>
    withServer({ ROLE: 'api', CONSOLE: 'false' }, async (other) => {
      const response = await open(other, BROWSER);
      expect([response.status, response.headers.get('location')]).toEqual([302, 'graphql']);
      const page = await fetch(`${other.url}/`, { headers: { accept: BROWSER } });
      expect({ url: page.url, status: page.status }).toEqual({ url: `${other.url}/graphql`, status: 200 });
    }));

  test('is an HTML list of what is served when CONSOLE and GRAPHIQL are false', () =>
    withServer({ ROLE: 'api', CONSOLE: 'false', GRAPHIQL: 'false' }, async (other) => {
      const response = await open(other, BROWSER);
      expect(response.status).toBe(200);
      expect(response.headers.get('content-type')).toBe('text/html; charset=utf-8');
      const policy = response.headers.get('content-security-policy') ?? '';
      expect(policy).toMatch(/^default-src 'none'; /);
      expect(policy).not.toMatch(/script-src|unsafe|https?:|\*/);
      const links = [...(await response.text()).matchAll(/href="([^"]+)"/g)].map(([, href = '']) => href);
      expect(links.filter((href) => href !== 'data:,')).toEqual([
        'docs',
        'openapi.json',
        'healthz',
        'readyz',
        'metrics',
      ]);
      for (const link of links.filter((href) => href !== 'data:,')) {
        expect((await fetch(new URL(link, `${other.url}/`))).status).toBe(200);
      }
      expect(await (await open(other)).text()).not.toContain('GraphiQL');
    }));

  test('does not list the description of the REST routes when DOCS is false', () =>
    withServer({ ROLE: 'api', CONSOLE: 'false', GRAPHIQL: 'false', DOCS: 'false' }, async (other) => {
      expect(await (await open(other, BROWSER)).text()).not.toMatch(/docs|openapi/);
      expect(pathsIn(await (await open(other)).text())).not.toContain('docs');
    }));

  test('lists what is served when ROLE is worker', () =>
    withServer({ ROLE: 'worker' }, async (other) => {
      const text = await (await open(other)).text();
      expect(text).toContain('ROLE=worker');
      expect(pathsIn(text)).toEqual(['healthz', 'readyz', 'metrics']);
      expect((await open(other, BROWSER)).status).toBe(200);
    }));

  test('returns 404 for other methods', async () => {
    expect((await open(server, BROWSER, 'POST')).status).toBe(404);
  });
});
