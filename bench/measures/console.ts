import type { Page } from 'playwright-core';
import type pg from 'pg';
import { setTimeout as sleep } from 'node:timers/promises';
import { startBrowser, type TestBrowser } from '../../test/clients/browser.ts';
import { type Figure, median } from '../support/figures.ts';
import { createJob, createJobs, runJob } from '../support/jobs.ts';
import { API_KEY } from '../support/server-process.ts';
import type { Stage } from '../support/stage.ts';
import { fillStream } from '../support/streams.ts';

// The pages of the console in Chromium, with a large account: the time until a page is usable, without anything in the browser's cache,
// and how the list of jobs copes with the progress of many runs.

const JOBS = 1000;
const STREAMS = 500;
const ELEMENTS = 25_000;
const RECORDS = 2_000_000;
const DAYS = 40;
const LARGE = 'customers';
const TRIES = 5;

const RUNS = 20;
const REPORTS = 20;
const REPORT_MS = 500;
const ROWS_PER_REPORT = 1000;

/** A task of the page above this duration delays the response to a key or a click noticeably. */
const LONG_TASK_MS = 50;

interface MeasuredPage {
  readonly name: string;
  /** Path below `/console`. */
  readonly path: string;
  /** A text that is visible when the main content is. */
  readonly shows: string | RegExp;
  /** Content that follows the main content, by a text that is visible then, and its maximum in seconds. */
  readonly later?: { readonly name: string; readonly shows: RegExp; readonly atMost: number };
}

interface Load {
  readonly usableMs: number;
  readonly laterMs: number;
  readonly firstPaintMs: number;
  /** The sum of the parts of long tasks above LONG_TASK_MS. */
  readonly blockedMs: number;
  readonly kilobytes: number;
}

export async function measureConsole(stage: Stage): Promise<Figure[]> {
  const server = await stage.server();
  await fillStream(server.url, LARGE, { days: DAYS, keys: ELEMENTS * DAYS, repeats: RECORDS / ELEMENTS / DAYS });
  for (let number = 2; number <= STREAMS; number += 1) {
    await fillStream(server.url, `stream-${number}`, { days: 1, keys: 1, repeats: 1 });
  }
  const main = await createJob(server.url, {
    jobName: 'customers by day',
    groupBy: ['element'],
    range: `ago(${DAYS}d)`,
  });
  const { id: runId } = await runJob(server.url, main);
  // A schedule whose next slot is half a day away, so that no run is due during the measurement.
  const cron = `0 ${(new Date().getUTCHours() + 12) % 24} * * *`;
  const ids = await createJobs(server.url, JOBS - 1, (number) => ({
    jobName: `job ${String(number).padStart(4, '0')}`,
    meterApiNames: [`stream-${2 + (number % (STREAMS - 1))}`],
    range: 'ago(1d)',
    enabled: true,
    cron,
  }));
  const [scheduled = ''] = ids;
  const client = await stage.connect();
  const { rows } = await client.query<{ id: string }>('SELECT id FROM deliveries WHERE job_id = $1', [main]);
  const delivery = rows[0]?.id;
  if (delivery === undefined) throw new Error('The run wrote no delivery.');
  await client.query('VACUUM ANALYZE records, totals, filters, operations, jobs, runs');
  const browser = await startBrowser();
  try {
    const figures: Figure[] = [];
    for (const page of listPages({ job: main, run: runId, delivery, scheduled })) {
      figures.push(...(await measurePage(browser, server.url, page)));
    }
    figures.push(await measureProgress(browser, server.url, client, ids.slice(-RUNS)));
    if (browser.complaints.length > 0) throw new Error(browser.complaints.join('\n'));
    return figures;
  } finally {
    await browser.close();
    await server.stop();
  }
}

interface Shown {
  /** The job of the large stream, its run and its delivery. */
  readonly job: string;
  readonly run: string;
  readonly delivery: string;
  /** A job with a schedule, which can have backfills. */
  readonly scheduled: string;
}

function listPages({ job, run, delivery, scheduled }: Shown): MeasuredPage[] {
  return [
    { name: 'overview', path: '/', shows: 'Runs of the last 24 hours' },
    { name: 'streams', path: '/streams', shows: LARGE },
    {
      name: `usage of a stream of ${ELEMENTS} elements`,
      path: `/streams/${LARGE}`,
      // The sum by day, until the largest elements are known.
      shows: 'Download as CSV',
      later: { name: `the largest of ${ELEMENTS} elements are shown`, shows: /^customer-\d+$/, atMost: 3 },
    },
    { name: `records of a stream of ${RECORDS} records`, path: `/streams/${LARGE}/records`, shows: /^customer-\d+$/ },
    { name: `ledger of a stream of ${RECORDS} records`, path: `/streams/${LARGE}/ledger`, shows: 'Inserted' },
    {
      name: `correction in a stream of ${RECORDS} records`,
      path: `/streams/${LARGE}/correct`,
      shows: 'Correct a value',
    },
    { name: 'jobs', path: '/jobs', shows: /^job \d{4}$/ },
    { name: 'a job', path: `/jobs/${job}`, shows: 'Last runs' },
    { name: 'runs of a job', path: `/jobs/${job}/runs`, shows: 'Succeeded' },
    { name: 'deliveries of a job', path: `/jobs/${job}/deliveries`, shows: 'Delivered' },
    { name: 'a delivery', path: `/jobs/${job}/deliveries/${delivery}`, shows: 'Revisions' },
    { name: 'backfills of a job', path: `/jobs/${scheduled}/backfills`, shows: 'No backfill yet' },
    { name: 'settings of a job', path: `/jobs/${job}/settings`, shows: 'Identity' },
    { name: 'edit job', path: `/jobs/${job}/edit`, shows: /^Edit / },
    { name: 'new backfill', path: `/jobs/${scheduled}/backfills/new`, shows: 'Preview' },
    { name: 'a run', path: `/jobs/${job}/runs/${run}`, shows: 'SHA-256' },
    { name: 'new job', path: '/jobs/new', shows: 'Create a job' },
    { name: 'keys', path: '/keys', shows: 'API_KEY setting' },
    { name: 'documentation', path: '/docs', shows: 'How-to guides' },
  ];
}

async function measurePage(browser: TestBrowser, url: string, page: MeasuredPage): Promise<Figure[]> {
  const loads: Load[] = [];
  for (let attempt = 0; attempt < TRIES; attempt += 1) loads.push(await loadPage(browser, url, page));
  const medianOf = (name: keyof Load): number => median(loads.map((load) => load[name]));
  const figure = (
    what: string,
    value: number,
    unit: Figure['unit'],
    atMost: number,
    details: Figure['details'] = {},
  ): Figure => ({
    what: `console, ${JOBS} jobs, ${STREAMS} streams, ${RECORDS} records: ${what}`,
    against: '',
    value,
    unit,
    bound: { atMost },
    details,
  });
  const usable = figure(`${page.name} is usable`, medianOf('usableMs') / 1000, 's', 2, {
    slowestSeconds: Math.max(...loads.map(({ usableMs }) => usableMs)) / 1000,
    firstContentfulPaintMs: medianOf('firstPaintMs'),
    totalBlockingMs: medianOf('blockedMs'),
    transferredKb: medianOf('kilobytes'),
  });
  if (page.later) return [usable, figure(page.later.name, medianOf('laterMs') / 1000, 's', page.later.atMost)];
  if (page.path !== '/') return [usable];
  return [
    usable,
    figure(`first contentful paint of the ${page.name}`, medianOf('firstPaintMs'), 'ms', 1000),
    figure(`total blocking time of the ${page.name}`, medianOf('blockedMs'), 'ms', 200),
    figure(`transferred bytes of the ${page.name}, gzipped`, medianOf('kilobytes'), 'KB', 300),
  ];
}

/** Opens a page in a new tab with an empty cache. */
async function loadPage(browser: TestBrowser, url: string, { path, shows, later }: MeasuredPage): Promise<Load> {
  const page = await openTab(browser);
  const protocol = await page.context().newCDPSession(page);
  let bytes = 0;
  protocol.on('Network.loadingFinished', ({ encodedDataLength }) => (bytes += encodedDataLength));
  await protocol.send('Network.enable');
  await protocol.send('Network.clearBrowserCache');
  const begun = performance.now();
  await page.goto(`${url}/console${path}#key=${API_KEY}`, { waitUntil: 'commit' });
  await page.getByRole('main').getByText(shows).first().waitFor();
  const usableMs = performance.now() - begun;
  if (later) await page.getByRole('main').getByText(later.shows).first().waitFor();
  const laterMs = performance.now() - begun;
  const { firstPaintMs, blockedMs } = await readTimings(page);
  await page.close();
  return { usableMs, laterMs, firstPaintMs, blockedMs, kilobytes: bytes / 1000 };
}

/** Opens a tab that collects the durations of its long tasks. */
async function openTab(browser: TestBrowser): Promise<Page> {
  const page = await browser.openPage('about:blank');
  await page.addInitScript(() => {
    const tasks: number[] = [];
    Object.assign(window, { longTasks: tasks });
    new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) tasks.push(duration);
    }).observe({ type: 'longtask', buffered: true });
  });
  return page;
}

async function readTimings(page: Page): Promise<Pick<Load, 'firstPaintMs' | 'blockedMs'>> {
  const firstPaintMs = await page.evaluate(
    () => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? Number.NaN,
  );
  const tasks = await readLongTasks(page);
  return { firstPaintMs, blockedMs: tasks.reduce((sum, duration) => sum + duration - LONG_TASK_MS, 0) };
}

function readLongTasks(page: Page): Promise<number[]> {
  return page.evaluate(() => (window as unknown as { longTasks: number[] }).longTasks);
}

/** Writes the progress of runs like a worker, while the list of jobs shows them. */
async function measureProgress(
  browser: TestBrowser,
  url: string,
  client: pg.Client,
  jobs: readonly string[],
): Promise<Figure> {
  await Promise.all(jobs.map((id) => runJob(url, id)));
  // Runs with a lease of one hour, which no worker takes.
  const { rows } = await client.query<{ id: string; payload: string }>(
    `UPDATE runs SET status = 'RUNNING', finished_at = NULL, rows_written = 0, change = change + 1,
       lease_token = gen_random_uuid(), lease_until = now() + interval '1 hour'
     WHERE id IN (SELECT id FROM runs ORDER BY created_at DESC LIMIT $1)
     RETURNING id, json_build_object('id', id, 'accountId', account_id::text, 'jobId', job_id)::text AS payload`,
    [RUNS],
  );
  const page = await openTab(browser);
  await page.goto(`${url}/console/jobs#key=${API_KEY}`);
  await page.getByRole('main').getByText('0 rows').first().waitFor();
  const before = (await readLongTasks(page)).length;
  const begun = performance.now();
  for (let report = 1; report <= REPORTS; report += 1) {
    await client.query('BEGIN');
    await client.query('UPDATE runs SET rows_written = $1, change = change + 1 WHERE id = ANY($2)', [
      report * ROWS_PER_REPORT,
      rows.map(({ id }) => id),
    ]);
    await client.query(`SELECT pg_notify('sluice_runs', payload) FROM unnest($1::text[]) AS payload`, [
      rows.map(({ payload }) => payload),
    ]);
    await client.query('COMMIT');
    await sleep(begun + report * REPORT_MS - performance.now());
  }
  const last = (REPORTS * ROWS_PER_REPORT).toLocaleString('en-US');
  await page.getByRole('main').getByText(`${last} rows`).first().waitFor();
  const tasks = (await readLongTasks(page)).slice(before);
  const shown = await page.getByRole('main').getByText(`${last} rows`).count();
  await page.close();
  return {
    what: `console, ${JOBS} jobs: longest task of the list of jobs while ${RUNS} runs report progress`,
    against: '',
    value: Math.max(0, ...tasks),
    unit: 'ms',
    bound: { atMost: LONG_TASK_MS },
    details: { reportsPerSecond: (RUNS * 1000) / REPORT_MS, longTasks: tasks.length, runsShown: shown },
  };
}
