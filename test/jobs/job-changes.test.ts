import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  createJob,
  deleteJob,
  innerId,
  issuesOf,
  jobSettings,
  querySql,
  runsOf,
  type Settings,
  tryCreateJob,
  tryDeleteJob,
  tryRunJob,
  tryUpdateJob,
  updateJob,
} from '../support/job-steps.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

// These servers have no worker, so runs stay QUEUED.

let server: TestServer;
let theirKey: string;
beforeAll(async () => {
  server = await startTestServer({ env: { ROLE: 'api' } });
  theirKey = await server.createKey('others', ['JOBS']);
});
afterAll(() => server.stop());

const inSeconds = (seconds: number): number => Math.floor(Date.now() / 1000) + seconds;

/** Every setting with a value that is not its default. */
const FULL = {
  description: 'For Ada',
  enabled: true,
  email: 'ada@example.com',
  format: 'NDJSON',
  compression: 'GZIP',
  aggregationBucket: 'HOUR',
  timeZone: 'Europe/Berlin',
  range: 'ago(3d)',
  endTimeOffset: 'ago(1h)',
  cron: '0 6 * * *',
  scheduledTimeInSeconds: null,
  meterApiNames: ['a', 'b'],
  groupBy: ['element'],
  filter: [{ dimension: 'region', values: ['eu'] }],
  sparse: false,
  minimizeFresh: false,
  rescaleFunction: { function: 'MULTIPLY', coefficient: '0.5' },
  restatement: 'NONE',
  restateAfter: 'ago(2h)',
  restateWithin: 'ago(100d)',
  completeWithin: 'ago(6h)',
};

const readJob = async (id: string, key?: string): Promise<Settings | null> => {
  const { job } = await server.graphql<{ job: Settings | null }>(
    `query ($id: ID!) { job(id: $id) { version jobName description enabled email s3Url format compression aggregationBucket
      timeZone range endTimeOffset cron scheduledTimeInSeconds meterApiNames groupBy filter { dimension values } sparse
      minimizeFresh rescaleFunction { function coefficient } restatement restateAfter restateWithin completeWithin nextRuns } }`,
    { id },
    key,
  );
  return job;
};

const nextRunAt = async (id: string): Promise<Date | null> => {
  const [row] = await querySql<{ at: Date | null }>(server, 'SELECT next_run_at AS at FROM jobs WHERE id = $1', [
    innerId(id),
  ]);
  return row?.at ?? null;
};

const issues = async (id: string, patch: Settings): Promise<string[]> =>
  issuesOf(await tryUpdateJob(server, { id, ...patch })).map(([path, code]) => `${path} ${code}`);

describe.concurrent('updateJob', () => {
  test('changes only the fields of the input', async () => {
    const id = await createJob(server, FULL);
    const before = await readJob(id);
    for (const patch of [
      { description: 'For Bob' },
      { format: 'CSV', compression: 'NONE' },
      { cron: '0 7 * * *' },
      { filter: [{ dimension: 'region', values: ['us'] }], groupBy: [] },
      { rescaleFunction: { function: 'MULTIPLY', coefficient: '2' } },
      { restatement: 'AUTOMATIC', restateAfter: 'ago(1m)', restateWithin: 'ago(400d)', completeWithin: 'ago(7d)' },
      { enabled: false },
      {},
    ]) {
      const earlier = await readJob(id);
      const version = Number(earlier?.['version']) + 1;
      expect(await updateJob(server, id, patch)).toMatchObject({
        ...earlier,
        nextRuns: expect.anything(),
        ...patch,
        version,
      });
    }
    expect(await readJob(id)).toMatchObject({ jobName: before?.['jobName'], s3Url: before?.['s3Url'], version: 9 });
  });

  test('clears optional fields and restores defaults when they are null', async () => {
    const id = await createJob(server, FULL);
    const cleared = {
      description: null,
      enabled: null,
      email: null,
      compression: null,
      timeZone: null,
      endTimeOffset: null,
      cron: null,
      scheduledTimeInSeconds: null,
      meterApiNames: null,
      groupBy: null,
      filter: null,
      sparse: null,
      minimizeFresh: null,
      rescaleFunction: null,
      restatement: null,
      restateAfter: null,
      restateWithin: null,
      completeWithin: null,
    };
    await updateJob(server, id, { enabled: false });
    expect(await updateJob(server, id, cleared)).toMatchObject({
      ...cleared,
      enabled: true,
      compression: 'NONE',
      timeZone: 'UTC',
      sparse: true,
      minimizeFresh: true,
      restatement: 'AUTOMATIC',
      restateAfter: 'ago(1h)',
      restateWithin: 'ago(35d)',
      format: 'NDJSON',
      range: 'ago(3d)',
      nextRuns: [],
    });
    expect(await runsOf(server, id)).toEqual([]);
  });

  test('reports required fields that are null together with all other issues', async () => {
    const id = await createJob(server, FULL);
    const before = await readJob(id);
    expect(
      (
        await issues(id, {
          jobName: null,
          s3Url: null,
          format: null,
          aggregationBucket: null,
          range: null,
          cron: 'never',
          endTimeOffset: 'ago(3d)',
        })
      ).toSorted(),
    ).toEqual([
      'input.aggregationBucket REQUIRED',
      'input.cron BAD_CRON',
      'input.endTimeOffset OFFSET_NOT_SHORTER',
      'input.format REQUIRED',
      'input.jobName REQUIRED',
      'input.range REQUIRED',
      'input.s3Url REQUIRED',
    ]);
    expect(await readJob(id)).toEqual(before);
  });

  test('validates the resulting job, not only the fields of the input', async () => {
    const id = await createJob(server, { ...FULL, endTimeOffset: 'ago(2d)' });
    expect(await issues(id, { range: 'ago(48h)' })).toEqual(['input.endTimeOffset OFFSET_NOT_SHORTER']);
    expect(await issues(id, { scheduledTimeInSeconds: inSeconds(60) })).toEqual([
      'input.scheduledTimeInSeconds TWO_SCHEDULES',
    ]);
    const switched = await updateJob(server, id, { cron: null, scheduledTimeInSeconds: inSeconds(600) });
    expect(switched['cron']).toBeNull();
    expect(await issues(id, { cron: '0 * * * *' })).toEqual(['input.scheduledTimeInSeconds TWO_SCHEDULES']);
    expect(await issues(id, { jobName: '(,)' })).toEqual(['input.jobName BAD_SLUG']);
  });

  test('of a job that a server of an earlier version stored > is not restated until it is switched on', async () => {
    const id = await createJob(server, { cron: '0 7 * * *' });
    const later = ['restatement', 'restateAfter', 'restateWithin', 'completeWithin'];
    const forget = () =>
      querySql(server, 'UPDATE jobs SET settings = settings - $2::text[] WHERE id = $1', [innerId(id), later]);
    const absent = {
      restatement: 'NONE',
      restateAfter: 'ago(1h)',
      restateWithin: 'ago(35d)',
      completeWithin: null,
    };
    await forget();
    expect(await readJob(id)).toMatchObject(absent);
    expect(await updateJob(server, id, { description: 'edited' })).toMatchObject(absent);
    expect(await readJob(id)).toMatchObject(absent);
    await forget();
    expect(await updateJob(server, id, { restatement: 'AUTOMATIC' })).toMatchObject({
      ...absent,
      restatement: 'AUTOMATIC',
    });
  });

  test('restates corrections that are found after the restatement was switched on', async () => {
    const id = await createJob(server, { restatement: 'NONE', restateAfter: 'ago(2h)' });
    const stored = async () =>
      (
        await querySql<{ since: Date | null; seconds: number }>(
          server,
          'SELECT restates_since AS since, settle_seconds AS seconds FROM jobs WHERE id = $1',
          [innerId(id)],
        )
      )[0];
    // Deliveries of a job without restatements are checked an hour after their mark.
    expect(await stored()).toEqual({ since: null, seconds: 3600 });
    await updateJob(server, id, { restatement: 'AUTOMATIC' });
    const on = await stored();
    expect(on).toEqual({ since: expect.any(Date) as Date, seconds: 7200 });
    await updateJob(server, id, { restateAfter: 'ago(5m)' });
    expect(await stored()).toEqual({ since: on?.since, seconds: 300 });
    await updateJob(server, id, { restatement: 'NONE' });
    await updateJob(server, id, { restatement: 'AUTOMATIC' });
    expect((await stored())?.since?.getTime()).toBeGreaterThan(on?.since?.getTime() ?? 0);
  });

  test('changes nothing when the version is stale, and accepts one of six concurrent edits of a version', async () => {
    const id = await createJob(server);
    expect(await updateJob(server, id, { version: 1, description: 'two' })).toMatchObject({ version: 2 });
    expect(await tryUpdateJob(server, { id, version: 1, description: 'late' })).toMatchObject({
      __typename: 'ConflictError',
      code: 'CONFLICT',
      message: expect.stringMatching(/expected version 1, but the current one is 2/),
    });
    const results = await Promise.all(
      Array.from({ length: 6 }, (_, index) => tryUpdateJob(server, { id, version: 2, description: `edit ${index}` })),
    );
    expect(results.map(({ __typename }) => __typename).toSorted()).toEqual([
      ...Array.from({ length: 5 }, () => 'ConflictError'),
      'Job',
    ]);
    const winner = results.find(({ __typename }) => __typename === 'Job');
    expect(await readJob(id)).toMatchObject({ version: 3, description: winner?.['description'] });
  });

  test('rejects a one-off time in the past when the update sets it, and keeps one that has passed', async () => {
    const id = await createJob(server, { enabled: true, scheduledTimeInSeconds: inSeconds(3600) });
    await querySql(
      server,
      `UPDATE jobs SET settings = jsonb_set(settings, '{scheduledTimeInSeconds}', '1700000000'), next_run_at = NULL WHERE id = $1`,
      [innerId(id)],
    );
    expect(await updateJob(server, id, { description: 'after it ran' })).toMatchObject({ nextRuns: [] });
    expect(await updateJob(server, id, { enabled: false })).toMatchObject({ scheduledTimeInSeconds: 1_700_000_000 });
    expect(await updateJob(server, id, { enabled: true, timeZone: 'Asia/Tokyo' })).toMatchObject({ nextRuns: [] });
    expect(await nextRunAt(id)).toBeNull();
    expect(await issues(id, { scheduledTimeInSeconds: 1_700_000_001 })).toEqual([
      'input.scheduledTimeInSeconds IN_THE_PAST',
    ]);
    await updateJob(server, id, { scheduledTimeInSeconds: null });
    expect(await issues(id, { scheduledTimeInSeconds: 1_700_000_000 })).toEqual([
      'input.scheduledTimeInSeconds IN_THE_PAST',
    ]);
    const at = inSeconds(600);
    expect(await updateJob(server, id, { scheduledTimeInSeconds: at })).toMatchObject({
      nextRuns: [new Date(at * 1000).toISOString().replace('.000Z', 'Z')],
    });
    expect(await nextRunAt(id)).toEqual(new Date(at * 1000));
  });

  test('keeps a due slot that is not yet queued unless the schedule changes', async () => {
    const id = await createJob(server, { enabled: true, cron: '0 * * * *' });
    const due = new Date('2026-01-28T02:00:00Z');
    const setDue = () => querySql(server, 'UPDATE jobs SET next_run_at = $2 WHERE id = $1', [innerId(id), due]);
    await setDue();
    await updateJob(server, id, { description: 'x', format: 'JSON', enabled: true, cron: '0 * * * *' });
    expect(await nextRunAt(id)).toEqual(due);
    await updateJob(server, id, { cron: '30 * * * *' });
    expect((await nextRunAt(id))?.getTime()).toBeGreaterThan(Date.now());
    await setDue();
    await updateJob(server, id, { enabled: false });
    expect(await nextRunAt(id)).toBeNull();
    await updateJob(server, id, { enabled: true });
    expect((await nextRunAt(id))?.getTime()).toBeGreaterThan(Date.now());
  });

  test('keeps a due one-off time that is not yet queued when only the time zone changes', async () => {
    const id = await createJob(server, { enabled: true, scheduledTimeInSeconds: inSeconds(3600) });
    await querySql(
      server,
      `UPDATE jobs SET settings = jsonb_set(settings, '{scheduledTimeInSeconds}', '1700000000'), next_run_at = to_timestamp(1700000000) WHERE id = $1`,
      [innerId(id)],
    );
    await updateJob(server, id, { timeZone: 'Asia/Tokyo' });
    expect(await nextRunAt(id)).toEqual(new Date(1_700_000_000_000));
  });

  test('returns NotFoundError when the job belongs to another account or was deleted, as do the other mutations', async () => {
    const id = await createJob(server);
    const deleted = await createJob(server);
    await deleteJob(server, deleted);
    const notFound = {
      __typename: 'NotFoundError',
      code: 'NOT_FOUND',
      message: 'The job does not exist. Check the id.',
    };
    for (const [one, key] of [
      [id, theirKey],
      [deleted, undefined],
      ['Sm9iOjE', undefined],
      [Buffer.from(`Run:${innerId(id)}`).toString('base64url'), undefined],
      ['', undefined],
    ] as const) {
      expect(await tryUpdateJob(server, { id: one, description: 'mine' }, key)).toEqual(notFound);
      expect(await tryDeleteJob(server, one, key)).toEqual(notFound);
      expect(await tryRunJob(server, { jobId: one }, key)).toEqual(notFound);
      expect(await readJob(one, key)).toBeNull();
    }
    expect(await readJob(id)).toMatchObject({ version: 1, description: null });
  });
});

describe.concurrent('job name and destination', () => {
  test('cannot repeat the name of another job of the account until that is deleted', async () => {
    const id = await createJob(server, { jobName: 'Taken' });
    expect(await tryCreateJob(server, jobSettings({ jobName: 'Taken', s3Url: 'my.bucket' }))).toMatchObject({
      __typename: 'ConflictError',
      code: 'CONFLICT',
      message: expect.stringContaining('"Taken"'),
    });
    const other = await createJob(server, { jobName: 'Other', s3Url: 'my.bucket' });
    expect(await tryUpdateJob(server, { id: other, jobName: 'Taken' })).toMatchObject({ __typename: 'ConflictError' });
    // Another account can use the name with another destination.
    await createJob(server, { jobName: 'Taken', s3Url: 'exports/theirs' }, theirKey);
    await deleteJob(server, id);
    expect(await tryUpdateJob(server, { id: other, jobName: 'Taken' })).toMatchObject({ __typename: 'Job' });
  });

  test.each([
    ['exports/place', 'Usage by day'],
    ['s3://exports/place/', 'usage, by (day)'],
    ['s3://exports/place', 'USAGE-BY-DAY'],
  ])('cannot repeat the destination of another job of any account (%s, %s)', async (s3Url, jobName) => {
    const first = await tryCreateJob(server, jobSettings({ s3Url: 'exports/place', jobName: 'Usage, by day' }));
    expect(['Job', 'ConflictError']).toContain(first.__typename);
    const mine = await tryCreateJob(server, jobSettings({ s3Url, jobName }));
    const theirs = await tryCreateJob(server, jobSettings({ s3Url, jobName }), theirKey);
    expect(mine).toMatchObject({ __typename: 'ConflictError', code: 'CONFLICT' });
    // Both accounts get the same message, without the name of the other job.
    expect(theirs).toEqual(mine);
    expect(mine['message']).not.toContain('Usage, by day');
    const moving = await createJob(server, { s3Url: 'my.bucket/place', jobName: `Moving ${s3Url.length}` }, theirKey);
    expect(await tryUpdateJob(server, { id: moving, s3Url, jobName }, theirKey)).toEqual(mine);
    // Jobs with another path, another bucket and another slug.
    for (const [index, free] of ['exports/place/deeper', 'other-exports/place', 'exports'].entries()) {
      const jobId = await createJob(server, { s3Url: free, jobName: `Free ${s3Url.length} ${index}` });
      expect(await tryUpdateJob(server, { id: jobId, s3Url: 'exports/place' })).toMatchObject({ version: 2 });
      await deleteJob(server, jobId);
    }
  });

  test('belong to one job when several are created concurrently', async () => {
    const same = await Promise.all(
      Array.from({ length: 5 }, () => tryCreateJob(server, jobSettings({ jobName: 'Race', s3Url: 'exports/race' }))),
    );
    const place = await Promise.all(
      ['Run (a)', 'Run-a', 'run a', 'RUN a', 'Run, a'].map((jobName) =>
        tryCreateJob(server, jobSettings({ jobName, s3Url: 'exports/race' })),
      ),
    );
    for (const results of [same, place]) {
      expect(results.map(({ __typename }) => __typename).toSorted()).toEqual([
        ...Array.from({ length: 4 }, () => 'ConflictError'),
        'Job',
      ]);
    }
  });

  test('belong to one job when several move to a destination concurrently', async () => {
    const ids = await Promise.all(
      Array.from({ length: 4 }, (_, index) =>
        createJob(server, { s3Url: `exports/from/${index}`, jobName: `mover ${index}` }),
      ),
    );
    const results = await Promise.all(
      ids.map((id, index) =>
        tryUpdateJob(server, { id, s3Url: 'exports/to', jobName: ['m o', 'M o', 'm,o', 'm-o'][index] }),
      ),
    );
    expect(results.map(({ __typename }) => __typename).toSorted()).toEqual([
      'ConflictError',
      'ConflictError',
      'ConflictError',
      'Job',
    ]);
  });
});

describe.concurrent('job without a schedule', () => {
  test('runs once when it is created enabled, and not when it is edited', async () => {
    const before = Date.now();
    const id = await createJob(server, { enabled: true, aggregationBucket: 'HOUR', range: 'ago(1h)' });
    const runs = await runsOf(server, id);
    expect(runs).toMatchObject([
      { trigger: 'IMMEDIATE', status: 'QUEUED', attempt: 0, startedAt: null, finishedAt: null, error: null },
    ]);
    const slot = Date.parse(runs[0]?.scheduledFor ?? '');
    expect(slot).toBeGreaterThan(before - 1000);
    expect(slot).toBeLessThanOrEqual(Date.now());
    expect(slot % 1000).toBe(0);
    await updateJob(server, id, { description: 'edited' });
    await updateJob(server, id, { enabled: false });
    await updateJob(server, id, { enabled: true });
    expect(await runsOf(server, id)).toHaveLength(1);
  });

  test('does not run when it is created disabled or with a schedule', async () => {
    const ids = await Promise.all([
      createJob(server, { enabled: false }),
      createJob(server, { enabled: true, cron: '0 0 1 1 *' }),
      createJob(server, { enabled: true, scheduledTimeInSeconds: inSeconds(3600) }),
    ]);
    for (const id of ids) expect(await runsOf(server, id)).toEqual([]);
    await updateJob(server, ids[0] ?? '', { enabled: true });
    await updateJob(server, ids[1] ?? '', { cron: null });
    for (const id of ids) expect(await runsOf(server, id)).toEqual([]);
  });
});

describe.concurrent('runJob', () => {
  test.each([
    ['2026-01-28T02:00:00Z', '2026-01-28T02:00:00Z'],
    ['2026-01-28T02:00:00.999+05:30', '2026-01-27T20:30:00Z'],
    ['1900-01-01T00:00:00Z', '1900-01-01T00:00:00Z'],
  ])('creates a new MANUAL run for the slot %s each time when the job is disabled', async (sent, slot) => {
    const jobId = await createJob(server, { enabled: false });
    for (let count = 1; count <= 2; count += 1) {
      expect(await tryRunJob(server, { jobId, scheduledFor: sent })).toMatchObject({
        __typename: 'Run',
        trigger: 'MANUAL',
        status: 'QUEUED',
        scheduledFor: slot,
      });
      expect(await runsOf(server, jobId)).toHaveLength(count);
    }
  });

  test.each([
    ['tomorrow', 'BAD_TIMESTAMP'],
    ['2026-01-28', 'BAD_TIMESTAMP'],
    ['2026-02-30T00:00:00Z', 'BAD_TIMESTAMP'],
    ['2026-01-28T02:00:00', 'BAD_TIMESTAMP'],
    ['1899-12-31T23:59:59Z', 'BAD_TIMESTAMP'],
    [new Date(Date.now() + 25 * 3_600_000).toISOString(), 'FUTURE_TIMESTAMP'],
  ])('rejects the slot %s', async (scheduledFor, code) => {
    const jobId = await createJob(server);
    expect(issuesOf(await tryRunJob(server, { jobId, scheduledFor }))).toEqual([['input.scheduledFor', code]]);
    expect(await runsOf(server, jobId)).toEqual([]);
  });
});

test('deleteJob > hides the job from every query and keeps its runs', async () => {
  const id = await createJob(server, { enabled: true, jobName: 'short-lived' });
  await deleteJob(server, id);
  const answer = await server.graphql<{ jobs: { totalCount: number }; node: unknown; runs: { edges: unknown[] } }>(
    `query ($id: ID!) { jobs(search: "short-lived") { totalCount } node(id: $id) { id }
       runs(jobId: $id) { edges { node { jobName status job { id } error { code } } } } }`,
    { id },
  );
  expect(answer).toEqual({
    jobs: { totalCount: 0 },
    node: null,
    runs: { edges: [{ node: { jobName: 'short-lived', status: 'CANCELED', job: null, error: null } }] },
  });
  expect(await tryDeleteJob(server, id)).toMatchObject({ __typename: 'NotFoundError' });
});
