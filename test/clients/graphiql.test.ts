import { type DocumentNode, Kind, type OperationDefinitionNode, parse } from 'graphql';
import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { graphiqlTabs } from '../../src/graphql/graphiql/tabs.ts';
import { createSteppedJob } from '../support/run-steps.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';
import { startBrowser, type TestBrowser } from './browser.ts';

// GraphiQL as a person has it before him. The tests go on one from another, as that person does.

const TABS = graphiqlTabs(new Date());

let server: TestServer;
let browser: TestBrowser;
let page: Page;
beforeAll(async () => {
  // Without a worker: the test moves the run that is followed, step by step.
  server = await startTestServer({ env: { ROLE: 'api' } });
  browser = await startBrowser();
  page = await browser.openPage(linkWith(server.key));
});
afterEach(() => {
  expect(browser.complaints).toEqual([]);
});
afterAll(async () => {
  await browser?.close();
  await server?.stop();
});

/** As local mode prints it in a terminal. */
const linkWith = (key: string): string => `${server.url}/graphql#key=${encodeURIComponent(key)}`;

const operationsOf = (document: DocumentNode): OperationDefinitionNode[] =>
  document.definitions.filter((definition) => definition.kind === Kind.OPERATION_DEFINITION);
/** Their names, tab by tab. */
const OPERATIONS_OF_TABS = TABS.map(({ query }) => operationsOf(parse(query)).map(({ name }) => name?.value ?? ''));
const OPERATIONS = OPERATIONS_OF_TABS.flat();
/** By its place: GraphiQL calls a tab after the operation of it that ran last. */
const tabOf = (operation: string): number => OPERATIONS_OF_TABS.findIndex((names) => names.includes(operation));

/** People press a button for a moment, which is when a page that moves would lose the click. */
const PRESS = { delay: 60 };

const openTabOf = async (operation: string, on = page): Promise<void> => {
  const tab = on.locator('.graphiql-tab').nth(tabOf(operation));
  await tab.locator('.graphiql-tab-button').click(PRESS);
  await tab.and(on.locator('.graphiql-tab-active')).waitFor();
};

/** Presses the button, and chooses the operation where the tab has several. */
const run = async (operation: string, on = page): Promise<void> => {
  await openTabOf(operation, on);
  await on.locator('.graphiql-execute-button').click(PRESS);
  if (OPERATIONS_OF_TABS[tabOf(operation)]?.length === 1) return;
  await on.getByRole('menuitem', { name: operation, exact: true }).click(PRESS);
};

/** The answer to the operation, as it comes over the wire: the pane draws only the lines that fit into it. */
const answerTo = async (operation: string, on = page): Promise<string> => {
  const answered = on.waitForResponse(
    (response) => (response.request().postDataJSON() as { operationName?: string } | null)?.operationName === operation,
  );
  await run(operation, on);
  return (await answered).text();
};

/** What stands in the pane on the right, with blanks as blanks. */
const shown = async (): Promise<string> =>
  (await page.locator('.graphiql-response .view-lines').innerText()).replaceAll('\u{a0}', ' ');

/** Writes over the variables of the open tab. */
const setVariables = async (variables: object, on = page): Promise<void> => {
  await fillTool('Variables', variables, on);
};

/** Writes JSON over what one of the two editors below the query contains. */
const fillTool = async (name: 'Variables' | 'Headers', content: object, on = page): Promise<void> => {
  await on.locator('.graphiql-editor-tools button', { hasText: name }).click(PRESS);
  await on.locator('.graphiql-editor-tool .view-lines').locator('visible=true').first().click();
  await on.keyboard.press('ControlOrMeta+A');
  await on.keyboard.insertText(JSON.stringify(content));
  // The editor has closed brackets and quotes once more.
  await on.keyboard.press('ControlOrMeta+Shift+End');
  await on.keyboard.press('Delete');
};

/** What the bar above GraphiQL says. */
const barOf = (on: Page) => on.locator('#key-bar output');
const OWN_KEY = /^Account default, key ".+" \(ADMIN\)$/;

test('the page loads with the network cut to this machine, one tab for each part', async () => {
  await page
    .locator('.graphiql-tab')
    .nth(TABS.length - 1)
    .waitFor();
  expect(await page.title()).toBe('Sluice');
  expect(await page.locator('.graphiql-tab').allInnerTexts()).toEqual(OPERATIONS_OF_TABS.map(([first]) => first));
  await page.locator('.graphiql-query-editor', { hasText: 'WhoAmI' }).waitFor();
  await browser.takeScreenshot(page, 'graphiql-first-sight');
});

test('the key of the link moves from the address into sessionStorage, before GraphiQL starts', async () => {
  await barOf(page).filter({ hasText: OWN_KEY }).waitFor();
  expect(page.url()).toBe(`${server.url}/graphql`);
  expect(await page.evaluate(() => ({ ...sessionStorage }))).toEqual({ 'sluice.key': server.key });
});

test('no variable and no query of the prepared tabs is marked as wrong', async () => {
  // High enough for every line: the editors draw no marks below the fold.
  const tall = await browser.openPage(`${server.url}/graphql`);
  await tall.setViewportSize({ width: 1440, height: 2600 });
  for (const [operation = ''] of OPERATIONS_OF_TABS) {
    await openTabOf(operation, tall);
    await tall.locator('.graphiql-query-editor', { hasText: operation }).waitFor();
    // The editors compute their marks in workers, of the query first: when the mark of a mistake appears, and goes with
    // the mistake, all others of that text have been computed.
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

test('the network is cut: a page that asks for anything of elsewhere is refused it, and found out', async () => {
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

test('the documentation shows what the schema says of itself', async () => {
  await page.getByRole('button', { name: 'Show Documentation Explorer' }).click(PRESS);
  const pane = page.locator('.graphiql-plugin');
  await pane.getByText('Mutation', { exact: true }).click(PRESS);
  await pane.getByText('Expected failures are results with a type of their own').waitFor();
  await pane.getByText('Adds records: the live value of a bucket').waitFor();
  await browser.takeScreenshot(page, 'graphiql-documentation');
  await pane.getByText('createJob', { exact: true }).click(PRESS);
  await pane.getByText('CreateJobInput', { exact: true }).click(PRESS);
  await pane.getByText('scheduledTimeInSeconds', { exact: true }).waitFor();
  expect(await pane.innerText()).toContain('Unix epoch seconds');
  await browser.takeScreenshot(page, 'graphiql-documentation-of-a-type');
  await page.getByRole('button', { name: 'Hide Documentation Explorer' }).click(PRESS);
});

const ids = new Map<string, string>();
/** What a person has to put into the variables, and where he found it. */
const NEEDED: Readonly<Record<string, { readonly variable: string; readonly from: string }>> = {
  RunJob: { variable: 'jobId', from: 'CreateJob' },
  RevokeKey: { variable: 'keyId', from: 'CreateKey' },
};

test.each(OPERATIONS.filter((name) => name !== 'FollowRuns'))('the operation %s runs as it stands', async (name) => {
  await openTabOf(name);
  const needed = NEEDED[name];
  if (needed) await setVariables({ [needed.variable]: ids.get(needed.from) });
  const answer = await answerTo(name);
  expect(answer).not.toMatch(/"errors"|"issues"|"code":"/);
  ids.set(name, /"id":"([^"]+)"/.exec(answer)?.[1] ?? '');
  const [field = 'nothing'] = Object.keys((JSON.parse(answer) as { data: object }).data);
  await eventually(shown, (text) => text.includes(`"${field}"`));
  await browser.takeScreenshot(page, `graphiql-${name}`);
});

test('a subscription shows a run as it goes through its states', async () => {
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

test('FollowRuns shows a run that RunJob starts in a duplicate of the browser tab, as its comment says', async () => {
  const opened = page.context().waitForEvent('page');
  // A window that a page opens gets a copy of its sessionStorage, as a duplicate of the tab does.
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

test('the key is nowhere in what GraphiQL stores, and nowhere in the page', async () => {
  const stored = await page.evaluate(() => JSON.stringify({ ...localStorage }));
  // GraphiQL stores its tabs here, so this looks at the right storage.
  expect(stored).toContain('graphiql:tabState');
  expect(stored).not.toContain(server.key);
  expect(await page.content()).not.toContain(server.key);
  expect(page.url()).not.toContain(server.key);
  expect(await page.evaluate(() => document.cookie)).toBe('');
});

test('a key in the editor of headers counts for its requests, and is not stored', async () => {
  const other = await browser.openPage(linkWith(server.key));
  await barOf(other).filter({ hasText: OWN_KEY }).waitFor();
  const reader = await server.createKey('by header', ['READ']);
  await openTabOf('WhoAmI', other);
  await fillTool('Headers', { 'X-API-Key': reader }, other);
  expect(await answerTo('WhoAmI', other)).toContain('"accountName":"by header"');
  expect(await barOf(other).innerText()).toMatch(OWN_KEY);
  // GraphiQL stores a tab half a second after an edit: this edit comes after that of the headers.
  await other.locator('.graphiql-query-editor .view-line').first().click();
  await other.keyboard.press('ControlOrMeta+Home');
  await other.keyboard.insertText('# edited\n');
  const stored = (): Promise<string> => other.evaluate(() => JSON.stringify({ ...localStorage }));
  expect(await eventually(stored, (content) => content.includes('# edited'))).not.toContain(reader);
  await other.close();
});

test('the page opened once more has the same tabs', async () => {
  const again = await browser.openPage(linkWith(server.key));
  await again.locator('.graphiql-query-editor .view-line').first().waitFor();
  expect(await again.locator('.graphiql-tab').count()).toBe(TABS.length);
  await again.close();
});

test('a key can be entered, is refused when it is wrong, and can be forgotten', async () => {
  const other = await browser.openPage(`${server.url}/graphql`);
  const says = (words: string | RegExp) => barOf(other).filter({ hasText: words }).waitFor();
  const enter = async (key: string): Promise<void> => {
    await other.getByLabel('API key').fill(key);
    await other.getByRole('button', { name: 'Use key' }).click(PRESS);
  };
  await says('Operations need a key. It stays in this browser tab.');
  await run('WhoAmI', other);
  await says('This operation needs a key: enter one here.');
  await enter('a key that nobody has, of enough characters');
  await says('The server does not accept this key.');
  expect(await other.evaluate(() => sessionStorage.length)).toBe(0);
  await browser.takeScreenshot(other, 'graphiql-key-refused');

  const reader = await server.createKey('readers', ['READ']);
  await enter(reader);
  await says(/^Account readers, key ".+" \(READ\)$/);
  expect(await answerTo('WhoAmI', other)).toContain('"accountName":"readers"');
  // A link in the same tab changes the key, and leaves the address as well.
  await other.evaluate((link) => location.assign(link), linkWith(server.key));
  await says(OWN_KEY);
  expect(other.url()).not.toContain('key=');
  expect(await answerTo('WhoAmI', other)).toContain('"accountName":"default"');

  await other.getByRole('button', { name: 'Forget key' }).click(PRESS);
  await says('Operations need a key. It stays in this browser tab.');
  expect(await other.evaluate(() => sessionStorage.length)).toBe(0);
  expect(await answerTo('WhoAmI', other)).toContain('UNAUTHENTICATED');
  await other.close();
  // The console of a browser reports each 401.
  expect(new Set(browser.takeComplaints().map((complaint) => /status of (\d+)/.exec(complaint)?.[1]))).toEqual(
    new Set(['401']),
  );
});

test.each([
  ['light', 1440],
  ['light', 420],
  ['dark', 1440],
  ['dark', 420],
] as const)('the bar fits into the page > colour scheme %s, %d px wide', async (colorScheme, width) => {
  const fresh = await browser.openPage(`${server.url}/graphql`);
  await fresh.emulateMedia({ colorScheme });
  await fresh.setViewportSize({ width, height: 800 });
  await fresh.locator('.graphiql-query-editor .view-line').first().waitFor();
  await browser.takeScreenshot(fresh, `graphiql-key-bar-${colorScheme}-${width}`);
  const overflow = await fresh.evaluate(() => [
    document.documentElement.scrollWidth - innerWidth,
    document.documentElement.scrollHeight - innerHeight,
  ]);
  expect(overflow).toEqual([0, 0]);
  const button = await fresh.getByRole('button', { name: 'Use key' }).boundingBox();
  expect(button && button.x + button.width).toBeLessThanOrEqual(width);
  await fresh.close();
});
