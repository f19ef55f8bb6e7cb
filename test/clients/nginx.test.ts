import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import WebSocket from 'ws';
import { triedBlock } from '../docs/pages.ts';
import { allocationPath, ask } from '../rest/requests.ts';
import { openEventStream } from '../support/event-stream.ts';
import { createSteppedJob } from '../support/run-steps.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';
import { startBrowser, type TestBrowser } from './browser.ts';
import { findNginx, type Nginx, startNginx } from './nginx.ts';

// Sluice behind Debian's nginx, with three configurations: a plain proxy_pass, one that removes a path prefix, and the one of
// docs/proxies.md.

const nginx = await findNginx();
const KEY = 'a key of this test that is long enough';
const FOLLOW = 'subscription { runUpdated { id status attempt } }';

describe.skipIf(nginx === null)('server behind nginx', () => {
  let server: TestServer;
  let proxy: Nginx;
  let browser: TestBrowser;
  beforeAll(async () => {
    // Without a worker: the tests change the states of the runs.
    server = await startTestServer({ env: { ROLE: 'api', API_KEY: KEY } });
    const documented = await triedBlock('docs/proxies.md', 'nginx');
    proxy = await startNginx(
      nginx ?? '',
      `location / { proxy_pass ${server.url}; }
    location /billing/ { proxy_pass ${server.url}/; }
    ${documented.replace('http://127.0.0.1:4000', server.url)}`,
    );
    browser = await startBrowser();
  });
  afterAll(async () => {
    await browser?.close();
    await proxy?.stop();
    await server?.stop();
  });

  // Without the headers of event streams, nginx would forward nothing, not even the headers of the response.
  test.each(['', '/billing'])(
    'the events of a subscription arrive one by one below "%s"',
    async (prefix) => {
      const job = await createSteppedJob(server, KEY);
      const run = await job.run();
      const stream = await openEventStream<{ runUpdated: { id: string; status: string } }>({
        url: proxy.url + prefix,
        key: KEY,
        query: `subscription { runUpdated(runId: "${run.id}") { id status } }`,
      });
      const hasStatus = (status: string) => stream.until(({ data }) => data?.runUpdated.status === status);
      await hasStatus('QUEUED');
      await run.start();
      await hasStatus('RUNNING');
      await run.succeed();
      await hasStatus('SUCCEEDED');
      expect(await stream.ended).toBe(true);
    },
    60_000,
  );

  test('serves REST routes, links and API docs under a prefix', async () => {
    const below = { url: `${proxy.url}/billing`, key: KEY };
    const made = await ask<{ id: string }>(below, 'POST /jobs', {
      body: {
        jobName: 'one',
        s3Url: 'exports',
        format: 'csv',
        aggregationBucket: 'day',
        range: 'ago(1d)',
        enabled: false,
      },
    });
    await ask(below, 'POST /jobs', {
      body: {
        jobName: 'two',
        s3Url: 'exports',
        format: 'csv',
        aggregationBucket: 'day',
        range: 'ago(1d)',
        enabled: false,
      },
    });
    const first = await fetch(`${below.url}/jobs?limit=1`, { headers: { 'x-api-key': KEY } });
    const link = /^<([^>]*)>; rel="next"$/.exec(first.headers.get('link') ?? '')?.[1] ?? '';
    const next = await fetch(new URL(link, first.url), { headers: { 'x-api-key': KEY } });
    expect(await next.json()).toMatchObject([{ id: made.body.id }]);
    // fetch follows the redirects.
    for (const path of ['/docs', '/openapi.json', '/graphql']) {
      const page = await fetch(`${below.url}${path}/`, { headers: { accept: 'text/html' } });
      expect([page.status, page.url]).toEqual([200, below.url + path]);
    }
  });

  test('serves Swagger UI, which calls the routes, under a prefix', async () => {
    const page = await browser.openPage(`${proxy.url}/billing/docs`);
    await page.getByText('/jobs/check', { exact: true }).waitFor();
    await page.locator('#operations-Export_jobs-listJobs .opblock-summary-control').click();
    const answered = page.waitForResponse((response) => response.url().includes('/jobs'));
    await page.locator('#operations-Export_jobs-listJobs').getByRole('button', { name: 'Execute' }).click();
    const response = await answered;
    expect(new URL(response.url()).pathname).toBe('/billing/jobs');
    expect(response.status()).toBe(401);
    // Chromium writes the 401 to the console.
    await eventually(
      () => Promise.resolve(browser.takeComplaints()),
      (complaints) => complaints.some((one) => one.includes('401')),
    );
  });

  test('serves the console and GraphiQL, which runs queries and subscriptions, under a prefix', async () => {
    // The redirect to the console is relative, and keeps the fragment.
    const page = await browser.openPage(`${proxy.url}/billing/#key=${encodeURIComponent(KEY)}`);
    await page.getByRole('link', { name: 'Jobs' }).click();
    // The page is loaded before the address changes.
    await page.waitForURL('**/console/jobs');
    await page.reload();
    await page.getByRole('heading', { level: 1, name: 'Jobs' }).waitFor();
    expect(page.url()).toBe(`${proxy.url}/billing/console/jobs`);
    await page.getByRole('link', { name: 'GraphiQL' }).click();
    await page.waitForURL('**/graphql');
    expect(page.url()).toBe(`${proxy.url}/billing/graphql`);
    await page.locator('.graphiql-query-editor .view-lines').click();
    const write = async (locator: string, text: string): Promise<void> => {
      await page.locator(locator).click();
      await page.keyboard.press('ControlOrMeta+A');
      await page.keyboard.insertText(text);
      // The editor has inserted closing brackets and quotes.
      await page.keyboard.press('ControlOrMeta+Shift+End');
      await page.keyboard.press('Delete');
    };
    const shown = async (): Promise<string> =>
      (await page.locator('.graphiql-response .view-lines').innerText()).replaceAll('\u{a0}', ' ');
    await write('.graphiql-query-editor .view-lines', FOLLOW);
    const run = await (await createSteppedJob(server, KEY)).run();
    // The page updates its state shortly after the input.
    await page.locator('.graphiql-tab-active', { hasText: '<untitled>' }).waitFor();
    const asked = page.waitForRequest((request) => request.headers()['accept']?.includes('event-stream') === true);
    await page.locator('.graphiql-execute-button').click();
    expect(new URL((await asked).url()).pathname).toBe('/billing/graphql');
    await page.getByRole('button', { name: 'Stop query (Ctrl-Enter)' }).waitFor();
    await run.start();
    await eventually(shown, (text) => text.includes(run.id) && text.includes('"RUNNING"'));
    expect(browser.takeComplaints()).toEqual([]);
  });

  test('accepts WebSockets of its own pages and large bodies with the configuration of docs/proxies.md', async () => {
    const origin = proxy.url;
    const socket = new WebSocket(`${proxy.url.replace('http', 'ws')}/sluice/graphql`, 'graphql-transport-ws', {
      origin,
    });
    await once(socket, 'open');
    socket.terminate();
    const record = '{"timestamp":"2026-01-25T00:00:00Z","granularity":"DAILY","element-name":"hooli","value":"1"}';
    const below = { url: `${proxy.url}/sluice`, key: KEY };
    const answer = await ask(below, `POST ${allocationPath('large', 'sum')}`, {
      body: `{"records":[${record}]}`.padEnd(2_000_000),
    });
    expect(answer).toMatchObject({ status: 200, body: { insertedRecords: 1 } });
  });

  test('rejects a WebSocket when nginx removes the Upgrade headers', async () => {
    const socket = new WebSocket(`${proxy.url.replace('http', 'ws')}/graphql`, 'graphql-transport-ws');
    const status = await new Promise<number>((resolve, reject) => {
      socket.once('unexpected-response', (_, response) => resolve(response.statusCode ?? 0));
      socket.once('open', () => reject(new Error('nginx handed on the Upgrade header.')));
    });
    expect(status).toBe(400);
  });
});
