import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createJob, endedRun, runJob } from '../../support/job-steps.ts';
import { openEventStream } from '../../support/event-stream.ts';
import { eventually } from '../../support/server.ts';
import { setVisibility, startConsole, type TestConsole } from './support.ts';

// Several pages in one browser, which opens at most six HTTP/1.1 connections to a server.

const CONNECTIONS = 6;

let console: TestConsole;
let jobId: string;
const pages: Page[] = [];
beforeAll(async () => {
  console = await startConsole({ env: { MAX_SUBSCRIPTIONS_PER_KEY: '2' } });
  jobId = await createJob(console.server, { jobName: 'Daily usage', s3Url: 's3://exports/daily' });
});
afterAll(async () => {
  for (const page of pages) await page.close();
  await console?.stop();
});

const openJobs = async (): Promise<Page> => {
  const page = await console.open('/jobs');
  pages.push(page);
  return page;
};
const rowOf = (page: Page) => page.getByRole('row').filter({ hasText: 'Daily usage' });

async function countStreams(): Promise<number> {
  const metrics = await (await fetch(`${console.server.url}/metrics`)).text();
  return Number(/^sluice_subscriptions_open(?:\{.*\})? (\d+)$/m.exec(metrics)?.[1]);
}

test('hidden pages > leave the connections to the page that is shown', async () => {
  for (let index = 0; index < CONNECTIONS; index += 1) {
    const page = await openJobs();
    await rowOf(page).getByText('Never ran').waitFor();
    await eventually(countStreams, (count) => count === 1);
    await setVisibility(page, 'hidden');
    await eventually(countStreams, (count) => count === 0);
  }
  const shown = await openJobs();
  await rowOf(shown).waitFor();
  await eventually(countStreams, (count) => count === 1);
});

test('a hidden page > shows what happened meanwhile when it is shown again', async () => {
  const [page, other] = [pages[0]!, pages.at(-1)!];
  await page.evaluate(() => Object.assign(window, { isSamePage: true }));
  await endedRun(console.server, await runJob(console.server, jobId));
  await rowOf(other).getByText('Succeeded').waitFor();
  expect(await rowOf(page).innerText()).toContain('Never ran');
  expect(await page.getByText('Connecting …').count()).toBe(0);
  await setVisibility(page, 'visible');
  await rowOf(page).getByText('Succeeded').waitFor();
  // Runs are followed again too.
  await eventually(countStreams, (count) => count === 2);
  expect(await page.evaluate(() => 'isSamePage' in window)).toBe(true);
  expect(console.browser.takeComplaints()).toEqual([]);
});

test('a page > says that its events are rejected, and follows runs when they are accepted', async () => {
  const { server } = console;
  const key = await server.createKey('default', ['READ']);
  const follow = () => openEventStream({ url: server.url, key, query: 'subscription { runUpdated { id } }' });
  const streams = [await follow(), await follow()];
  try {
    const page = await console.open('/jobs', { key });
    pages.push(page);
    await page.getByText('Connecting …').waitFor();
    await rowOf(page).getByText('Succeeded').waitFor();
    // A rejected attempt is not a connection, after which the page would read its data again.
    const sent: string[] = [];
    page.on('request', (request) => sent.push(request.headers()['accept'] ?? ''));
    await eventually(
      () => Promise.resolve(sent.length),
      (count) => count >= 2,
    );
    expect(sent.filter((accept) => !accept.includes('event-stream'))).toEqual([]);
    streams.pop()?.close();
    await page.getByText('Connecting …').waitFor({ state: 'hidden' });
    expect(console.browser.takeComplaints()).toEqual([]);
  } finally {
    for (const stream of streams) stream.close();
  }
});
