import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { createJob, endedRun, runJob } from '../../support/job-steps.ts';
import { findAccessibilityProblems, findOverflow, startConsole, type TestConsole } from './support.ts';

// The list of jobs. Each test continues from the one before it.

let console: TestConsole;
let page: Page;
let weeklyId: string;
beforeAll(async () => {
  console = await startConsole();
  weeklyId = await createJob(console.server, {
    jobName: 'Weekly report',
    s3Url: 's3://exports/weekly',
    cron: '0 9 * * MON',
    timeZone: 'Europe/Berlin',
    range: 'previous(week)',
    enabled: true,
  });
  await createJob(console.server, {
    jobName: 'Never matches',
    s3Url: 's3://exports/never',
    cron: '0 4 1 * *',
    groupBy: ['project'],
    meterApiNames: ['nowhere'],
  });
  const failing = await createJob(console.server, { jobName: 'Wrong bucket', s3Url: 's3://no-such-bucket/x' });
  await endedRun(console.server, await runJob(console.server, failing));
  page = await console.open('/jobs');
  await rowOf('Weekly report').waitFor();
});
afterEach(() => {
  expect(console.browser.takeComplaints()).toEqual([]);
  console.server.s3.setFault(undefined);
});
afterAll(() => console?.stop());

const rowOf = (name: string) => page.getByRole('row').filter({ has: page.getByRole('link', { name, exact: true }) });

async function readEnabled(): Promise<boolean | undefined> {
  const { job } = await console.server.graphql<{ job: { enabled: boolean } | null }>(
    'query ($id: ID!) { job(id: $id) { enabled } }',
    { id: weeklyId },
  );
  return job?.enabled;
}

test('list of jobs > shows schedule, destination, last run, next slot, warnings and state', async () => {
  const weekly = rowOf('Weekly report');
  expect(await weekly.innerText()).toMatch(/at 09:00 every Monday, Europe\/Berlin\s+Next .* 09:00 Europe\/Berlin/);
  expect(await weekly.innerText()).toContain('s3://exports/weekly');
  expect(await weekly.locator('time').getAttribute('title')).toMatch(/^\d{4}-\d\d-\d\d 0[78]:00:00 UTC$/);
  expect(await rowOf('Never matches').innerText()).toMatch(/3 warnings/);
  const wrong = rowOf('Wrong bucket');
  expect(await wrong.innerText()).toMatch(/Failed\s+The bucket no-such-bucket does not exist/);
  expect(await findAccessibilityProblems(page)).toEqual([]);
});

test('list of jobs > is filtered and searched, and both are in the address', async () => {
  await page.getByRole('radio', { name: 'Failed' }).press('Space');
  await page.waitForURL(/show=failed/);
  await rowOf('Weekly report').waitFor({ state: 'detached' });
  await rowOf('Wrong bucket').waitFor();
  await page.getByRole('radio', { name: 'Enabled' }).press('Space');
  await rowOf('Weekly report').waitFor();
  expect(await rowOf('Never matches').count()).toBe(0);
  await page.getByRole('radio', { name: 'Disabled' }).press('Space');
  await rowOf('Never matches').waitFor();
  await page.getByLabel('Search jobs').fill('never');
  await rowOf('Wrong bucket').waitFor({ state: 'detached' });
  await page.reload();
  await rowOf('Never matches').waitFor();
  expect(await page.getByRole('row').count()).toBe(2);
  await page.getByLabel('Search jobs').fill('nothing has this name');
  await page.getByText('No job matches').waitFor();
  await page.goto(`${console.server.url}/console/jobs`);
});

test('list of jobs > says that only the jobs that failed last are searched when there are more', async () => {
  await page.route('**/graphql', async (route) => {
    if (!route.request().postData()?.includes('query ListFailingJobs')) return route.continue();
    const response = await route.fetch();
    const answer = (await response.json()) as { data: { overview: { failingJobCount: number } } };
    answer.data.overview.failingJobCount = 25;
    await route.fulfill({ response, json: answer });
  });
  await page.goto(`${console.server.url}/console/jobs?show=failed`);
  await page.getByText('25 jobs failed. The 1 that failed last').waitFor();
  await page.getByLabel('Search jobs').fill('nothing has this name');
  await page.getByText('The others were not searched.').waitFor();
  expect(await page.getByRole('row').count()).toBe(0);
  await page.unroute('**/graphql');
  await page.goto(`${console.server.url}/console/jobs`);
});

test('list of jobs > disables and enables a job', async () => {
  const schedule = page.getByRole('switch', { name: 'Schedule of Weekly report' });
  await schedule.press('Space');
  await rowOf('Weekly report').getByText('No next run').waitFor();
  expect(await readEnabled()).toBe(false);
  await schedule.press('Space');
  await rowOf('Weekly report').getByText(/^Next/).waitFor();
});

test('list of jobs > shows the progress of a run while it is active, and its end', async () => {
  let store = (): void => {};
  const stored = new Promise<void>((resolve) => {
    store = resolve;
  });
  const held = await createJob(console.server, { jobName: 'Held export', s3Url: 's3://exports/held' });
  await page.reload();
  const row = rowOf('Held export');
  await row.getByText('Never ran').waitFor();
  console.server.s3.setFault(({ key }) => (key.startsWith('held/') ? { hold: stored } : undefined));
  // By another client: the page learns of the run from the subscription alone.
  await runJob(console.server, held);
  await row.getByText(/^\d+ rows?, .* written$/).waitFor();
  expect(await row.innerText()).toContain('Running');
  await console.browser.takeScreenshot(page, 'console-jobs-running');
  store();
  await row.getByText('Succeeded').waitFor();
  console.server.s3.setFault(undefined);
  await row.getByRole('button', { name: 'Run now: Held export' }).press('Enter');
  await row.getByText(/Queued|Running|Succeeded/).waitFor();
  expect(await row.innerText()).not.toContain('Never ran');
});

test('list of jobs > says when a run that failed is tried again', async () => {
  console.server.s3.setFault(() => ({ status: 503, code: 'SlowDown' }));
  await runJob(
    console.server,
    await createJob(console.server, { jobName: 'Tries again', s3Url: 's3://exports/tries' }),
  );
  await page.reload();
  await rowOf('Tries again')
    .getByText(/^Attempt [34] of 5 failed\. The next one starts at \d\d:\d\d:\d\d UTC$/)
    .waitFor();
  expect(await rowOf('Tries again').innerText()).toContain('Queued');
  console.server.s3.setFault(undefined);
});

test.each([
  ['light', 1440],
  ['dark', 1440],
  ['light', 390],
  ['dark', 390],
] as const)(
  'list of jobs > fits the page with colour scheme %s and %d px width, and so does the form',
  async (colorScheme, width) => {
    await page.emulateMedia({ colorScheme });
    await page.setViewportSize({ width, height: 900 });
    expect(await findOverflow(page)).toEqual([]);
    await console.browser.takeScreenshot(page, `console-jobs-${colorScheme}-${width}`);
    const form = await console.open(`/jobs/${weeklyId}/edit`, { colorScheme, width });
    await form.getByRole('complementary', { name: 'Preview' }).getByText('✓ Valid').waitFor();
    const closed = form.locator('.mantine-Accordion-control[aria-expanded="false"]');
    while ((await closed.count()) > 0) await closed.first().press('Enter');
    expect(await findOverflow(form)).toEqual([]);
    expect(await findAccessibilityProblems(form)).toEqual([]);
    await console.browser.takeScreenshot(form, `console-job-form-${colorScheme}-${width}`);
    await form.close();
  },
);

test('list of jobs > is read page by page', async () => {
  for (let index = 0; index < 30; index += 1) await createJob(console.server, { jobName: `Many ${index}` });
  await page.setViewportSize({ width: 1440, height: 900 });
  await page.getByLabel('Search jobs').fill('many');
  await rowOf('Many 29').waitFor();
  await page.getByRole('button', { name: 'Next page' }).press('Enter');
  await rowOf('Many 0').waitFor();
  await page.reload();
  await rowOf('Many 0').waitFor();
  await page.getByRole('button', { name: 'Previous page' }).press('Enter');
  await rowOf('Many 29').waitFor();
  expect(await rowOf('Many 0').count()).toBe(0);
});
