import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createJob, endedRun, runJob } from '../../support/job-steps.ts';
import { startTestServer, type TestServer } from '../../support/server.ts';
import { setVisibility, startConsole, type TestConsole } from './support.ts';

// A server that stops and starts again, with an open page. Each test continues from the one before it.

let console: TestConsole;
let page: Page;
let server: TestServer;
let restarted: TestServer | undefined;
beforeAll(async () => {
  console = await startConsole();
  server = console.server;
  const jobId = await createJob(server, { jobName: 'Before' });
  await endedRun(server, await runJob(server, jobId));
});
afterAll(async () => {
  await restarted?.stop();
  await console?.stop();
});

const rowOf = (name: string) => page.getByRole('table', { name: 'Latest runs' }).getByRole('row', { name });

const connecting = () => page.getByRole('banner').getByText('Connecting …');

test('open page > says that it connects, and keeps its data, when the server stops', async () => {
  // The files of a page are loaded when it is opened: that of the next test while there is a server.
  page = await console.open('/keys');
  await page.getByRole('row').filter({ hasText: 'Valid' }).first().waitFor();
  await page.getByRole('link', { name: 'Overview' }).click();
  await rowOf('Before').waitFor();
  await server.app.stop();
  await connecting().waitFor();
  // The overview is read again when the user returns to it.
  await setVisibility(page, 'visible');
  await page.getByRole('alert').filter({ hasText: 'The server cannot be reached' }).waitFor();
  expect(await rowOf('Before').isVisible()).toBe(true);
});

test('open page > does not connect on a page that has no events', async () => {
  await page.getByRole('link', { name: 'Keys' }).click();
  await page.getByRole('alert').filter({ hasText: 'The server cannot be reached' }).waitFor();
  expect(await page.getByRole('row').filter({ hasText: 'Valid' }).count()).toBeGreaterThan(0);
  await connecting().waitFor({ state: 'detached' });
  await page.getByRole('link', { name: 'Overview' }).click();
  await connecting().waitFor();
  expect(await rowOf('Before').isVisible()).toBe(true);
});

test('open page > gets data and events without a reload when the server is back', async () => {
  await page.evaluate(() => Object.assign(window, { isSamePage: true }));
  const { database, s3, key, url } = server;
  restarted = await startTestServer({ database, s3, env: { API_KEY: key, PORT: new URL(url).port } });
  const jobId = await createJob(restarted, { jobName: 'After', s3Url: 'exports/after' }, key);
  await connecting().waitFor({ state: 'detached' });
  const runs = page.getByRole('table', { name: 'Latest runs' });
  await runJob(restarted, jobId, undefined, key);
  await rowOf('After').getByText('Succeeded').waitFor();
  expect(await runs.getByRole('row').count()).toBe(3);
  expect(await page.evaluate(() => 'isSamePage' in window)).toBe(true);
  // The browser logs failed requests.
  for (const complaint of console.browser.takeComplaints()) expect(complaint).toMatch(/Failed to load resource|ERR_/);
});

test('open page > asks the server again on a page that it has not shown', async () => {
  await page.getByRole('link', { name: 'Jobs', exact: true }).click();
  await page.getByRole('table', { name: 'Jobs' }).getByRole('row', { name: 'After' }).waitFor();
  expect(await page.getByRole('alert').count()).toBe(0);
  expect(console.browser.takeComplaints()).toEqual([]);
});
