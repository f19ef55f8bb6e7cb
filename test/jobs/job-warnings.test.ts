import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createLogLines } from '../support/log-lines.ts';
import {
  addRecords,
  createJob,
  endedRun,
  exportOnce,
  filterOf,
  issuesOf,
  jobSettings,
  querySql,
  readExport,
  readRun,
  type Result,
  runJob,
  type Settings,
  tryCreateJob,
  tryUpdateJob,
  updateJob,
} from '../support/job-steps.ts';
import { withClient } from '../support/postgres-admin.ts';
import { startTestServer, type TestServer } from '../support/server.ts';
import { ask, type RestFailure } from '../rest/requests.ts';

const SLOT = '2026-01-28T02:00:00Z';
const REGOIN = 'None of the streams has the dimension "regoin". Did you mean "region"?';
const NO_MAIL = 'No email will be sent, because SMTP_URL is not set on the server.';

const logged = createLogLines();
let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ resources: { log: logged.log } });
  await addRecords(server, 'calls', 'DAILY', [
    { timestamp: '2026-01-25T00:00:00Z', elementName: 'e', value: '1', filter: filterOf({ region: 'eu', tier: 'a' }) },
  ]);
});
afterAll(() => server.stop());

const tryCheckJob = async (input: Settings, id?: string): Promise<Result> => {
  const { checkJob } = await server.graphql<{ checkJob: Result }>(
    `mutation ($input: CreateJobInput!, $id: ID) { checkJob(input: $input, id: $id) { __typename ... on JobCheck { warnings }
       ... on UserError { code message } ... on ValidationError { issueCount issues { path code message } } } }`,
    { input, id },
  );
  return checkJob;
};

const storedWarnings = async (id: string): Promise<unknown> => {
  const { job } = await server.graphql<{ job: Result }>(`query ($id: ID!) { job(id: $id) { warnings } }`, { id });
  return job['warnings'];
};

/** The same settings as a body of the REST routes. */
const restBody = ({ filter, ...settings }: Settings) => ({
  ...settings,
  ...(filter !== undefined && {
    filter: Object.fromEntries(
      (filter as { dimension: string; values: string[] }[]).map((f) => [f.dimension, f.values]),
    ),
  }),
});

const countJobs = async () => (await querySql<{ count: string }>(server, 'SELECT count(*) FROM jobs'))[0]?.count;

const TWO = { groupBy: ['regoin'], meterApiNames: ['calls', 'soon'] };
const TWO_WARNINGS = ['The stream "soon" does not exist yet.', REGOIN];

describe('warnings of a job', () => {
  test('are returned by checkJob, createJob, job and updateJob, computed from the settings that result', async () => {
    const settings = jobSettings(TWO);
    expect((await tryCheckJob(settings))['warnings']).toEqual(TWO_WARNINGS);
    const created = await tryCreateJob(server, settings);
    expect(created['warnings']).toEqual(TWO_WARNINGS);
    const id = created['id'] as string;
    expect(await storedWarnings(id)).toEqual(TWO_WARNINGS);
    // The other warning is about a field that the update does not change.
    expect((await updateJob(server, id, { meterApiNames: null }))['warnings']).toEqual([REGOIN]);
    expect(await storedWarnings(id)).toEqual([REGOIN]);
    expect((await updateJob(server, id, { groupBy: ['region'] }))['warnings']).toEqual([]);
    expect(await storedWarnings(id)).toEqual([]);
  });

  test('are returned by POST, PUT, GET and the list of REST', async () => {
    const body = restBody(jobSettings(TWO));
    type Job = { readonly id: string; readonly warnings: string[] };
    const created = await ask<Job>(server, 'POST /jobs', { body });
    expect([created.status, created.body.warnings]).toEqual([201, TWO_WARNINGS]);
    const { id } = created.body;
    expect((await ask<Job>(server, `GET /jobs/${id}`)).body.warnings).toEqual(TWO_WARNINGS);
    const jobs = await ask<Job[]>(server, 'GET /jobs?limit=100');
    expect(jobs.body.find((job) => job.id === id)?.warnings).toEqual(TWO_WARNINGS);
    const one = { ...body, meterApiNames: ['calls'] };
    expect((await ask<Job>(server, 'PUT /jobs', { body: { ...one, id } })).body.warnings).toEqual([REGOIN]);
    // A response can be sent back: its warnings are ignored.
    const back = (await ask<Job>(server, `GET /jobs/${id}`)).body;
    expect((await ask<Job>(server, `PUT /jobs/${id}`, { body: back })).body.warnings).toEqual([REGOIN]);
    expect((await ask<Job>(server, 'POST /jobs/check', { body: { ...body, id } })).body.warnings).toEqual(TWO_WARNINGS);
  });

  test.each<[string, Settings, string[]]>([
    [
      'a misspelt dimension of the filter',
      { filter: filterOf({ teir: 'a' }) },
      ['None of the streams has the dimension "teir". Did you mean "tier"?'],
    ],
    [
      'a misspelt element',
      { groupBy: ['elemnet'] },
      ['None of the streams has the dimension "elemnet". Did you mean "element"?'],
    ],
    [
      'a dimension in upper case',
      { groupBy: ['REGION'] },
      ['None of the streams has the dimension "REGION". Did you mean "region"?'],
    ],
    [
      'a dimension that resembles none',
      { groupBy: ['customer'] },
      ['None of the streams has the dimension "customer".'],
    ],
    [
      'windows of a schedule that overlap',
      { cron: '0 6 * * *', range: 'ago(2d)' },
      [
        'The windows of consecutive slots overlap, and older files are not rewritten after a correction. For each bucket, read the complete manifest with the latest window end.',
      ],
    ],
    ['windows of a schedule that do not overlap', { cron: '0 6 * * *', range: 'ago(1d)' }, []],
    ['an email address without SMTP_URL', { email: 'a@example.com' }, [NO_MAIL]],
    [
      'hour buckets over daily records',
      { aggregationBucket: 'HOUR' },
      ['The records of "calls" are daily or monthly. Each counts in the first hour of its date.'],
    ],
  ])('of createJob and of checkJob are equal for %s', async (_name, settings, expected) => {
    const input = jobSettings(settings);
    const { warnings } = await tryCheckJob(input);
    expect(warnings).toEqual(expected);
    expect((await tryCreateJob(server, input))['warnings']).toEqual(warnings);
  });

  test('include the limit of rows of sparse: false', async () => {
    const filled = await startTestServer({ env: { ROLE: 'api', MAX_FILLED_ROWS: '2' } });
    try {
      await addRecords(filled, 'calls', 'DAILY', [
        { timestamp: new Date().toISOString(), elementName: 'e', value: '1' },
      ]);
      const input = jobSettings({ sparse: false, minimizeFresh: false });
      const created = await tryCreateJob(filled, input);
      expect(created['warnings']).toEqual([expect.stringMatching(/rows, but the maximum is 2\./)]);
      expect(issuesOf(await tryUpdateJob(filled, { id: created['id'], strict: true }))).toEqual([
        ['input.sparse', 'WARNING'],
      ]);
      const changed = await updateJob(filled, created['id'] as string, { sparse: true });
      expect(changed['warnings']).toEqual([]);
    } finally {
      await filled.stop();
    }
  });

  test('leave out the limit of rows when the count does not end', async () => {
    const input = jobSettings({ sparse: false, groupBy: ['regoin'] });
    const created = await withClient(server.database.url, async (client) => {
      await client.query('BEGIN');
      await client.query('LOCK TABLE records IN ACCESS EXCLUSIVE MODE');
      try {
        return await tryCreateJob(server, input);
      } finally {
        await client.query('ROLLBACK');
      }
    });
    expect(created['warnings']).toEqual([REGOIN]);
  });

  test('name five of 1,000 streams and of 40 dimensions, and 100 characters of a name', async () => {
    const names = Array.from({ length: 1000 }, (_, index) => `${index}${'x'.repeat(200)}`);
    const { warnings } = await tryCreateJob(
      server,
      jobSettings({
        meterApiNames: names,
        groupBy: Array.from({ length: 20 }, (_, index) => `${index}${'g'.repeat(250)}`),
        filter: Array.from({ length: 20 }, (_, index) => ({ dimension: `${index}${'f'.repeat(250)}`, values: ['v'] })),
      }),
    );
    const list = warnings as string[];
    expect(list).toHaveLength(12);
    expect(list[5]).toBe('995 other streams of meterApiNames do not exist yet.');
    expect(list[11]).toBe('35 other dimensions of groupBy and filter are not in any of the streams.');
    expect(Math.max(...list.map((warning) => warning.length))).toBeLessThan(200);
  });

  test('are of the settings that two concurrent updates result in', async () => {
    const id = await createJob(server);
    await Promise.all([
      updateJob(server, id, { groupBy: ['regoin'] }),
      updateJob(server, id, { meterApiNames: ['calls', 'soon'] }),
    ]);
    expect(await storedWarnings(id)).toEqual(TWO_WARNINGS);
  });
});

describe('strict', () => {
  const SEVERAL = { ...TWO, filter: filterOf({ teir: 'a' }), email: 'a@example.com' };
  const ISSUES = [
    ['meterApiNames', 'WARNING'],
    ['groupBy', 'WARNING'],
    ['filter', 'WARNING'],
    ['email', 'WARNING'],
  ];
  const inInput = ISSUES.map(([field, code]) => [`input.${field}`, code]);

  test('makes every warning an issue of createJob and checkJob, and nothing is stored', async () => {
    const before = await countJobs();
    const input = jobSettings({ ...SEVERAL, strict: true });
    expect(issuesOf(await tryCreateJob(server, input))).toEqual(inInput);
    expect(issuesOf(await tryCheckJob(input))).toEqual(inInput);
    expect(await countJobs()).toBe(before);
    const { issueCount, issues } = await tryCreateJob(server, jobSettings({ groupBy: ['regoin'], strict: true }));
    expect([issueCount, issues]).toEqual([1, [{ path: ['input', 'groupBy'], code: 'WARNING', message: REGOIN }]]);
  });

  test('makes every warning an issue of updateJob, also one about a field that does not change', async () => {
    const id = await createJob(server, { groupBy: ['regoin'] });
    const refused = await tryUpdateJob(server, { id, email: 'a@example.com', strict: true });
    expect(issuesOf(refused)).toEqual([
      ['input.groupBy', 'WARNING'],
      ['input.email', 'WARNING'],
    ]);
    expect(await storedWarnings(id)).toEqual([REGOIN]);
    const allowed = await tryUpdateJob(server, { id, groupBy: ['region'], strict: true });
    expect([allowed['groupBy'], allowed['warnings']]).toEqual([['region'], []]);
  });

  test('makes every warning an issue of POST, PUT and /jobs/check', async () => {
    const body = restBody(jobSettings({ ...SEVERAL, strict: true }));
    const id = await createJob(server);
    const before = await countJobs();
    const rejected = await Promise.all([
      ask<RestFailure>(server, 'POST /jobs', { body }),
      ask<RestFailure>(server, `PUT /jobs/${id}`, { body }),
      ask<RestFailure>(server, 'PUT /jobs', { body: { ...body, id } }),
      ask<RestFailure>(server, 'POST /jobs/check', { body }),
    ]);
    for (const { status, body: failure } of rejected) {
      expect(status).toBe(400);
      expect(failure.error.code).toBe('VALIDATION_FAILED');
      expect(failure.error.issues.map(({ path, code }) => [path.join('.'), code])).toEqual(ISSUES);
    }
    expect(await countJobs()).toBe(before);
    expect(await storedWarnings(id)).toEqual([]);
  });

  test('accepts settings without a warning, and is neither stored nor returned', async () => {
    const created = await tryCreateJob(server, jobSettings({ groupBy: ['region'], strict: true }));
    expect(created['warnings']).toEqual([]);
    const [stored] = await querySql<{ settings: Settings }>(server, `SELECT settings FROM jobs WHERE name = $1`, [
      created['jobName'],
    ]);
    expect(stored?.settings).not.toHaveProperty('strict');
    const body = restBody(jobSettings({ strict: true }));
    const answer = await ask<Settings>(server, 'POST /jobs', { body });
    expect(answer.status).toBe(201);
    expect(answer.body).not.toHaveProperty('strict');
    expect((await ask(server, 'POST /jobs', { body: { ...body, strict: 'yes' } })).body.error.issues).toEqual([
      { path: ['strict'], code: 'BAD_TYPE', message: 'Must be true or false.' },
    ]);
  });
});

describe('warnings of a run', () => {
  const linesAbout = (runId: string) =>
    logged.lines().filter((line) => line['runId'] === runId && line['warnings'] !== undefined);

  test('are stored with it, in the manifest and in the log once, without that about mail', async () => {
    const { run, manifest } = await exportOnce(server, { groupBy: ['regoin'], email: 'a@example.com' }, SLOT);
    expect(run).toMatchObject({ status: 'SUCCEEDED', rowsWritten: 1, warnings: [REGOIN] });
    expect(manifest.warnings).toEqual([REGOIN]);
    expect(linesAbout(run.id)).toMatchObject([{ msg: 'the run has warnings', warnings: [REGOIN], level: 40 }]);
    const { body } = await ask<{ warnings: string[] }>(server, `GET /runs/${run.id}`);
    expect(body.warnings).toEqual([REGOIN]);
  });

  test('are empty for a queued run, and of the state that the run read', async () => {
    const jobId = await createJob(server, { groupBy: ['zone'] });
    const queued = await querySql<{ warnings: string[] }>(server, `SELECT warnings FROM runs WHERE status = 'QUEUED'`);
    expect(queued.every(({ warnings }) => warnings.length === 0)).toBe(true);
    const run = await endedRun(server, await runJob(server, jobId, SLOT));
    expect(run.warnings).toEqual(['None of the streams has the dimension "zone".']);
    await addRecords(server, 'zoned', 'DAILY', [
      { timestamp: '2026-01-25T00:00:00Z', elementName: 'e', value: '1', filter: filterOf({ zone: 'a' }) },
    ]);
    expect((await endedRun(server, await runJob(server, jobId, SLOT))).warnings).toEqual([]);
    expect((await readRun(server, run.id)).warnings).toEqual(['None of the streams has the dimension "zone".']);
    // Those of the job are of its last check.
    expect(await storedWarnings(jobId)).toEqual(['None of the streams has the dimension "zone".']);
  });

  test('are stored with a run that fails', async () => {
    const id = await runJob(server, await createJob(server, { groupBy: ['regoin'], s3Url: 'no-such-bucket/w' }), SLOT);
    expect(await endedRun(server, id)).toMatchObject({ status: 'FAILED', warnings: [REGOIN] });
    expect(linesAbout(id)).toHaveLength(1);
  });

  test('are logged once when attempts are repeated', async () => {
    const jobId = await createJob(server, { groupBy: ['regoin'], s3Url: 's3://exports/flaky' });
    let failures = 0;
    server.s3.setFault(({ key }) =>
      key.startsWith('flaky') && ++failures === 1 ? { status: 503, code: 'SlowDown' } : undefined,
    );
    const run = await endedRun(server, await runJob(server, jobId, SLOT));
    server.s3.setFault(undefined);
    expect(run).toMatchObject({ status: 'SUCCEEDED', warnings: [REGOIN] });
    expect(run.attempt).toBeGreaterThan(1);
    expect(readExport(server, run).manifest.warnings).toEqual([REGOIN]);
    expect(linesAbout(run.id)).toHaveLength(1);
  });
});
