import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createConsole } from '../../src/http/console.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ env: { ROLE: 'api' } });
});
afterAll(() => server.stop());

const BROWSER = { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' };
const read = (path: string, init: RequestInit = {}): Promise<Response> =>
  fetch(`${server.url}${path}`, { redirect: 'manual', headers: BROWSER, ...init });

describe('console', () => {
  test('has a base address that is relative to each of its addresses', async () => {
    for (const [path, base] of [
      ['/console/', './'],
      ['/console/jobs', './'],
      ['/console/jobs/', '../'],
      ['/console/jobs/some-id', '../'],
      ['/console/jobs/some-id/edit?x=/a', '../../'],
      ['/console/streams/cpu.md', '../'],
    ]) {
      const response = await read(path ?? '');
      expect(response.status).toBe(200);
      expect(await response.text()).toContain(`<base href="${base}"`);
    }
    const response = await read('/console?x=1');
    expect([response.status, response.headers.get('location')]).toEqual([308, 'console/?x=1']);
  });

  test('has a policy that allows scripts and styles of this origin, and style elements with the nonce of the response', async () => {
    const nonces = new Set<string>();
    for (let index = 0; index < 2; index += 1) {
      const response = await read('/console/');
      const policy = response.headers.get('content-security-policy') ?? '';
      const nonce = /'nonce-([^']+)'/.exec(policy)?.[1] ?? '';
      nonces.add(nonce);
      expect(policy.replace(nonce, 'N')).toBe(
        "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-N'; img-src 'self' data:; connect-src 'self'; base-uri 'self'; form-action 'none'; frame-ancestors 'none'",
      );
      expect(await response.text()).toContain(`nonce="${nonce}"`);
    }
    expect(nonces.size).toBe(2);
  });

  test('has files that are cached forever, except the page, and at most 250 KB of JavaScript for the first page', async () => {
    const page = await read('/console/');
    expect(page.headers.get('cache-control')).toBe('no-store');
    const html = await page.text();
    const linked = [...html.matchAll(/(?:src|href)="\.\/(assets\/[^"]+)"/g)].map(([, path = '']) => path);
    expect(linked.length).toBeGreaterThan(1);
    for (const path of linked) {
      const file = await read(`/console/${path}`);
      expect(file.headers.get('cache-control')).toBe('public, max-age=31536000, immutable');
    }
    // The scripts of the page, those that they import, and the largest page.
    let bytes = 0;
    const seen = new Set<string>();
    const add = async (path: string): Promise<void> => {
      if (seen.has(path)) return;
      seen.add(path);
      const code = await (await read(`/console/${path}`)).text();
      bytes += (await promisify(gzip)(code)).length;
      for (const [, name = ''] of code.matchAll(/(?:from|import)\s*"\.\/([\w-]+\.js)"/g)) await add(`assets/${name}`);
    };
    for (const path of linked.filter((name) => name.endsWith('.js'))) await add(path);
    const first = [...seen].map((path) => read(`/console/${path}`).then((response) => response.text()));
    const overview = /overview-page-[\w-]+\.js/.exec((await Promise.all(first)).join('\n'))?.[0];
    await add(`assets/${overview}`);
    expect(bytes).toBeGreaterThan(50_000);
    expect(bytes).toBeLessThanOrEqual(250 * 1024);
  });

  test('serves the licences of the packages that it contains', async () => {
    const response = await read('/console/licences.md');
    expect(response.headers.get('content-type')).toBe('text/plain; charset=utf-8');
    expect(await response.text()).toMatch(/@mantine\/core[\s\S]*react-dom/);
  });

  test('answers 404 to unknown files and 405 to other methods', async () => {
    expect((await read('/console/assets/missing.js')).status).toBe(404);
    expect((await read('/console/assets/../../../package.json')).status).toBe(404);
    expect((await read('/console/assets/..%2f..%2fpackage.json')).status).toBe(404);
    const response = await read('/console/', { method: 'POST' });
    expect([response.status, response.headers.get('allow')]).toEqual([405, 'GET, HEAD']);
    expect(await (await read('/console/', { method: 'HEAD' })).text()).toBe('');
  });

  test('names the command that builds it when the build is missing', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'sluice-console-'));
    const { handle } = createConsole({ folder: join(folder, 'dist'), graphiql: true, docs: true });
    const http = createServer((request, response) => void handle(request, response)).listen(0, '127.0.0.1');
    await once(http, 'listening');
    const response = await fetch(`http://127.0.0.1:${(http.address() as AddressInfo).port}/console/jobs`);
    expect(response.status).toBe(503);
    expect(await response.text()).toContain('npm run build:console');
    http.close();
    await rm(folder, { recursive: true });
  });

  test('answers 404 with a pointer to the API when CONSOLE is false, and the front page leads to GraphiQL', async () => {
    const other = await startTestServer({
      env: { ROLE: 'api', CONSOLE: 'false' },
      database: server.database,
      s3: server.s3,
    });
    try {
      for (const path of ['/console', '/console/', '/console/jobs/x']) {
        const response = await fetch(`${other.url}${path}`, { headers: BROWSER });
        expect(response.status).toBe(404);
        expect(await response.text()).toContain('the API is at graphql');
      }
      const front = await fetch(`${other.url}/`, { headers: BROWSER, redirect: 'manual' });
      expect(front.headers.get('location')).toBe('graphql');
    } finally {
      await other.stop();
    }
  });
});
