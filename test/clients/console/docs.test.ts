import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { startPrefixProxy } from './prefix-proxy.ts';
import { findAccessibilityProblems, findOverflow, startConsole, type TestConsole } from './support.ts';

// The documentation in the console.

let console: TestConsole;
let page: Page;
beforeAll(async () => {
  console = await startConsole({ env: { ROLE: 'api' } });
  page = await console.open('/');
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
});
afterEach(() => {
  expect(console.browser.takeComplaints()).toEqual([]);
});
afterAll(() => console?.stop());

test('documentation > is searched, and opens at the heading that was found', async () => {
  await page.getByRole('link', { name: 'Documentation' }).press('Enter');
  await page.getByRole('heading', { name: 'How-to guides' }).waitFor();
  expect(await findAccessibilityProblems(page)).toEqual([]);
  await page.getByRole('searchbox', { name: 'Search documentation' }).fill('reader rule');
  await page.getByRole('list', { name: 'Pages found' }).getByRole('link', { name: 'Reader rule' }).press('Enter');
  const heading = page.getByRole('heading', { name: 'Reader rule' });
  await heading.waitFor();
  expect(page.url()).toContain('/console/docs/concepts#reader-rule');
  // The header covers the first 60 px.
  await expect.poll(async () => (await heading.boundingBox())?.y ?? 0).toBeLessThan(500);
  expect((await heading.boundingBox())?.y).toBeGreaterThan(60);
  expect(await findAccessibilityProblems(page)).toEqual([]);
});

test('documentation > follows links without a reload, and copies a block', async () => {
  await page.evaluate(() => Object.assign(window, { isSamePage: true }));
  await page.getByRole('link', { name: 'Documentation' }).first().press('Enter');
  await page.getByRole('link', { name: 'Correct a delivered month' }).press('Enter');
  await page.getByRole('heading', { name: 'Correct a delivered month', level: 1 }).waitFor();
  await page.getByRole('link', { name: 'Getting started' }).press('Enter');
  await page.getByRole('heading', { name: 'Getting started', level: 1 }).waitFor();
  expect(await page.evaluate(() => 'isSamePage' in window)).toBe(true);
  const block = page
    .locator('.block')
    .filter({ has: page.locator('.docs-copy') })
    .first();
  await block.getByRole('button', { name: 'Copy' }).press('Enter');
  await block.getByText('Copied').waitFor();
  expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(await block.locator('pre').innerText());
});

test('documentation > is also searched in the texts of the pages', async () => {
  const found = await console.open('/docs?search=LEDGER_SCAN_SECONDS');
  await found.getByRole('list', { name: 'Pages found' }).getByRole('link', { name: 'Settings' }).waitFor();
  expect(await found.getByText(/… .*LEDGER_SCAN_SECONDS/).count()).toBeGreaterThan(0);
  await found.close();
});

test('documentation > shows the index, with an empty search field, when it is opened from a search', async () => {
  const searched = await console.open('/docs?search=upgrade');
  const field = searched.getByRole('searchbox', { name: 'Search documentation' });
  await searched.getByRole('list', { name: 'Pages found' }).waitFor();
  expect(await field.inputValue()).toBe('upgrade');
  await searched.getByRole('link', { name: 'Documentation' }).press('Enter');
  await searched.getByRole('heading', { name: 'How-to guides' }).waitFor();
  expect(await field.inputValue()).toBe('');
  await searched.goBack();
  await searched.getByRole('list', { name: 'Pages found' }).waitFor();
  expect(await field.inputValue()).toBe('upgrade');
  await searched.close();
});

test('documentation > says that a page does not exist, and that no page matches', async () => {
  const missing = await console.open('/docs/no-such-page');
  await missing.getByRole('heading', { name: 'This page does not exist' }).waitFor();
  expect(await missing.title()).toBe('This page does not exist · Sluice');
  await missing.close();
  const unmatched = await console.open('/docs?search=qqqqq');
  await unmatched.getByText('No page of the documentation contains “qqqqq”.').waitFor();
  await unmatched.close();
});

test('documentation > fits at 390 px, and is reloaded behind a path prefix', async () => {
  const proxy = await startPrefixProxy(console.server.url, '/billing');
  try {
    const narrow = await console.open('/docs/reference/settings', { url: proxy.url, width: 390 });
    await narrow.getByRole('heading', { name: 'Settings', level: 1 }).waitFor();
    expect(await findOverflow(narrow)).toEqual([]);
    await narrow.reload();
    await narrow.getByRole('heading', { name: 'Settings', level: 1 }).waitFor();
    expect(await findAccessibilityProblems(narrow)).toEqual([]);
    await console.browser.takeScreenshot(narrow, 'console-docs-390');
  } finally {
    await proxy.stop();
  }
});
