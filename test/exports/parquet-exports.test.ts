import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { brokenPromises } from '../support/bucket-check.ts';
import { createFaults, type Faults } from '../support/faults.ts';
import {
  addRecords,
  cancelRun,
  createJob,
  endedRun,
  exportAgain,
  exportOnce,
  filterOf,
  readExport,
  runJob,
  runThat,
  updateJob,
} from '../support/job-steps.ts';
import { describeParquet, queryDuckDb, readParquet, withFiles } from '../support/parquet.ts';
import { startTestServer, type TestServer } from '../support/server.ts';
import { countThreads, SHOWS_THREADS } from '../support/thread-names.ts';

const SLOT = '2026-01-28T02:00:00Z';
const DAY = '2026-01-25T00:00:00Z';
const PART_BYTES = 4096;
const COUNT = 400;

let server: TestServer;
let faults: Faults;
beforeAll(async () => {
  server = await startTestServer({ env: { EXPORT_PART_BYTES: String(PART_BYTES), EXPORT_CONCURRENCY: '4' } });
  faults = createFaults(server.s3);
  await addRecords(
    server,
    'usage',
    'DAILY',
    Array.from({ length: COUNT }, (_, index) => ({
      timestamp: index % 2 === 0 ? DAY : '2026-01-26T00:00:00Z',
      filter: filterOf({ region: index % 3 === 0 ? ['eu', 'us'] : [`r${index % 5}`] }),
      elementName: `customer ${index}`,
      value: `${index * 7919}.${'123456789012345678'.slice(0, 1 + (index % 18))}`,
    })),
  );
});
afterAll(async () => {
  try {
    expect(brokenPromises(server.s3.puts)).toEqual([]);
    expect(server.s3.refusals).toEqual([]);
  } finally {
    await server.stop();
  }
});

const settings = { format: 'PARQUET', groupBy: ['element', 'region'] };

interface Series {
  readonly group: readonly { readonly dimension: string; readonly values: readonly string[] | null }[];
  readonly points: readonly { readonly bucketStart: string; readonly bucketEnd: string; readonly value: string }[];
}

const USAGE = `query ($input: UsageInput!) { usage(input: $input) { ... on Usage {
  series { group { dimension values } points { bucketStart bucketEnd value } } } } }`;
const WEEK = { aggregationBucket: 'DAY', from: '2026-01-21T00:00:00Z', to: '2026-01-28T00:00:00Z' };

const instant = (text: string): string => new Date(text).toISOString().replace('T', ' ').replace('.000Z', '+00');

/** The value with 18 decimals, as DuckDB shows it. */
function padded(value: string): string {
  const [whole = '', decimals = ''] = value.split('.');
  return `${whole}.${decimals.padEnd(18, '0')}`;
}

/** Rows of usage as DuckDB shows those of the file: bucket, element, region and value. */
async function usageRows(stream: string): Promise<unknown[][]> {
  const { usage } = await server.graphql<{ usage: { series: Series[] } }>(USAGE, {
    input: { ...WEEK, meterApiNames: [stream], groupBy: settings.groupBy },
  });
  return usage.series.flatMap(({ group, points }) =>
    points.map(({ bucketStart, bucketEnd, value }) => [
      instant(bucketStart),
      instant(bucketEnd),
      group[0]?.values?.[0],
      group[1]?.values,
      padded(value),
    ]),
  );
}

/** Sums of usage for each day, with 18 decimals. */
async function usageSums(stream: string): Promise<string[]> {
  const { usage } = await server.graphql<{ usage: { series: Series[] } }>(USAGE, {
    input: { ...WEEK, meterApiNames: [stream], groupBy: [] },
  });
  return usage.series.flatMap(({ points }) => points.map(({ value }) => padded(value)));
}

const byText = (rows: readonly unknown[][]): unknown[][] =>
  rows.toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));

describe.concurrent('PARQUET', () => {
  test.each(['NONE', 'GZIP', 'ZSTD'])('with compression %s has the rows of usage', async (compression) => {
    const job = { ...settings, meterApiNames: ['usage'], compression };
    const { run, bodies, manifest } = await exportOnce(server, job, SLOT);
    expect(run.objects.length).toBeGreaterThan(2);
    expect(run.objects.every(({ key }) => key.endsWith('.parquet'))).toBe(true);
    expect(run.rowsWritten).toBe(COUNT);
    expect(manifest.totals).toMatchObject({ rows: COUNT, roundedRows: 0 });
    const rows = await readParquet(bodies);
    expect(
      byText(rows.map((row) => [row['bucketStart'], row['bucketEnd'], row['element'], row['region'], row['value']])),
    ).toEqual(byText(await usageRows('usage')));
    expect(rows.map(({ element }) => element)).toEqual(
      ['', '1'].flatMap((odd) =>
        Array.from({ length: COUNT }, (_, index) => index)
          .filter((index) => index % 2 === Number(odd))
          .map((index) => `customer ${index}`)
          .sort(),
      ),
    );
  });

  test('has the columns of the job, and the same bytes when the window is written again', async () => {
    const job = { ...settings, groupBy: ['region', 'element-name'], meterApiNames: ['usage'], compression: 'ZSTD' };
    const first = await exportOnce(server, job, SLOT);
    expect(await describeParquet(first.bodies[0] ?? Buffer.alloc(0))).toEqual({
      meterApiName: 'VARCHAR',
      bucketStart: 'TIMESTAMP WITH TIME ZONE',
      bucketEnd: 'TIMESTAMP WITH TIME ZONE',
      region: 'VARCHAR[]',
      'element-name': 'VARCHAR',
      value: 'DECIMAL(38,18)',
    });
    const again = await exportAgain(server, first.jobId, SLOT);
    expect(again.bodies.map((body) => body.toString('hex'))).toEqual(first.bodies.map((body) => body.toString('hex')));
    const metadata = await withFiles(first.bodies, (glob) =>
      queryDuckDb(
        `SELECT DISTINCT decode(key) AS key, decode(value) AS value FROM parquet_kv_metadata('${glob}') ORDER BY 1`,
      ),
    );
    expect(metadata).toEqual([
      { key: 'sluice.job_id', value: first.jobId },
      { key: 'sluice.window_end', value: '2026-01-28T00:00:00.000Z' },
      { key: 'sluice.window_start', value: '2026-01-21T00:00:00.000Z' },
    ]);
  });

  test('leaves an empty file of the format at each key of an earlier run with more parts', async () => {
    const { jobId, bodies } = await exportOnce(server, { ...settings, meterApiNames: ['usage'] }, SLOT);
    await updateJob(server, jobId, { filter: filterOf({ element: 'customer 1' }), groupBy: ['element'] });
    const again = await exportAgain(server, jobId, SLOT);
    expect(again.bodies.length).toBe(bodies.length + 1);
    expect(again.run.objects.map(({ rows }) => rows)).toEqual([1, ...bodies.map(() => 0)]);
    expect(await readParquet(again.bodies)).toHaveLength(1);
    await updateJob(server, jobId, { format: 'CSV' });
    const csv = await exportAgain(server, jobId, SLOT);
    expect(await readParquet(csv.bodies.slice(1))).toEqual([]);
    expect(csv.run.objects.filter(({ key }) => key.endsWith('.parquet'))).toHaveLength(bodies.length + 1);
  });

  test('has a file with the columns when the window is empty', async () => {
    const { run, bodies, manifest } = await exportOnce(server, { ...settings, meterApiNames: ['none-yet'] }, SLOT);
    expect(run).toMatchObject({ rowsWritten: 0, status: 'SUCCEEDED' });
    expect(await readParquet(bodies)).toEqual([]);
    expect(await describeParquet(bodies[0] ?? Buffer.alloc(0))).toMatchObject({
      element: 'VARCHAR',
      region: 'VARCHAR[]',
    });
    expect(manifest.totals).toMatchObject({ rows: 0, roundedRows: 0 });
  });

  test('rounds beyond 18 decimals half to even, counts the rows in the manifest and warns', async () => {
    const values = ['0.0000000000000000025', '0.0000000000000000035', '1.5', '0'];
    await addRecords(
      server,
      'fine',
      'DAILY',
      values.map((value, index) => ({ timestamp: DAY, elementName: `e${index}`, value })),
    );
    const job = { ...settings, groupBy: ['element'], meterApiNames: ['fine'] };
    const { bodies, manifest, jobId, run } = await exportOnce(server, job, SLOT);
    const read = async (files: readonly Buffer[]) => (await readParquet(files)).map(({ value }) => value);
    expect(await read(bodies)).toEqual([
      '0.000000000000000002',
      '0.000000000000000004',
      '1.500000000000000000',
      '0.000000000000000000',
    ]);
    expect(manifest).toMatchObject({ totals: { rows: 4, roundedRows: 2 }, objects: [{ rows: 4, roundedRows: 2 }] });
    const warning =
      '2 values had more than 18 decimals and were rounded half to even. Export as CSV, JSON or NDJSON to keep all decimals.';
    expect(manifest).toMatchObject({ warnings: [warning] });
    const { run: stored } = await server.graphql<{ run: { warnings: string[] } }>(
      'query ($id: ID!) { run(id: $id) { warnings } }',
      { id: run.id },
    );
    expect(stored.warnings).toEqual([warning]);
    await updateJob(server, jobId, { rescaleFunction: { function: 'MULTIPLY', coefficient: '-1' } });
    const negative = await exportAgain(server, jobId, SLOT);
    expect(await read(negative.bodies)).toEqual([
      '-0.000000000000000002',
      '-0.000000000000000004',
      '-1.500000000000000000',
      '0.000000000000000000',
    ]);
  });

  test('fails with VALUE_TOO_LARGE, which says what to do, if a value has more than 20 digits before the point', async () => {
    await addRecords(server, 'large', 'DAILY', [
      { timestamp: DAY, elementName: 'a', value: '99999999999999999999.5' },
      { timestamp: DAY, elementName: 'b', value: '100000000000000000000' },
    ]);
    const jobId = await createJob(server, { ...settings, groupBy: ['element'], meterApiNames: ['large'] });
    const run = await endedRun(server, await runJob(server, jobId, SLOT));
    expect(run).toMatchObject({
      status: 'FAILED',
      attempt: 1,
      error: {
        code: 'VALUE_TOO_LARGE',
        retryable: false,
        message:
          "The value 100000000000000000000 has more than 20 digits before the point, which Parquet's DECIMAL(38, 18) cannot hold. Export as CSV, JSON or NDJSON, or make the values smaller with rescaleFunction.",
      },
    });
    await updateJob(server, jobId, { rescaleFunction: { function: 'MULTIPLY', coefficient: '0.1' } });
    expect(await readParquet((await exportAgain(server, jobId, SLOT)).bodies)).toHaveLength(2);
  });
});

describe('partitioned folder of Parquet files', () => {
  test('has only rows for DuckDB, although manifests are in it, and their sum is that of usage', async () => {
    const { jobId } = await exportOnce(
      server,
      {
        ...settings,
        meterApiNames: ['usage'],
        range: 'ago(1d)',
        s3Url: 's3://exports/lake/{job}/year={yyyy}/month={MM}/day={dd}',
        jobName: 'Lake',
      },
      '2026-01-26T06:00:00Z',
    );
    await exportAgain(server, jobId, '2026-01-27T06:00:00Z');
    const keys = new Set(server.s3.puts.map(({ key }) => key).filter((key) => key.startsWith('lake/')));
    expect([...keys].filter((key) => key.endsWith('.manifest.json'))).toHaveLength(2);
    const folder = await mkdtemp(join(tmpdir(), 'sluice-lake-'));
    try {
      for (const key of keys) {
        await mkdir(dirname(join(folder, key)), { recursive: true });
        await writeFile(join(folder, key), server.s3.object('exports', key)?.body ?? '');
      }
      const rows = await queryDuckDb(
        `SELECT year, month, day, count(*) AS rows, sum(value)::VARCHAR AS sum
         FROM read_parquet('${folder}/lake/**/*.parquet', hive_partitioning = true) GROUP BY ALL ORDER BY day`,
      );
      const sums = await usageSums('usage');
      expect(rows).toEqual(
        ['25', '26'].map((day, index) => ({ year: '2026', month: '01', day, rows: '200', sum: sums[index] })),
      );
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});

describe('run of a PARQUET job', () => {
  test('ends its thread when it is canceled in the middle, and the next run is complete', async () => {
    const folder = 'canceled/job/';
    const held = Promise.withResolvers<void>();
    faults.on(folder, ({ key }) => (key.includes('-00002') ? { hold: held.promise } : undefined));
    const job = { ...settings, meterApiNames: ['usage'], s3Url: 'exports/canceled', jobName: 'job' };
    const jobId = await createJob(server, job);
    const id = await runJob(server, jobId, SLOT);
    await runThat(server, id, ({ rowsWritten }) => rowsWritten > 0);
    if (SHOWS_THREADS) await expect.poll(() => countThreads('parquet')).toBe(1);
    await cancelRun(server, id);
    if (SHOWS_THREADS) await expect.poll(() => countThreads('parquet')).toBe(0);
    held.resolve();
    faults.clear(folder);
    const { run } = await exportAgain(server, jobId, SLOT);
    expect(readExport(server, run).manifest.state).toBe('complete');
    if (SHOWS_THREADS) await expect.poll(() => countThreads('parquet')).toBe(0);
  });
});
