import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { findAccessibilityProblems, findOverflow, startConsole, type TestConsole } from './support.ts';

// The page Keys. Each test continues from the one before it.

let console: TestConsole;
let page: Page;
beforeAll(async () => {
  console = await startConsole({ env: { ROLE: 'api' } });
  page = await console.open('/keys');
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
});
afterEach(() => {
  expect(console.browser.takeComplaints()).toEqual([]);
});
afterAll(() => console?.stop());

const rowOf = (name: string) => page.getByRole('row').filter({ hasText: name });

test('keys > are listed with their scopes and state', async () => {
  await rowOf('ADMIN').getByText('Valid').waitFor();
  expect(await findAccessibilityProblems(page)).toEqual([]);
});

test('keys > show issues at the fields when the input is not valid', async () => {
  await page.getByRole('button', { name: 'Create key' }).press('Enter');
  const dialog = page.getByRole('dialog');
  const name = dialog.getByRole('textbox', { name: 'Name' });
  await name.waitFor();
  await dialog.getByRole('checkbox', { name: 'READ', exact: true }).press('Space');
  await name.press('Enter');
  await dialog.getByText('Must have 1 to 255 characters.').waitFor();
  await dialog.getByText('Must contain at least one scope.').waitFor();
  expect(await name.getAttribute('aria-invalid')).toBe('true');
  expect(await findAccessibilityProblems(page)).toEqual([]);
});

test('keys > are created with the keyboard, and show the secret once', async () => {
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('textbox', { name: 'Name' }).focus();
  await page.keyboard.type('Nightly intake');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Space');
  await page.keyboard.press('Enter');
  await dialog.getByText('This is the only time that the key is shown').waitFor();
  const secret = await dialog.getByTestId('secret').innerText();
  expect(await findAccessibilityProblems(page)).toEqual([]);
  await dialog.getByRole('button', { name: 'Copy key' }).press('Enter');
  await dialog.getByText('Copied').waitFor();
  expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(secret);
  const viewer = await console.server.graphql<{ viewer: { key: { scopes: string[] } } }>(
    '{ viewer { key { scopes } } }',
    {},
    secret,
  );
  expect(viewer.viewer.key.scopes).toEqual(['INGEST']);
  await console.browser.takeScreenshot(page, 'console-key-created');
  await dialog.getByRole('button', { name: 'I have stored it' }).press('Enter');
  await dialog.waitFor({ state: 'detached' });
  await rowOf('Nightly intake').getByText('INGEST').waitFor();
  expect(await page.content()).not.toContain(secret);
  await page.getByRole('button', { name: 'Copy id of Nightly intake' }).press('Enter');
  await page.getByRole('button', { name: 'Copied id of Nightly intake' }).waitFor();
  const { node } = await console.server.graphql<{ node: { name: string } }>(
    'query ($id: ID!) { node(id: $id) { ... on ApiKey { name } } }',
    { id: await page.evaluate(() => navigator.clipboard.readText()) },
  );
  expect(node.name).toBe('Nightly intake');
});

test('keys > are revoked after a confirmation that names what the key can no longer do', async () => {
  await page.getByRole('button', { name: 'Revoke Nightly intake' }).press('Enter');
  const dialog = page.getByRole('dialog', { name: 'Revoke Nightly intake?' });
  await dialog.getByText('Write records, and read the receipts of the writes.').waitFor();
  expect(await findAccessibilityProblems(page)).toEqual([]);
  await dialog.getByRole('button', { name: 'Cancel' }).press('Enter');
  await dialog.waitFor({ state: 'detached' });
  await rowOf('Nightly intake').getByText('Valid').waitFor();
  await page.getByRole('button', { name: 'Revoke Nightly intake' }).press('Enter');
  await dialog.getByRole('button', { name: 'Revoke key' }).press('Enter');
  await rowOf('Nightly intake').getByText('Revoked').waitFor();
});

test('keys > show the message of the server when the last ADMIN key would be revoked', async () => {
  await rowOf('ADMIN')
    .getByRole('button', { name: /^Revoke/ })
    .press('Enter');
  await page.getByText('This is your own key: you will be signed out.').waitFor();
  await page.getByRole('button', { name: 'Revoke key' }).press('Enter');
  await page.getByRole('alert').filter({ hasText: 'This is the last ADMIN key of the account.' }).waitFor();
  expect(await rowOf('ADMIN').innerText()).toContain('Valid');
});

test('keys > are searched and read page by page, and both are in the address', async () => {
  for (let index = 0; index < 25; index += 1) {
    await console.server.graphql(
      'mutation ($name: String!) { createApiKey(input: { name: $name, scopes: [READ] }) { __typename } }',
      { name: `reader ${index}` },
    );
  }
  await page.getByLabel('Search keys').fill('READER');
  await rowOf('reader 24').waitFor();
  await page.waitForURL(/search=READER/);
  expect(await rowOf('reader 4').count()).toBe(0);
  await page.getByRole('button', { name: 'Next page' }).press('Enter');
  await page.waitForURL(/after=/);
  await page.getByText('reader 0', { exact: true }).waitFor();
  await page.reload();
  await page.getByText('reader 0', { exact: true }).waitFor();
  await page.getByRole('button', { name: 'Previous page' }).press('Enter');
  await rowOf('reader 24').waitFor();
  await page.getByLabel('Search keys').fill('no such name');
  await page.getByText('No key matches').waitFor();
  expect(await findAccessibilityProblems(page)).toEqual([]);
  await page.getByLabel('Search keys').fill('reader 2');
  await rowOf('reader 24').waitFor();
});

test.each([
  ['light', 1440],
  ['dark', 1440],
  ['light', 390],
  ['dark', 390],
] as const)('keys > fit the page with colour scheme %s and %d px width', async (colorScheme, width) => {
  await page.emulateMedia({ colorScheme });
  await page.setViewportSize({ width, height: 900 });
  expect(await findOverflow(page)).toEqual([]);
  await console.browser.takeScreenshot(page, `console-keys-${colorScheme}-${width}`);
});
