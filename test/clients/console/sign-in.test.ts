import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { startPrefixProxy } from './prefix-proxy.ts';
import { findAccessibilityProblems, findOverflow, startConsole, type TestConsole } from './support.ts';

let console: TestConsole;
let pages: Page[] = [];
beforeAll(async () => {
  console = await startConsole({ env: { ROLE: 'api' } });
});
afterEach(async () => {
  for (const page of pages) await page.close();
  pages = [];
  expect(console.browser.takeComplaints()).toEqual([]);
});
afterAll(() => console?.stop());

/** The browser writes each 401 to its console. */
function takeRefusals(): void {
  const complaints = console.browser.takeComplaints();
  expect(complaints.filter((complaint) => !complaint.includes('status of 401'))).toEqual([]);
  expect(complaints.length).toBeGreaterThan(0);
}

const open: TestConsole['open'] = async (...args) => {
  const page = await console.open(...args);
  pages.push(page);
  return page;
};
const heading = (page: Page, name: string) => page.getByRole('heading', { level: 1, name });
const storedKey = (page: Page): Promise<string | null> => page.evaluate(() => sessionStorage.getItem('sluice.key'));
/** Returns the names of the entries that the sign-in stores in the tab. */
const listStored = (page: Page): Promise<string[]> =>
  page.evaluate(() => Object.keys(sessionStorage).filter((name) => name.startsWith('sluice.')));
const signOut = async (page: Page): Promise<void> => {
  await page
    .getByRole('banner')
    .getByRole('button', { name: /default/ })
    .click();
  await page.getByRole('menuitem', { name: 'Sign out in all tabs' }).click();
};

describe('sign-in', () => {
  test('shows an error at the field when the key is unknown, and returns to the address with a valid one', async () => {
    const page = await open('/keys?search=a', { key: null });
    await heading(page, 'Sign in to Sluice').waitFor();
    expect(await findAccessibilityProblems(page)).toEqual([]);
    const field = page.getByLabel('API key');
    await page.keyboard.press('Enter');
    await page.getByText('Paste an API key.').waitFor();
    await field.fill('not a key');
    await page.keyboard.press('Enter');
    await page.getByText('The key is unknown or was revoked.').waitFor();
    expect(await field.getAttribute('aria-invalid')).toBe('true');
    expect(await findAccessibilityProblems(page)).toEqual([]);
    takeRefusals();
    await field.fill(console.server.key);
    await page.keyboard.press('Enter');
    await heading(page, 'Keys').waitFor();
    expect(page.url()).toBe(`${console.server.url}/console/keys?search=a`);
    expect(await storedKey(page)).toBe(console.server.key);
    expect(await page.evaluate(() => [document.cookie, JSON.stringify({ ...localStorage })].join())).not.toContain(
      console.server.key,
    );
  });

  test('fits at 390 px', async () => {
    const page = await open('/', { key: null, width: 390 });
    await heading(page, 'Sign in to Sluice').waitFor();
    expect(await findOverflow(page)).toEqual([]);
    await console.browser.takeScreenshot(page, 'console-sign-in-390');
  });

  test('takes the key from the fragment of the front page, removes it from the address and shows account, key and scopes', async () => {
    const sent: string[] = [];
    const page = await console.browser.openPage('about:blank');
    pages.push(page);
    page.on('request', (request) => sent.push(request.url()));
    await page.goto(`${console.server.url}/#key=${console.server.key}`);
    await heading(page, 'Overview').waitFor();
    expect(page.url()).toBe(`${console.server.url}/console/`);
    expect(sent.length).toBeGreaterThan(3);
    // Browsers do not send fragments, which playwright reports as part of the address.
    expect(sent.filter((url) => url.replace(/#.*/, '').includes(console.server.key))).toEqual([]);
    expect(await page.content()).not.toContain(console.server.key);
    expect(await page.getByRole('banner').innerText()).toMatch(/default[\s\S]* · ADMIN/);
  });

  test('accepts the key of another tab that answers after the form is shown', async () => {
    const first = await open('/keys', { key: null });
    await heading(first, 'Sign in to Sluice').waitFor();
    const busy = await open('/');
    await heading(busy, 'Overview').waitFor();
    await busy.evaluate(() => {
      const key = sessionStorage.getItem('sluice.key');
      new BroadcastChannel('sluice.key').postMessage({ type: 'key', key });
    });
    await heading(first, 'Keys').waitFor();
    expect(await storedKey(first)).toBe(console.server.key);
  });

  test('hands the key to a new tab, and signs out of all tabs, GraphiQL included', async () => {
    const first = await open('/');
    await heading(first, 'Overview').waitFor();
    const second = await open('/keys', { key: null });
    await heading(second, 'Keys').waitFor();
    const graphiql = await console.browser.openPage(`${console.server.url}/graphql`);
    pages.push(graphiql);
    await graphiql.locator('#key-bar output').filter({ hasText: 'Account default' }).waitFor();
    await signOut(second);
    for (const page of [first, second]) {
      await heading(page, 'Sign in to Sluice').waitFor();
      expect(await storedKey(page)).toBe(null);
    }
    await graphiql.locator('#key-bar output').filter({ hasText: 'Operations need an API key' }).waitFor();
    expect(await storedKey(graphiql)).toBe(null);
  });

  test('signs out tabs that show another page of the origin meanwhile', async () => {
    const first = await open('/');
    await heading(first, 'Overview').waitFor();
    await first.getByRole('link', { name: 'REST reference' }).click();
    await first.waitForURL('**/docs');
    const graphiql = await console.browser.openPage(`${console.server.url}/graphql#key=${console.server.key}`);
    pages.push(graphiql);
    await graphiql.locator('#key-bar output').filter({ hasText: 'Account default' }).waitFor();
    await graphiql.goto(`${console.server.url}/docs`);
    await signOut(await open('/keys'));
    await first.goBack();
    await heading(first, 'Sign in to Sluice').waitFor();
    await graphiql.goBack();
    await graphiql.locator('#key-bar output').filter({ hasText: 'Operations need an API key' }).waitFor();
    for (const page of [first, graphiql]) expect(await listStored(page)).toEqual([]);

    // A key that is entered after the sign-out stays.
    await first.getByLabel('API key').fill(console.server.key);
    await first.keyboard.press('Enter');
    await heading(first, 'Overview').waitFor();
    await first.reload();
    await heading(first, 'Overview').waitFor();
    expect(await first.evaluate(() => JSON.stringify({ ...localStorage }))).not.toContain(console.server.key);
  });

  test.each(['/console/', '/graphql'])(
    'signs out a page at %s that the Back button restores from memory',
    async (path) => {
      const page = await console.browser.openPage(`${console.server.url}${path}#key=${console.server.key}`);
      pages.push(page);
      await page
        .getByText(path === '/graphql' ? /^Account default/ : 'ADMIN')
        .first()
        .waitFor();
      // Browsers send no messages to a page in this memory. Playwright switches it off, so the test sends the event of its end.
      await page.evaluate(() => {
        localStorage.setItem('sluice.signedOut', new Date().toISOString());
        window.dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }));
      });
      await page.getByText(path === '/graphql' ? 'Operations need an API key' : 'Sign in to Sluice').waitFor();
      expect(await listStored(page)).toEqual([]);
    },
  );

  test('says why when the key of an open page is revoked, and returns to the page with another key', async () => {
    const { server } = console;
    const created = await server.graphql<{ createApiKey: { secret: string; key: { id: string } } }>(
      'mutation { createApiKey(input: { name: "soon revoked", scopes: [ADMIN] }) { ... on NewApiKey { secret key { id } } } }',
    );
    const page = await open('/keys', { key: created.createApiKey.secret });
    await page.getByRole('row', { name: /soon revoked/ }).waitFor();
    await server.graphql('mutation ($id: ID!) { revokeApiKey(id: $id) { __typename } }', {
      id: created.createApiKey.key.id,
    });
    await page.getByLabel('Search keys').fill('soon');
    await page
      .getByRole('alert')
      .filter({ hasText: 'The server no longer accepts your key. It was revoked.' })
      .waitFor();
    await console.browser.takeScreenshot(page, 'console-revoked');
    await page.getByLabel('API key').fill(server.key);
    await page.keyboard.press('Enter');
    await heading(page, 'Keys').waitFor();
    expect(new URL(page.url()).pathname).toBe('/console/keys');
    takeRefusals();
  });

  test('offers no page that the scopes of the key do not allow', async () => {
    const page = await open('/', { key: await console.server.createKey('reader', ['READ']) });
    const navigation = page.getByRole('navigation', { name: 'Pages' });
    await navigation.getByRole('link', { name: 'Jobs' }).waitFor();
    expect(await navigation.getByRole('link', { name: 'Keys' }).count()).toBe(0);
    await page.goto(`${console.server.url}/console/keys`);
    await page.getByText('Your key cannot list keys').waitFor();
  });
});

describe('addresses', () => {
  test('work below a path prefix that the server does not know, also when a deep address is reloaded', async () => {
    const proxy = await startPrefixProxy(console.server.url, '/tools/billing');
    try {
      const page = await console.browser.openPage(`${proxy.url}/#key=${console.server.key}`);
      pages.push(page);
      await heading(page, 'Overview').waitFor();
      expect(page.url()).toBe(`${proxy.url}/console/`);
      await page.getByRole('link', { name: 'Jobs' }).click();
      await heading(page, 'Jobs').waitFor();
      expect(page.url()).toBe(`${proxy.url}/console/jobs`);
      await page.goto(`${proxy.url}/console/jobs/some-id/edit`);
      await heading(page, 'This job does not exist').waitFor();
      await page.reload();
      await heading(page, 'This job does not exist').waitFor();
      await page.getByRole('link', { name: 'GraphiQL' }).click();
      await page.locator('#key-bar output').filter({ hasText: 'Account default' }).waitFor();
      expect(page.url()).toBe(`${proxy.url}/graphql`);
    } finally {
      await proxy.stop();
    }
  });

  test('without a page lead to one that says so', async () => {
    const page = await open('/nowhere/at/all');
    await heading(page, 'This page does not exist').waitFor();
    expect(await findAccessibilityProblems(page)).toEqual([]);
  });
});

describe('navigation', () => {
  test('is a menu at 390 px', async () => {
    const page = await open('/', { width: 390 });
    await heading(page, 'Overview').waitFor();
    expect(await findOverflow(page)).toEqual([]);
    await page.getByRole('button', { name: 'Navigation' }).click();
    await page.getByRole('link', { name: 'Streams' }).click();
    await heading(page, 'Streams').waitFor();
  });

  test('is not reached with Tab at 390 px while its menu is closed', async () => {
    const page = await open('/', { width: 390 });
    await heading(page, 'Overview').waitFor();
    const focused = (): Promise<{ text: string; isShown: boolean }> =>
      page.evaluate(() => {
        const { activeElement } = document;
        const { left = 0, right = 0 } = activeElement?.getBoundingClientRect() ?? {};
        return { text: activeElement?.textContent ?? '', isShown: right > 0 && left < innerWidth };
      });
    const reached: { text: string; isShown: boolean }[] = [];
    for (let presses = 0; presses < 12; presses += 1) {
      await page.keyboard.press('Tab');
      reached.push(await focused());
    }
    expect(reached.some(({ text }) => text.includes('default'))).toBe(true);
    expect(reached.filter(({ isShown }) => !isShown)).toEqual([]);
    await page.getByRole('button', { name: 'Navigation' }).press('Enter');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Tab');
    expect(await focused()).toEqual({ text: 'Overview', isShown: true });
  });

  test('shows account, key and all scopes in the account menu at 390 px', async () => {
    const key = await console.server.createKey('default', ['READ', 'INGEST', 'JOBS']);
    const page = await open('/', { width: 390, key });
    await page
      .getByRole('banner')
      .getByRole('button', { name: /default/ })
      .press('Enter');
    const menu = page.getByRole('menu');
    await menu.getByText('Account default').waitFor();
    const shown = menu.getByText(/^Key test \(/);
    for (const scope of ['READ', 'INGEST', 'JOBS']) expect(await shown.innerText()).toContain(scope);
    expect(await shown.evaluate((element) => element.scrollWidth > element.clientWidth)).toBe(false);
    expect(await findOverflow(page)).toEqual([]);
    await console.browser.takeScreenshot(page, 'console-account-menu-390');
    expect(await findAccessibilityProblems(page)).toEqual([]);
  });

  test('keeps the colour scheme that the user chose', async () => {
    const page = await open('/');
    await page
      .getByRole('banner')
      .getByRole('button', { name: /default/ })
      .click();
    await page.getByText('Dark', { exact: true }).click();
    await page.locator('html[data-mantine-color-scheme="dark"]').waitFor();
    await page.reload();
    await page.locator('html[data-mantine-color-scheme="dark"]').waitFor();
    expect(await page.evaluate(() => localStorage.getItem('mantine-color-scheme-value'))).toBe('dark');
    await page.evaluate(() => localStorage.clear());
  });
});
