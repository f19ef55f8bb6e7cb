import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  addRecords,
  createJob,
  exportOnce,
  issuesOf,
  jobSettings,
  type Result,
  type Settings,
} from '../support/job-steps.ts';
import { innerId, querySql, tryCreateJob, tryUpdateJob, exportAgain } from '../support/job-steps.ts';
import { queryDuckDb } from '../support/parquet.ts';
import { startTestServer, type TestServer } from '../support/server.ts';
import { ask } from '../rest/requests.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

interface WindowPreview {
  readonly scheduledFor: string;
  readonly windowStart: string;
  readonly windowEnd: string;
  readonly objectKeys: readonly string[];
  readonly manifestKey: string;
}

const PARTITIONS = 'year={yyyy}/month={MM}/day={dd}';

async function nextWindows(settings: Settings): Promise<readonly WindowPreview[]> {
  const { checkJob } = await server.graphql<{ checkJob: Result & { nextWindows: readonly WindowPreview[] } }>(
    `mutation ($input: CreateJobInput!) { checkJob(input: $input) { __typename
       ... on JobCheck { nextWindows { scheduledFor windowStart windowEnd objectKeys manifestKey } }
       ... on UserError { message } } }`,
    { input: jobSettings(settings) },
  );
  if (checkJob.__typename !== 'JobCheck') throw new Error(JSON.stringify(checkJob));
  return checkJob.nextWindows;
}

test('placeholders in s3Url > are replaced by the slug and the start of the window in the time zone of the job', async () => {
  const { run, manifest } = await exportOnce(
    server,
    jobSettings({
      jobName: 'Daily usage',
      s3Url: `s3://exports/usage/{job}/${PARTITIONS}`,
      timeZone: 'America/New_York',
      range: 'ago(1d)',
    }),
    '2026-11-02T06:00:00Z',
  );
  const folder = 'usage/daily-usage/year=2026/month=11/day=01';
  // A day of 25 hours.
  expect(run).toMatchObject({
    status: 'SUCCEEDED',
    windowStart: '2026-11-01T04:00:00Z',
    objects: [{ key: `${folder}/20261101T040000Z_20261102T050000Z.csv` }],
    manifestKey: `${folder}/_20261101T040000Z_20261102T050000Z.manifest.json`,
  });
  expect(manifest.state).toBe('complete');
});

test('partitions of Parquet files > are read by DuckDB as one table without the manifests, with the sum of usage', async () => {
  await addRecords(
    server,
    'lake',
    'DAILY',
    [1, 2, 3].flatMap((day) =>
      ['a', 'b'].map((elementName, index) => ({
        timestamp: `2026-02-0${day}T00:00:00Z`,
        elementName,
        value: `${day * 10 + index}.25`,
      })),
    ),
  );
  const settings = { format: 'PARQUET', range: 'ago(1d)', meterApiNames: ['lake'], groupBy: ['element'] };
  const { jobId } = await exportOnce(
    server,
    jobSettings({ ...settings, jobName: 'Lake', s3Url: `exports/lake/{job}/${PARTITIONS}` }),
    '2026-02-02T00:00:00Z',
  );
  await exportAgain(server, jobId, '2026-02-03T00:00:00Z');
  await exportAgain(server, jobId, '2026-02-04T00:00:00Z');
  // Written again, as a reader would find it.
  await exportAgain(server, jobId, '2026-02-03T00:00:00Z');
  const { usage } = await server.graphql<{ usage: { series: readonly { total: string }[] } }>(`{
    usage(input: {from: "2026-02-01T00:00:00Z", to: "2026-02-04T00:00:00Z", aggregationBucket: DAY, meterApiNames: ["lake"]}) {
      ... on Usage { series { total } } } }`);
  const folder = await mkdtemp(join(tmpdir(), 'sluice-lake-'));
  try {
    for (const { key, body } of server.s3.objects().filter((object) => object.key.startsWith('lake/'))) {
      await mkdir(join(folder, dirname(key)), { recursive: true });
      await writeFile(join(folder, key), body);
    }
    const rows = await queryDuckDb(`
      SELECT year, month, day, count(*)::int AS rows, sum(value)::decimal(38, 2)::text AS total
      FROM read_parquet('${folder}/**/*.parquet', hive_partitioning = true, hive_types_autocast = false)
      GROUP BY ALL ORDER BY day`);
    const partition = { year: '2026', month: '02', rows: 2 };
    expect(rows).toEqual([
      { ...partition, day: '01', total: '21.50' },
      { ...partition, day: '02', total: '41.50' },
      { ...partition, day: '03', total: '61.50' },
    ]);
    expect(usage.series).toEqual([{ total: '124.5' }]);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

describe('nextWindows of checkJob', () => {
  test('are the windows of the next three slots with their keys', async () => {
    const settings = {
      jobName: 'Monthly files',
      s3Url: `exports/next/{job}/${PARTITIONS}`,
      timeZone: 'Europe/Berlin',
      aggregationBucket: 'DAY',
      range: 'ago(1d)',
      cron: '30 2 * * *',
      compression: 'GZIP',
      enabled: true,
    };
    const windows = await nextWindows(settings);
    expect(windows).toHaveLength(3);
    const compact = (at: string): string => at.replace(/[-:]/g, '');
    for (const { scheduledFor, windowStart, windowEnd, objectKeys, manifestKey } of windows) {
      // Noon before the slot is on the day of the window, in Berlin too.
      const day = new Date(Date.parse(scheduledFor) - 14 * 3_600_000).toISOString().slice(0, 10).split('-');
      const folder = `next/monthly-files/year=${day[0]}/month=${day[1]}/day=${day[2]}`;
      const stem = `${compact(windowStart)}_${compact(windowEnd)}`;
      expect(objectKeys).toEqual([`${folder}/${stem}.csv.gz`]);
      expect(manifestKey).toBe(`${folder}/_${stem}.manifest.json`);
    }
    const { body } = await ask<{ nextWindows: readonly WindowPreview[] }>(server, 'POST /jobs/check', {
      body: { ...jobSettings(), ...settings, format: 'csv', aggregationBucket: 'day', compression: 'gzip' },
    });
    expect(body.nextWindows).toEqual(windows);
  });

  test.each<[string, Settings]>([
    ['the job has no schedule', { enabled: true }],
    ['the job is disabled', { enabled: false, cron: '0 * * * *' }],
  ])('are empty when %s', async (_, settings) => {
    expect(await nextWindows(settings)).toEqual([]);
  });

  test('are one when the job runs at one time', async () => {
    const seconds = Math.floor(Date.now() / 1000) + 86_400;
    expect(await nextWindows({ enabled: true, scheduledTimeInSeconds: seconds })).toHaveLength(1);
  });
});

describe('other braces in the path', () => {
  test('are an issue of s3Url in each API', async () => {
    const settings = jobSettings({ s3Url: 'exports/{YYYY}/a' });
    expect(issuesOf(await tryCreateJob(server, settings))).toEqual([['input.s3Url', 'BAD_PLACEHOLDER']]);
    expect(
      await ask(server, 'POST /jobs', { body: { ...settings, format: 'csv', aggregationBucket: 'day' } }),
    ).toMatchObject({ status: 400, body: { error: { issues: [{ path: ['s3Url'], code: 'BAD_PLACEHOLDER' }] } } });
    await expect(server.graphql('{ bucketPolicy(s3Url: "exports/{YYYY}") }')).rejects.toThrow('{YYYY}');
  });

  test('stay when a job is older than placeholders', async () => {
    const s3Url = 'exports/old/{x}/{dd}';
    const id = await createJob(server, { s3Url: 'exports/old', jobName: 'Old braces' });
    await querySql(
      server,
      `UPDATE jobs SET settings = settings || jsonb_build_object('s3Url', $2::text), destination = $3 WHERE id = $1`,
      [innerId(id), s3Url, 'exports/old/{x}/{dd}/old-braces'],
    );
    const { run } = await exportAgain(server, id, '2026-01-28T02:00:00Z');
    expect(run.objects[0]?.key).toMatch(/^old\/\{x\}\/21\/old-braces\//);
    expect(await tryUpdateJob(server, { id, description: 'edited' })).toMatchObject({ __typename: 'Job' });
    expect(await tryUpdateJob(server, { id, s3Url })).toMatchObject({ __typename: 'Job' });
    expect(issuesOf(await tryUpdateJob(server, { id, s3Url: `${s3Url}/{x}` }))).toEqual([
      ['input.s3Url', 'BAD_PLACEHOLDER'],
    ]);
    const { body: job } = await ask<Settings>(server, `GET /jobs/${encodeURIComponent(id)}`);
    expect(await ask(server, 'PUT /jobs', { body: { ...job, description: null } })).toMatchObject({ status: 200 });
    expect(await ask(server, 'POST /jobs/check', { body: job })).toMatchObject({ status: 200 });
    expect(
      await ask(server, 'PUT /jobs', { body: { ...job, version: undefined, s3Url: 'exports/{x}' } }),
    ).toMatchObject({
      status: 400,
    });
  });
});
