import type { Locator, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';
import { startStrictS3, type StrictS3 } from '../support/strict-s3.ts';
import { addRecords, runJob } from '../support/job-steps.ts';
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
    { timestamp: yesterday, elementName: 'hooli', value: '12.5', filter: [{ dimension: 'region', values: ['eu'] }] },
    { timestamp: yesterday, elementName: 'piedpiper', value: '7', filter: [{ dimension: 'region', values: ['us'] }] },
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

const field = (label: string): Locator => page.getByRole('textbox', { name: label, exact: true });
/** The issues below a field. */
const issuesAt = (label: string): Locator => page.locator('.field', { has: field(label) }).locator('.issue');
const preview = (): Locator => page.getByRole('complementary', { name: 'Preview' });
const rowOf = (job: string): Locator => page.getByRole('row').filter({ hasText: job });
const create = (): Locator => page.getByRole('button', { name: /^Create/ });

/** A group of checkboxes. */
const group = (name: string, on = page): Locator => on.getByRole('group', { name });

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
      await group('Streams', shown).getByRole('checkbox', { name: 'compute-hours' }).waitFor();
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

test('examples/urql-react > shows issues at their fields while the user types', async () => {
  await field('Name').fill('Daily usage');
  await field('Destination').fill('s3://customer-bucket/usage');
  await field('Cron').fill('0 25 * * *');
  await field('Range').fill('7 days');
  await field('Email').fill('nobody');
  for (const label of ['Cron', 'Range', 'Email']) {
    await issuesAt(label).first().waitFor();
    expect(await field(label).getAttribute('aria-invalid')).toBe('true');
  }
  expect(await issuesAt('Cron').innerText()).toMatch(/hour/);
  expect(await issuesAt('Range').innerText()).toMatch(/ago\(/);
  expect(await issuesAt('Name').count()).toBe(0);
  await browser.takeScreenshot(page, 'urql-react-issues');
});

test('examples/urql-react > previews window, first rows and SELECT when the input is valid', async () => {
  await field('Cron').fill('0 2 * * *');
  await field('Range').fill('ago(7d)');
  await field('Email').fill('');
  await field('Time zone').fill('UTC');
  await page.getByRole('checkbox', { name: 'region' }).check();
  await preview().getByText('element,region,value').waitFor();
  const words = await preview().innerText();
  expect(words).toMatch(/compute-hours,\S+Z,\S+Z,hooli,eu,12\.5/);
  expect(words).toContain('usage/daily-usage/');
  expect(await page.locator('.issue').count()).toBe(0);
  await preview().getByText('SELECT', { exact: true }).click();
  await preview().getByText('AS "meterApiName"').waitFor();
  await browser.takeScreenshot(page, 'urql-react-preview');
  await preview().getByText('SELECT', { exact: true }).click();
});

test('examples/urql-react > shows issues of untouched fields only when the form is submitted, and keeps the key after a reload', async () => {
  await page.reload();
  await field('Range').fill('ago(2d)');
  await preview()
    .getByText(/\d problems/)
    .waitFor();
  expect(await page.locator('.issue').count()).toBe(0);
  await create().click();
  await issuesAt('Name').first().waitFor();
  await issuesAt('Destination').first().waitFor();
  await page
    .getByRole('alert')
    .filter({ hasText: /\d problems/ })
    .waitFor();
  expect(await rowOf('customer-bucket').count()).toBe(0);
});

test('examples/urql-react > shows a created job, and updates its run to SUCCEEDED without a reload', async () => {
  const { promise, resolve: release } = Promise.withResolvers<void>();
  held = promise;
  await page.evaluate(() => Object.assign(window, { isSamePage: true }));
  await field('Name').fill('Usage of the week');
  await field('Destination').fill('s3://customer-bucket/usage');
  await field('Range').fill('ago(7d)');
  await create().click();
  await page.getByText('Usage of the week was created.').waitFor();
  const row = rowOf('Usage of the week');
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

test('examples/urql-react > shows a message when the job name is taken', async () => {
  await field('Name').fill('Usage of the week');
  await field('Destination').fill('s3://customer-bucket/usage');
  await preview().getByText('Conflict:').waitFor();
  await create().click();
  const alert = page.locator('form').getByRole('alert');
  await alert.waitFor();
  expect(await alert.innerText()).toBe(await preview().locator('.banner').innerText());
  await browser.takeScreenshot(page, 'urql-react-conflict');
});

test('examples/urql-react > shows issues at their fields when the time zone is invalid or there are too many groups', async () => {
  // Years ago, outside of the windows of the other tests.
  const dimensions = Array.from({ length: 20 }, (_, index) => `dimension-${index}`);
  for (const part of [0, 5, 10, 15]) {
    const filter = dimensions.slice(part, part + 5).map((dimension) => ({ dimension, values: ['x'] }));
    await addRecords(server, `wide-${part}`, 'DAILY', [
      { timestamp: '2020-01-01T00:00:00Z', elementName: 'hooli', value: '1', filter },
    ]);
  }
  await page.reload();
  await field('Time zone').fill('Europe/Nowhere');
  await issuesAt('Time zone').first().waitFor();
  expect(await issuesAt('Time zone').allInnerTexts()).toEqual([
    expect.stringContaining('"Europe/Nowhere" is not a name in the IANA time zone database'),
  ]);
  expect(await field('Time zone').getAttribute('aria-invalid')).toBe('true');

  const choices = group('Grouped by');
  await choices.getByRole('checkbox').nth(21).waitFor();
  // The first one, element, is checked by default.
  for (const name of dimensions) await choices.getByRole('checkbox', { name, exact: true }).check();
  await choices.locator('.issue').waitFor();
  expect(await choices.locator('.issue').allInnerTexts()).toEqual(['Must have at most 20 dimensions.']);
  await browser.takeScreenshot(page, 'urql-react-groups');
  await choices.getByRole('checkbox', { name: 'dimension-0', exact: true }).uncheck();
  await choices.locator('.issue').waitFor({ state: 'detached' });
  await field('Time zone').fill('UTC');
  await issuesAt('Time zone').first().waitFor({ state: 'detached' });
});

test('examples/urql-react > shows an issue with its name below the fields when the form has no such field', async () => {
  // Adds a field to the request that the form does not have.
  await page.route('**/graphql', async (route) => {
    const asked = route.request().postDataJSON() as { query: string; variables?: { input?: object } };
    const { variables } = asked;
    const isCheck = asked.query.includes('checkJob');
    await route.continue({
      postData: isCheck
        ? JSON.stringify({ ...asked, variables: { input: { ...variables?.input, endTimeOffset: 'yesterday' } } })
        : undefined,
    });
  });
  await field('Range').fill('7 days');
  await issuesAt('Range').first().waitFor();
  const elsewhere = page.locator('form > .issue');
  await elsewhere.waitFor();
  expect(await elsewhere.allInnerTexts()).toEqual([
    expect.stringMatching(/^endTimeOffset: Must have the form ago\(7d\)/),
  ]);
  await browser.takeScreenshot(page, 'urql-react-elsewhere');
  await page.unroute('**/graphql');
  await field('Range').fill('ago(7d)');
  await elsewhere.waitFor({ state: 'detached' });
});

test('examples/urql-react > shows the message of a failed run', async () => {
  s3.setFault(() => ({ status: 403, code: 'AccessDenied' }));
  await page.getByRole('button', { name: 'Run Usage of the week now' }).click();
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
    await page.getByRole('button', { name: 'Run Usage of the week now' }).click();
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
