import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { startConsole, type TestConsole } from './support.ts';

// The console of a server that runs only trusted documents. Each test continues from the one before it.

/** The only document of the file. */
const TRUSTED = 'query Trusted { viewer { accountName } }';
const DAY = 86_400_000;
const yesterday = `${new Date(Date.now() - DAY).toISOString().slice(0, 10)}T00:00:00Z`;

let folder: string;
let console: TestConsole;
let page: Page;
/** Codes of the errors in the responses, and the operations that the pages sent. */
const codes = new Set<string>();
const operations = new Set<string>();

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-trusted-'));
  const file = join(folder, 'documents.json');
  await writeFile(file, JSON.stringify({ trusted: TRUSTED }));
  console = await startConsole({ env: { TRUSTED_DOCUMENTS: file, TRUSTED_DOCUMENTS_ONLY: 'true' } });
  page = await console.open('/', { key: null });
  page.on('request', (request) => {
    if (!request.url().endsWith('/graphql')) return;
    const { query } = request.postDataJSON() as { query: string };
    operations.add(query.slice(0, query.search(/[({]/)).trim());
  });
  page.on('response', async (response) => {
    if (!response.url().endsWith('/graphql') || !response.headers()['content-type']?.includes('json')) return;
    const text = await response.text().catch(() => '');
    for (const [, code = ''] of text.matchAll(/"code":"(DOCUMENT_\w+)"/g)) codes.add(code);
  });
});
afterEach(() => {
  expect([...codes]).toEqual([]);
  expect(console.browser.takeComplaints()).toEqual([]);
});
afterAll(async () => {
  await console?.stop();
  await rm(folder, { recursive: true });
});

const heading = (name: string | RegExp) => page.getByRole('heading', { level: 1, name });
const main = () => page.getByRole('main');
const open = async (path: string, shows: string | RegExp): Promise<void> => {
  await page.goto(`${console.server.url}/console${path}`);
  await main().getByText(shows).first().waitFor();
  expect(
    await main()
      .getByText(/not trusted/)
      .count(),
  ).toBe(0);
};
let job: string;

test('with trusted documents only, the key is accepted, and other documents are rejected', async () => {
  await page.getByLabel('API key').fill(console.server.key);
  await page.keyboard.press('Enter');
  await heading('Overview').waitFor();
  expect((await console.server.request(TRUSTED)).data).toEqual({ viewer: { accountName: 'default' } });
  const { errors } = await console.server.request('query Viewer { viewer { accountName } }');
  expect(errors?.map(({ extensions }) => extensions?.['code'])).toEqual(['DOCUMENT_NOT_TRUSTED']);
});

test('with trusted documents only, a job is created and runs', async () => {
  const record = { timestamp: yesterday, granularity: 'DAILY', value: '1', element_name: 'acme', filter: {} };
  const response = await fetch(`${console.server.url}/unit-cost/v1/telemetry/allocation/cpu/sum`, {
    method: 'POST',
    headers: { 'x-api-key': console.server.key, 'content-type': 'application/json' },
    body: JSON.stringify({ records: [record] }),
  });
  expect(response.ok).toBe(true);
  await open('/jobs/new', 'Create a job');
  await page.getByRole('textbox', { name: 'Name', exact: true }).fill('Trusted');
  await page.getByRole('textbox', { name: 'Destination', exact: true }).fill('s3://exports/trusted');
  await page.getByRole('status').filter({ hasText: '✓ Valid' }).waitFor();
  await page.getByRole('button', { name: 'Create job' }).press('Enter');
  await page.getByText('The job Trusted was created.').waitFor();
  await page.waitForURL(/\/console\/jobs\/(?!new)[^/]+$/);
  job = new URL(page.url()).pathname.replace('/console', '');
  await page.getByRole('button', { name: 'Run now' }).first().press('Enter');
  await page.waitForURL('**/runs/*');
  await main().getByText('SHA-256').first().waitFor();
});

test('with trusted documents only, every page is shown', async () => {
  const run = new URL(page.url()).pathname.replace('/console', '');
  for (const [path, shows] of [
    ['/', 'Runs of the last 24 hours'],
    ['/streams', 'cpu'],
    ['/streams/cpu', 'Download as CSV'],
    ['/streams/cpu/records', 'acme'],
    ['/streams/cpu/ledger', /sum/i],
    ['/streams/cpu/correct', 'Preview'],
    ['/jobs', 'Trusted'],
    [job, 'Last runs'],
    [`${job}/runs`, 'Succeeded'],
    [`${job}/deliveries`, 'Delivered'],
    [`${job}/backfills`, 'backfill'],
    [`${job}/settings`, 's3://exports/trusted'],
    [`${job}/edit`, 'Destination'],
    [`${job}/backfills/new`, 'Preview'],
    [run, 'SHA-256'],
    ['/keys', 'API_KEY setting'],
    ['/docs', 'How-to guides'],
  ] as const) {
    await open(path, shows);
  }
  await open(`${job}/deliveries`, 'Delivered');
  await main().locator('a[href*="/deliveries/"]').first().press('Enter');
  await page.waitForURL('**/deliveries/*');
  await main().getByText('Revisions').first().waitFor();
  expect([...operations].toSorted()).toEqual(expect.arrayContaining(['mutation CreateJob', 'query Viewer']));
  expect([...operations].some((operation) => operation.startsWith('subscription '))).toBe(true);
});
