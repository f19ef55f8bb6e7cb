import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { addRecords, createJob, updateJob } from '../../support/job-steps.ts';
import { eventually } from '../../support/server.ts';
import { findAccessibilityProblems, findOverflow, startConsole, type TestConsole } from './support.ts';

// The form of jobs. Tests of a group continue from the one before it.

let console: TestConsole;
let pages: Page[] = [];
beforeAll(async () => {
  console = await startConsole();
  const now = Date.now();
  const records = Array.from({ length: 48 }, (_, index) => ({
    timestamp: `${new Date(now - index * 3_600_000).toISOString().slice(0, 13)}:00:00Z`,
    elementName: `team-${index % 3}`,
    filter: [{ dimension: 'region', values: ['eu-central-1'] }],
    value: '1.5',
  }));
  await addRecords(console.server, 'compute-hours', 'HOURLY', records);
});
afterEach(() => {
  expect(console.browser.takeComplaints()).toEqual([]);
});
afterAll(() => console?.stop());

const open: TestConsole['open'] = async (...args) => {
  const page = await console.open(...args);
  pages.push(page);
  return page;
};
const closePages = async (): Promise<void> => {
  for (const page of pages) await page.close();
  pages = [];
};
const rowOf = (page: Page, name: string) =>
  page.getByRole('row').filter({ has: page.getByRole('link', { name, exact: true }) });
const heading = (page: Page, name: string) => page.getByRole('heading', { level: 1, name });
const field = (page: Page, name: string) => page.getByRole('textbox', { name, exact: true });
const listOf = (page: Page, name: string) => page.getByRole('combobox', { name, exact: true });
const openGroup = (page: Page, name: string) => page.getByRole('button', { name }).press('Enter');
const preview = (page: Page) => page.getByRole('complementary', { name: 'Preview' });
const validOf = (page: Page) => preview(page).getByRole('status').filter({ hasText: '✓ Valid' });
const findJob = async (name: string): Promise<Record<string, unknown>> => {
  const { jobs } = await console.server.graphql<{ jobs: { edges: { node: Record<string, unknown> }[] } }>(
    `query ($name: String) { jobs(search: $name) { edges { node { id version jobName cron timeZone s3Url enabled email format
      groupBy meterApiNames range filter { dimension values } } } } }`,
    { name },
  );
  const [edge] = jobs.edges;
  if (!edge) throw new Error(`The job ${name} does not exist`);
  return edge.node;
};

describe('an account without jobs', () => {
  afterAll(closePages);

  test('explains what a job is, and offers to create one', async () => {
    const page = await open('/jobs');
    await page.getByText('This account does not have a job yet').waitFor();
    expect(await findAccessibilityProblems(page)).toEqual([]);
    await page.getByRole('radio', { name: 'Failed' }).press('Space');
    await page.getByText('No job fails').waitFor();
    await page.getByRole('radio', { name: 'All' }).press('Space');
    await page.getByRole('link', { name: 'Create a job', exact: true }).press('Enter');
    await heading(page, 'Create a job').waitFor();
  });
});

describe('the form of a job', () => {
  let page: Page;
  beforeAll(async () => {
    page = await open('/jobs/new');
    await heading(page, 'Create a job').waitFor();
  });
  afterAll(closePages);

  test('shows no issue before a field is changed', async () => {
    await preview(page).getByText('2 fields to complete or correct').waitFor();
    expect(await page.locator('[aria-invalid="true"]').count()).toBe(0);
    expect(await findAccessibilityProblems(page)).toEqual([]);
  });

  test('shows each issue at its field while the user types', async () => {
    await field(page, 'Name').fill('Café');
    await page.getByText('Must have 1 to 255 characters out of A-Z').waitFor();
    await field(page, 'Name').fill('Daily usage');
    await field(page, 'Destination').fill('s3://B');
    const invalid = page.locator('[aria-invalid="true"]');
    await eventually(
      () => invalid.evaluateAll((elements) => elements.map((element) => element.getAttribute('data-path'))),
      (paths) => paths.join() === 's3Url',
    );
    await field(page, 'Destination').fill('s3://exports/daily/{yyyy}');
    await validOf(page).waitFor();
  });

  test.each([
    ['Time zone', 'combobox', 'Berlin', /is not a name in the IANA time zone database/, 'UTC'],
    ['Streams', 'combobox', 'ä', /^“ä”: Must have 1 to 256 of the characters/, null],
    ['Multiply values by', 'textbox', 'much', /Must be a decimal number/, ''],
    ['End before the run', 'textbox', '1 day', /ago\(/, ''],
    ['Wait until streams are complete, up to', 'textbox', 'ago(8d)', /at most ago\(7d\)/, ''],
    ['Collect corrections for', 'textbox', 'ago(25h)', /from ago\(1m\) to ago\(24h\)/, 'ago(1h)'],
    ['Only windows that ended within', 'textbox', 'forever', /ago\(/, 'ago(35d)'],
    ['Region', 'textbox', 'X Y', /name of a region/, ''],
    ['Account that owns the bucket', 'textbox', '123', /12 digits/, ''],
    ['Email', 'textbox', 'nobody', /one email address/, ''],
  ] as const)('rejects a wrong value of "%s" at the field', async (name, role, wrong, message, right) => {
    if (!(await page.getByRole(role, { name, exact: true }).isVisible())) {
      for (const group of ['File', 'Window', 'Corrections', 'Bucket and encryption', 'Notification and description']) {
        const control = page.getByRole('button', { name: new RegExp(`^${group} `) });
        if ((await control.getAttribute('aria-expanded')) === 'false') await control.press('Enter');
      }
    }
    const input = page.getByRole(role, { name, exact: true });
    await input.fill(wrong);
    if (name === 'Streams') await input.press('Enter');
    await eventually(
      () => input.getAttribute('aria-invalid'),
      (value) => value === 'true',
    );
    const error = await input.evaluate((element) => {
      const id = element
        .getAttribute('aria-describedby')
        ?.split(' ')
        .find((part) => part.endsWith('-error'));
      return document.querySelector(`[id="${id}"]`)?.textContent;
    });
    expect(error).toMatch(message);
    if (right === null) await input.press('Backspace');
    else await input.fill(right);
    await validOf(page).waitFor();
    expect(await page.locator('[aria-invalid="true"]').count()).toBe(0);
  });

  test('has no field of corrections that are not delivered, and their values are not checked', async () => {
    const after = field(page, 'Collect corrections for');
    const choose = async (option: string): Promise<void> => {
      await listOf(page, 'When a delivered window is corrected').click();
      await page.getByRole('option', { name: option, exact: true }).click();
    };
    await after.fill('soon');
    await page.getByText(/from ago\(1m\) to ago\(24h\)/).waitFor();
    await choose('Show it as stale');
    await validOf(page).waitFor();
    expect(await after.count()).toBe(0);
    await choose('Deliver it again automatically');
    await after.fill('ago(1h)');
    await validOf(page).waitFor();
  });

  test('rejects a wrong cron expression, duration, time and filter at their fields', async () => {
    const runs = listOf(page, 'Runs');
    const choose = async (input: ReturnType<typeof listOf>, option: string): Promise<void> => {
      await input.click();
      await page.getByRole('option', { name: option, exact: true }).click();
    };
    await choose(runs, 'By a cron expression');
    await field(page, 'Cron expression').fill('61 * * * *');
    await page
      .getByText(/minute/)
      .first()
      .waitFor();
    await eventually(
      () => field(page, 'Cron expression').getAttribute('aria-invalid'),
      (value) => value === 'true',
    );
    await field(page, 'Cron expression').fill('30 5 * * MON-FRI');
    await page.getByText('Runs at 05:30, Monday through Friday, UTC.').waitFor();
    await choose(runs, 'Once, at a time');
    await page.getByLabel('At', { exact: true }).fill('2020-01-01T00:00');
    await page.getByText('Must be in the future.').waitFor();
    await choose(runs, 'Every day');
    await choose(listOf(page, 'Window'), 'A duration before each run');
    await field(page, 'Duration').fill('7 days');
    await page.getByText(/Must be previous\(day\)/).waitFor();
    await choose(listOf(page, 'Window'), 'The day before');
    await openGroup(page, 'Filter none');
    await page.getByRole('button', { name: 'Add a dimension' }).press('Enter');
    await listOf(page, 'Dimension').fill('region');
    await page.getByRole('button', { name: 'Create job' }).press('Enter');
    await page.getByText('Must have at least one value.').first().waitFor();
    expect(await listOf(page, 'Allowed values').evaluate((element) => element === document.activeElement)).toBe(true);
    expect(await findAccessibilityProblems(page)).toEqual([]);
    await console.browser.takeScreenshot(page, 'console-job-form-issues');
    await listOf(page, 'Allowed values').fill('eu-central-1');
    await listOf(page, 'Allowed values').press('Enter');
    await validOf(page).waitFor();
  });

  test('previews windows, object keys, first rows, warnings and SQL', async () => {
    await listOf(page, 'Group by').fill('service');
    await listOf(page, 'Group by').press('Enter');
    await preview(page).getByText('None of the streams has the dimension "service".').waitFor();
    await listOf(page, 'Group by').press('Backspace');
    await listOf(page, 'Group by').press('r');
    await page.getByRole('option', { name: 'region' }).click();
    await preview(page).getByText('meterApiName,bucketStart,bucketEnd,region,value').waitFor();
    await preview(page)
      .getByText(/^compute-hours,.*,eu-central-1,36$/)
      .waitFor();
    await preview(page)
      .getByText(/^daily\/\d{4}\/daily-usage\/\w+\.csv$/)
      .first()
      .waitFor();
    expect(
      await preview(page)
        .getByText(/^exports /)
        .count(),
    ).toBe(3);
    await preview(page).getByRole('button', { name: 'SQL that PostgreSQL would run' }).press('Enter');
    await preview(page)
      .getByText(/^SELECT /)
      .waitFor();
    expect(await findAccessibilityProblems(page)).toEqual([]);
  });

  test('tests the destination, and shows the policy to attach when it is refused', async () => {
    const button = page.getByRole('button', { name: 'Test destination' });
    await field(page, 'Destination').fill('s3://no-such-bucket/daily');
    await button.press('Enter');
    await page.getByText('The bucket no-such-bucket does not exist.').waitFor();
    await page.getByText('Policy that lets Sluice write below the path').click();
    await page.getByLabel('Bucket policy').getByText('"arn:aws:s3:::no-such-bucket/daily/*"').waitFor();
    expect(await findAccessibilityProblems(page)).toEqual([]);
    await field(page, 'Destination').fill('s3://exports/daily/{yyyy}');
    expect(await page.getByText('The bucket no-such-bucket does not exist.').count()).toBe(0);
    await button.press('Enter');
    await page.getByText('The destination works').waitFor();
  });

  test('asks before it is left with changes', async () => {
    await page.getByRole('link', { name: 'Cancel' }).press('Enter');
    const dialog = page.getByRole('dialog', { name: 'Leave without saving?' });
    await dialog.getByRole('button', { name: 'Cancel' }).press('Enter');
    await dialog.waitFor({ state: 'detached' });
    expect(await field(page, 'Name').inputValue()).toBe('Daily usage');
    const asked = page.waitForEvent('dialog');
    const reload = page.reload().catch(() => null);
    const question = await asked;
    expect(question.type()).toBe('beforeunload');
    await question.dismiss();
    await reload;
    expect(await field(page, 'Name').inputValue()).toBe('Daily usage');
  });

  test('creates the job with these settings, and does not ask then', async () => {
    await page.getByRole('button', { name: 'Create job' }).press('Enter');
    await page.getByText('The job Daily usage was created.').waitFor();
    const job = await findJob('Daily usage');
    await page.waitForURL(`**/console/jobs/${String(job['id'])}`);
    expect(job).toMatchObject({
      cron: '15 6 * * *',
      timeZone: 'UTC',
      range: 'previous(day)',
      s3Url: 's3://exports/daily/{yyyy}',
      groupBy: ['region'],
      filter: [{ dimension: 'region', values: ['eu-central-1'] }],
      meterApiNames: null,
      email: null,
      enabled: true,
    });
  });

  test('shows a conflict of the name while the user types', async () => {
    await page.goto(`${console.server.url}/console/jobs/new`);
    await field(page, 'Name').fill('Daily usage');
    await field(page, 'Destination').fill('s3://exports/elsewhere');
    await preview(page).getByRole('alert').filter({ hasText: 'Daily usage' }).waitFor();
    await page.getByRole('button', { name: 'Create job' }).press('Enter');
    await page.getByRole('alert').filter({ hasText: 'Daily usage' }).nth(1).waitFor();
    await page.getByRole('link', { name: 'Cancel' }).press('Enter');
    await page.getByRole('button', { name: 'Leave' }).press('Enter');
    await heading(page, 'Jobs').waitFor();
    expect(new URL(page.url()).pathname).toBe('/console/jobs');
  });
});

/** Presses Tab until the element with this name has the focus. */
async function tabTo(page: Page, name: string): Promise<void> {
  for (let pressed = 0; pressed < 80; pressed += 1) {
    await page.keyboard.press('Tab');
    const focused = await page.evaluate(() => {
      const element = document.activeElement;
      const label = element instanceof HTMLInputElement ? element.labels?.[0]?.textContent : element?.textContent;
      return element?.getAttribute('aria-label') ?? label ?? '';
    });
    if (focused.replace(/ \*$/, '') === name) return;
  }
  throw new Error(`Tab never reaches ${name}`);
}

describe('values and dimensions in the form', () => {
  let page: Page;
  beforeAll(async () => {
    page = await open('/jobs/new');
    await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
    await field(page, 'Name').fill('As typed');
    await field(page, 'Destination').fill('s3://exports/typed');
  });
  afterAll(closePages);

  test('are kept as the user types and pastes them', async () => {
    await openGroup(page, 'Filter none');
    await page.getByRole('button', { name: 'Add a dimension' }).press('Enter');
    await listOf(page, 'Dimension').fill('customer');
    const values = listOf(page, 'Allowed values');
    for (const value of ['Acme, Inc.', 'eu', 'EU', 'eu', ' spaced ']) {
      await values.pressSequentially(value);
      await values.press('Enter');
    }
    await page.evaluate(() => navigator.clipboard.writeText('one, two'));
    await values.press('ControlOrMeta+V');
    await values.pressSequentially(', three');
    await values.press('Enter');
    await values.pressSequentially('  ');
    await values.press('Backspace');
    await values.press('Backspace');
    await validOf(page).waitFor();
    expect(await values.inputValue()).toBe('');
  });

  test('are asked about before the user signs out', async () => {
    await page
      .getByRole('banner')
      .getByRole('button', { name: /default/ })
      .click();
    await page.getByRole('menuitem', { name: 'Sign out in all tabs' }).click();
    const dialog = page.getByRole('dialog', { name: 'Leave without saving?' });
    await dialog.getByRole('button', { name: 'Cancel' }).press('Enter');
    await dialog.waitFor({ state: 'detached' });
    expect(await field(page, 'Name').inputValue()).toBe('As typed');
    await page.getByRole('button', { name: 'Create job' }).press('Enter');
    await page.getByText('The job As typed was created.').waitFor();
    expect(await findJob('As typed')).toMatchObject({
      filter: [{ dimension: 'customer', values: ['Acme, Inc.', 'eu', 'EU', ' spaced ', 'one, two, three'] }],
    });
  });

  test('are suggested of a chosen stream that is not among the first 100', async () => {
    await page.route('**/graphql', async (route) => {
      if (!route.request().postData()?.includes('query SuggestStreams')) await route.continue();
      else await route.fulfill({ json: { data: { streams: { __typename: 'StreamConnection', edges: [] } } } });
    });
    await page.goto(`${console.server.url}/console/jobs/new`);
    await listOf(page, 'Streams').fill('compute-hours');
    await listOf(page, 'Streams').press('Enter');
    await listOf(page, 'Group by').press('r');
    await page.getByRole('option', { name: 'region' }).waitFor();
    expect(await page.getByRole('option').allInnerTexts()).toEqual(['region']);
  });
});

describe('the keyboard alone', () => {
  afterAll(closePages);

  test('creates a job and runs it', async () => {
    const page = await open('/jobs');
    await heading(page, 'Jobs').waitFor();
    await tabTo(page, 'Create job');
    await page.keyboard.press('Enter');
    await heading(page, 'Create a job').waitFor();
    await page.keyboard.type('By keyboard');
    await tabTo(page, 'Destination');
    await page.keyboard.type('s3://exports/keyboard');
    await tabTo(page, 'Runs');
    await page.keyboard.press('ArrowDown');
    await page.getByRole('option', { name: 'Every week' }).waitFor();
    await page.keyboard.press('Escape');
    await tabTo(page, 'Group by');
    await page.keyboard.type('element');
    await page.keyboard.press('Enter');
    await validOf(page).waitFor();
    await tabTo(page, 'Create job');
    await page.keyboard.press('Enter');
    await page.getByText('The job By keyboard was created.').waitFor();
    expect(await findJob('By keyboard')).toMatchObject({ cron: '15 6 * * *', groupBy: ['element'] });
    await page.evaluate(() => (document.activeElement as HTMLElement | null)?.blur());
    await tabTo(page, 'Jobs');
    await page.keyboard.press('Enter');
    await rowOf(page, 'By keyboard').waitFor();
    await tabTo(page, 'Run now: By keyboard');
    await page.keyboard.press('Enter');
    await rowOf(page, 'By keyboard').getByText('Succeeded').waitFor();
  });
});

describe('a user who has never seen the console', () => {
  afterAll(closePages);

  test('creates a daily job, fixes its destination from the error and sees its coverage with at most 12 clicks', async () => {
    const page = await open('/');
    let clicks = 0;
    const click = async (role: 'link' | 'button' | 'tab' | 'textbox', name: string): Promise<void> => {
      await page.getByRole(role, { name, exact: true }).click();
      clicks += 1;
    };
    await click('link', 'Jobs');
    await click('link', 'Create job');
    await heading(page, 'Create a job').waitFor();
    await page.keyboard.type('First export');
    await click('textbox', 'Destination');
    await page.keyboard.type('s3://export/first');
    await click('button', 'Create job');
    await click('button', 'Run now');
    await page.getByText('The bucket export does not exist.').first().waitFor();
    await click('link', 'Change the destination');
    await click('textbox', 'Destination');
    await page.keyboard.press('ControlOrMeta+A');
    await page.keyboard.type('s3://exports/first');
    await click('button', 'Save changes');
    await click('button', 'Run now');
    await page.getByText('Succeeded').first().waitFor();
    await click('link', 'First export');
    await page.getByRole('heading', { name: 'Coverage' }).waitFor();
    await page
      .getByText(/delivered/i)
      .first()
      .waitFor();
    expect(clicks).toBeLessThanOrEqual(12);
  });
});

describe('a stored job', () => {
  let page: Page;
  let id: string;
  beforeAll(async () => {
    id = await createJob(console.server, {
      jobName: 'Weekly report',
      s3Url: 's3://exports/weekly',
      cron: '30 7 * * MON',
      timeZone: 'Europe/Berlin',
      range: 'previous(week)',
      email: 'team@example.com',
      enabled: true,
    });
    page = await open(`/jobs/${id}/edit`);
    await heading(page, 'Edit Weekly report').waitFor();
  });
  afterAll(closePages);

  test('is shown in the form, and its changes are saved', async () => {
    expect(await listOf(page, 'Runs').inputValue()).toBe('Every week');
    expect(await listOf(page, 'On').inputValue()).toBe('Monday');
    await page.getByText('Runs at 07:30 every Monday, Europe/Berlin.').waitFor();
    await page.getByLabel('At', { exact: true }).fill('08:00');
    await page.getByRole('button', { name: 'Save changes' }).press('Enter');
    await page.getByText('The job Weekly report was changed.').waitFor();
    expect(await findJob('Weekly report')).toMatchObject({ cron: '0 8 * * 1', email: 'team@example.com', version: 2 });
  });

  test('that was changed in the meantime shows both edits, and saves the chosen settings', async () => {
    await page.goto(`${console.server.url}/console/jobs/${id}/edit`);
    await heading(page, 'Edit Weekly report').waitFor();
    await updateJob(console.server, id, { format: 'JSON', email: 'they@example.com', cron: '0 9 * * MON' });
    await field(page, 'Destination').fill('s3://exports/weekly-2');
    await page.getByLabel('At', { exact: true }).fill('10:00');
    await page.getByRole('button', { name: 'Save changes' }).press('Enter');
    const dialog = page.getByRole('dialog', { name: 'This job was changed while you edited it' });
    await dialog.waitFor();
    const settingOf = (name: string) => dialog.getByRole('row').filter({ hasText: name });
    expect(await dialog.getByRole('row').count()).toBe(5);
    expect(await settingOf('Destination').getByRole('radio', { name: /yours/ }).isChecked()).toBe(true);
    expect(
      await settingOf('Format')
        .getByRole('radio', { name: /theirs/ })
        .isChecked(),
    ).toBe(true);
    expect(
      await settingOf('Notify')
        .getByRole('radio', { name: /theirs/ })
        .isChecked(),
    ).toBe(true);
    const schedule = settingOf('Schedule');
    await schedule.getByText('at 08:00 every Monday, Europe/Berlin').waitFor();
    expect(await schedule.getByRole('radio', { name: /yours, at 10:00 every Monday/ }).isChecked()).toBe(true);
    expect(await findAccessibilityProblems(page)).toEqual([]);
    await page.setViewportSize({ width: 390, height: 900 });
    expect(await findOverflow(page)).toEqual([]);
    await console.browser.takeScreenshot(page, 'console-job-conflict-390');
    await page.setViewportSize({ width: 1440, height: 900 });
    await console.browser.takeScreenshot(page, 'console-job-conflict');
    await schedule.getByRole('radio', { name: /theirs/ }).press('Space');
    await settingOf('Notify').getByRole('radio', { name: /yours/ }).press('Space');
    await dialog.getByRole('button', { name: 'Save these settings' }).press('Enter');
    await page.getByText('The job Weekly report was changed.').waitFor();
    expect(await findJob('Weekly report')).toMatchObject({
      s3Url: 's3://exports/weekly-2',
      format: 'JSON',
      cron: '0 9 * * MON',
      email: 'team@example.com',
    });
  });

  test('keeps its edit when the other edit cannot be read', async () => {
    await page.goto(`${console.server.url}/console/jobs/${id}/edit`);
    await heading(page, 'Edit Weekly report').waitFor();
    await updateJob(console.server, id, { description: 'For the board' });
    await page.route('**/graphql', async (route) => {
      if (route.request().postData()?.includes('query ReadJobSettings')) await route.abort();
      else await route.continue();
    });
    await field(page, 'Destination').fill('s3://exports/weekly-3');
    await page.getByRole('button', { name: 'Save changes' }).press('Enter');
    await page.getByRole('alert').filter({ hasText: 'The server cannot be reached' }).waitFor();
    expect(await field(page, 'Destination').inputValue()).toBe('s3://exports/weekly-3');
    expect(console.browser.takeComplaints()).toEqual([expect.stringContaining('ERR_FAILED')]);
    await page.unroute('**/graphql');
    await page.getByRole('button', { name: 'Save changes' }).press('Enter');
    await page.getByRole('dialog').getByRole('button', { name: 'Save these settings' }).press('Enter');
    await page.getByText('The job Weekly report was changed.').waitFor();
    await updateJob(console.server, id, { s3Url: 's3://exports/weekly-2' });
  });

  test('is duplicated', async () => {
    await page.goto(`${console.server.url}/console/jobs/${id}/edit`);
    await updateJob(console.server, id, { s3Url: 's3://exports/weekly-4' });
    await page.getByRole('link', { name: 'Duplicate' }).press('Enter');
    await heading(page, 'Duplicate Weekly report').waitFor();
    expect(await field(page, 'Name').inputValue()).toBe('Weekly report (copy)');
    await page.getByRole('button', { name: 'Create job' }).press('Enter');
    await page.getByText('The job Weekly report (copy) was created.').waitFor();
    expect(await findJob('Weekly report (copy)')).toMatchObject({ s3Url: 's3://exports/weekly-4', format: 'JSON' });
  });

  test('is deleted after a confirmation that names what is lost', async () => {
    const copy = String((await findJob('Weekly report (copy)'))['id']);
    await page.goto(`${console.server.url}/console/jobs/${copy}/edit`);
    await page.getByRole('button', { name: 'Delete …' }).press('Enter');
    const dialog = page.getByRole('dialog', { name: 'Delete Weekly report (copy)?' });
    await dialog.getByText('its schedule, and with it all future deliveries to s3://exports/weekly-4').waitFor();
    await dialog.getByText('The history of its runs and the objects in the S3 bucket are kept.').waitFor();
    expect(await findAccessibilityProblems(page)).toEqual([]);
    await dialog.getByRole('button', { name: 'Delete job' }).press('Enter');
    await heading(page, 'Jobs').waitFor();
    await rowOf(page, 'Weekly report').waitFor();
    expect(await rowOf(page, 'Weekly report (copy)').count()).toBe(0);
    await page.goto(`${console.server.url}/console/jobs/${copy}/edit`);
    await heading(page, 'This job does not exist').waitFor();
  });

  test('is not offered for change to a key that may only read', async () => {
    const reader = await console.server.createKey('default', ['READ']);
    const other = await open('/jobs', { key: reader });
    await rowOf(other, 'Weekly report').getByText('Enabled').waitFor();
    expect(await other.getByRole('link', { name: 'Create job' }).count()).toBe(0);
    expect(await other.getByRole('button', { name: /^Run now/ }).count()).toBe(0);
    await other.goto(`${console.server.url}/console/jobs/new`);
    await other.getByText('Your key cannot create or change jobs').waitFor();
  });
});
