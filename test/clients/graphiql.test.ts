import { type DocumentNode, Kind, type OperationDefinitionNode, parse } from 'graphql';
import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { graphiqlTabs } from '../../src/graphql/graphiql/tabs.ts';
import { createGate } from '../support/faults.ts';
import { createSteppedJob } from '../support/run-steps.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';
import { startBrowser, type TestBrowser } from './browser.ts';

// GraphiQL as users see it. Each test continues from the one before it.

const TABS = graphiqlTabs(new Date());

let server: TestServer;
let browser: TestBrowser;
/** None of its tabs has a key that it could hand to others. */
let otherBrowser: TestBrowser;
let page: Page;
beforeAll(async () => {
  // Without a worker: the test changes the states of the run.
  server = await startTestServer({ env: { ROLE: 'api' } });
  browser = await startBrowser();
  otherBrowser = await startBrowser();
  page = await browser.openPage(linkWith(server.key));
});
afterEach(() => {
  expect(browser.complaints).toEqual([]);
  expect(otherBrowser.complaints).toEqual([]);
});
afterAll(async () => {
  await browser?.close();
  await otherBrowser?.close();
  await server?.stop();
});

/** Returns the link that local mode prints in a terminal. */
const linkWith = (key: string): string => `${server.url}/graphql#key=${encodeURIComponent(key)}`;

const operationsOf = (document: DocumentNode): OperationDefinitionNode[] =>
  document.definitions.filter((definition) => definition.kind === Kind.OPERATION_DEFINITION);
/** Operation names by tab. */
const OPERATIONS_OF_TABS = TABS.map(({ query }) => operationsOf(parse(query)).map(({ name }) => name?.value ?? ''));
const OPERATIONS = OPERATIONS_OF_TABS.flat();
/** Returns the index of a tab, because GraphiQL names a tab after its last operation. */
const tabOf = (operation: string): number => OPERATIONS_OF_TABS.findIndex((names) => names.includes(operation));

/** Users press a button for some time, in which a page that moves would lose the click. */
const PRESS = { delay: 60 };

const openTabOf = async (operation: string, on = page): Promise<void> => {
  const tab = on.locator('.graphiql-tab').nth(tabOf(operation));
  const active = tab.and(on.locator('.graphiql-tab-active'));
  // A click on the open tab would replace text that was edited less than 100 ms ago with the stored text.
  if ((await active.count()) > 0) return;
  await tab.locator('.graphiql-tab-button').click(PRESS);
  await active.waitFor();
};

/** Presses the button, and selects the operation if the tab has several. */
const run = async (operation: string, on = page): Promise<void> => {
  await openTabOf(operation, on);
  // GraphiQL replaces the button when it has read the operations of the tab.
  const isOnly = OPERATIONS_OF_TABS[tabOf(operation)]?.length === 1;
  const kind = isOnly ? ':not([aria-haspopup])' : '[aria-haspopup="menu"]';
  await on.locator(`.graphiql-execute-button${kind}`).click(PRESS);
  if (isOnly) return;
  await on.getByRole('menuitem', { name: operation, exact: true }).click(PRESS);
};

/** Runs an operation and returns its response from the network, because the pane renders only visible lines. */
const answerTo = async (operation: string, on = page): Promise<string> => {
  const answered = on.waitForResponse(
    (response) => (response.request().postDataJSON() as { operationName?: string } | null)?.operationName === operation,
  );
  await run(operation, on);
  return (await answered).text();
};

/** Returns the text of the right pane with plain spaces. */
const shown = async (): Promise<string> =>
  (await page.locator('.graphiql-response .view-lines').innerText()).replaceAll('\u{a0}', ' ');

/** Replaces the variables of the open tab. */
const setVariables = async (variables: object, on = page): Promise<void> => {
  await fillTool('Variables', variables, on);
};

/** Replaces the content of one of the two editors below the query. */
const fillTool = async (name: 'Variables' | 'Headers', content: object, on = page): Promise<void> => {
  await on.locator('.graphiql-editor-tools button', { hasText: name }).click(PRESS);
  await on.locator('.graphiql-editor-tool .view-lines').locator('visible=true').first().click();
  await on.keyboard.press('ControlOrMeta+A');
  await on.keyboard.insertText(JSON.stringify(content));
  // The editor has inserted closing brackets and quotes.
  await on.keyboard.press('ControlOrMeta+Shift+End');
  await on.keyboard.press('Delete');
};

/** The console of a browser reports each 401. */
const takeRefusals = (): void => {
  const complaints = otherBrowser.takeComplaints();
  expect(complaints.filter((complaint) => !complaint.includes('status of 401'))).toEqual([]);
};

/** Returns the output of the bar above GraphiQL. */
const barOf = (on: Page) => on.locator('#key-bar output');
const OWN_KEY = /^Account default, key ".+" \(ADMIN\)$/;

test('GraphiQL > loads without other hosts, with one tab per part of the API', async () => {
  await page
    .locator('.graphiql-tab')
    .nth(TABS.length - 1)
    .waitFor();
  expect(await page.title()).toBe('Sluice');
  expect(await page.locator('.graphiql-tab').allInnerTexts()).toEqual(OPERATIONS_OF_TABS.map(([first]) => first));
  await page.locator('.graphiql-query-editor', { hasText: 'WhoAmI' }).waitFor();
  await browser.takeScreenshot(page, 'graphiql-first-sight');
});

test('GraphiQL > moves the key of the link from the address to sessionStorage before it starts', async () => {
  await barOf(page).filter({ hasText: OWN_KEY }).waitFor();
  expect(page.url()).toBe(`${server.url}/graphql`);
  expect(await page.evaluate(() => ({ ...sessionStorage }))).toEqual({ 'sluice.key': server.key });
});

test('GraphiQL > marks no query and no variables of the prepared tabs as invalid', async () => {
  // High enough for all lines, because the editors draw marks in the visible part only.
  const tall = await browser.openPage(`${server.url}/graphql`);
  await tall.setViewportSize({ width: 1440, height: 4200 });
  for (const [operation = ''] of OPERATIONS_OF_TABS) {
    await openTabOf(operation, tall);
    await tall.locator('.graphiql-query-editor', { hasText: operation }).waitFor();
    // The editors compute marks in web workers. When the mark of a deliberate mistake has appeared and disappeared, all other
    // marks of the text have been computed.
    for (const editor of ['.graphiql-query-editor', '.graphiql-editor-tool']) {
      const marks = tall.locator(`${editor} [class*="squiggly-"]`);
      await tall.locator(`${editor} .view-lines`).locator('visible=true').first().click();
      await tall.keyboard.press('ControlOrMeta+End');
      await tall.keyboard.type('}');
      await marks.first().waitFor();
      await tall.keyboard.press('Backspace');
      const left = (): Promise<string[]> => marks.evaluateAll((all) => all.map(({ className }) => className));
      expect(await eventually(left, (all) => all.length === 0)).toEqual([]);
    }
  }
  await tall.close();
});

test('browser of the tests > blocks and reports requests of a page to other hosts', async () => {
  const other = await startBrowser();
  const page = await other.openPage('about:blank');
  await page.setContent('<script src="https://cdn.example/x.js"></script><img src="http://127.0.0.1.nip.io/x.png">');
  const opened = await page.evaluate(() =>
    new Promise((resolve) => new WebSocket('wss://example.com').addEventListener('close', resolve)).then(() => 0),
  );
  expect(opened).toBe(0);
  expect(other.complaints).toEqual(
    expect.arrayContaining([
      'asked for https://cdn.example/x.js',
      'asked for http://127.0.0.1.nip.io/x.png',
      'opened a socket to wss://example.com/',
    ]),
  );
  await other.close();
});

test('GraphiQL > shows the descriptions of the schema in its documentation', async () => {
  await page.getByRole('button', { name: 'Show Documentation Explorer' }).click(PRESS);
  const pane = page.locator('.graphiql-plugin');
  await pane.getByText('Mutation', { exact: true }).click(PRESS);
  await pane.getByText('They return expected failures as typed results').waitFor();
  await pane.getByText('Adds records. The value of a bucket').waitFor();
  await browser.takeScreenshot(page, 'graphiql-documentation');
  await pane.getByText('createJob', { exact: true }).click(PRESS);
  await pane.getByText('CreateJobInput', { exact: true }).click(PRESS);
  await pane.getByText('scheduledTimeInSeconds', { exact: true }).waitFor();
  expect(await pane.innerText()).toContain('Unix epoch seconds');
  await browser.takeScreenshot(page, 'graphiql-documentation-of-a-type');
  await page.getByRole('button', { name: 'Hide Documentation Explorer' }).click(PRESS);
});

const ids = new Map<string, string>();
/** Variables that users have to fill in, and the operation whose response contains their value. */
const NEEDED: Readonly<Record<string, { readonly variable: string; readonly from: string }>> = {
  RevertOperation: { variable: 'operationId', from: 'ReplaceDay' },
  ReadEarlierRecords: { variable: 'operationId', from: 'ReadRecords' },
  RunJob: { variable: 'jobId', from: 'CreateJob' },
  Coverage: { variable: 'jobId', from: 'CreateJob' },
  Redeliver: { variable: 'deliveryId', from: 'ListDeliveries' },
  RevokeKey: { variable: 'keyId', from: 'CreateKey' },
};

test.each(OPERATIONS.filter((name) => name !== 'FollowRuns'))(
  'GraphiQL > runs the prepared operation %s',
  async (name) => {
    await openTabOf(name);
    const needed = NEEDED[name];
    const { variables = '{}' } = TABS.find(({ query }) => query.includes(` ${name}`)) ?? {};
    if (needed) await setVariables({ ...(JSON.parse(variables) as object), [needed.variable]: ids.get(needed.from) });
    const answer = await answerTo(name);
    expect(answer).not.toMatch(/"errors"|"issues"|"code":"/);
    ids.set(name, /"id":"([^"]+)"/.exec(answer)?.[1] ?? '');
    const [field = 'nothing'] = Object.keys((JSON.parse(answer) as { data: object }).data);
    await eventually(shown, (text) => text.includes(`"${field}"`));
    await browser.takeScreenshot(page, `graphiql-${name}`);
  },
);

test('GraphiQL > shows each state of a run in a subscription', async () => {
  const job = await createSteppedJob(server);
  await run('FollowRuns');
  await page.getByRole('button', { name: 'Stop query (Ctrl-Enter)' }).waitFor();
  const step = await job.run();
  const shows = (status: string) =>
    eventually(shown, (text) => text.includes(step.id) && text.includes(`"status": "${status}"`));
  expect(await shows('QUEUED')).toContain('"attempt": 0');
  await step.start();
  expect(await shows('RUNNING')).toContain('"attempt": 1');
  await browser.takeScreenshot(page, 'graphiql-run-going-on');
  await step.succeed();
  expect(await shows('SUCCEEDED')).toContain('"rowsWritten": 7');
  await browser.takeScreenshot(page, 'graphiql-FollowRuns');
});

test('GraphiQL > shows a run in FollowRuns that RunJob starts in a duplicate of the browser tab', async () => {
  const opened = page.context().waitForEvent('page');
  // A window that a page opens gets a copy of its sessionStorage, like a duplicate of the tab.
  await page.evaluate('void window.open(location.pathname)');
  const duplicate = await opened;
  await barOf(duplicate).filter({ hasText: OWN_KEY }).waitFor();
  await openTabOf('RunJob', duplicate);
  await setVariables({ jobId: ids.get('CreateJob') }, duplicate);
  const answer = await answerTo('RunJob', duplicate);
  const runId = /"id":"([^"]+)"/.exec(answer)?.[1] ?? 'none';
  await eventually(shown, (text) => text.includes(runId) && text.includes('Compute hours by region'));
  await duplicate.close();
});

test('GraphiQL > stores the key neither in localStorage nor in the page', async () => {
  const stored = await page.evaluate(() => JSON.stringify({ ...localStorage }));
  // GraphiQL stores its tabs here, so this looks at the right storage.
  expect(stored).toContain('graphiql:tabState');
  expect(stored).not.toContain(server.key);
  expect(await page.content()).not.toContain(server.key);
  expect(page.url()).not.toContain(server.key);
  expect(await page.evaluate(() => document.cookie)).toBe('');
});

test('GraphiQL > uses a key of the headers editor and does not store it', async () => {
  const other = await browser.openPage(linkWith(server.key));
  await barOf(other).filter({ hasText: OWN_KEY }).waitFor();
  const reader = await server.createKey('by header', ['READ']);
  await openTabOf('WhoAmI', other);
  await fillTool('Headers', { 'X-API-Key': reader }, other);
  expect(await answerTo('WhoAmI', other)).toContain('"accountName":"by header"');
  expect(await barOf(other).innerText()).toMatch(OWN_KEY);
  // GraphiQL stores a tab half a second after an edit. This edit comes after that of the headers.
  await other.locator('.graphiql-query-editor .view-line').first().click();
  await other.keyboard.press('ControlOrMeta+Home');
  await other.keyboard.insertText('# edited\n');
  const stored = (): Promise<string> => other.evaluate(() => JSON.stringify({ ...localStorage }));
  expect(await eventually(stored, (content) => content.includes('# edited'))).not.toContain(reader);
  await other.close();
});

test('GraphiQL > has the same tabs when the page is opened again', async () => {
  const again = await browser.openPage(linkWith(server.key));
  await again.locator('.graphiql-query-editor .view-line').first().waitFor();
  expect(await again.locator('.graphiql-tab').count()).toBe(TABS.length);
  await again.close();
});

test('GraphiQL > accepts a key, rejects an unknown one, and forgets it', async () => {
  const other = await otherBrowser.openPage(`${server.url}/graphql`);
  const says = (words: string | RegExp) => barOf(other).filter({ hasText: words }).waitFor();
  const enter = async (key: string): Promise<void> => {
    await other.getByLabel('API key').fill(key);
    await other.getByRole('button', { name: 'Use key' }).click(PRESS);
  };
  await says('Operations need an API key. It stays in this browser tab.');
  await run('WhoAmI', other);
  await says('This operation needs an API key. Enter one here.');
  await enter('an unknown key with enough characters');
  await says('The server does not accept this API key.');
  expect(await other.evaluate(() => sessionStorage.length)).toBe(0);
  await otherBrowser.takeScreenshot(other, 'graphiql-key-refused');

  const reader = await server.createKey('readers', ['READ']);
  await enter(reader);
  await says(/^Account readers, key ".+" \(READ\)$/);
  expect(await answerTo('WhoAmI', other)).toContain('"accountName":"readers"');
  // A link in the same tab changes the key, which is removed from the address again.
  await other.evaluate((link) => location.assign(link), linkWith(server.key));
  await says(OWN_KEY);
  expect(other.url()).not.toContain('key=');
  expect(await answerTo('WhoAmI', other)).toContain('"accountName":"default"');

  await other.getByRole('button', { name: 'Forget key' }).click(PRESS);
  await says('Operations need an API key. It stays in this browser tab.');
  expect(await other.evaluate(() => sessionStorage.length)).toBe(0);
  expect(await answerTo('WhoAmI', other)).toContain('UNAUTHENTICATED');
  await other.close();
  takeRefusals();
});

test.each(['of the link', 'of another tab'])(
  'GraphiQL > does not store a key %s that the server accepts after a sign-out',
  async (origin) => {
    const first = await otherBrowser.openPage(origin === 'of the link' ? `${server.url}/docs` : linkWith(server.key));
    if (origin !== 'of the link') await barOf(first).filter({ hasText: OWN_KEY }).waitFor();
    const slow = await otherBrowser.openPage('about:blank');
    const gate = createGate();
    await slow.route('**/graphql', async (route) => {
      if (route.request().method() === 'POST') await gate.opened;
      await route.fallback();
    });
    await slow.goto(origin === 'of the link' ? linkWith(server.key) : `${server.url}/graphql`);
    await barOf(slow).filter({ hasText: 'Checking the API key' }).waitFor();
    await first.evaluate(() => new BroadcastChannel('sluice.key').postMessage({ type: 'signOut' }));
    const says = barOf(slow).filter({ hasText: 'Operations need an API key' });
    await says.waitFor();
    const answered = slow.waitForResponse((response) => response.request().postData()?.includes('viewer') === true);
    gate.open();
    await (await answered).finished();
    // The page has read the answer when it has read another one.
    await slow.evaluate(async () => {
      await (await fetch('/docs')).text();
    });
    await says.waitFor();
    expect(await slow.evaluate(() => sessionStorage.length)).toBe(0);
    await first.close();
    await slow.close();
    takeRefusals();
  },
);

test('GraphiQL > takes no key of another tab after "Forget key"', async () => {
  const other = await otherBrowser.openPage(linkWith(server.key));
  await barOf(other).filter({ hasText: OWN_KEY }).waitFor();
  await other.getByRole('button', { name: 'Forget key' }).click(PRESS);
  await barOf(other).filter({ hasText: 'Operations need an API key' }).waitFor();
  // Tabs with a key send it to all tabs when a new one asks.
  await other.evaluate(async (key) => {
    const later = new BroadcastChannel('sluice.key');
    const received = new Promise((resolve) => later.addEventListener('message', resolve));
    new BroadcastChannel('sluice.key').postMessage({ type: 'key', key });
    await received;
  }, server.key);
  expect(await barOf(other).innerText()).toContain('Operations need an API key');
  await other.close();
});

test.each([
  ['light', 1440],
  ['light', 420],
  ['dark', 1440],
  ['dark', 420],
] as const)(
  'GraphiQL > fits its key bar into the page with colour scheme %s and %d px width',
  async (colorScheme, width) => {
    const fresh = await otherBrowser.openPage(`${server.url}/graphql`);
    await fresh.emulateMedia({ colorScheme });
    await fresh.setViewportSize({ width, height: 800 });
    await fresh.locator('.graphiql-query-editor .view-line').first().waitFor();
    await otherBrowser.takeScreenshot(fresh, `graphiql-key-bar-${colorScheme}-${width}`);
    const overflow = await fresh.evaluate(() => [
      document.documentElement.scrollWidth - innerWidth,
      document.documentElement.scrollHeight - innerHeight,
    ]);
    expect(overflow).toEqual([0, 0]);
    const button = await fresh.getByRole('button', { name: 'Use key' }).boundingBox();
    expect(button && button.x + button.width).toBeLessThanOrEqual(width);
    await fresh.close();
  },
);
