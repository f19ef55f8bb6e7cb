import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { createGate } from '../../support/faults.ts';
import { addRecords, createJob, endedRun, innerId, querySql, runJob } from '../../support/job-steps.ts';
import { findAccessibilityProblems, findOverflow, startConsole, type TestConsole } from './support.ts';

// Runs that are started from the pages of a job while the server is slow, and a day with more deliveries than are listed.

const SLOT = '2026-01-26T01:00:00Z';

let console: TestConsole;
let page: Page;
let jobId: string;
beforeAll(async () => {
  console = await startConsole();
  await addRecords(console.server, 'storage', 'DAILY', [
    { timestamp: '2026-01-25T00:00:00Z', elementName: 'acme', value: '1' },
  ]);
  jobId = await createJob(console.server, { jobName: 'Daily storage', range: 'previous(day)' });
  expect((await endedRun(console.server, await runJob(console.server, jobId, SLOT))).status).toBe('SUCCEEDED');
  page = await console.open('/');
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
});
beforeEach(() => page.goto(`${console.server.url}/console/jobs/${jobId}/deliveries`));
afterEach(() => {
  expect(console.browser.takeComplaints()).toEqual([]);
});
afterAll(() => console?.stop());

/** Holds the mutations that the page sends. Returns a function that releases them, and waits until the page has handled the answer. */
async function holdMutations(): Promise<() => Promise<void>> {
  const gate = createGate();
  await page.route('**/graphql', async (route) => {
    if (route.request().postData()?.includes('mutation ')) await gate.opened;
    await route.continue();
  });
  return async () => {
    const answered = page.waitForResponse((response) => response.request().postData()?.includes('mutation ') === true);
    gate.open();
    await (await answered).finished();
    await page.unroute('**/graphql');
    await page.evaluate(() => new Promise((resolve) => setTimeout(resolve, 300)));
  };
}

const countRuns = async (): Promise<number> =>
  (await querySql(console.server, 'SELECT 1 FROM runs WHERE job_id = $1', [innerId(jobId)])).length;

test('a list of deliveries > delivers once when the user clicks twice, and shows the run', async () => {
  const before = await countRuns();
  const release = await holdMutations();
  const button = page.getByRole('row').getByRole('button', { name: 'Redeliver' });
  await button.dblclick();
  expect(await button.isDisabled()).toBe(true);
  await release();
  await page.waitForURL(/\/runs\//);
  expect(await countRuns()).toBe(before + 1);
});

test.each(['Redeliver', 'Run now'])('the late answer of "%s" > does not leave a newer page', async (name) => {
  const release = await holdMutations();
  await page.getByRole('button', { name }).click();
  await page.getByRole('navigation', { name: 'Pages' }).getByRole('link', { name: 'Streams' }).click();
  await page.getByRole('heading', { level: 1, name: 'Streams' }).waitFor();
  await release();
  expect(new URL(page.url()).pathname).toBe('/console/streams');
});

test('the late answer of a run for a date > does not leave a newer page', async () => {
  const release = await holdMutations();
  await page.getByRole('button', { name: 'More' }).press('Enter');
  await page.getByRole('menuitem', { name: 'Run for a date' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('button', { name: 'Queue run' }).click();
  await dialog.getByRole('button', { name: 'Cancel' }).click();
  await dialog.waitFor({ state: 'detached' });
  await release();
  expect(new URL(page.url()).pathname).toBe(`/console/jobs/${jobId}/deliveries`);
});

test('the late answer of "Run again" > does not leave a newer page', async () => {
  await page.getByRole('tab', { name: 'Runs' }).click();
  await page.getByRole('table', { name: /runs$/ }).getByText('Succeeded').first().waitFor();
  await page.getByRole('rowheader').last().getByRole('link').click();
  const release = await holdMutations();
  await page.getByRole('button', { name: 'Run again' }).click();
  await page.getByRole('navigation', { name: 'Pages' }).getByRole('link', { name: 'Streams' }).click();
  await page.getByRole('heading', { level: 1, name: 'Streams' }).waitFor();
  await release();
  expect(new URL(page.url()).pathname).toBe('/console/streams');
});

test('a delivery > has its id, which the user copies', async () => {
  await page.getByRole('rowheader').first().getByRole('link').click();
  await page.getByRole('button', { name: 'Copy delivery id' }).press('Enter');
  await page.getByRole('button', { name: 'Copied delivery id' }).waitFor();
  const id = await page.evaluate(() => navigator.clipboard.readText());
  expect(decodeURIComponent(new URL(page.url()).pathname)).toBe(`/console/jobs/${jobId}/deliveries/${id}`);
});

test('a day with more deliveries than are listed > says so', async () => {
  await querySql(
    console.server,
    `INSERT INTO deliveries SELECT (jsonb_populate_record(d, jsonb_build_object('id', gen_random_uuid(), 'manifest_key', 'k' || n,
       'revision', 0, 'window_start', d.window_start + n * interval '1 minute',
       'window_end', d.window_start + (n + 1) * interval '1 minute'))).*
     FROM deliveries d, generate_series(1, 60) n WHERE job_id = $1 AND revision > 0 AND window_start = '2026-01-25'`,
    [innerId(jobId)],
  );
  await page.goto(`${console.server.url}/console/jobs/${jobId}?month=2026-01&day=2026-01-25`);
  await page.getByText('Only 50 deliveries of this day are shown.').waitFor();
  expect(await findAccessibilityProblems(page)).toEqual([]);
  await console.browser.takeScreenshot(page, 'console-day-dark');
  await page.setViewportSize({ width: 390, height: 900 });
  expect(await findOverflow(page)).toEqual([]);
  await page.getByRole('link', { name: 'Show all deliveries of the job' }).click();
  await page.waitForURL(/\/deliveries$/);
});

test('the late answer of a deletion of a stream > does not leave a newer page', async () => {
  await page.setViewportSize({ width: 1440, height: 900 });
  await page.goto(`${console.server.url}/console/streams/storage`);
  const release = await holdMutations();
  await page.getByRole('button', { name: 'Delete' }).press('Enter');
  await page.getByRole('dialog').getByRole('button', { name: 'Delete stream' }).press('Enter');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  await page.getByRole('navigation', { name: 'Pages' }).getByRole('link', { name: 'Jobs' }).click();
  await page.getByRole('heading', { level: 1, name: 'Jobs' }).waitFor();
  await release();
  expect(new URL(page.url()).pathname).toBe('/console/jobs');
});
