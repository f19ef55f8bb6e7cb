import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { createJob, endedRun, innerId, querySql, runJob } from '../../support/job-steps.ts';
import { ROOT } from '../../support/source-files.ts';
import { startStrictS3, type StrictS3 } from '../../support/strict-s3.ts';
import { findAccessibilityProblems, findOverflow, startConsole, type TestConsole } from './support.ts';

// The page Overview, from an empty account on. Each test continues from the one before it.

let s3: StrictS3;
let console: TestConsole;
let page: Page;
let jobId: string;
beforeAll(async () => {
  s3 = await startStrictS3({ buckets: ['customer-bucket', 'exports'] });
  console = await startConsole({ s3 });
  page = await console.open('/');
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
});
afterEach(() => {
  expect(console.browser.takeComplaints()).toEqual([]);
});
afterAll(async () => {
  await console?.stop();
  await s3?.close();
});

const section = (name: string) => page.getByRole('region', { name, exact: true });
const rowOf = (table: string, name: string) => page.getByRole('table', { name: table }).getByRole('row', { name });

async function findJob(name: string): Promise<string> {
  const { jobs } = await console.server.graphql<{ jobs: { edges: { node: { id: string } }[] } }>(
    'query ($name: String) { jobs(search: $name) { edges { node { id } } } }',
    { name },
  );
  return jobs.edges[0]?.node.id ?? '';
}

test('overview > of an empty account shows three commands with the address of the server and without a key', async () => {
  const commands = section('This account is empty').getByRole('listitem');
  await commands.first().waitFor();
  expect(await commands.count()).toBe(3);
  for (const text of await commands.allInnerTexts()) expect(text).toContain(`--url ${console.server.url} `);
  expect(await page.content()).not.toContain(console.server.key);
  expect(await findAccessibilityProblems(page)).toEqual([]);
  await console.browser.takeScreenshot(page, 'console-overview-empty');
});

test('overview > shows the run without a reload when the copied commands are executed', async () => {
  await page.evaluate(() => Object.assign(window, { isSamePage: true }));
  const copied: string[] = [];
  for (const command of await section('This account is empty').getByRole('listitem').all()) {
    await command.getByRole('button', { name: /^Copy command/ }).press('Enter');
    await command.getByText('Copied').waitFor();
    copied.push(await page.evaluate(() => navigator.clipboard.readText()));
  }
  // The section disappears when the account has data.
  const env = { ...process.env, API_KEY: console.server.key };
  for (const text of copied) await promisify(execFile)('bash', ['-c', text], { cwd: ROOT, env });
  await rowOf('Latest runs', 'Daily usage').getByText('Succeeded').waitFor();
  expect(await page.evaluate(() => 'isSamePage' in window)).toBe(true);
  jobId = await findJob('Daily usage');
});

test('overview > says so calmly when nothing needs attention, and shows runs, intake and next runs', async () => {
  await section('Needs attention').getByText('No job failed in its last run').waitFor();
  expect(await section('Needs attention').getByRole('table').count()).toBe(0);
  expect(await section('Runs of the last 24 hours').getByRole('listitem').allInnerTexts()).toEqual(
    expect.arrayContaining([expect.stringMatching(/^1\s+✓ Succeeded$/), expect.stringMatching(/^0\s+✕ Failed$/)]),
  );
  // The table also has older runs.
  await section('Runs of the last 24 hours').getByRole('heading', { level: 3, name: 'Latest runs' }).waitFor();
  const intake = section('Intake of the last 30 days');
  await intake.getByText('1 operation, 1 record inserted', { exact: true }).waitFor();
  const days = await intake
    .getByRole('list', { name: /by UTC day/ })
    .getByRole('listitem')
    .allInnerTexts();
  expect(days).toHaveLength(30);
  expect(days.at(-1)).toMatch(/^\d+ \w+ \d{4}: 1 operation, 1 record inserted$/);
  expect(days[0]).toMatch(/: no operations$/);
  expect(
    await section('Next runs')
      .getByRole('row', { name: /Daily usage/ })
      .count(),
  ).toBe(10);
  expect(await findAccessibilityProblems(page)).toEqual([]);
  await console.browser.takeScreenshot(page, 'console-overview-calm');
});

test('overview > leads to the job, the run and the usage of a stream', async () => {
  const row = rowOf('Latest runs', 'Daily usage');
  const targets = await row.getByRole('link').evaluateAll((links) => links.map((link) => link.getAttribute('href')));
  expect(targets).toEqual([
    `/console/jobs/${jobId}`,
    expect.stringMatching(new RegExp(`^/console/jobs/${jobId}/runs/[\\w-]+$`)),
  ]);
  await row.getByRole('link', { name: 'Daily usage' }).press('Enter');
  await page.waitForURL(`**/console/jobs/${jobId}`);
  await page.goBack();
  await section('Intake of the last 30 days').getByRole('link', { name: 'api-calls' }).press('Enter');
  await page.waitForURL('**/console/streams/api-calls');
  await page.goBack();
  await rowOf('Latest runs', 'Daily usage').waitFor();
});

test('overview > shows a failed run with its cause, and keeps the focus when it is read again', async () => {
  const figures = section('Intake of the last 30 days').getByText('Figures by day');
  await figures.press('Enter');
  await rowOf('Intake by day', '1').waitFor();
  s3.setFault(() => ({ status: 403, code: 'AccessDenied' }));
  const run = await runJob(console.server, jobId);
  expect((await endedRun(console.server, run)).status).toBe('FAILED');
  s3.setFault(undefined);
  await page.getByRole('heading', { name: '1 job failed in the last run' }).waitFor();
  const row = rowOf('1 job failed in the last run', 'Daily usage');
  await row.getByText(/^Sluice is not allowed to write to the bucket/).waitFor();
  expect(await row.getByRole('link').last().getAttribute('href')).toBe(`/console/jobs/${jobId}/runs/${run}`);
  expect(await figures.evaluate((element) => element === document.activeElement)).toBe(true);
  expect(await rowOf('Intake by day', '1').isVisible()).toBe(true);
  expect(await section('Needs attention').getByText('Nothing', { exact: true }).count()).toBe(0);
  expect(await findAccessibilityProblems(page)).toEqual([]);
});

test('overview > shows stale and missing deliveries, and warnings', async () => {
  const warned = await createJob(console.server, {
    jobName: 'Warned',
    s3Url: 'exports/warned',
    meterApiNames: ['nowhere'],
  });
  await endedRun(console.server, await runJob(console.server, warned));
  await endedRun(console.server, await runJob(console.server, jobId, '2026-01-26T01:00:00Z'));
  const inner = innerId(jobId);
  await querySql(console.server, 'UPDATE deliveries SET stale_since = now() WHERE job_id = $1 AND revision > 0', [
    inner,
  ]);
  await querySql(
    console.server,
    `INSERT INTO deliveries SELECT (jsonb_populate_record(d, jsonb_build_object('id', gen_random_uuid(), 'manifest_key', 'k',
       'revision', 0, 'stale_since', NULL, 'window_end', d.window_end + interval '1 day'))).* FROM deliveries d
     WHERE job_id = $1 ORDER BY window_end LIMIT 1`,
    [inner],
  );
  await page.reload();
  await page.getByRole('heading', { name: '2 stale and 1 missing delivery' }).waitFor();
  await rowOf('1 job with warnings', 'Warned').getByText('nowhere').waitFor();
  expect(await findAccessibilityProblems(page)).toEqual([]);
});

test('overview > says how long a run that is due has waited when no worker takes it', async () => {
  const idle = await startConsole({ env: { ROLE: 'api' }, s3 });
  try {
    await runJob(idle.server, await createJob(idle.server, { jobName: 'Waits' }));
    await querySql(idle.server, `UPDATE runs SET created_at = now() - interval '200 s'`);
    const other = await idle.open('/');
    await other.getByText('A run that is due has waited 3 minutes for a worker').waitFor();
    expect(await findAccessibilityProblems(other)).toEqual([]);
    expect(idle.browser.takeComplaints()).toEqual([]);
  } finally {
    await idle.stop();
  }
});

test.each([
  ['light', 1440],
  ['dark', 1440],
  ['light', 390],
  ['dark', 390],
] as const)('overview > fits the page with colour scheme %s and %d px width', async (colorScheme, width) => {
  await page.emulateMedia({ colorScheme });
  await page.setViewportSize({ width, height: 1900 });
  expect(await findOverflow(page)).toEqual([]);
  await console.browser.takeScreenshot(page, `console-overview-${colorScheme}-${width}`);
});

test('overview > of an account whose only job is disabled shows its warnings, and Streams that it has no streams', async () => {
  const key = await console.server.createKey('one-job', ['ADMIN']);
  await createJob(console.server, { jobName: 'Not used', s3Url: 's3://one-job/a', meterApiNames: ['nowhere'] }, key);
  const other = await console.open('/', { key });
  await other.getByRole('table', { name: '1 job with warnings' }).getByText('nowhere').waitFor();
  expect(await other.getByText('This account is empty').count()).toBe(0);
  await other.getByRole('navigation', { name: 'Pages' }).getByRole('link', { name: 'Streams' }).click();
  await other.getByRole('region', { name: 'This account has no streams' }).waitFor();
  await other.close();
});

test('overview > asks for another key when the key cannot read', async () => {
  const other = await console.open('/', { key: await console.server.createKey('default', ['INGEST']) });
  await other.getByText('Your key cannot read').waitFor();
  expect(await other.getByRole('navigation', { name: 'Pages' }).getByText('Streams').count()).toBe(0);
  await other.close();
});
