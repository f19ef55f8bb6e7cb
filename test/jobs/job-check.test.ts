import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { withClient } from '../support/postgres-admin.ts';
import {
  addRecords,
  createJob,
  endedRun,
  filterOf,
  innerId,
  issuesOf,
  jobSettings,
  querySql,
  readExport,
  type Result,
  runJob,
  type Settings,
} from '../support/job-steps.ts';
import { readParquet } from '../support/parquet.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

let server: TestServer;
const daysAgo = (days: number): string => new Date(Date.now() - days * 86_400_000).toISOString();
const TEXTS = [
  'plain',
  'a,b',
  '"',
  'x|y',
  'back\\slash',
  ' blank ',
  '\u2028',
  '\u{1f600}',
  "'",
  'null',
  'e',
  '$1',
  '%',
];
beforeAll(async () => {
  server = await startTestServer();
  await addRecords(server, 'daily', 'DAILY', [
    ...TEXTS.map((text, index) => ({
      timestamp: daysAgo(2),
      filter: filterOf({ region: [text, 'all'], tier: index % 2 ? 'odd' : 'even' }),
      elementName: text,
      value: `${index}.50`,
    })),
    { timestamp: daysAgo(1), filter: filterOf({ region: 'all', tier: 'odd' }), elementName: 'e', value: '1e20' },
  ]);
  await addRecords(server, 'hourly', 'HOURLY', [
    { timestamp: daysAgo(1), filter: filterOf({ tier: 'odd' }), elementName: 'e', value: '7' },
    { timestamp: daysAgo(2), filter: filterOf({ tier: 'none' }), elementName: 'e', value: '3' },
  ]);
  // A deleted stream, whose records are hidden.
  await addRecords(server, 'gone', 'DAILY', [{ timestamp: daysAgo(1), elementName: 'e', value: '5' }]);
  await server.graphql(`mutation { deleteStream(name: "gone") { __typename } }`);
});
afterAll(() => server.stop());

interface JobCheck {
  readonly job: Settings;
  readonly query: {
    readonly windowStart: string;
    readonly windowEnd: string;
    readonly aggregationBucket: string;
    readonly meterApiNames: string[];
    readonly groupBy: string[];
    readonly filter: { dimension: string; values: string[] }[];
    readonly sql: string;
    readonly parameters: (string | null)[];
  };
  readonly nextRuns: string[];
  readonly objectKeys: string[];
  readonly sample: string[];
  readonly warnings: string[];
}

const tryCheck = async (input: Settings, id: string | null = null, on = server): Promise<Result> => {
  const { checkJob } = await on.graphql<{ checkJob: Result }>(
    `mutation ($input: CreateJobInput!, $id: ID) { checkJob(input: $input, id: $id) { __typename
       ... on JobCheck {
         job { jobName description enabled email s3Url bucketOwner format compression aggregationBucket timeZone range endTimeOffset cron
           scheduledTimeInSeconds meterApiNames groupBy filter { dimension values } sparse minimizeFresh
           rescaleFunction { function coefficient } }
         query { windowStart windowEnd aggregationBucket meterApiNames groupBy filter { dimension values } sql parameters }
         nextRuns objectKeys sample warnings }
       ... on UserError { code message } ... on ValidationError { issueCount issues { path code message } } } }`,
    { input, id },
  );
  return checkJob;
};

const check = async (input: Settings, id: string | null = null, on = server): Promise<JobCheck> => {
  const result = await tryCheck(input, id, on);
  if (result.__typename !== 'JobCheck') throw new Error(JSON.stringify(result));
  return result as unknown as JobCheck;
};

/** Returns the check and the export of a run with the same settings and window. */
const checkAndRun = async (settings: Settings) => {
  for (;;) {
    const checked = await check(settings);
    const jobId = await createJob(server, settings);
    // A window up to now ends at the slot of its run.
    const slot = settings['minimizeFresh'] === false ? checked.query.windowEnd : undefined;
    const run = await endedRun(server, await runJob(server, jobId, slot));
    // If a day or another bucket ended between check and run, both are repeated with another job name.
    if (run.windowEnd === checked.query.windowEnd) return { checked, run, ...readExport(server, run) };
    settings = { ...settings, jobName: `${String(settings['jobName'])} again` };
  }
};

/** Returns the data lines of a file, without header and brackets. */
const linesOf = (format: string, text: string): string[] => {
  if (format === 'JSON') return text === '[]' ? [] : text.slice(1, -1).split(/(?<=\}),(?=\{)/);
  const lines = text.split('\n').slice(0, -1);
  return format === 'CSV' ? lines.slice(1).map((line) => line.replace(/\r$/, '')) : lines;
};

type Row = Readonly<Record<string, string | string[] | null>>;

/** Formats a row of the SELECT as a line of the file, using only what a client knows of SQL and JSON. */
const toJsonLine = (row: Row, groupBy: readonly string[]): string => {
  const { meterApiName, bucketStart, bucketEnd, value } = row;
  const groups = groupBy.map((name, index) => `,${JSON.stringify(name)}:${JSON.stringify(row[`g${index + 1}`])}`);
  const head = JSON.stringify({ meterApiName, bucketStart, bucketEnd }).slice(0, -1);
  return `${head}${groups.join('')},"value":${String(value)}}`;
};

const RICH: Settings = {
  meterApiNames: ['hourly', 'daily'],
  groupBy: ['tier', 'element', 'region'],
  filter: filterOf({ tier: ['odd', 'even'] }),
  range: 'ago(5d)',
  rescaleFunction: { function: 'MULTIPLY', coefficient: '-0.5' },
};

describe.concurrent('result of checkJob', () => {
  test.each<[string, Settings]>([
    ['the default settings', {}],
    ['groups, a filter and a coefficient', RICH],
    ['zeros that fill gaps', { ...RICH, sparse: false, timeZone: 'America/New_York' }],
    [
      'hours of a zone',
      { groupBy: ['element'], aggregationBucket: 'HOUR', timeZone: 'Asia/Kolkata', range: 'ago(4d)' },
    ],
    ['weeks', { aggregationBucket: 'WEEK', range: 'ago(14d)', endTimeOffset: 'ago(1d)', timeZone: 'Europe/Berlin' }],
    ['a window up to now', { range: 'ago(3d)', minimizeFresh: false, groupBy: ['tier'] }],
    ['streams that do not exist', { meterApiNames: ['gone', 'never-there'], groupBy: ['element'] }],
  ])('has a SELECT with parameters that returns the rows of the file with %s', async (_name, settings) => {
    const { checked, run, text } = await checkAndRun(jobSettings({ ...settings, format: 'NDJSON' }));
    const { sql, parameters } = checked.query;
    expect(sql).toMatch(/^SELECT /);
    expect(sql).not.toMatch(/COPY|--|\/\*|;/);
    const { rows } = await withClient(server.database.url, (client) => client.query<Row>(sql, parameters));
    const groupBy = (settings['groupBy'] ?? []) as string[];
    expect(rows.map((row) => toJsonLine(row, groupBy))).toEqual(linesOf('NDJSON', text));
    expect(run.rowsWritten).toBe(rows.length);
    expect(checked.sample).toEqual(linesOf('NDJSON', text).slice(0, 10));
  });

  test('has the first ten rows of a PARQUET file as sample, as lines of NDJSON', async () => {
    const settings = jobSettings({ ...RICH, filter: null, format: 'PARQUET' });
    const { checked, bodies } = await checkAndRun(settings);
    const rows = await readParquet(bodies);
    const instant = (text: unknown): string => new Date(String(text).replace('+00', 'Z')).toISOString();
    expect(rows.length).toBeGreaterThan(10);
    expect(
      checked.sample.map((line) => {
        const { bucketStart, bucketEnd, value, ...names } = JSON.parse(line) as Record<string, unknown>;
        return { ...names, bucketStart: instant(bucketStart), bucketEnd: instant(bucketEnd), value };
      }),
    ).toEqual(
      rows.slice(0, 10).map(({ bucketStart, bucketEnd, value, ...names }) => ({
        ...names,
        bucketStart: instant(bucketStart),
        bucketEnd: instant(bucketEnd),
        value: Number(value),
      })),
    );
  });

  test.each([
    ['CSV', {}],
    ['JSON', {}],
    ['NDJSON', {}],
    ['CSV', { csvDialect: 'EXCEL' }],
    ['CSV', { csvDelimiter: 'SEMICOLON' }],
    ['CSV', { csvDialect: 'EXCEL', csvDelimiter: 'SEMICOLON' }],
  ])('has the first ten lines of the %s file as sample with %j', async (format, more) => {
    const settings = jobSettings({ ...RICH, format, filter: null, ...more });
    const { checked, text } = await checkAndRun(settings);
    const lines = linesOf(format, text);
    expect(lines.length).toBeGreaterThan(10);
    expect(checked.sample).toEqual(lines.slice(0, 10));
  });

  test.each<[string, Settings]>([
    ['exports/keys/deep', { format: 'JSON', compression: 'GZIP' }],
    ['s3://my.bucket/', { format: 'CSV', timeZone: 'Asia/Kolkata', minimizeFresh: false }],
  ])('has the object keys of the run below %s, the manifest last', async (s3Url, settings) => {
    const { s3 } = server;
    const base = jobSettings({ s3Url, meterApiNames: ['daily'], ...settings });
    for (;;) {
      const { objectKeys, query } = await check(base);
      const run = await endedRun(server, await runJob(server, await createJob(server, base)));
      expect(run.status).toBe('SUCCEEDED');
      if (run.windowEnd !== query.windowEnd) {
        // The run began in a later second than the check, which is part of its keys.
        expect(objectKeys).toHaveLength(2);
        const slot = await endedRun(server, await runJob(server, run.job?.id ?? '', query.windowEnd));
        expect(objectKeys).toEqual([...slot.objects.map(({ key }) => key), slot.manifestKey]);
      } else expect(objectKeys).toEqual([...run.objects.map(({ key }) => key), run.manifestKey]);
      expect(s3.refusals).toEqual([]);
      return;
    }
  });

  test('has the window, the streams, the groups and the filter of the query', async () => {
    const before = Math.floor(Date.now() / 86_400_000);
    const { query } = await check(jobSettings({ ...RICH, groupBy: null, meterApiNames: ['hourly', 'gone', 'daily'] }));
    const day = (number: number): string => new Date(number * 86_400_000).toISOString().replace('.000Z', 'Z');
    const today = Math.floor(Date.now() / 86_400_000);
    expect([before, today].map((end) => [day(end - 5), day(end)])).toContainEqual([query.windowStart, query.windowEnd]);
    expect(query).toMatchObject({
      aggregationBucket: 'DAY',
      meterApiNames: ['daily', 'hourly'],
      groupBy: [],
      filter: filterOf({ tier: ['odd', 'even'] }),
    });
    expect((await check(jobSettings())).query.meterApiNames).toEqual(['daily', 'hourly']);
  });

  test('has the job with its defaults, and the next slots of an enabled job', async () => {
    const settings = jobSettings({ enabled: true, cron: '15 3 * * *', timeZone: 'America/New_York' });
    const { job, nextRuns } = await check(settings);
    expect(job).toEqual({
      ...settings,
      description: null,
      email: null,
      compression: 'NONE',
      bucketOwner: null,
      endTimeOffset: null,
      scheduledTimeInSeconds: null,
      meterApiNames: null,
      groupBy: null,
      filter: null,
      sparse: true,
      minimizeFresh: true,
      rescaleFunction: null,
    });
    const id = await createJob(server, settings);
    const created = await server.graphql<{ job: { nextRuns: string[] } }>(
      `query ($id: ID!) { job(id: $id) { nextRuns } }`,
      { id },
    );
    expect(nextRuns).toHaveLength(5);
    expect(nextRuns).toEqual(created.job.nextRuns);
    expect((await check(jobSettings({ cron: '15 3 * * *' }))).nextRuns).toEqual([]);
  });
});

describe.concurrent('warnings of checkJob', () => {
  test('are empty when every stream and dimension exists', async () => {
    const settings = jobSettings({ ...RICH, groupBy: ['element', 'tier', 'region'] });
    expect((await check(settings)).warnings).toEqual([]);
  });

  test.each<[string, Settings, RegExp[]]>([
    [
      'a stream that does not exist',
      { meterApiNames: ['daily', 'Daily', 'gone'] },
      [/stream "Daily" does not exist/, /stream "gone" does not exist/],
    ],
    [
      'a dimension that no stream has',
      { groupBy: ['tier', 'teir', 'element'], filter: filterOf({ teir: 'odd', elementName: 'e', Region: 'eu' }) },
      [/dimension "teir"/, /dimension "Region"/],
    ],
    [
      'a dimension that only another stream has',
      { meterApiNames: ['hourly'], groupBy: ['region'] },
      [/dimension "region"/],
    ],
    [
      'columns whose names differ only in case',
      { meterApiNames: ['daily'], groupBy: ['region', 'Region', 'VALUE'] },
      [
        /dimension "Region"/,
        /dimension "VALUE"/,
        /"Region" differs from the column "region" only in case/,
        /"VALUE" differs from the column of every export "value" only in case/,
      ],
    ],
    ['daily records in hour buckets', { aggregationBucket: 'HOUR' }, [/"daily" .*first hour of its date/]],
    [
      'a zone with half hours over hourly records',
      { timeZone: 'Asia/Kolkata' },
      [/Asia\/Kolkata is not whole hours.*"hourly"/],
    ],
    ['an e-mail address without SMTP_URL', { email: 'ada@example.com' }, [/SMTP_URL/]],
  ])('report %s', async (_name, settings, expected) => {
    const { warnings } = await check(jobSettings({ range: 'ago(3d)', ...settings }));
    expect(warnings).toEqual(expected.map((pattern) => expect.stringMatching(pattern) as string));
  });

  test.each<[string, Settings]>([
    ['hour buckets without a stream of daily records', { aggregationBucket: 'HOUR', meterApiNames: ['hourly'] }],
    [
      'a zone with half hours without a stream of hourly records',
      { timeZone: 'Asia/Kolkata', meterApiNames: ['daily'] },
    ],
    ['a zone of whole hours', { timeZone: 'Pacific/Apia' }],
  ])('do not report %s', async (_name, settings) => {
    expect((await check(jobSettings(settings))).warnings).toEqual([]);
  });

  test('report more rows than sparse: false may create, and the sample is empty', async () => {
    const { warnings, sample } = await check(
      jobSettings({ aggregationBucket: 'HOUR', range: 'ago(8000d)', sparse: false, groupBy: ['element'] }),
    );
    expect(sample).toEqual([]);
    expect(warnings).toContainEqual(expect.stringMatching(/rows, but the maximum is 1000000/));
  });
});

describe('checkJob', () => {
  test('stores nothing and starts no run', async () => {
    const counts = () =>
      querySql(
        server,
        `SELECT (SELECT count(*) FROM jobs) AS jobs, (SELECT count(*) FROM runs) AS runs, (SELECT count(*) FROM operations) AS operations,
           (SELECT count(*) FROM pgboss.job) AS messages, (SELECT max(updated_at) FROM jobs) AS updated`,
      );
    const [before, puts] = [await counts(), server.s3.puts.length];
    const id = await createJob(server, { jobName: 'checked' });
    await querySql(server, 'DELETE FROM jobs WHERE id = $1', [innerId(id)]);
    await check(jobSettings({ enabled: true, email: 'ada@example.com' }));
    expect(await counts()).toEqual(before);
    expect(server.s3.puts.length).toBe(puts);
  });

  test('validates like createJob, name and destination included, when it has no id', async () => {
    await createJob(server, { jobName: 'Occupied', s3Url: 'exports/occupied' });
    expect(await tryCheck(jobSettings({ jobName: 'Occupied' }))).toMatchObject({
      __typename: 'ConflictError',
      message: expect.stringContaining('"Occupied"'),
    });
    expect(await tryCheck(jobSettings({ jobName: 'OCCUPIED', s3Url: 's3://exports/occupied/' }))).toMatchObject({
      __typename: 'ConflictError',
      code: 'CONFLICT',
    });
    expect(
      issuesOf(await tryCheck(jobSettings({ cron: '@daily', scheduledTimeInSeconds: 1, groupBy: ['value'] }))),
    ).toEqual([
      ['input.scheduledTimeInSeconds', 'TWO_SCHEDULES'],
      ['input.cron', 'BAD_CRON'],
      ['input.scheduledTimeInSeconds', 'IN_THE_PAST'],
      ['input.groupBy.0', 'RESERVED_DIMENSION'],
    ]);
  });

  test('validates like updateJob of a job when it has the id of that job', async () => {
    const settings = jobSettings({ jobName: 'Mine', scheduledTimeInSeconds: Math.floor(Date.now() / 1000) + 600 });
    const id = await createJob(server, settings);
    await createJob(server, { jobName: 'Neighbour' });
    expect((await check({ ...settings, format: 'JSON' }, id)).job).toMatchObject({ jobName: 'Mine', format: 'JSON' });
    expect(await tryCheck({ ...settings, jobName: 'Neighbour' }, id)).toMatchObject({ __typename: 'ConflictError' });
    await querySql(
      server,
      `UPDATE jobs SET settings = jsonb_set(settings, '{scheduledTimeInSeconds}', '1700000000') WHERE id = $1`,
      [innerId(id)],
    );
    const past = { ...settings, scheduledTimeInSeconds: 1_700_000_000 };
    expect((await check(past, id)).nextRuns).toEqual([]);
    expect(issuesOf(await tryCheck({ ...past, scheduledTimeInSeconds: 1_700_000_001 }, id))).toEqual([
      ['input.scheduledTimeInSeconds', 'IN_THE_PAST'],
    ]);
    const theirKey = await server.createKey('others', ['JOBS']);
    for (const [one, key] of [
      [id, theirKey],
      ['Sm9iOjE', server.key],
    ] as const) {
      const answer = await server.graphql<{ checkJob: Result }>(
        `mutation ($input: CreateJobInput!, $id: ID) { checkJob(input: $input, id: $id) { __typename ... on UserError { code } } }`,
        { input: jobSettings(), id: one },
        key,
      );
      expect(answer.checkJob).toEqual({ __typename: 'NotFoundError', code: 'NOT_FOUND' });
    }
  });
});
