import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { createBackfill, endedBackfill } from '../../backfills/steps.ts';
import {
  addRecords,
  createJob,
  endedRun,
  innerId,
  multiplyRecords,
  querySql,
  runJob,
  runsOf,
} from '../../support/job-steps.ts';
import { createTestDatabase, type TestDatabase } from '../../support/postgres.ts';
import { eventually, startTestServer } from '../../support/server.ts';
import { startStrictS3, type StrictS3 } from '../../support/strict-s3.ts';
import { findAccessibilityProblems, findOverflow, holdRequests, startConsole, type TestConsole } from './support.ts';

// The pages of one job: coverage, runs, deliveries and backfills.

const DAY = 86_400_000;
/** Day 0 is today in UTC, day -1 yesterday. */
const dayOf = (index: number): string => new Date(Date.now() + index * DAY).toISOString().slice(0, 10);
const startOf = (index: number): string => `${dayOf(index)}T00:00:00Z`;
/** The days of the calendar are those of the month before, so that all of them are in the past. */
const lastMonth = new Date(Date.parse(`${dayOf(0).slice(0, 7)}-01T00:00Z`) - DAY).toISOString().slice(0, 7);
const monthDay = (day: number): string => `${lastMonth}-${String(day).padStart(2, '0')}`;

const SCANS = { LEDGER_SCAN_SECONDS: '1', LEDGER_SCAN_IDLE_SECONDS: '1' };

let console: TestConsole;
let page: Page;
const jobs = { daily: '', hourly: '', denied: '', empty: '', large: '' };

beforeAll(async () => {
  console = await startConsole({ env: { ...SCANS, EXPORT_PART_BYTES: '2048' } });
  const { server } = console;
  const records = Array.from({ length: 31 }, (_, index) => ({
    timestamp: `${new Date(Date.parse(`${monthDay(1)}T00:00Z`) + index * DAY).toISOString().slice(0, 10)}T00:00:00Z`,
    elementName: 'acme',
    value: '1234567.25',
  }));
  await addRecords(server, 'storage', 'DAILY', records);
  const daily = {
    cron: '15 6 * * *',
    range: 'previous(day)',
    enabled: true,
    groupBy: ['element'],
    meterApiNames: ['storage'],
  };
  jobs.daily = await createJob(server, {
    ...daily,
    jobName: 'Daily storage',
    s3Url: 's3://exports/daily',
    restatement: 'NONE',
    restateAfter: 'ago(1m)',
  });
  jobs.hourly = await createJob(server, {
    ...daily,
    jobName: 'Hourly storage',
    s3Url: 's3://exports/hourly',
    cron: '5 * * * *',
    range: 'ago(1h)',
    aggregationBucket: 'HOUR',
  });
  jobs.denied = await createJob(server, { ...daily, jobName: 'Denied storage', s3Url: 's3://other-exports/denied' });
  jobs.empty = await createJob(server, { jobName: 'Job on request', s3Url: 's3://exports/empty', groupBy: ['regio'] });
  await querySql(server, `UPDATE jobs SET created_at = $1`, [`${monthDay(5)}T00:00:00Z`]);
  // Two missing days: the 11th and 12th.
  for (const [from, to] of [
    [5, 11],
    [13, 28],
  ] as const) {
    const span = { from: `${monthDay(from)}T00:00:00Z`, to: `${monthDay(to)}T00:00:00Z` };
    const { id } = await createBackfill(server, { jobId: jobs.daily, ...span });
    await endedBackfill(server, id);
  }
  // A correction of the 20th.
  const correction = { timestamp: `${monthDay(20)}T00:00:00Z`, elementName: 'acme', value: '1' };
  await addRecords(server, 'storage', 'DAILY', [correction]);
  await eventually(
    () => querySql(server, 'SELECT 1 FROM deliveries WHERE touched_at IS NOT NULL', []),
    (rows) => rows.length > 0,
  );
  await querySql(server, 'UPDATE deliveries SET stale_since = now() WHERE touched_at IS NOT NULL');
  page = await console.open(`/jobs/${jobs.daily}?month=${lastMonth}`);
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
});
afterEach(() => {
  expect(console.browser.takeComplaints()).toEqual([]);
  console.server.s3.setFault(undefined);
});
afterAll(() => console?.stop());

const go = (path: string): Promise<unknown> => page.goto(`${console.server.url}/console${path}`);
const heading = (name: string | RegExp) => page.getByRole('heading', { level: 1, name });
const dayButton = (day: number) => page.locator(`[data-date="${monthDay(day)}"]`);
const status = () => page.getByRole('status', { name: 'Status of the run' });
const readClipboard = (): Promise<string> => page.evaluate(() => navigator.clipboard.readText());

describe('job page', () => {
  test('shows schedule, next run and destination, and the state of each day in words', async () => {
    await heading('Daily storage').waitFor();
    await page.getByText('s3://exports/daily').waitFor();
    await page.getByText('Next run').waitFor();
    for (const [day, state] of [
      [4, 'No delivery'],
      [5, 'Delivered'],
      [11, 'Missing'],
      [12, 'Missing'],
      [20, 'Stale'],
    ] as const) {
      await page.getByRole('button', { name: new RegExp(`^${day} \\w+ \\d{4}: ${state}$`) }).waitFor();
    }
    const findings = page.getByRole('list', { name: 'Missing and stale spans' });
    expect(await findings.getByRole('listitem').allInnerTexts()).toHaveLength(3);
    expect(await findAccessibilityProblems(page)).toEqual([]);
  });

  test('keeps month and day in the address, and moves through the days with arrow keys', async () => {
    await dayButton(11).focus();
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('ArrowLeft');
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('Enter');
    await page.waitForURL((url) => url.searchParams.get('day') === monthDay(20));
    const day = page.getByRole('region', { name: /^20 / });
    await day.getByText('Stale', { exact: true }).first().waitFor();
    await day.getByRole('row').nth(1).waitFor();
    expect(await findAccessibilityProblems(page)).toEqual([]);
    await page.reload();
    await day.getByRole('row').nth(1).waitFor();
    await page.getByRole('button', { name: 'Previous month' }).click();
    await page.waitForURL((url) => url.searchParams.get('month') !== lastMonth);
    await page.goBack();
    await day.waitFor();
    await day.getByRole('button', { name: 'Close' }).click();
    await day.waitFor({ state: 'detached' });
  });

  test('shows the hours of a day when the job has hourly buckets', async () => {
    await go(`/jobs/${jobs.hourly}?month=${lastMonth}&day=${monthDay(20)}`);
    const hours = page.getByRole('list', { name: 'Hours of the day' }).getByRole('listitem');
    await hours.first().waitFor();
    expect(await hours.allInnerTexts()).toEqual(
      Array.from({ length: 24 }, (_, hour) => `${String(hour).padStart(2, '0')}:00 Missing`),
    );
    expect(await findAccessibilityProblems(page)).toEqual([]);
  });

  test('does not call the lists of deliveries and runs empty while they are read', async () => {
    const slow = await console.open(`/jobs/${jobs.daily}?month=${lastMonth}&day=${monthDay(2)}`);
    const nothing = slow.getByRole('heading', { name: /^No (delivery|run)/ });
    await nothing.waitFor();
    const releaseDay = await holdRequests(slow);
    await slow.locator(`[data-date="${monthDay(13)}"]`).click();
    const day = slow.getByRole('region', { name: /^13 / });
    await day.locator('[aria-busy="true"]').waitFor();
    expect(await nothing.count()).toBe(0);
    releaseDay();
    await day.getByRole('row').nth(1).waitFor();

    await slow.goto(`${console.server.url}/console/jobs/${jobs.daily}/runs?status=FAILED`);
    await nothing.waitFor();
    const releaseRuns = await holdRequests(slow);
    await slow.getByRole('combobox', { name: 'Status of the runs' }).click();
    await slow.getByRole('option', { name: 'Every status' }).click();
    await slow.locator('[aria-busy="true"]').waitFor();
    expect(await nothing.count()).toBe(0);
    releaseRuns();
    await slow.getByRole('table', { name: /runs$/ }).waitFor();
    await slow.close();
  });

  test('of a job without runs says how the first one starts, and shows its warnings', async () => {
    await go(`/jobs/${jobs.empty}`);
    await page.getByText('No run yet').waitFor();
    await page.getByText('Disabled: the schedule starts no runs').waitFor();
    await page.getByText('None of the streams has the dimension "regio".').waitFor();
    for (const tab of ['Runs', 'Deliveries', 'Backfills', 'Settings']) {
      await page.getByRole('tab', { name: tab }).click();
      await page.waitForURL(new RegExp(`/${tab.toLowerCase()}$`));
      if (tab !== 'Settings') await page.getByRole('heading', { name: /^No (run|delivery|backfill) yet$/ }).waitFor();
      expect(await findAccessibilityProblems(page)).toEqual([]);
    }
    await page.getByText('regio').first().waitFor();
  });

  test('offers no changes to a key without JOBS', async () => {
    const reader = await console.open(`/jobs/${jobs.daily}?month=${lastMonth}`, {
      key: await console.server.createKey('default', ['READ']),
    });
    await reader.locator(`[data-date="${monthDay(11)}"]`).waitFor();
    expect(await reader.getByRole('button', { name: /Run now|More/ }).count()).toBe(0);
    expect(await reader.getByRole('link', { name: /Edit|Backfill$/ }).count()).toBe(0);
    await reader.close();
  });

  test('says that a job does not exist', async () => {
    await go('/jobs/Sm9iOnh4');
    await heading('This job does not exist').waitFor();
    await go(`/jobs/${jobs.daily}/nothing`);
    await heading('This page does not exist').waitFor();
    expect(await page.title()).toBe('This page does not exist · Sluice');
  });
});

describe('run page', () => {
  test('shows live progress, then the objects with their SHA-256, from Run now with the keyboard', async () => {
    const { server } = console;
    await addRecords(server, 'large', 'DAILY', [{ timestamp: startOf(-1), elementName: 'acme', value: '1' }]);
    await multiplyRecords(server, 'large', 299);
    jobs.large = await createJob(server, {
      jobName: 'Large job',
      s3Url: 's3://exports/large',
      meterApiNames: ['large'],
      groupBy: ['element'],
    });
    const { promise: released, resolve: release } = Promise.withResolvers<void>();
    let puts = 0;
    // The first objects are stored immediately, so that there are rows to show.
    server.s3.setFault(() => ((puts += 1) > 2 ? { hold: released } : undefined));
    await go(`/jobs/${jobs.large}`);
    await page.getByRole('button', { name: 'Run now' }).press('Enter');
    await status().getByText('Running').waitFor();
    await status()
      .getByText(/^[1-9]\d* rows, /)
      .waitFor();
    expect(await findAccessibilityProblems(page)).toEqual([]);
    await console.browser.takeScreenshot(page, 'console-run-running');
    release();
    await status().getByText('Succeeded').waitFor();
    const rows = page.getByRole('table', { name: /objects$/ }).getByRole('row');
    await rows.nth(1).waitFor();
    await rows.nth(1).getByRole('button', { name: 'Copy SHA-256' }).press('Enter');
    await page.getByRole('button', { name: 'Copied SHA-256' }).waitFor();
    const [run] = await runsOf(server, jobs.large);
    expect(await readClipboard()).toBe(run?.objects[0]?.sha256);
    await page.getByRole('button', { name: 'Copy manifest key' }).press('Enter');
    await page.getByRole('button', { name: 'Copied manifest key' }).waitFor();
    expect(await readClipboard()).toBe(run?.manifestKey);
    expect(await findAccessibilityProblems(page)).toEqual([]);
  });

  test('cancels a run after a confirmation', async () => {
    const { server } = console;
    const { promise: released, resolve: release } = Promise.withResolvers<void>();
    server.s3.setFault(() => ({ hold: released }));
    const runId = await runJob(server, jobs.large);
    await go(`/jobs/${jobs.large}/runs`);
    await page.getByRole('table').getByText('Running').waitFor();
    await page.getByRole('button', { name: 'Cancel' }).press('Enter');
    const dialog = page.getByRole('dialog', { name: 'Cancel this run?' });
    await dialog.getByText('Objects that it has written remain').waitFor();
    await dialog.getByRole('button', { name: 'Cancel run' }).press('Enter');
    await page.getByRole('table').getByText('Canceled').waitFor();
    release();
    expect((await endedRun(server, runId)).status).toBe('CANCELED');
  });

  test('runs for a date of the time zone of the job', async () => {
    await go(`/jobs/${jobs.large}`);
    await page.getByRole('button', { name: 'More' }).press('Enter');
    await page.getByRole('menuitem', { name: 'Run for a date …' }).click();
    const dialog = page.getByRole('dialog', { name: 'Run Large job for a date' });
    const slot = dialog.getByLabel('Slot in UTC');
    await slot.fill(`${dayOf(40)}T06:15`);
    await dialog.getByRole('button', { name: 'Queue run' }).press('Enter');
    await dialog.getByText(/24 hours/).waitFor();
    expect(await findAccessibilityProblems(page)).toEqual([]);
    await slot.fill(`${dayOf(0)}T00:15`);
    await dialog.getByRole('button', { name: 'Queue run' }).press('Enter');
    await heading(/^Run of .*, 00:15 UTC$/).waitFor();
    await status().getByText('Succeeded').waitFor();
  });

  test('shows the whole error of a failed run, the policy to attach, and tests the destination', async () => {
    const { server } = console;
    server.s3.setFault(() => ({ status: 403, code: 'AccessDenied' }));
    const run = await endedRun(server, await runJob(server, jobs.denied));
    expect(run.status).toBe('FAILED');
    await go(`/jobs/${jobs.denied}`);
    const alert = page.getByRole('alert').filter({ hasText: 'The run failed' });
    await alert.getByText(/^Sluice is not allowed to write to the bucket other-exports\./).waitFor();
    await alert.getByRole('button', { name: 'Copy policy' }).press('Enter');
    await alert.getByText('Copied').waitFor();
    const policy = JSON.parse(await readClipboard()) as { Statement: { Action: string }[] };
    expect(policy.Statement[0]?.Action).toBe('s3:PutObject');
    expect(await findAccessibilityProblems(page)).toEqual([]);
    await page.getByRole('button', { name: 'Test the destination' }).press('Enter');
    await page.getByText('The destination refuses objects').waitFor();
    server.s3.setFault(undefined);
    await page.getByRole('button', { name: 'Test the destination' }).press('Enter');
    await page.getByText('The destination accepts objects').waitFor();
    expect(await alert.getByRole('link', { name: 'Change the destination' }).getAttribute('href')).toMatch(
      new RegExp(`/jobs/${jobs.denied}/edit$`),
    );
    await page.getByRole('table', { name: 'Last runs' }).getByRole('link').click();
    await status().getByText('ACCESS_DENIED').waitFor();
    await page.getByRole('button', { name: 'Run again' }).press('Enter');
    await status().getByText('Succeeded').waitFor();
  });

  test('says when a run that failed is tried again, and why', async () => {
    const { server } = console;
    let isBusy = true;
    server.s3.setFault(() => (isBusy ? { status: 503, code: 'SlowDown' } : undefined));
    await runJob(server, jobs.large);
    await go(`/jobs/${jobs.large}`);
    // The pause after the third attempt is 15 s.
    await page.getByText(/^Attempt 3 of 5 failed\. The next one starts at \d\d:\d\d:\d\d UTC$/).waitFor();
    await page.getByRole('alert').filter({ hasText: 'Attempt 3 failed, and the run is retried' }).waitFor();
    await page.getByText('S3_BUSY').first().waitFor();
    isBusy = false;
    expect(await findAccessibilityProblems(page)).toEqual([]);
    await console.browser.takeScreenshot(page, 'console-run-retried');
    const run = page.getByRole('table', { name: 'Last runs' }).getByRole('row').nth(1);
    await run.getByText('Succeeded').waitFor({ timeout: 120_000 });
  });

  test('says until when a run waits for complete streams', async () => {
    const { server } = console;
    const jobId = await createJob(server, {
      jobName: 'Patient job',
      s3Url: 's3://exports/patient',
      meterApiNames: ['storage'],
      completeWithin: 'ago(6h)',
      enabled: true,
      scheduledTimeInSeconds: Math.floor(Date.now() / 1000) + 3600,
    });
    await querySql(server, 'UPDATE jobs SET next_run_at = $2 WHERE id = $1', [
      innerId(jobId),
      new Date(Date.now() - 60_000),
    ]);
    await go(`/jobs/${jobId}`);
    await page
      .getByText(/^Waits until its streams are complete, at most until \d+ \w+ \d{4}, \d\d:\d\d UTC$/)
      .waitFor();
    expect(await findAccessibilityProblems(page)).toEqual([]);
  });
});

describe('job', () => {
  test('is duplicated by the form, and deleted after a confirmation that names what ends', async () => {
    await go(`/jobs/${jobs.large}`);
    await page.getByRole('button', { name: 'More' }).press('Enter');
    await page.getByRole('menuitem', { name: 'Duplicate' }).click();
    await page.waitForURL(new RegExp(`/jobs/new\\?from=${jobs.large}$`));
    await page.goBack();
    await page.getByRole('button', { name: 'More' }).press('Enter');
    await page.getByRole('menuitem', { name: 'Delete …' }).click();
    const dialog = page.getByRole('dialog', { name: 'Delete Large job?' });
    await dialog.getByText('its schedule, and with it all future deliveries to s3://exports/large').waitFor();
    expect(await findAccessibilityProblems(page)).toEqual([]);
    await dialog.getByRole('button', { name: 'Delete job' }).press('Enter');
    await page.waitForURL(/\/jobs$/);
    await page.goto(`${console.server.url}/console/jobs/${jobs.large}`);
    await heading('This job does not exist').waitFor();
  });
});

describe('delivery page', () => {
  test('shows pending operations, and what changed once it is delivered again', async () => {
    await go(`/jobs/${jobs.daily}/deliveries`);
    await page.getByRole('combobox', { name: 'State of the deliveries' }).click();
    await page.getByRole('option', { name: 'Stale' }).click();
    await page.waitForURL(/state=STALE/);
    const link = page.getByRole('table', { name: 'Deliveries' }).getByRole('link');
    await eventually(
      () => link.count(),
      (count) => count === 1,
    );
    await link.click();
    await page.getByText('1 operation of the ledger has touched the window').waitFor();
    expect(await findAccessibilityProblems(page)).toEqual([]);
    await page.getByRole('button', { name: 'Redeliver' }).press('Enter');
    await status().getByText('Succeeded').waitFor();
    const change = page.getByRole('table', { name: 'Changes by stream' }).getByRole('row').nth(1);
    expect((await change.innerText()).split(/\s+/).filter(Boolean)).toEqual([
      'storage',
      '0',
      '1',
      '0',
      '1,234,567.25',
      '1,234,568.25',
    ]);
    await page.getByRole('link', { name: 'Revision 2' }).click();
    await page.getByText('1 row changed, compared with the revision before.').waitFor();
    const revisions = page.getByRole('table', { name: 'Revisions' });
    await revisions.getByRole('link', { name: 'Revision 1' }).waitFor();
    expect(await findAccessibilityProblems(page)).toEqual([]);
    // Another client starts a run.
    const deliveryId = decodeURIComponent(new URL(page.url()).pathname.split('/').at(-1) ?? '');
    await console.server.graphql('mutation ($id: ID!) { redeliver(deliveryId: $id) { __typename } }', {
      id: deliveryId,
    });
    await revisions.getByRole('row', { name: /Revision 3.*Succeeded/s }).waitFor();
  });
});

describe('backfill', () => {
  test('is created from the calendar with a preview, paused, resumed and followed to its end', async () => {
    const { server } = console;
    await go(`/jobs/${jobs.daily}?month=${lastMonth}`);
    const findings = page.getByRole('list', { name: 'Missing and stale spans' });
    await findings
      .getByRole('listitem')
      .filter({ hasText: 'Missing' })
      .first()
      .getByRole('link', { name: 'Backfill' })
      .click();
    await heading('New backfill').waitFor();
    expect(await page.getByLabel('First day').inputValue()).toBe(monthDay(11));
    expect(await page.getByLabel('Last day').inputValue()).toBe(monthDay(12));
    const deliver = page.getByRole('button', { name: /^Deliver / });
    await page.getByText('Deliver 2 windows').waitFor();
    expect(await findAccessibilityProblems(page)).toEqual([]);
    await page.getByLabel('Last day').fill('');
    await page.getByText('Enter a date.').waitFor();
    await page.getByLabel('Last day').fill(monthDay(1));
    await page.getByRole('alert').or(page.getByText('Must be after')).first().waitFor();
    await page.getByLabel('Last day').fill(monthDay(28));
    await page.getByRole('radio', { name: 'Every window' }).check();
    await page.getByText('Deliver 18 windows').waitFor();
    expect(await page.getByRole('table', { name: 'First windows' }).getByRole('row').count()).toBe(11);
    await page.getByRole('radio', { name: 'Missing windows' }).check();
    await page.getByLabel('Last day').fill(monthDay(12));
    await page.getByText('Deliver 2 windows').waitFor();
    const { promise: released, resolve: release } = Promise.withResolvers<void>();
    server.s3.setFault(() => ({ hold: released }));
    await deliver.press('Enter');
    const card = page.getByRole('article').first();
    await card.getByText('Running').waitFor();
    await card.getByText('0 windows of 2 delivered').waitFor();
    await card.getByRole('button', { name: 'Pause' }).press('Enter');
    await card.getByText('Paused').waitFor();
    expect(await findAccessibilityProblems(page)).toEqual([]);
    await card.getByRole('button', { name: 'Resume' }).press('Enter');
    await card.getByText('Running').waitFor();
    release();
    await card.getByText('2 windows of 2 delivered').waitFor();
    await card.getByText('Succeeded').waitFor();
    expect(
      await card.getByRole('button').evaluateAll((all) => all.map((button) => button.getAttribute('title'))),
    ).toEqual(['Copy backfill id']);
    await go(`/jobs/${jobs.daily}?month=${lastMonth}`);
    await dayButton(11).getByText('Delivered').waitFor();
  });

  test('keeps no error of an earlier attempt, and asks before its form with changes is left', async () => {
    await go(`/jobs/${jobs.daily}/backfills/new?from=${monthDay(5)}&through=${monthDay(8)}&reprocess=ALL`);
    const deliver = page.getByRole('button', { name: /^Deliver \d windows$/ });
    await page.route('**/graphql', async (route) => {
      if (route.request().postData()?.includes('mutation CreateBackfill')) await route.abort();
      else await route.continue();
    });
    await deliver.press('Enter');
    const alert = page.getByRole('alert').filter({ hasText: 'The server cannot be reached' });
    await alert.waitFor();
    expect(console.browser.takeComplaints()).toEqual([expect.stringContaining('ERR_FAILED')]);
    await page.unroute('**/graphql');
    await page.getByRole('radio', { name: 'Newest first' }).check();
    await alert.waitFor({ state: 'detached' });
    await page.getByRole('link', { name: 'Cancel' }).click();
    const dialog = page.getByRole('dialog', { name: 'Leave without saving?' });
    await dialog.getByRole('button', { name: 'Cancel' }).press('Enter');
    await dialog.waitFor({ state: 'detached' });
    await deliver.waitFor();
    await page.getByRole('link', { name: 'Cancel' }).click();
    await dialog.getByRole('button', { name: 'Leave' }).press('Enter');
    await page.waitForURL(/\/backfills$/);
  });

  test('shows the failed windows, and retries them', async () => {
    const { server } = console;
    server.s3.setFault(() => ({ status: 403, code: 'AccessDenied' }));
    const { id } = await createBackfill(server, {
      jobId: jobs.denied,
      from: `${monthDay(1)}T00:00:00Z`,
      to: `${monthDay(3)}T00:00:00Z`,
    });
    await endedBackfill(server, id);
    await go(`/jobs/${jobs.denied}/backfills`);
    const card = page.getByRole('article').first();
    await card.getByText('Failed', { exact: false }).first().waitFor();
    await card.getByRole('button', { name: 'Show failed runs' }).press('Enter');
    await card.getByText('ACCESS_DENIED').first().waitFor();
    expect(await card.getByRole('link').count()).toBe(2);
    server.s3.setFault(undefined);
    await card.getByRole('button', { name: 'Retry failed windows' }).press('Enter');
    await card.getByText('2 windows of 2 delivered').waitFor();
    await card.getByText('Succeeded').waitFor();
  });
});

test.each([
  ['light', 1440],
  ['dark', 1440],
  ['light', 390],
  ['dark', 390],
] as const)('job pages > fit the window with colour scheme %s and %d px width', async (colorScheme, width) => {
  await page.emulateMedia({ colorScheme });
  await page.setViewportSize({ width, height: 900 });
  const [failed] = (await runsOf(console.server, jobs.denied)).filter((run) => run.status === 'FAILED');
  const paths = {
    overview: `/jobs/${jobs.daily}?month=${lastMonth}&day=${monthDay(20)}`,
    runs: `/jobs/${jobs.daily}/runs`,
    deliveries: `/jobs/${jobs.daily}/deliveries`,
    backfills: `/jobs/${jobs.denied}/backfills`,
    settings: `/jobs/${jobs.daily}/settings`,
    failed: `/jobs/${jobs.denied}/runs/${failed?.id}`,
    preview: `/jobs/${jobs.daily}/backfills/new?from=${monthDay(1)}&through=${monthDay(5)}`,
  };
  for (const [name, path] of Object.entries(paths)) {
    await go(path);
    await page.getByRole('status', { name: /^Loading/ }).waitFor({ state: 'detached' });
    await heading(/./).waitFor();
    expect([name, await findOverflow(page)]).toEqual([name, []]);
    await console.browser.takeScreenshot(page, `console-job-${name}-${colorScheme}-${width}`);
  }
});

describe('open page of a job', () => {
  let database: TestDatabase;
  let s3: StrictS3;
  beforeAll(async () => {
    database = await createTestDatabase();
    s3 = await startStrictS3({ buckets: ['exports'] });
  });
  afterAll(async () => {
    await s3?.close();
    await database?.drop();
  });

  test('shows the runs of a server that was restarted', async () => {
    const { key } = console.server;
    const first = await startTestServer({ database, s3, env: { API_KEY: key } });
    const { port } = new URL(first.url);
    await addRecords(
      { ...first, graphql: first.graphql },
      'storage',
      'DAILY',
      [{ timestamp: startOf(-1), elementName: 'acme', value: '1' }],
      key,
    );
    const jobId = await createJob(first, { jobName: 'Survivor', s3Url: 's3://exports/survivor' }, key);
    const open = await console.open(`/jobs/${jobId}`, { url: first.url, key });
    await open.getByText('No run yet').waitFor();
    await first.stop();
    await open.getByText('Connecting …').waitFor();
    const second = await startTestServer({ database, s3, env: { API_KEY: key, PORT: port } });
    try {
      await open.getByText('Connecting …').waitFor({ state: 'detached' });
      const runId = await runJob(second, jobId, undefined, key);
      await open.getByRole('table', { name: 'Last runs' }).getByText('Succeeded').waitFor();
      expect(
        (await endedRun({ ...second, graphql: (query, variables) => second.graphql(query, variables, key) }, runId))
          .status,
      ).toBe('SUCCEEDED');
      await open.close();
    } finally {
      await second.stop();
    }
    // The browser reports requests that were sent while the server was down.
    const complaints = console.browser.takeComplaints();
    expect(
      complaints.filter(
        (text) =>
          !/ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED|ERR_EMPTY_RESPONSE|ERR_CONNECTION_RESET|ERR_NETWORK|status of 503/.test(
            text,
          ),
      ),
    ).toEqual([]);
  });
});
