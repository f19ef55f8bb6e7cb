import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createFaults, type Faults } from '../support/faults.ts';
import {
  addRecords,
  createJob,
  endedRun,
  exportOnce,
  innerId,
  querySql,
  runJob,
  updateJob,
} from '../support/job-steps.ts';
import { withClient } from '../support/postgres-admin.ts';
import { scrape, type Scrape } from '../support/scrape.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';
import { startSmtp, type TestSmtp } from '../support/smtp.ts';

// Each metric changes with what its help text describes, while related metrics stay the same.

const DAY = '2026-01-25T00:00:00Z';
const SLOT = '2026-01-28T02:00:00Z';
const STREAMS = '{ streams(first: 1) { edges { node { id } } } }';
type Labels = Readonly<Record<string, string>>;

/** Scrapes until all metrics have the expected values, for up to 30 s, and then compares them. */
const expectFigures = async (
  url: string,
  wanted: readonly (readonly [name: string, labels: Labels, value: number])[],
): Promise<Scrape> => {
  const read = (seen: Scrape): unknown[] => wanted.map(([name, labels]) => [name, labels, seen.value(name, labels)]);
  let last: Scrape | undefined;
  await eventually(
    async () => (last = await scrape(url)),
    (seen) => JSON.stringify(read(seen)) === JSON.stringify(wanted),
    30_000,
  ).catch(() => undefined);
  expect(read(last!)).toEqual(wanted);
  return last!;
};

describe('metrics of a server without a worker', () => {
  const LAG = 'sluice_slot_lag_seconds';
  const AGE = 'sluice_oldest_waiting_run_age_seconds';
  let server: TestServer;
  beforeAll(async () => {
    server = await startTestServer({ env: { ROLE: 'api', DATABASE_POOL: '3', ACCOUNT_POOL_SHARE: '67' } });
  });
  afterAll(() => server.stop());

  const read = async () => {
    const seen = await scrape(server.url);
    const figure = (name: string) => seen.value(name) ?? Number.NaN;
    return { lag: figure(LAG), age: figure(AGE), runs: figure('sluice_runs') };
  };

  test('report the lag of an overdue slot and the age of a waiting run independently', async () => {
    const job = await createJob(server, { jobName: 'overdue', enabled: true, cron: '0 2 28 1 *' });
    await querySql(server, `UPDATE jobs SET next_run_at = now() - interval '300 seconds' WHERE id = $1`, [
      innerId(job),
    ]);
    const overdue = await eventually(read, ({ lag }) => lag > 0);
    expect(overdue.lag).toBeGreaterThanOrEqual(300);
    expect(overdue.lag).toBeLessThan(400);
    expect([overdue.age, overdue.runs]).toEqual([0, 0]);

    await updateJob(server, job, { enabled: false });
    const run = await runJob(server, job, SLOT);
    await querySql(server, `UPDATE runs SET created_at = now() - interval '100 seconds' WHERE id = $1`, [innerId(run)]);
    const waiting = await eventually(read, ({ age }) => age >= 100);
    expect(waiting.age).toBeLessThan(200);
    expect(waiting.lag).toBe(0);
    await querySql(server, 'DELETE FROM runs');
  });

  test('count waiting, paused and running runs separately', async () => {
    const job = await createJob(server, { jobName: 'several' });
    const runs: string[] = [];
    for (let index = 0; index < 6; index += 1) runs.push(innerId(await runJob(server, job, SLOT)));
    const change = (statement: string, from: number, to: number) =>
      querySql(server, `UPDATE runs SET ${statement} WHERE id = ANY ($1::uuid[])`, [runs.slice(from, to)]);
    await change(`not_before = now() + interval '1 hour'`, 1, 3);
    await change(`status = 'RUNNING'`, 3, 6);
    await expectFigures(server.url, [
      ['sluice_runs', { status: 'QUEUED' }, 1],
      ['sluice_runs', { status: 'PAUSED' }, 2],
      ['sluice_runs', { status: 'RUNNING' }, 3],
    ]);
    await querySql(server, 'DELETE FROM runs');
  });

  test('count connections in use, requests that wait for one, and idle connections', async () => {
    const other = await server.createKey('other', ['READ']);
    await withClient(server.database.url, async (locking) => {
      await locking.query('BEGIN; LOCK TABLE streams IN ACCESS EXCLUSIVE MODE');
      // Two requests use the share of the account in the pool; the third waits for the share.
      const answers = Array.from({ length: 3 }, () => server.graphql(STREAMS));
      await expectFigures(server.url, [
        ['sluice_database_pool_in_use', {}, 2],
        ['sluice_database_share_waiting', {}, 1],
        ['sluice_database_pool_waiting', {}, 0],
      ]);
      answers.push(server.graphql(STREAMS, {}, other));
      await expectFigures(server.url, [
        ['sluice_database_pool_size', {}, 3],
        ['sluice_database_pool_in_use', {}, 3],
        ['sluice_database_pool_idle', {}, 0],
      ]);
      answers.push(server.graphql(STREAMS, {}, other));
      const waited = await eventually(
        async () => {
          const seen = await scrape(server.url);
          return [
            seen.value('sluice_database_pool_waiting') ?? 0,
            seen.value('sluice_database_pool_in_use') ?? 0,
          ] as const;
        },
        ([waiting]) => waiting >= 1,
      );
      expect(waited[1]).toBe(3);
      await locking.query('ROLLBACK');
      await Promise.all(answers);
    });
    await expectFigures(server.url, [
      ['sluice_database_share_waiting', {}, 0],
      ['sluice_database_pool_in_use', {}, 0],
      ['sluice_database_pool_idle', {}, 3],
      ['sluice_database_pool_waiting', {}, 0],
    ]);
  });

  test('count an operation with an internal error once, as failed, over GraphQL and REST', async () => {
    const ask = async (): Promise<unknown[]> => {
      const overRest = await fetch(`${server.url}/jobs`, { headers: { 'x-api-key': server.key } });
      const { errors } = await server.request(STREAMS);
      return [errors?.[0]?.extensions?.['code'], overRest.status];
    };
    expect(await ask()).toEqual([undefined, 200]);
    await querySql(server, 'ALTER TABLE streams RENAME TO streams_away');
    await querySql(server, 'ALTER TABLE jobs RENAME TO jobs_away');
    expect(await ask()).toEqual(['INTERNAL', 500]);
    await querySql(server, 'ALTER TABLE streams_away RENAME TO streams');
    await querySql(server, 'ALTER TABLE jobs_away RENAME TO jobs');
    const rest = { api: 'rest', operation: 'GET /jobs' };
    const graphql = { api: 'graphql', operation: 'query streams' };
    const seen = await expectFigures(server.url, [
      ['sluice_requests_total', { ...rest, outcome: 'ok' }, 1],
      ['sluice_requests_total', { ...rest, outcome: 'failed' }, 1],
      ['sluice_requests_total', { ...graphql, outcome: 'failed' }, 1],
    ]);
    expect(seen.value('sluice_requests_total', { outcome: 'failed' })).toBe(2);
  });
});

describe('metrics of runs', () => {
  const ENDED = 'sluice_runs_ended_total';
  const SECONDS = 'sluice_run_duration_seconds';
  let smtp: TestSmtp;
  let server: TestServer;
  let faults: Faults;
  beforeAll(async () => {
    smtp = await startSmtp();
    server = await startTestServer({
      env: { SMTP_URL: smtp.url, MAIL_FROM: 'sluice@example.com' },
    });
    faults = createFaults(server.s3);
    await addRecords(server, 's', 'DAILY', [
      { timestamp: DAY, elementName: 'acme', value: '1' },
      { timestamp: DAY, elementName: 'hooli', value: '1' },
    ]);
  });
  afterAll(async () => {
    await server.stop();
    await smtp.close();
  });

  const settings = (jobName: string) => ({ jobName, groupBy: ['element'], s3Url: 'exports/moving' });
  const runFailing = async (jobName: string): Promise<void> => {
    faults.on(`moving/${jobName}/`, () => ({ status: 403, code: 'AccessDenied' }));
    const run = await endedRun(server, await runJob(server, await createJob(server, settings(jobName)), SLOT));
    expect(run.status).toBe('FAILED');
  };

  test('count the rows, bytes and seconds of a run once', async () => {
    const { run } = await exportOnce(server, settings('counted'), SLOT);
    expect([run.rowsWritten, run.bytesWritten]).toEqual([2, expect.any(Number)]);
    const seen = await expectFigures(server.url, [
      ['sluice_run_attempts_total', { outcome: 'succeeded' }, 1],
      ['sluice_run_attempts_total', {}, 1],
      ['sluice_exported_rows_total', {}, run.rowsWritten],
      ['sluice_exported_bytes_total', {}, run.bytesWritten],
      [`${SECONDS}_count`, { status: 'SUCCEEDED' }, 1],
      [`${SECONDS}_count`, { status: 'FAILED' }, 0],
    ]);
    // A run that does not wait takes only slightly longer than its one attempt.
    expect(seen.value(`${SECONDS}_sum`)).toBeLessThan(30);
  });

  test('measure the seconds of a run from its queueing, over all attempts and pauses', async () => {
    const before = await scrape(server.url);
    let puts = 0;
    faults.on('moving/retried/', () => ((puts += 1) === 1 ? { status: 503, code: 'SlowDown' } : undefined));
    const job = await createJob(server, settings('retried'));
    // Blocked by an earlier run of the job; created_at is set back so that the run has waited for ten minutes.
    const [blocking] = await querySql<{ id: string }>(
      server,
      `INSERT INTO runs (id, account_id, job_id, trigger, status, scheduled_for, window_start, window_end, settings, bucket,
         manifest_key, created_at, lease_token, lease_until)
       SELECT gen_random_uuid(), account_id, id, 'MANUAL', 'CANCELED', now(), now(), now(), settings, 'exports', 'none', now(),
         gen_random_uuid(), now() + interval '1 hour'
       FROM jobs WHERE id = $1 RETURNING id`,
      [innerId(job)],
    );
    const id = await runJob(server, job, SLOT);
    await querySql(server, `UPDATE runs SET created_at = now() - interval '600 seconds' WHERE id = $1`, [innerId(id)]);
    await querySql(server, `UPDATE runs SET lease_until = now() WHERE id = $1`, [blocking?.id]);
    expect(await endedRun(server, id)).toMatchObject({ status: 'SUCCEEDED', attempt: 2 });
    const seen = await expectFigures(server.url, [
      ['sluice_run_attempts_total', { outcome: 'retried' }, 1],
      ['sluice_run_attempts_total', { outcome: 'succeeded' }, 2],
      [`${SECONDS}_count`, { status: 'SUCCEEDED' }, 2],
    ]);
    const grown = (name: string) => (seen.value(name) ?? 0) - (before.value(name) ?? 0);
    expect(grown(`${SECONDS}_sum`)).toBeGreaterThan(600);
    expect(grown(`${SECONDS}_sum`)).toBeLessThan(660);
    expect(grown('sluice_run_attempt_duration_seconds_sum')).toBeLessThan(60);
  });

  test('count each failed run on every server since its first scrape', async () => {
    const failed = { status: 'FAILED' };
    await expectFigures(server.url, [[ENDED, failed, 0]]);
    await runFailing('failing');
    const first = await expectFigures(server.url, [[ENDED, failed, 1]]);
    const succeeded = first.value(ENDED, { status: 'SUCCEEDED' });
    const other = await startTestServer({ env: { ROLE: 'api' }, database: server.database, s3: server.s3 });
    try {
      await expectFigures(other.url, [[ENDED, {}, 0]]);
      await runFailing('failing-again');
      for (const [one, runs] of [
        [server, 2],
        [other, 1],
      ] as const)
        await expectFigures(one.url, [[ENDED, failed, runs]]);
      await expectFigures(server.url, [[ENDED, { status: 'SUCCEEDED' }, succeeded ?? 0]]);
      await expectFigures(other.url, [[ENDED, {}, 1]]);
    } finally {
      await other.stop();
    }
  });

  test('measure the seconds of a run whose worker died in the last attempt', async () => {
    const failed = { status: 'FAILED' };
    const before = await scrape(server.url);
    const job = await createJob(server, settings('lost'));
    await querySql(
      server,
      `INSERT INTO runs (id, account_id, job_id, trigger, status, scheduled_for, window_start, window_end, settings, bucket,
         manifest_key, attempt, created_at, lease_token, lease_until)
       SELECT gen_random_uuid(), account_id, id, 'MANUAL', 'RUNNING', now(), now(), now(), settings, 'exports', 'none', 100,
         now() - interval '50 seconds', gen_random_uuid(), now()
       FROM jobs WHERE id = $1`,
      [innerId(job)],
    );
    const seen = await expectFigures(server.url, [
      [`${SECONDS}_count`, failed, (before.value(`${SECONDS}_count`, failed) ?? 0) + 1],
    ]);
    const grown = (seen.value(`${SECONDS}_sum`, failed) ?? 0) - (before.value(`${SECONDS}_sum`, failed) ?? 0);
    expect(grown).toBeGreaterThanOrEqual(50);
    expect(grown).toBeLessThan(100);
  });

  test('count sent, deferred and refused mails separately', async () => {
    const notify = async (jobName: string): Promise<void> => {
      await exportOnce(server, { ...settings(jobName), email: 'owner@example.com' }, SLOT);
    };
    const mails = (sent: number, refused: number, deferred: number) =>
      expectFigures(server.url, [
        ['sluice_mails_total', { outcome: 'sent' }, sent],
        ['sluice_mails_total', { outcome: 'refused' }, refused],
        ['sluice_mails_total', { outcome: 'deferred' }, deferred],
      ]);
    await mails(0, 0, 0);
    await notify('sent');
    await mails(1, 0, 0);
    smtp.setBehavior({ refuse: 'data', code: 550 });
    await notify('refused');
    await mails(1, 1, 0);
    smtp.setBehavior({ refuse: 'data', code: 450 });
    await notify('deferred');
    await mails(1, 1, 1);
    smtp.setBehavior('accept');
  });
});
