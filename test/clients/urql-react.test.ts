import type { Locator, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';
import { startStrictS3, type StrictS3 } from '../support/strict-s3.ts';
import { addRecords, createJob, deleteJob, runJob } from '../support/job-steps.ts';
import { startBrowser, type TestBrowser } from './browser.ts';
import { type Example, installPackages, openExample } from './example.ts';
import { type PageServer, servePages } from './page-server.ts';

// The page of examples/urql-react, started as its README describes, built, served and used. Each test continues from the one before it.

let s3: StrictS3;
/** PutObject requests wait for it. */
let held: Promise<void> | undefined;
let server: TestServer;
let example: Example;
let pages: PageServer;
let browser: TestBrowser;
let page: Page;
beforeAll(async () => {
  s3 = await startStrictS3({ buckets: ['customer-bucket'], fault: () => held && { hold: held } });
  server = await startTestServer({ s3 });
  const yesterday = new Date(Date.now() - 86_400_000).toISOString();
  await addRecords(server, 'compute-hours', 'DAILY', [
    { timestamp: yesterday, elementName: 'hooli', value: '12.5' },
    { timestamp: yesterday, elementName: 'piedpiper', value: '7' },
  ]);
  example = await openExample('urql-react');
  await installPackages(example);
  expect(await example.run('npm run build')).toMatchObject({ code: 0 });
  pages = await servePages('npm run preview -- --host 127.0.0.1 --port 0', example.folder, server.url);
  browser = await startBrowser();
  page = await browser.openPage(pages.url);
});
afterEach(() => {
  expect(browser.complaints).toEqual([]);
});
afterAll(async () => {
  await browser?.close();
  await pages?.stop();
  await server?.stop();
  await s3?.close();
});

const rowOf = (job: string): Locator => page.getByRole('row').filter({ hasText: job });
const runNow = (job: string): Promise<void> => page.getByRole('button', { name: `Run ${job} now` }).click();

const enterKey = async (key: string, on = page): Promise<void> => {
  await on.getByLabel('API key').fill(key);
  await on.getByRole('button', { name: 'Open' }).click();
};

test('examples/urql-react > shows the page with the data of the server when started as its README says', async () => {
  const lines = example.typed.trim().split('\n');
  expect(lines).toEqual(['npm ci', expect.stringMatching(/^npm run \w+$/)]);
  const started = await servePages(lines.at(-1) ?? '', example.folder, server.url);
  try {
    expect(started.url).toMatch(/^http:\/\/localhost:\d+$/);
    const shown = await browser.openPage(started.url);
    try {
      await enterKey(server.key, shown);
      await shown.getByText('No job yet.').waitFor();
      await shown.getByText('Live', { exact: true }).waitFor();
    } finally {
      await shown.close();
    }
  } finally {
    await started.stop();
  }
});

test('examples/urql-react > shows a message at the field when the key is unknown', async () => {
  await enterKey('not a key');
  await page.getByText('This key is unknown or was revoked.').waitFor();
  await browser.takeScreenshot(page, 'urql-react-key');
  // The browser logs the 401.
  expect(browser.takeComplaints()).toEqual([expect.stringContaining('401')]);
});

test('examples/urql-react > stores the key in sessionStorage only', async () => {
  await enterKey(server.key);
  await page.getByText('No job yet.').waitFor();
  expect(await page.evaluate(() => Object.values(sessionStorage))).toEqual([server.key]);
  expect(await page.evaluate(() => localStorage.length)).toBe(0);
  await browser.takeScreenshot(page, 'urql-react-empty');
});

test('examples/urql-react > keeps the key after a reload, and updates a run to SUCCEEDED without one', async () => {
  await createJob(server, {
    jobName: 'Usage of the week',
    s3Url: 's3://customer-bucket/usage',
    groupBy: ['element'],
    enabled: true,
    cron: '0 2 * * *',
  });
  await page.reload();
  const row = rowOf('Usage of the week');
  await row.getByText('None yet').waitFor();
  const { promise, resolve: release } = Promise.withResolvers<void>();
  held = promise;
  await page.evaluate(() => Object.assign(window, { isSamePage: true }));
  await runNow('Usage of the week');
  await row.getByText('RUNNING').waitFor();
  await browser.takeScreenshot(page, 'urql-react-running');
  held = undefined;
  release();
  await row.getByText('SUCCEEDED').waitFor();
  expect(await row.getByRole('cell').allInnerTexts()).toContain('2');
  expect(await page.evaluate(() => 'isSamePage' in window)).toBe(true);
  expect(s3.puts.map(({ key }) => key)).toContainEqual(
    expect.stringMatching(/^usage\/usage-of-the-week\/.*manifest\.json$/),
  );
  await browser.takeScreenshot(page, 'urql-react-succeeded');
});

test('examples/urql-react > shows the message of the server when the job was deleted', async () => {
  const deleted = await createJob(server, { jobName: 'Deleted meanwhile', s3Url: 's3://customer-bucket/deleted' });
  await page.reload();
  await rowOf('Deleted meanwhile').waitFor();
  await deleteJob(server, deleted);
  await runNow('Deleted meanwhile');
  const alert = page.getByRole('alert');
  await alert.waitFor();
  expect(await alert.innerText()).toBe('The job does not exist. Check the id.');
});

test('examples/urql-react > shows the message of a failed run', async () => {
  s3.setFault(() => ({ status: 403, code: 'AccessDenied' }));
  await runNow('Usage of the week');
  const row = rowOf('Usage of the week');
  await row.getByText('FAILED').waitFor();
  await row.getByText('Sluice is not allowed to write to the bucket').click();
  expect(await row.getByRole('group').innerText()).toContain('Attach the bucket policy');
  await browser.takeScreenshot(page, 'urql-react-failed');
});

test('examples/urql-react > shows that the server is unavailable, and shows missed states after it restarts', async () => {
  s3.setFault(undefined);
  await page.getByText('Live', { exact: true }).waitFor();
  const { port } = new URL(server.url);
  const { database } = server;
  const env = { API_KEY: server.key, PORT: port };
  await server.app.stop();
  await page.getByText('Connecting …').waitFor();
  await browser.takeScreenshot(page, 'urql-react-unavailable');
  const elsewhere = await startTestServer({ s3, database, env: { ...env, PORT: '0' } });
  const { jobs } = await elsewhere.graphql<{ jobs: { edges: { node: { id: string } }[] } }>(
    '{ jobs { edges { node { id } } } }',
    {},
    env.API_KEY,
  );
  const run = await runJob(elsewhere, jobs.edges[0]?.node.id ?? '', undefined, env.API_KEY);
  await eventually(
    () =>
      elsewhere.graphql<{ run: { status: string } }>(
        'query ($id: ID!) { run(id: $id) { status } }',
        { id: run },
        env.API_KEY,
      ),
    ({ run: { status } }) => status === 'SUCCEEDED',
  );
  await elsewhere.stop();
  const again = await startTestServer({ s3, database, env });
  try {
    await page.getByText('Live', { exact: true }).waitFor();
    await rowOf('Usage of the week').getByText('SUCCEEDED').waitFor();
    await runNow('Usage of the week');
    await eventually(
      () =>
        again.graphql<{ runs: { totalCount: number } }>(
          '{ runs(status: [SUCCEEDED]) { totalCount } }',
          {},
          env.API_KEY,
        ),
      ({ runs }) => runs.totalCount === 3,
    );
    // The browser logs failed requests.
    for (const complaint of browser.takeComplaints()) expect(complaint).toMatch(/Failed to load resource|ERR_/);
  } finally {
    await page.close();
    await again.stop();
  }
});
