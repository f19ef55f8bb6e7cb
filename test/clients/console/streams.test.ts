import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import type { Locator, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { createGate } from '../../support/faults.ts';
import { addRecords, exportOnce, filterOf, jobSettings } from '../../support/job-steps.ts';
import { ROOT } from '../../support/source-files.ts';
import { findAccessibilityProblems, findOverflow, holdRequests, startConsole, type TestConsole } from './support.ts';

// The pages of streams. The tests of a group continue from the one before.

const DAYS = 12;
/** Elements of api-calls. The value of an element is its number, so that its total is DAYS times that. */
const ELEMENTS = 13;
const LONG = '12345678901234567890123456789.000000001';

const dateOf = (day: number): string => new Date(Date.UTC(2026, 0, day)).toISOString().slice(0, 10);
const startOf = (day: number): string => `${dateOf(day)}T00:00:00Z`;

let console: TestConsole;
let page: Page;
beforeAll(async () => {
  console = await startConsole();
  const { server } = console;
  await addRecords(
    server,
    'api-calls',
    'DAILY',
    Array.from({ length: DAYS * ELEMENTS }, (_, index) => ({
      timestamp: startOf(1 + Math.floor(index / ELEMENTS)),
      filter: filterOf({ region: index % 2 === 0 ? 'eu' : 'us' }),
      elementName: `customer-${1 + (index % ELEMENTS)}`,
      value: String(1 + (index % ELEMENTS)),
    })),
  );
  await addRecords(server, 'gpu-hours', 'HOURLY', [
    { timestamp: '2026-03-28T22:00:00Z', elementName: 'hooli', value: '1' },
    { timestamp: '2026-03-28T23:00:00Z', elementName: 'hooli', value: LONG },
    { timestamp: '2026-03-29T21:00:00Z', elementName: 'initech', value: '2' },
  ]);
  await addRecords(server, 'seats', 'MONTHLY', [
    { timestamp: '2026-02-01T00:00:00Z', elementName: 'hooli', value: '7' },
  ]);
  await addRecords(server, 'zeros', 'DAILY', [{ timestamp: startOf(1), elementName: 'hooli', value: '0' }]);
  await addRecords(server, 'emptied', 'DAILY', [{ timestamp: startOf(1), elementName: 'hooli', value: '1' }]);
  await server.graphql('mutation ($input: AllocationDeleteInput!) { allocationDelete(input: $input) { __typename } }', {
    input: { stream: 'emptied', records: [{ timestamp: startOf(1), granularity: 'DAILY' }] },
  });
  await server.graphql(
    'mutation ($through: DateTime!) { declareComplete(input: { stream: "api-calls", through: $through }) { __typename } }',
    { through: startOf(DAYS + 1) },
  );
  page = await console.open('/streams');
});
afterEach(() => {
  expect(console.browser.takeComplaints()).toEqual([]);
});
afterAll(() => console?.stop());

const rowOf = (name: string | RegExp, on = page): Locator => on.getByRole('row').filter({ hasText: name });
const open = (path: string): Promise<unknown> => page.goto(`${console.server.url}/console${path}`);
const cellsOf = (row: Locator): Promise<string[]> => row.locator('th, td').allInnerTexts();
const parameter = (name: string): string | null => new URL(page.url()).searchParams.get(name);
const legend = (): Locator => page.getByRole('table', { name: 'Groups' });
const figures = (): Locator => page.getByRole('table', { name: 'Figures' });
const dimension = (name: string): Locator => page.getByLabel(name, { exact: true }).and(page.locator('input'));
const chart = (): Locator => page.getByRole('group', { name: /^Bars of usage/ });

describe('streams', () => {
  test('are listed with their buckets and completeness', async () => {
    await rowOf('api-calls').waitFor();
    expect(await cellsOf(rowOf('api-calls'))).toEqual([
      'api-calls',
      'Daily',
      'region',
      '1 Jan 2026',
      '12 Jan 2026',
      '12 Jan 2026',
      'now',
    ]);
    expect(await cellsOf(rowOf('seats'))).toEqual(expect.arrayContaining(['Monthly', 'February 2026', 'Not declared']));
    expect(await cellsOf(rowOf('emptied'))).toEqual(expect.arrayContaining(['None']));
    expect(await findAccessibilityProblems(page)).toEqual([]);
  });

  test('are searched and read page by page, and both are in the address', async () => {
    for (let index = 10; index < 65; index += 1) {
      await addRecords(console.server, `batch-${index}`, 'DAILY', [
        { timestamp: startOf(1), elementName: 'hooli', value: '1' },
      ]);
    }
    await page.getByLabel('Search streams').fill('BATCH');
    await rowOf('batch-10').waitFor();
    await page.waitForURL(/search=BATCH/);
    await rowOf('api-calls').waitFor({ state: 'detached' });
    await page.getByRole('button', { name: 'Next page' }).press('Enter');
    await rowOf('batch-64').waitFor();
    await page.reload();
    await rowOf('batch-64').waitFor();
    await page.getByRole('button', { name: 'Previous page' }).press('Enter');
    await rowOf('batch-10').waitFor();
    await page.getByLabel('Search streams').fill('no such stream');
    await page.getByText('No stream matches').waitFor();
    expect(await findAccessibilityProblems(page)).toEqual([]);
  });

  test('keep the search field and are not called missing while the search is cleared', async () => {
    const slow = await console.open('/streams?search=zzz');
    await slow.getByText('No stream matches').waitFor();
    const release = await holdRequests(slow);
    const search = slow.getByLabel('Search streams');
    await search.fill('');
    await slow.locator('[aria-busy="true"]').waitFor();
    expect(new URL(slow.url()).search).toBe('');
    expect(await slow.getByText('This account has no streams').count()).toBe(0);
    expect(await slow.getByText('No stream matches').count()).toBe(0);
    await slow.getByRole('status', { name: /^Loading/ }).waitFor();
    expect(await findAccessibilityProblems(slow)).toEqual([]);
    release();
    await rowOf('api-calls', slow).waitFor();
    expect(await search.evaluate((element) => element === document.activeElement)).toBe(true);
    await slow.close();
  });

  test('are replaced by the three commands that fill an account when it has none, and the first one works', async () => {
    const key = await console.server.createKey('newcomer', ['ADMIN']);
    const newcomer = await console.open('/streams', { key });
    const commands = newcomer.getByRole('region', { name: 'This account has no streams' }).getByRole('listitem');
    await commands.first().waitFor();
    expect(await commands.count()).toBe(3);
    expect(await findAccessibilityProblems(newcomer)).toEqual([]);
    const command = await commands.first().locator('pre').innerText();
    await promisify(execFile)('bash', ['-ec', command], { cwd: ROOT, env: { ...process.env, API_KEY: key } });
    await newcomer.reload();
    await rowOf('api-calls', newcomer).waitFor();
    await newcomer.close();
  });

  test('that do not exist have a page that says so', async () => {
    await open('/streams/no-such-stream');
    await page.getByRole('heading', { level: 1, name: 'This stream does not exist' }).waitFor();
    expect(await findAccessibilityProblems(page)).toEqual([]);
  });
});

describe('usage', () => {
  test('is shown by element: the ten largest and the sum of the others, with exact figures', async () => {
    await open('/streams');
    await page.getByRole('link', { name: 'api-calls', exact: true }).press('Enter');
    await page.getByRole('heading', { level: 1, name: 'api-calls' }).waitFor();
    await chart().locator('canvas').waitFor();
    // The sum of all elements is shown first if the ranking takes longer.
    await legend().getByRole('rowheader', { name: 'customer-13' }).waitFor();
    const names = await legend().getByRole('rowheader').allInnerTexts();
    expect(names.map((name) => name.replaceAll(/\s+/g, ' '))).toEqual([
      ...Array.from({ length: 10 }, (_, index) => `${index + 1} customer-${ELEMENTS - index}`),
      '… 3 others Hide',
    ]);
    const rows = await figures().getByRole('row').all();
    expect(rows).toHaveLength(DAYS + 2);
    const newest = await cellsOf(rows[1]!);
    expect(newest.slice(0, 3)).toEqual(['Mon, 12 Jan 2026', '91', '13']);
    expect(newest.at(-1)).toBe('6');
    expect((await cellsOf(rows.at(-1)!)).slice(0, 2)).toEqual(['12 buckets with records', '1,092']);
    expect(await findAccessibilityProblems(page)).toEqual([]);
  });

  test('is the sum of all groups until the largest ones are known', async () => {
    const ranked = createGate();
    const slow = await console.open('/streams');
    await slow.route('**/graphql', async (route) => {
      if (route.request().postData()?.includes('"top"')) await ranked.opened;
      await route.continue();
    });
    await slow.getByRole('link', { name: 'api-calls', exact: true }).press('Enter');
    const note = slow.getByRole('status').filter({ hasText: 'The sum of all groups.' });
    await note.waitFor();
    const last = slow.getByRole('table', { name: 'Figures' }).getByRole('row').last();
    expect((await cellsOf(last)).slice(0, 2)).toEqual(['12 buckets with records', '1,092']);
    expect(await slow.getByRole('table', { name: 'Groups' }).getByRole('rowheader').count()).toBe(1);
    expect(await findAccessibilityProblems(slow)).toEqual([]);
    expect(await findOverflow(slow)).toEqual([]);
    ranked.open();
    await slow.getByRole('rowheader', { name: 'customer-13' }).waitFor();
    expect(await note.count()).toBe(0);
    await slow.close();
  });

  test('has its figures on hover, and with the arrow keys', async () => {
    // Children of an image would be hidden from screen readers.
    const tooltip = chart().getByRole('status').filter({ hasText: 'Total' });
    const box = (await chart().locator('.u-over').boundingBox())!;
    // The range of 30 days ends with the newest bucket.
    await page.mouse.move(box.x + box.width - 5, box.y + 20);
    await tooltip.getByText('Mon, 12 Jan 2026').waitFor();
    await tooltip.getByText('3 others').waitFor();
    await page.mouse.move(0, 0);
    await chart().focus();
    await page.keyboard.press('Home');
    await tooltip.getByText('Thu, 1 Jan 2026').waitFor();
    await page.keyboard.press('ArrowRight');
    await tooltip.getByText('Fri, 2 Jan 2026').waitFor();
    expect(await findAccessibilityProblems(page)).toEqual([]);
    await page.keyboard.press('Escape');
    await tooltip.waitFor({ state: 'detached' });
  });

  test('is kept in the address: range, bucket and grouping', async () => {
    await page.getByLabel('Range').selectOption('7d');
    await page.getByLabel('Bucket', { exact: true }).selectOption('WEEK');
    await page.getByLabel('Group by').selectOption('region');
    await legend().getByRole('button', { name: 'us', exact: true }).waitFor();
    expect(['range', 'bucket', 'by'].map(parameter)).toEqual(['7d', 'WEEK', 'region']);
    await page.getByLabel('From').fill(dateOf(2));
    await page.keyboard.press('Enter');
    await page.waitForURL(/from=2026-01-02/);
    await page.reload();
    await figures().getByText('Week of 29 Dec 2025').waitFor();
    expect(['from', 'through', 'range'].map(parameter)).toEqual([dateOf(2), dateOf(12), null]);
    expect(await page.getByLabel('Range').inputValue()).toBe('dates');
  });

  test('is limited to one group of the legend, and to the ten largest in the chart', async () => {
    await open('/streams/api-calls?range=all');
    await legend().getByRole('button', { name: 'Hide the others in the chart' }).press('Enter');
    await legend().getByRole('button', { name: 'Show the others in the chart' }).waitFor();
    expect(parameter('others')).toBe('hidden');
    await legend().getByRole('button', { name: 'customer-13' }).press('Enter');
    const only = page.getByRole('checkbox', { name: 'Only element customer-13' });
    await only.waitFor();
    expect(parameter('only')).toBe('element=customer-13');
    await page.getByLabel('Group by').selectOption('none');
    await figures().getByText('156').waitFor();
    await only.press('Space');
    await figures().getByText('1,092').waitFor();
  });

  test('is downloaded as CSV as it is shown', async () => {
    await open('/streams/api-calls?by=region&from=2026-01-02&through=2026-01-03');
    await legend().getByRole('button', { name: 'us', exact: true }).waitFor();
    const download = page.waitForEvent('download');
    await page.getByRole('button', { name: 'Download as CSV' }).press('Enter');
    const file = await download;
    expect(file.suggestedFilename()).toBe('api-calls_2026-01-02_2026-01-03.csv');
    const csv = await readFile(await file.path(), 'utf8');
    const shown = (await cellsOf(figures().getByRole('row').nth(1))).slice(1);
    expect(csv.split('\r\n').at(2)).toBe(['2026-01-03T00:00:00Z', '2026-01-04T00:00:00Z', ...shown].join(','));
    expect(csv.split('\r\n')).toHaveLength(4);
  });

  test('is not downloaded while that of another selection is read', async () => {
    const slow = await console.open('/streams/api-calls?by=none&range=all');
    const download = slow.getByRole('button', { name: 'Download as CSV' });
    await download.waitFor();
    const release = await holdRequests(slow);
    await slow.getByLabel('Range').selectOption('7d');
    await slow.getByRole('button', { name: 'Download as CSV', disabled: true }).waitFor();
    release();
    await slow.getByRole('button', { name: 'Download as CSV', disabled: false }).waitFor();
    await slow.getByText('7 buckets with records').waitFor();
    expect(new URL(slow.url()).searchParams.get('range')).toBe('7d');
    await slow.close();
  });

  test('of an hourly stream is in buckets of the chosen time zone, with every digit', async () => {
    await open('/streams/gpu-hours?range=all&bucket=DAY&zone=Europe%2FBerlin&by=none');
    await figures().getByText('Sun, 29 Mar 2026').waitFor();
    expect(await cellsOf(figures().getByRole('row').nth(1))).toEqual([
      'Sun, 29 Mar 2026',
      '12,345,678,901,234,567,890,123,456,791.000000001',
    ]);
    await page.getByLabel('Time zone').selectOption('UTC');
    await figures().getByRole('columnheader', { name: 'Bucket (UTC)' }).waitFor();
    expect(await cellsOf(figures().getByRole('row').nth(1))).toEqual(['Sun, 29 Mar 2026', '2']);
  });

  test.each([
    ['seats', 'February 2026', '7'],
    ['zeros', 'Thu, 1 Jan 2026', '0'],
  ])('of %s has one bucket', async (stream, bucket, value) => {
    await open(`/streams/${stream}`);
    await chart().locator('canvas').waitFor();
    expect(await cellsOf(figures().getByRole('row').nth(1))).toEqual([bucket, value]);
    expect(await findAccessibilityProblems(page)).toEqual([]);
  });

  test('says so when there are no records, in the range or at all', async () => {
    await open('/streams/api-calls?from=2020-01-01&through=2020-01-31');
    await page.getByText('No records in this range').waitFor();
    expect(await findAccessibilityProblems(page)).toEqual([]);
    await page.getByRole('button', { name: 'Show all buckets' }).press('Enter');
    await figures().waitFor();
    await open('/streams/emptied');
    await page.getByText('This stream has no live records').waitFor();
    expect(await findAccessibilityProblems(page)).toEqual([]);
  });

  test('has the message of the server when the range has too many buckets', async () => {
    await open('/streams/gpu-hours?from=1990-01-01&through=2026-03-29&bucket=HOUR');
    await page.getByRole('alert').filter({ hasText: 'A window has at most 200000 buckets' }).waitFor();
    expect(await findAccessibilityProblems(page)).toEqual([]);
  });
});

describe('a correction', () => {
  test('begins at a record, which is found by element and date', async () => {
    await exportOnce(
      console.server,
      jobSettings({ meterApiNames: ['api-calls'], groupBy: ['element'] }),
      startOf(DAYS + 1),
    );
    await open('/streams/api-calls/records');
    await rowOf('customer-13').first().waitFor();
    await page.getByLabel('Element').fill('customer-2');
    await page.keyboard.press('Enter');
    await page.waitForURL(/element=customer-2/);
    const oldest = page.getByRole('table', { name: 'Records' }).locator(`time[datetime="${startOf(1)}"]`);
    await oldest.waitFor();
    await page.getByLabel('Date').fill(dateOf(DAYS));
    await page.waitForURL(/date=2026-01-12/);
    await oldest.waitFor({ state: 'detached' });
    expect(await page.getByRole('rowheader').allInnerTexts()).toEqual(['customer-2']);
    expect(await findAccessibilityProblems(page)).toEqual([]);
    await page.getByRole('link', { name: 'Correct customer-2, 2026-01-12' }).press('Enter');
    await page.getByRole('heading', { name: 'Correct a value' }).waitFor();
    expect(await page.getByLabel('Date').inputValue()).toBe(dateOf(DAYS));
    expect(await page.getByRole('textbox', { name: 'Element' }).inputValue()).toBe('customer-2');
    expect(await page.getByRole('textbox', { name: 'Value' }).inputValue()).toBe('2');
  });

  test('has its issues at the fields when the input is not valid', async () => {
    const value = page.getByRole('textbox', { name: 'Value' });
    await value.fill('2,5');
    await value.press('Enter');
    await page.getByText('Enter a number such as 1200.5.').waitFor();
    await value.fill('-1');
    await page.getByRole('textbox', { name: 'Element' }).fill('');
    await dimension('region').press('Backspace');
    await value.press('Enter');
    await page.getByText('Must be 0 or more.').waitFor();
    expect(await value.getAttribute('aria-invalid')).toBe('true');
    expect(await page.getByRole('textbox', { name: 'Element' }).getAttribute('aria-invalid')).toBe('true');
    expect(await dimension('region').getAttribute('aria-invalid')).toBe('true');
    expect(await page.getByRole('button', { name: 'Store the correction' }).count()).toBe(0);
    expect(await findAccessibilityProblems(page)).toEqual([]);
  });

  test('asks before the form with changes is left', async () => {
    await page.getByRole('link', { name: 'Ledger' }).click();
    const dialog = page.getByRole('dialog', { name: 'Leave without saving?' });
    await dialog.getByRole('button', { name: 'Cancel' }).press('Enter');
    await dialog.waitFor({ state: 'detached' });
    expect(new URL(page.url()).pathname).toBe('/console/streams/api-calls/correct');
    // The same page for another record.
    await page.getByRole('link', { name: 'Correct a value' }).click();
    await dialog.getByRole('button', { name: 'Cancel' }).press('Enter');
    await dialog.waitFor({ state: 'detached' });
    expect(await page.getByRole('textbox', { name: 'Value' }).inputValue()).toBe('-1');
  });

  test('is previewed with the values before and after and the deliveries that become stale, then stored', async () => {
    await page.getByRole('textbox', { name: 'Element' }).fill('customer-2');
    await dimension('region').fill('eu');
    const value = page.getByRole('textbox', { name: 'Value' });
    await value.fill('1002.5');
    await value.press('Enter');
    const changed = page.getByRole('table', { name: 'Changed values' });
    await changed.waitFor();
    expect((await cellsOf(changed.getByRole('row').nth(1))).slice(2)).toEqual([
      'region: eu',
      '2',
      '1,002.5',
      '+1,000.5',
    ]);
    await page.getByText('1 delivery would become stale').waitFor();
    expect(await findAccessibilityProblems(page)).toEqual([]);
    // A preview holds only for the values that were previewed.
    await value.fill('1003.5');
    await changed.waitFor({ state: 'detached' });
    await value.press('Enter');
    await page.getByRole('button', { name: 'Store the correction' }).press('Enter');
    await page.getByText('The correction is stored').waitFor();
    expect(await findAccessibilityProblems(page)).toEqual([]);
    await page.getByRole('button', { name: 'Ledger' }).press('Enter');
    await rowOf('Replace').waitFor();
  });
});

describe('the ledger', () => {
  test('lists the operations with their counts', async () => {
    expect((await cellsOf(rowOf('Replace'))).slice(1, 5)).toEqual(['Replace', '1', '1', '12 Jan 2026']);
    expect((await cellsOf(rowOf('Sum'))).slice(1, 5)).toEqual(['Sum', '156', '0', '1 Jan 2026 – 12 Jan 2026']);
    expect((await cellsOf(rowOf('Complete'))).slice(1, 5)).toEqual(['Complete', '0', '0', 'Through 12 Jan 2026']);
    expect(
      await rowOf('Complete')
        .getByRole('button', { name: /Revert/ })
        .count(),
    ).toBe(0);
    expect(await findAccessibilityProblems(page)).toEqual([]);
  });

  test('names the reason when an operation cannot be reverted, and shows the operation that depends on it', async () => {
    await rowOf('Sum')
      .getByRole('button', { name: /^Revert/ })
      .press('Enter');
    const dialog = page.getByRole('dialog', { name: 'Revert the sum in api-calls?' });
    await dialog.getByRole('alert').filter({ hasText: 'A later write hid records that it inserted' }).waitFor();
    expect(await dialog.getByRole('button', { name: 'Revert operation' }).count()).toBe(0);
    expect(await findAccessibilityProblems(page)).toEqual([]);
    await dialog.getByRole('link', { name: 'Show the operation that depends on it' }).press('Enter');
    await dialog.waitFor({ state: 'detached' });
    await page.waitForURL(/operation=/);
    await rowOf('Sum').waitFor({ state: 'detached' });
    await rowOf('Replace').waitFor();
  });

  test('reverts an operation after a preview of what changes', async () => {
    await rowOf('Replace')
      .getByRole('button', { name: /^Revert/ })
      .press('Enter');
    const dialog = page.getByRole('dialog', { name: 'Revert the replace in api-calls?' });
    const changed = dialog.getByRole('table', { name: 'Changed values' });
    await changed.waitFor();
    expect((await cellsOf(changed.getByRole('row').nth(1))).slice(3)).toEqual(['1,003.5', '2', '-1,001.5']);
    expect(await findAccessibilityProblems(page)).toEqual([]);
    await dialog.getByRole('button', { name: 'Cancel' }).press('Enter');
    await dialog.waitFor({ state: 'detached' });
    await rowOf('Replace')
      .getByRole('button', { name: /^Revert/ })
      .press('Enter');
    const release = await holdRequests(page);
    await dialog.getByRole('button', { name: 'Revert operation' }).press('Enter');
    // The dialog of another operation must not get the end of this revert.
    await dialog.locator('button[data-loading]').waitFor();
    await page.keyboard.press('Escape');
    await dialog.getByRole('button', { name: 'Close' }).click();
    expect(await dialog.getByRole('button', { name: 'Cancel' }).isDisabled()).toBe(true);
    release();
    await dialog.waitFor({ state: 'detached' });
    await page.getByLabel('Find an operation by its id').fill('');
    await rowOf(/Undid the replace/).waitFor();
    await open('/streams/api-calls/records?element=customer-2&date=2026-01-12');
    await rowOf('customer-2').getByText('2', { exact: true }).waitFor();
  });

  test('gets a correction of a later bucket, which the facts of the stream show', async () => {
    const facts = page.locator('.stream-facts');
    await open('/streams/zeros/correct');
    await facts.getByText('1 Jan 2026').nth(1).waitFor();
    const value = page.getByRole('textbox', { name: 'Value' });
    const fill = async (day: number, text: string): Promise<void> => {
      await page.getByLabel('Date', { exact: true }).fill(dateOf(day));
      await page.getByRole('textbox', { name: 'Element' }).fill('hooli');
      await value.fill(text);
      await value.press('Enter');
      await page.getByRole('button', { name: 'Store the correction' }).press('Enter');
      await page.getByText('The correction is stored').waitFor();
    };
    await fill(3, '5');
    await facts.getByText('3 Jan 2026').waitFor();
    // Another correction at the same address begins with an empty form, which is kept until it is sent.
    const another = page.getByRole('link', { name: 'Correct a value' });
    await another.click();
    expect(await value.inputValue()).toBe('');
    await value.fill('6');
    await another.click();
    expect(await value.inputValue()).toBe('6');
    expect(await page.getByRole('dialog').count()).toBe(0);
    await fill(4, '6');
    await facts.getByText('4 Jan 2026').waitFor();
    await page.getByRole('button', { name: 'Ledger' }).click();
    await page
      .getByRole('button', { name: /^Revert Replace/ })
      .first()
      .click();
    await page.getByRole('button', { name: 'Revert operation' }).click();
    await facts.getByText('3 Jan 2026').waitFor();
  });

  test('says so when no operation has the id', async () => {
    await open('/streams/api-calls/ledger');
    await page.getByLabel('Find an operation by its id').fill('no-such-id');
    await page.keyboard.press('Enter');
    await page.getByText('No operation matches').waitFor();
    expect(await findAccessibilityProblems(page)).toEqual([]);
  });

  test('is read page by page', async () => {
    for (let index = 0; index < 50; index += 1) {
      await addRecords(console.server, 'zeros', 'DAILY', [{ timestamp: startOf(1), elementName: 'hooli', value: '0' }]);
    }
    await open('/streams/zeros/ledger');
    await page.getByRole('button', { name: 'Next page' }).press('Enter');
    await page.waitForURL(/after=/);
    await page.getByRole('button', { name: 'Previous page', disabled: false }).press('Enter');
    await page.waitForURL(/ledger$/);
    const disabled = page.getByRole('button', { name: 'Previous page', disabled: true });
    await disabled.waitFor();
    expect(await disabled.count()).toBe(1);
  });
});

test('what the scopes of the key do not allow > is not offered', async () => {
  const key = await console.server.createKey('default', ['READ']);
  const reader = await console.open('/streams/api-calls/records', { key });
  await rowOf('customer-13', reader).first().waitFor();
  for (const name of ['Correct a value', 'Correct', 'Delete', 'Revert']) {
    expect(await reader.getByText(name, { exact: true }).count()).toBe(0);
  }
  await reader.getByRole('link', { name: 'Ledger' }).click();
  await rowOf('Sum', reader).waitFor();
  expect(await reader.getByRole('button', { name: /^Revert/ }).count()).toBe(0);
  await reader.goto(`${console.server.url}/console/streams/api-calls/correct`);
  await reader.getByText('Your key cannot correct values').waitFor();
  await reader.close();
});

test.each([
  ['light', 1440],
  ['dark', 1440],
  ['light', 390],
  ['dark', 390],
] as const)('pages of streams > fit the window with colour scheme %s and %d px width', async (colorScheme, width) => {
  await page.emulateMedia({ colorScheme });
  await page.setViewportSize({ width, height: 900 });
  for (const [name, path, text] of [
    ['list', '/streams', 'api-calls'],
    ['usage', '/streams/api-calls?range=all', '12 buckets with records'],
    ['usage-long', '/streams/gpu-hours?range=all', '3 buckets with records'],
    ['records', '/streams/api-calls/records', 'customer-13'],
    ['ledger', '/streams/api-calls/ledger', 'Undid the'],
    ['correct', '/streams/api-calls/correct', 'Preview'],
  ] as const) {
    await open(path);
    await page.getByText(text).first().waitFor();
    expect(await findOverflow(page)).toEqual([]);
    await console.browser.takeScreenshot(page, `console-streams-${name}-${colorScheme}-${width}`);
  }
});

test('a stream > is deleted after a confirmation that names what it destroys', async () => {
  await page.setViewportSize({ width: 1440, height: 900 });
  await open('/streams/seats');
  await page.getByRole('button', { name: 'Delete' }).press('Enter');
  const dialog = page.getByRole('dialog', { name: 'Delete seats?' });
  await dialog.getByText('All records of the stream seats, from February 2026 to February 2026, are hidden.').waitFor();
  expect(await findAccessibilityProblems(page)).toEqual([]);
  await dialog.getByRole('button', { name: 'Cancel' }).press('Enter');
  await dialog.waitFor({ state: 'detached' });
  await page.getByRole('button', { name: 'Delete' }).press('Enter');
  await dialog.getByRole('button', { name: 'Delete stream' }).press('Enter');
  await page.waitForURL(/\/streams$/);
  await rowOf('api-calls').waitFor();
  expect(await rowOf('seats').count()).toBe(0);
});
