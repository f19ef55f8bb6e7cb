import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { issuesOf, jobSettings, type Settings, tryCreateJob } from '../support/job-steps.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ env: { ROLE: 'api' } });
});
afterAll(() => server.stop());

const long = (length: number): string => 'x'.repeat(length);
const inSeconds = (seconds: number): number => Math.floor(Date.now() / 1000) + seconds;

type Row = readonly [field: string, value: unknown, ...issues: string[]];

/** A field, an invalid value, and each issue as path and code. The path defaults to the field. */
const REFUSED: readonly Row[] = [
  ['jobName', '', 'jobName BAD_JOB_NAME', 'jobName BAD_SLUG'],
  ['jobName', ' a', 'BAD_JOB_NAME'],
  ['jobName', 'a ', 'BAD_JOB_NAME'],
  ['jobName', 'a_b', 'BAD_JOB_NAME'],
  ['jobName', 'a\tb', 'BAD_JOB_NAME'],
  ['jobName', 'größe', 'BAD_JOB_NAME'],
  ['jobName', long(256), 'BAD_JOB_NAME'],
  ['jobName', '(,)', 'BAD_SLUG'],
  ['description', long(2001), 'TOO_LONG'],
  ['description', 'a\u0000b', 'BAD_TEXT'],
  ['description', 'a\ud800b', 'BAD_TEXT'],
  ['email', '', 'BAD_EMAIL'],
  ['email', 'ada', 'BAD_EMAIL'],
  ['email', 'a@b@c.example', 'BAD_EMAIL'],
  ['email', 'a@b.example,c@d.example', 'BAD_EMAIL'],
  ['email', 'Ada <a@b.example>', 'BAD_EMAIL'],
  ['email', 'a@b.example\r\nBcc: c@d.example', 'BAD_EMAIL'],
  ['email', `${long(64)}@${`${long(60)}.`.repeat(4)}example`, 'BAD_EMAIL'],
  ['s3Url', '', 'BAD_BUCKET'],
  ['s3Url', 'ab', 'BAD_BUCKET'],
  ['s3Url', 'Exports', 'BAD_BUCKET'],
  ['s3Url', 'my..bucket', 'BAD_BUCKET'],
  ['s3Url', '192.168.0.1', 'BAD_BUCKET'],
  ['s3Url', 'arn:aws:s3:::exports', 'BAD_BUCKET'],
  ['s3Url', 'https://exports.s3.amazonaws.com', 'BAD_BUCKET'],
  ['s3Url', 'exports-s3alias', 'BAD_BUCKET'],
  ['s3Url', 'exports--use1-az4--x-s3/a', 'BAD_BUCKET'],
  ['s3Url', 'exports//a', 'BAD_PATH'],
  ['s3Url', 'exports/a//', 'BAD_PATH'],
  ['s3Url', 'exports/../a', 'BAD_PATH'],
  ['s3Url', 'exports/./a', 'BAD_PATH'],
  ['s3Url', 'exports/a\u0007', 'BAD_PATH'],
  ['s3Url', `exports/${long(1000)}`, 'KEY_TOO_LONG'],
  ['timeZone', '', 'BAD_TIME_ZONE'],
  ['timeZone', '+05:30', 'BAD_TIME_ZONE'],
  ['timeZone', 'PST', 'BAD_TIME_ZONE'],
  ['timeZone', 'Factory', 'BAD_TIME_ZONE'],
  ['timeZone', 'Mars/Olympus_Mons', 'BAD_TIME_ZONE'],
  ['restateAfter', '', 'BAD_RESTATE_AFTER'],
  ['restateAfter', '1h', 'BAD_RESTATE_AFTER'],
  ['restateAfter', 'ago(0m)', 'BAD_RESTATE_AFTER'],
  ['restateAfter', 'ago(1441m)', 'BAD_RESTATE_AFTER'],
  ['restateAfter', 'ago(25h)', 'BAD_RESTATE_AFTER'],
  ['restateAfter', 'ago(2d)', 'BAD_RESTATE_AFTER'],
  ['restateAfter', 'previous(day)', 'BAD_RESTATE_AFTER'],
  ['restateWithin', '', 'BAD_RESTATE_WITHIN'],
  ['restateWithin', 'ago(0d)', 'BAD_RESTATE_WITHIN'],
  ['restateWithin', 'ago(36501d)', 'BAD_RESTATE_WITHIN'],
  ['restateWithin', 'toDate(month)', 'BAD_RESTATE_WITHIN'],
  ['completeWithin', '', 'BAD_COMPLETE_WITHIN'],
  ['completeWithin', 'ago(0h)', 'BAD_COMPLETE_WITHIN'],
  ['completeWithin', 'ago(8d)', 'BAD_COMPLETE_WITHIN'],
  ['completeWithin', 'ago(169h)', 'BAD_COMPLETE_WITHIN'],
  ['completeWithin', 'previous(day)', 'BAD_COMPLETE_WITHIN'],
  ['range', '', 'BAD_RANGE'],
  ['range', '7d', 'BAD_RANGE'],
  ['range', 'ago(0d)', 'BAD_RANGE'],
  ['range', 'ago(-1d)', 'BAD_RANGE'],
  ['range', 'ago(07d)', 'BAD_RANGE'],
  ['range', 'ago(1.5d)', 'BAD_RANGE'],
  ['range', 'ago(1w)', 'BAD_RANGE'],
  ['range', 'ago(1d) ', 'BAD_RANGE'],
  ['range', 'ago(36501d)', 'BAD_RANGE'],
  ['range', 'previous(year)', 'BAD_RANGE'],
  ['range', 'previous(1d)', 'BAD_RANGE'],
  ['range', 'toDate(day)', 'BAD_RANGE'],
  ['range', 'todate(month)', 'BAD_RANGE'],
  ['range', 'previous(month) ', 'BAD_RANGE'],
  ['range', 'constructor', 'BAD_RANGE'],
  ['endTimeOffset', 'ago(1M)', 'BAD_DURATION'],
  ['endTimeOffset', 'previous(day)', 'BAD_DURATION'],
  ['endTimeOffset', 'toDate(month)', 'BAD_DURATION'],
  ['endTimeOffset', 'ago(7d)', 'OFFSET_NOT_SHORTER'],
  ['endTimeOffset', 'ago(168h)', 'OFFSET_NOT_SHORTER'],
  ['endTimeOffset', 'ago(10081m)', 'OFFSET_NOT_SHORTER'],
  ['cron', '', 'BAD_CRON'],
  ['cron', '@daily', 'BAD_CRON'],
  ['cron', '* * * *', 'BAD_CRON'],
  ['cron', '0 * * * * *', 'BAD_CRON'],
  ['cron', '60 * * * *', 'BAD_CRON'],
  ['cron', '0 0 L * *', 'BAD_CRON'],
  ['cron', '0 0 ? * *', 'BAD_CRON'],
  ['cron', '0 0 31 2 *', 'BAD_CRON'],
  ['scheduledTimeInSeconds', 0, 'IN_THE_PAST'],
  ['scheduledTimeInSeconds', inSeconds(-1), 'IN_THE_PAST'],
  ['scheduledTimeInSeconds', -1, 'BAD_EPOCH_SECONDS'],
  ['scheduledTimeInSeconds', inSeconds(60) + 0.5, 'BAD_EPOCH_SECONDS'],
  ['scheduledTimeInSeconds', inSeconds(60) * 1000, 'BAD_EPOCH_SECONDS'],
  ['meterApiNames', [], 'NO_STREAMS'],
  ['meterApiNames', ['a', 'b c'], 'meterApiNames.1 BAD_STREAM_NAME'],
  ['meterApiNames', ['..'], 'meterApiNames.0 BAD_STREAM_NAME'],
  ['meterApiNames', ['a', 'A', 'a'], 'meterApiNames.2 DUPLICATE_STREAM'],
  ['meterApiNames', Array.from({ length: 1001 }, (_, index) => `s${index}`), 'TOO_MANY_STREAMS'],
  ['groupBy', ['a', 'a'], 'groupBy.1 DUPLICATE_DIMENSION'],
  ['groupBy', ['element', 'element_name'], 'groupBy.1 DUPLICATE_DIMENSION'],
  ['groupBy', [''], 'groupBy.0 EMPTY'],
  ['groupBy', ['a\nb'], 'groupBy.0 CONTROL_CHARACTER'],
  ['groupBy', ['a\ud800'], 'groupBy.0 MALFORMED_UNICODE'],
  ['groupBy', [long(257)], 'groupBy.0 TOO_LONG'],
  ['groupBy', ['value', 'bucketStart'], 'groupBy.0 RESERVED_DIMENSION', 'groupBy.1 RESERVED_DIMENSION'],
  ['groupBy', Array.from({ length: 21 }, (_, index) => `d${index}`), 'TOO_MANY_DIMENSIONS'],
  ['filter', [{ dimension: 'a', values: [] }], 'filter.0.values NO_VALUES'],
  ['filter', [{ dimension: '', values: ['x'] }], 'filter.0.dimension EMPTY'],
  ['filter', [{ dimension: 'a', values: ['x', ''] }], 'filter.0.values.1 EMPTY'],
  ['filter', [{ dimension: 'a', values: ['a\tb'] }], 'filter.0.values.0 CONTROL_CHARACTER'],
  ['filter', [{ dimension: 'meterApiName', values: ['s'] }], 'filter.0.dimension RESERVED_DIMENSION'],
  [
    'filter',
    [
      { dimension: 'a', values: ['x'] },
      { dimension: 'a', values: ['y'] },
    ],
    'filter.1.dimension DUPLICATE_DIMENSION',
  ],
  [
    'filter',
    [{ dimension: 'a', values: Array.from({ length: 1001 }, (_, index) => `v${index}`) }],
    'filter.0.values TOO_MANY_VALUES',
  ],
  ...(
    [
      ['', 'BAD_DECIMAL'],
      ['NaN', 'BAD_DECIMAL'],
      ['1,5', 'BAD_DECIMAL'],
      ['1e9999', 'BAD_DECIMAL'],
      ['9'.repeat(39), 'TOO_MANY_DIGITS'],
      [`0.${'0'.repeat(38)}1`, 'TOO_MANY_DIGITS'],
      [0.1234567890123456, 'PRECISION_LOST'],
    ] as const
  ).map(([coefficient, code]): Row => [
    'rescaleFunction',
    { function: 'MULTIPLY', coefficient },
    `rescaleFunction.coefficient ${code}`,
  ]),
];

const expectedOf = ([field, , ...issues]: Row): string[] =>
  issues.map((issue) => `input.${issue.includes(' ') ? issue : `${field} ${issue}`}`);

const issuesFor = async (settings: Settings): Promise<string[]> =>
  issuesOf(await tryCreateJob(server, settings)).map(([path, code]) => `${path} ${code}`);

describe.concurrent('createJob', () => {
  test.each(REFUSED.map((row) => [row[0], row[1], row] as const))('rejects the %s %j', async (field, value, row) => {
    expect(await issuesFor({ ...jobSettings(), [field]: value })).toEqual(expectedOf(row));
  });

  test.each([
    ['jobName', 'A'],
    ['jobName', 'Usage (EU), all - daily'],
    ['jobName', long(255)],
    ['description', `${long(1990)}\n\u2028\u{1f600}`],
    ['email', 'first.last+tag@sub-domain.example'],
    ['s3Url', 's3://my.bucket/a/b/'],
    ['s3Url', 'exports/'],
    ['timeZone', 'Asia/Kolkata'],
    ['timeZone', 'America/Argentina/Buenos_Aires'],
    ['range', 'ago(36500d)'],
    ['endTimeOffset', 'ago(10079m)'],
    ['cron', '*/15 8-18 * * MON-FRI'],
    ['cron', '0 0 29 2 *'],
    ['scheduledTimeInSeconds', inSeconds(3600)],
    ['meterApiNames', ['a.b_c-D', 'A.b_c-D']],
    ['groupBy', ['element', ' Region ', '\u{1f600}', long(256)]],
    ['groupBy', []],
    ['filter', [{ dimension: 'elementName', values: ['x', 'x'] }]],
    ['filter', []],
    ['rescaleFunction', { function: 'MULTIPLY', coefficient: '-1.50' }],
    ['rescaleFunction', { function: 'MULTIPLY', coefficient: 0.001 }],
    ['rescaleFunction', { function: 'MULTIPLY', coefficient: `0.${'0'.repeat(37)}1` }],
    ['restateAfter', 'ago(1m)'],
    ['restateAfter', 'ago(1d)'],
    ['restateAfter', 'ago(1440m)'],
    ['restateWithin', 'ago(1m)'],
    ['restateWithin', 'ago(36500d)'],
    ['completeWithin', 'ago(1m)'],
    ['completeWithin', 'ago(7d)'],
    ['completeWithin', 'ago(168h)'],
  ])('accepts the %s %j', async (field, value) => {
    const settings = { ...jobSettings({ s3Url: `exports/${field.toLowerCase()}` }), [field]: value };
    expect(await tryCreateJob(server, settings)).toMatchObject({ __typename: 'Job', version: 1 });
  });

  test('removes white space around a cron, as checkJob, updateJob and PUT do', async () => {
    const settings = jobSettings({ s3Url: 'exports/blank-cron', enabled: false });
    const { createJob, checkJob } = await server.graphql<{
      createJob: { id: string; cron: string };
      checkJob: { job: { cron: string } };
    }>(
      `mutation ($input: CreateJobInput!, $other: CreateJobInput!) {
        createJob(input: $input) { ... on Job { id cron } }
        checkJob(input: $other) { ... on JobCheck { job { cron } } }
      }`,
      {
        input: { ...settings, cron: ' \t15 3 * * * ' },
        other: { ...settings, cron: '20 3 * * *\n', jobName: 'Another', s3Url: 'exports/another-blank-cron' },
      },
    );
    const { updateJob } = await server.graphql<{ updateJob: { cron: string } }>(
      'mutation ($input: UpdateJobInput!) { updateJob(input: $input) { ... on Job { cron } } }',
      { input: { id: createJob.id, cron: ' 30 4 * * *' } },
    );
    const put = await fetch(`${server.url}/jobs/${createJob.id}`, {
      method: 'PUT',
      headers: { 'x-api-key': server.key },
      body: JSON.stringify({ ...settings, cron: '45 5 * * * ' }),
    });
    const { cron } = (await put.json()) as { cron: string };
    expect([createJob.cron, checkJob.job.cron, updateJob.cron, cron]).toEqual([
      '15 3 * * *',
      '20 3 * * *',
      '30 4 * * *',
      '45 5 * * *',
    ]);
  });

  test('reports all issues together and stores nothing', async () => {
    const result = await tryCreateJob(server, {
      jobName: '(,)',
      description: long(2001),
      email: 'ada',
      s3Url: 'Exports',
      format: 'CSV',
      aggregationBucket: 'DAY',
      timeZone: 'Mars/Olympus_Mons',
      range: '7d',
      endTimeOffset: 'ago(0h)',
      cron: '@daily',
      scheduledTimeInSeconds: 0,
      meterApiNames: ['?'],
      groupBy: ['a', 'a'],
      filter: [{ dimension: 'a', values: [] }],
      rescaleFunction: { function: 'MULTIPLY', coefficient: 'NaN' },
    });
    expect(result).toMatchObject({ code: 'VALIDATION_FAILED', issueCount: 14 });
    expect(issuesOf(result).map(([path, code]) => `${path} ${code}`)).toEqual([
      'input.description TOO_LONG',
      'input.email BAD_EMAIL',
      'input.meterApiNames.0 BAD_STREAM_NAME',
      'input.s3Url BAD_BUCKET',
      'input.jobName BAD_SLUG',
      'input.timeZone BAD_TIME_ZONE',
      'input.range BAD_RANGE',
      'input.endTimeOffset BAD_DURATION',
      'input.scheduledTimeInSeconds TWO_SCHEDULES',
      'input.cron BAD_CRON',
      'input.scheduledTimeInSeconds IN_THE_PAST',
      'input.groupBy.1 DUPLICATE_DIMENSION',
      'input.filter.0.values NO_VALUES',
      'input.rescaleFunction.coefficient BAD_DECIMAL',
    ]);
    const { jobs } = await server.graphql<{ jobs: { totalCount: number } }>(`{ jobs(search: "(,)") { totalCount } }`);
    expect(jobs.totalCount).toBe(0);
  });

  test('rejects cron together with scheduledTimeInSeconds', async () => {
    const settings = jobSettings({ cron: '0 * * * *', scheduledTimeInSeconds: inSeconds(3600) });
    expect(await issuesFor(settings)).toEqual(['input.scheduledTimeInSeconds TWO_SCHEDULES']);
  });

  test.each([
    ['HOUR', 'ago(8000d)', null],
    ['HOUR', 'ago(9000d)', 'input.range WINDOW_TOO_LONG'],
    ['DAY', 'ago(36500d)', null],
  ])('limits the number of buckets in a window (%s, %s)', async (aggregationBucket, range, issue) => {
    const result = await tryCreateJob(server, jobSettings({ aggregationBucket, range }));
    if (issue === null) expect(result.__typename).toBe('Job');
    else expect(issuesOf(result).map(([path, code]) => `${path} ${code}`)).toEqual([issue]);
  });

  const UNITS = ['previous(day)', 'previous(week)', 'previous(month)', 'toDate(week)', 'toDate(month)', 'toDate(year)'];
  test.each([
    ['HOUR', UNITS],
    ['DAY', UNITS],
    ['WEEK', ['previous(week)', 'toDate(week)']],
    ['MONTH', ['previous(month)', 'toDate(month)', 'toDate(year)']],
  ])('accepts %s buckets with %j and no other calendar range', async (aggregationBucket, fitting) => {
    for (const range of UNITS) {
      const result = await tryCreateJob(server, jobSettings({ aggregationBucket, range }));
      if (fitting.includes(range)) expect(result).toMatchObject({ __typename: 'Job', range });
      else expect(issuesOf(result)).toEqual([['input.range', 'BUCKET_TOO_LARGE']]);
    }
  });

  test('names the buckets that fit into a calendar range', async () => {
    const result = await tryCreateJob(server, jobSettings({ aggregationBucket: 'MONTH', range: 'previous(week)' }));
    expect(result['issues']).toMatchObject([
      {
        message:
          'previous(week) does not consist of whole MONTH buckets. Set aggregationBucket to HOUR, DAY or WEEK, or choose another range.',
      },
    ]);
  });

  test('accepts an endTimeOffset longer than the unit of a calendar range', async () => {
    const result = await tryCreateJob(server, jobSettings({ range: 'previous(day)', endTimeOffset: 'ago(36500d)' }));
    expect(result.__typename).toBe('Job');
  });

  test('reports a bad endTimeOffset and a bucket that does not fit together', async () => {
    const settings = jobSettings({ aggregationBucket: 'WEEK', range: 'toDate(month)', endTimeOffset: 'previous(day)' });
    expect(await issuesFor(settings)).toEqual(['input.range BUCKET_TOO_LARGE', 'input.endTimeOffset BAD_DURATION']);
  });

  test('returns the first 100 issues and the number of all', async () => {
    const result = await tryCreateJob(server, jobSettings({ meterApiNames: Array.from({ length: 150 }, () => '?') }));
    // Each of the 150 names is invalid, and all but the first are repeated.
    expect(result['issueCount']).toBe(299);
    expect(issuesOf(result)).toHaveLength(100);
  });

  test('sets defaults for absent fields', async () => {
    const settings = {
      jobName: 'plain',
      s3Url: 'exports/plain',
      format: 'JSON',
      aggregationBucket: 'WEEK',
      range: 'ago(14d)',
    };
    expect(await tryCreateJob(server, settings)).toMatchObject({
      ...settings,
      version: 1,
      enabled: true,
      compression: 'NONE',
      timeZone: 'UTC',
      sparse: true,
      minimizeFresh: true,
      description: null,
      email: null,
      endTimeOffset: null,
      cron: null,
      scheduledTimeInSeconds: null,
      meterApiNames: null,
      groupBy: null,
      filter: null,
      rescaleFunction: null,
      restatement: 'AUTOMATIC',
      restateAfter: 'ago(1h)',
      restateWithin: 'ago(35d)',
      completeWithin: null,
      nextRuns: [],
    });
  });

  test('returns the settings as sent, with decimals in plain notation', async () => {
    const settings = jobSettings({
      description: 'For\nAda',
      enabled: true,
      email: 'ada@example.com',
      s3Url: 's3://my.bucket/usage/',
      format: 'NDJSON',
      compression: 'GZIP',
      aggregationBucket: 'MONTH',
      timeZone: 'America/New_York',
      range: 'ago(400d)',
      endTimeOffset: 'ago(90m)',
      cron: '30 8 * * 1-5',
      meterApiNames: ['b', 'a'],
      groupBy: ['element', 'region'],
      filter: [{ dimension: 'region', values: ['us', 'eu'] }],
      sparse: false,
      minimizeFresh: false,
    });
    expect(
      await tryCreateJob(server, { ...settings, rescaleFunction: { function: 'MULTIPLY', coefficient: '1.50e-2' } }),
    ).toMatchObject({ ...settings, rescaleFunction: { function: 'MULTIPLY', coefficient: '0.015' } });
  });

  test.each([
    ['cron is a number', { cron: 5 }],
    ['scheduledTimeInSeconds is a string', { scheduledTimeInSeconds: '1800000000' }],
    ['the format is unknown', { format: 'XML' }],
    ['a field with a default is null', { timeZone: null }],
    ['the name is missing', { jobName: undefined }],
    ['a field is unknown', { schedule: '0 * * * *' }],
  ])('returns a top-level error when %s', async (_name, settings) => {
    const answer = await server.request(
      `mutation ($input: CreateJobInput!) { createJob(input: $input) { __typename } }`,
      { input: { ...jobSettings(), ...settings } },
    );
    expect(answer.errors?.[0]?.extensions?.['code']).toBe('BAD_USER_INPUT');
    expect(answer.data ?? null).toBeNull();
  });
});
