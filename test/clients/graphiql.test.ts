import { type DocumentNode, Kind, type OperationDefinitionNode, parse } from 'graphql';
import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { graphiqlTabs } from '../../src/graphql/graphiql-tabs.ts';
import { createSteppedJob } from '../support/run-steps.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';
import { startBrowser, type TestBrowser } from './browser.ts';

// GraphiQL as a person has it before him. The tests go on one from another, as that person does.

const LOCAL_KEY = 'a key of local mode that is long enough';
const TABS = graphiqlTabs(new Date());

let server: TestServer;
let browser: TestBrowser;
let page: Page;
beforeAll(async () => {
  // Without a worker: the test moves the run that is followed, step by step.
  server = await startTestServer({ env: { ROLE: 'api', API_KEY: LOCAL_KEY }, resources: { localKey: LOCAL_KEY } });
  browser = await startBrowser();
  page = await browser.openPage(`${server.url}/graphql`);
});
afterEach(() => {
  expect(browser.complaints).toEqual([]);
});
afterAll(async () => {
  await browser?.close();
  await server?.stop();
});

const operationsOf = (document: DocumentNode): OperationDefinitionNode[] =>
  document.definitions.filter((definition) => definition.kind === Kind.OPERATION_DEFINITION);
/** Their names, tab by tab. */
const OPERATIONS_OF_TABS = TABS.map(({ query }) => operationsOf(parse(query)).map(({ name }) => name?.value ?? ''));
const OPERATIONS = OPERATIONS_OF_TABS.flat();
/** By its place: GraphiQL calls a tab after the operation of it that ran last. */
const tabOf = (operation: string): number => OPERATIONS_OF_TABS.findIndex((names) => names.includes(operation));

/** People press a button for a moment, which is when a page that moves would lose the click. */
const PRESS = { delay: 60 };

const openTabOf = async (operation: string): Promise<void> => {
  const tab = page.locator('.graphiql-tab').nth(tabOf(operation));
  await tab.locator('.graphiql-tab-button').click(PRESS);
  await tab.and(page.locator('.graphiql-tab-active')).waitFor();
};

/** Presses the button, and chooses the operation where the tab has several. */
const run = async (operation: string): Promise<void> => {
  await openTabOf(operation);
  await page.locator('.graphiql-execute-button').click(PRESS);
  if (OPERATIONS_OF_TABS[tabOf(operation)]?.length === 1) return;
  await page.getByRole('menuitem', { name: operation, exact: true }).click(PRESS);
};

/** The answer to the operation, as it comes over the wire: the pane draws only the lines that fit into it. */
const answerTo = async (operation: string): Promise<string> => {
  const answered = page.waitForResponse(
    (response) => (response.request().postDataJSON() as { operationName?: string } | null)?.operationName === operation,
  );
  await run(operation);
  return (await answered).text();
};

/** What stands in the pane on the right, with blanks as blanks. */
const shown = async (): Promise<string> =>
  (await page.locator('.graphiql-response .view-lines').innerText()).replaceAll('\u{a0}', ' ');

/** Writes over the variables of the open tab. */
const setVariables = async (variables: object): Promise<void> => {
  await page.locator('.graphiql-editor-tools button', { hasText: 'Variables' }).click(PRESS);
  await page.locator('.graphiql-editor-tool .view-lines').first().click();
  await page.keyboard.press('ControlOrMeta+A');
  await page.keyboard.insertText(JSON.stringify(variables));
  // The editor has closed brackets and quotes once more.
  await page.keyboard.press('ControlOrMeta+Shift+End');
  await page.keyboard.press('Delete');
};

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
  const job = await createSteppedJob(server, LOCAL_KEY);
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
