import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { settled, settleImmediately } from '../support/correction-steps.ts';
import { createFaults, createGate, type Faults } from '../support/faults.ts';
import {
  addRecords,
  cancelRun,
  createJob,
  deleteJob,
  endedRun,
  exportAgain,
  innerId,
  issuesOf,
  querySql,
  runJob,
  runsOf,
  type Settings,
  updateJob,
} from '../support/job-steps.ts';
import { openClient } from '../support/postgres-admin.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';
import {
  backfillThat,
  changeBackfill,
  createBackfill,
  endedBackfill,
  readBackfill,
  runsOfBackfill,
  tryCreateBackfill,
} from './steps.ts';

let faults: Faults;
let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({
    env: { MAX_BACKFILL_WINDOWS: '400', LEDGER_SCAN_SECONDS: '1', LEDGER_SCAN_IDLE_SECONDS: '1' },
  });
  faults = createFaults(server.s3);
  await addRecords(
    server,
    'requests',
    'DAILY',
    Array.from({ length: 28 }, (_, index) => ({
      timestamp: `2025-02-${String(index + 1).padStart(2, '0')}T00:00:00Z`,
      elementName: 'acme',
      value: '1',
    })),
  );
});
afterAll(() => server.stop());

let made = 0;
/** A disabled daily job, so that no slot of today runs. */
function makeJob(settings: Settings = {}): Promise<string> {
  made += 1;
  return createJob(server, {
    jobName: `Backfilled ${made}`,
    s3Url: `exports/backfill-${made}`,
    cron: '0 1 * * *',
    range: 'ago(1d)',
    meterApiNames: ['requests'],
    ...settings,
  });
}

/** Key prefix of the job that was made last. */
const folder = (): string => `backfill-${made}/`;

const span = (jobId: string, from: string, to: string, rest: Settings = {}) => ({
  jobId,
  from: `${from}T00:00:00Z`,
  to: `${to}T00:00:00Z`,
  ...rest,
});

async function statesOf(jobId: string): Promise<[day: string, state: string, revision: number][]> {
  const { job } = await server.graphql<{
    job: { deliveries: { edges: { node: { windowStart: string; state: string; revision: number } }[] } };
  }>(`query ($id: ID!) { job(id: $id) { deliveries(first: 100) { edges { node { windowStart state revision } } } } }`, {
    id: jobId,
  });
  return job.deliveries.edges.map(({ node }) => [node.windowStart.slice(0, 10), node.state, node.revision]);
}

describe('createBackfill', () => {
  test('delivers each window of the cron in the span, oldest first, and skips those that are delivered', async () => {
    const jobId = await makeJob();
    await exportAgain(server, jobId, '2025-02-03T01:00:00Z');
    const created = await createBackfill(server, span(jobId, '2025-02-01', '2025-02-06'));
    expect(created).toMatchObject({
      job: { id: jobId },
      from: '2025-02-01T00:00:00Z',
      to: '2025-02-06T00:00:00Z',
      order: 'OLDEST_FIRST',
      reprocess: 'MISSING',
      status: 'RUNNING',
      finishedAt: null,
      windows: 5,
      error: null,
    });
    expect(await endedBackfill(server, created.id)).toMatchObject({
      status: 'SUCCEEDED',
      delivered: 4,
      skipped: 1,
      failed: 0,
      rowsWritten: 4,
      runs: { totalCount: 4 },
    });
    const runs = (await runsOfBackfill(server, created.id)).toSorted(
      (a, b) => Date.parse(a.finishedAt ?? '') - Date.parse(b.finishedAt ?? ''),
    );
    expect(runs.map(({ trigger, scheduledFor, status }) => [trigger, scheduledFor, status])).toEqual(
      ['02', '04', '05', '06'].map((day) => ['BACKFILL', `2025-02-${day}T01:00:00Z`, 'SUCCEEDED']),
    );
    expect(await statesOf(jobId)).toEqual(
      ['05', '04', '03', '02', '01'].map((day) => [`2025-02-${day}`, 'CURRENT', 1]),
    );
  });

  test('delivers the newest window first, and every window with reprocess ALL', async () => {
    const jobId = await makeJob();
    await exportAgain(server, jobId, '2025-02-03T01:00:00Z');
    const input = span(jobId, '2025-02-01', '2025-02-04', { order: 'NEWEST_FIRST', reprocess: 'ALL' });
    const { id } = await createBackfill(server, input);
    expect(await endedBackfill(server, id)).toMatchObject({ status: 'SUCCEEDED', delivered: 3, skipped: 0 });
    const runs = await runsOfBackfill(server, id);
    expect(runs.map(({ windowStart }) => windowStart.slice(8, 10))).toEqual(['01', '02', '03']);
    expect(await statesOf(jobId)).toEqual([
      ['2025-02-03', 'CURRENT', 1],
      ['2025-02-02', 'CURRENT', 2],
      ['2025-02-01', 'CURRENT', 1],
    ]);
  });

  test('delivers windows of another output with reprocess STALE', async () => {
    const jobId = await makeJob();
    await exportAgain(server, jobId, '2025-02-03T01:00:00Z');
    await updateJob(server, jobId, { groupBy: ['element'] });
    const missing = await createBackfill(server, span(jobId, '2025-02-02', '2025-02-03'));
    expect(await endedBackfill(server, missing.id)).toMatchObject({ status: 'SUCCEEDED', delivered: 0, skipped: 1 });
    const stale = await createBackfill(server, span(jobId, '2025-02-02', '2025-02-03', { reprocess: 'STALE' }));
    expect(await endedBackfill(server, stale.id)).toMatchObject({ status: 'SUCCEEDED', delivered: 1, skipped: 0 });
    // TOUCHED until the check of the delivery: it had another output before.
    await eventually(
      () => statesOf(jobId),
      ([delivery]) => delivery?.[1] === 'CURRENT' && delivery[2] === 2,
    );
  });

  test('delivers windows that are TOUCHED or STALE with reprocess STALE, and skips those that are CURRENT', async () => {
    const records = ['10', '11', '12'].map((day) => ({
      timestamp: `2025-02-${day}T00:00:00Z`,
      elementName: 'acme',
      value: '1',
    }));
    await addRecords(server, 'corrected', 'DAILY', records);
    const jobId = await makeJob({ meterApiNames: ['corrected'] });
    for (const day of ['11', '12', '13']) await exportAgain(server, jobId, `2025-02-${day}T01:00:00Z`);
    // The scan may have found the records after the windows were delivered.
    await settleImmediately(server, jobId);
    await querySql(server, 'UPDATE deliveries SET check_at = now() WHERE job_id = $1 AND touched_at IS NOT NULL', [
      innerId(jobId),
    ]);
    await settled(server);
    await querySql(server, 'UPDATE jobs SET settle_seconds = 3600 WHERE id = $1', [innerId(jobId)]);
    const becomes = (states: readonly string[]) =>
      eventually(
        async () => (await statesOf(jobId)).map(([, state]) => state),
        (found) => found.join() === states.join(),
      );
    await addRecords(server, 'corrected', 'DAILY', records.slice(0, 1));
    await becomes(['CURRENT', 'CURRENT', 'TOUCHED']);
    await querySql(server, 'UPDATE deliveries SET check_at = now() WHERE job_id = $1 AND touched_at IS NOT NULL', [
      innerId(jobId),
    ]);
    await becomes(['CURRENT', 'CURRENT', 'STALE']);
    await addRecords(server, 'corrected', 'DAILY', records.slice(1, 2));
    await becomes(['CURRENT', 'TOUCHED', 'STALE']);
    const { id } = await createBackfill(server, span(jobId, '2025-02-10', '2025-02-13', { reprocess: 'STALE' }));
    expect(await endedBackfill(server, id)).toMatchObject({ status: 'SUCCEEDED', delivered: 2, skipped: 1 });
    expect((await statesOf(jobId)).map(([, , revision]) => revision)).toEqual([1, 2, 2]);
  });

  test('skips many delivered windows in one transaction, and ends without a run', async () => {
    const jobId = await makeJob();
    const year = span(jobId, '2024-01-01', '2025-01-01');
    const first = await createBackfill(server, { ...year, from: '2024-12-31T00:00:00Z' });
    await endedBackfill(server, first.id);
    await querySql(
      server,
      `INSERT INTO deliveries SELECT gen_random_uuid(), account_id, job_id, bucket,
         replace(replace(manifest_key, '20241231T', to_char(day, 'YYYYMMDD') || 'T'), '20250101T', to_char(day + 1, 'YYYYMMDD') || 'T'),
         slot, day, day + 1, day + 1, day + 1, day, day + 1, day + 1, by_slot, output_sha256, last_revision, revision, run_id
       FROM deliveries, (SELECT generate_series('2024-01-01', '2024-12-30', interval '1 day')::date AS day) days
       WHERE job_id = $1`,
      [innerId(jobId)],
    );
    const { id } = await createBackfill(server, year);
    expect(await readBackfill(server, id)).toMatchObject({
      status: 'SUCCEEDED',
      windows: 366,
      delivered: 0,
      skipped: 366,
      runs: { totalCount: 0 },
    });
  });

  test('refuses a span without windows, with too many, and a job without a cron', async () => {
    const jobId = await makeJob();
    const refused = async (from: string, to: string, id = jobId) => tryCreateBackfill(server, { jobId: id, from, to });
    expect(issuesOf(await refused('2025-02-02T00:00:00Z', '2025-02-02T00:00:00Z'))).toEqual([
      ['input.to', 'EMPTY_WINDOW'],
    ]);
    expect(issuesOf(await refused('1899-02-02T00:00:00Z', '2025-02-02T00:00:00Z'))).toEqual([
      ['input.from', 'BAD_TIMESTAMP'],
    ]);
    expect(issuesOf(await refused('2024-01-01T00:00:00Z', '2025-06-01T00:00:00Z'))).toEqual([
      ['input.to', 'TOO_MANY_WINDOWS'],
    ]);
    const none = await refused('2025-02-01T06:00:00Z', '2025-02-02T06:00:00Z');
    expect(issuesOf(none)).toEqual([['input.to', 'NO_WINDOWS']]);
    expect(none['issues']).toMatchObject([
      {
        message:
          'No window that has ended lies in the span. The nearest are 2025-02-01T00:00:00Z to 2025-02-02T00:00:00Z and 2025-02-02T00:00:00Z to 2025-02-03T00:00:00Z.',
      },
    ]);
    const once = await makeJob({ cron: null });
    expect(issuesOf(await refused('2025-02-01T00:00:00Z', '2025-02-02T00:00:00Z', once))).toEqual([
      ['input.jobId', 'NO_SCHEDULE'],
    ]);
    const { job } = await server.graphql<{ job: { backfills: { edges: object[] } } }>(
      'query ($id: ID!) { job(id: $id) { backfills { edges { node { id } } } } }',
      { id: jobId },
    );
    expect(job.backfills.edges).toEqual([]);
  });

  test('is refused while another backfill of the job has not ended, which the message names', async () => {
    const jobId = await makeJob();
    const { id } = await createBackfill(server, span(jobId, '2025-02-01', '2025-02-28'));
    expect(await tryCreateBackfill(server, span(jobId, '2025-03-01', '2025-03-05'))).toMatchObject({
      __typename: 'ConflictError',
      code: 'BACKFILL_RUNNING',
      message: expect.stringContaining(id) as string,
    });
    await changeBackfill(server, 'cancelBackfill', id);
    const second = await createBackfill(server, span(jobId, '2025-03-01', '2025-03-03'));
    await endedBackfill(server, second.id);
    const { backfills } = await server.graphql<{ backfills: { edges: { node: { id: string } }[] } }>(
      'query ($jobId: ID!) { backfills(jobId: $jobId) { edges { node { id } } } }',
      { jobId },
    );
    expect(backfills.edges.map(({ node }) => node.id)).toEqual([second.id, id]);
  });
});

describe('backfill', () => {
  test('has at most two runs that have not ended, and lets a manual run pass', async () => {
    const jobId = await makeJob();
    const held = createGate();
    faults.on(folder(), () => ({ hold: held.opened }));
    const { id } = await createBackfill(server, span(jobId, '2025-02-01', '2025-02-11'));
    await backfillThat(server, id, ({ runs }) => runs.totalCount === 2);
    const unended = await eventually(
      () => runsOfBackfill(server, id, ['QUEUED', 'RUNNING']),
      (runs) => runs.some(({ status }) => status === 'RUNNING'),
    );
    expect(unended.map(({ status }) => status).toSorted()).toEqual(['QUEUED', 'RUNNING']);
    const manual = await runJob(server, jobId, '2025-03-01T01:00:00Z');
    held.open();
    const { finishedAt } = await endedRun(server, manual);
    expect(await endedBackfill(server, id)).toMatchObject({ status: 'SUCCEEDED', delivered: 10 });
    const runs = (await runsOf(server, jobId)).filter(({ trigger }) => trigger === 'BACKFILL');
    expect(runs).toHaveLength(10);
    const before = runs.filter((run) => Date.parse(run.finishedAt ?? '') < Date.parse(finishedAt ?? ''));
    expect(before.length).toBeLessThan(4);
  });

  test('lets the active run end when it is paused, and continues with the run that waited', async () => {
    const jobId = await makeJob();
    const held = createGate();
    faults.on(folder(), () => ({ hold: held.opened }));
    const { id } = await createBackfill(server, span(jobId, '2025-02-01', '2025-02-06'));
    await eventually(
      () => runsOfBackfill(server, id, ['RUNNING']),
      (runs) => runs.length === 1,
    );
    expect(await changeBackfill(server, 'pauseBackfill', id)).toMatchObject({ status: 'PAUSED', delivered: 0 });
    expect(await changeBackfill(server, 'pauseBackfill', id)).toMatchObject({ status: 'PAUSED' });
    held.open();
    await backfillThat(server, id, ({ delivered }) => delivered === 1);
    // The job runs meanwhile, and the run that waits lets it pass.
    await exportAgain(server, jobId, '2025-03-01T01:00:00Z');
    expect(await readBackfill(server, id)).toMatchObject({ status: 'PAUSED', delivered: 1, runs: { totalCount: 2 } });
    expect(await changeBackfill(server, 'resumeBackfill', id)).toMatchObject({ status: 'RUNNING' });
    expect(await endedBackfill(server, id)).toMatchObject({
      status: 'SUCCEEDED',
      delivered: 5,
      runs: { totalCount: 5 },
    });
  });

  test('is canceled with its runs', async () => {
    const jobId = await makeJob();
    faults.on(folder(), () => ({ hold: new Promise(() => undefined) }));
    const { id } = await createBackfill(server, span(jobId, '2025-02-01', '2025-02-06'));
    await eventually(
      () => runsOfBackfill(server, id, ['RUNNING']),
      (runs) => runs.length === 1,
    );
    expect(await changeBackfill(server, 'cancelBackfill', id)).toMatchObject({ status: 'CANCELED', error: null });
    expect((await runsOfBackfill(server, id)).map(({ status }) => status)).toEqual(['CANCELED', 'CANCELED']);
    faults.clear(folder());
    for (const change of ['pauseBackfill', 'resumeBackfill', 'cancelBackfill', 'retryBackfill'] as const) {
      expect(await changeBackfill(server, change, id)).toMatchObject({
        __typename: 'ConflictError',
        code: 'BACKFILL_ENDED',
      });
    }
  });

  test.each<[string, (jobId: string, id: string) => Promise<unknown>]>([
    ['it is canceled', (_, id) => changeBackfill(server, 'cancelBackfill', id)],
    [
      'the output of its job is edited and edited back',
      async (jobId) => {
        await updateJob(server, jobId, { sparse: false });
        await updateJob(server, jobId, { sparse: true });
      },
    ],
  ])('leaves a delivery STALE that its run was overwriting when %s', async (_, end) => {
    const jobId = await makeJob();
    await exportAgain(server, jobId, '2025-02-02T01:00:00Z');
    const begun = createGate();
    faults.on(folder(), ({ key }) => {
      if (key.endsWith('.manifest.json')) return undefined;
      begun.open();
      return 'hang';
    });
    const { id } = await createBackfill(server, span(jobId, '2025-02-01', '2025-02-02', { reprocess: 'ALL' }));
    await begun.opened;
    await end(jobId, id);
    faults.clear(folder());
    expect(await statesOf(jobId)).toEqual([['2025-02-01', 'STALE', 1]]);
  });

  test('is paused after three failed windows in a row, continues when resumed, and tries them again when retried', async () => {
    const jobId = await makeJob();
    faults.on(folder(), () => ({ status: 403, code: 'AccessDenied' }));
    const { id } = await createBackfill(server, span(jobId, '2025-02-01', '2025-02-11'));
    const paused = await backfillThat(server, id, ({ status }) => status === 'PAUSED');
    expect(paused).toMatchObject({
      failed: 3,
      delivered: 0,
      error: { code: 'ACCESS_DENIED' },
      runs: { totalCount: 4 },
    });
    faults.clear(folder());
    // The run that waited does not start while other runs of the job do.
    for (const day of ['20', '21']) await exportAgain(server, jobId, `2025-02-${day}T01:00:00Z`);
    expect(await readBackfill(server, id)).toMatchObject({ status: 'PAUSED', failed: 3, delivered: 0 });
    expect(await changeBackfill(server, 'resumeBackfill', id)).toMatchObject({ status: 'RUNNING', error: null });
    expect(await endedBackfill(server, id)).toMatchObject({ status: 'FAILED', delivered: 7, failed: 3 });
    expect(await changeBackfill(server, 'retryBackfill', id)).toMatchObject({ status: 'RUNNING', finishedAt: null });
    expect(await endedBackfill(server, id)).toMatchObject({
      status: 'SUCCEEDED',
      delivered: 10,
      failed: 0,
      runs: { totalCount: 13 },
    });
    expect(await changeBackfill(server, 'retryBackfill', id)).toMatchObject({ code: 'BACKFILL_ENDED' });
  });

  test('is not paused by three failed windows that are not in a row', async () => {
    const jobId = await makeJob();
    faults.on(folder(), ({ key }) =>
      /_?2025020[1245]T000000Z_/.test(key) ? { status: 403, code: 'AccessDenied' } : undefined,
    );
    const { id } = await createBackfill(server, span(jobId, '2025-02-01', '2025-02-07'));
    expect(await endedBackfill(server, id)).toMatchObject({ status: 'FAILED', delivered: 2, failed: 4, error: null });
  });

  test('is not paused by a canceled run after two failed windows', async () => {
    const jobId = await makeJob();
    faults.on(folder(), ({ key }) => {
      if (/2025020[12]T000000Z_/.test(key)) return { status: 403, code: 'AccessDenied' };
      return key.includes('20250203T000000Z_') ? 'hang' : undefined;
    });
    const { id } = await createBackfill(server, span(jobId, '2025-02-01', '2025-02-05'));
    const [running] = await eventually(
      () => runsOfBackfill(server, id, ['RUNNING']),
      ([run]) => run?.windowStart === '2025-02-03T00:00:00Z',
    );
    await cancelRun(server, running?.id ?? '');
    expect(await endedBackfill(server, id)).toMatchObject({ status: 'FAILED', delivered: 1, failed: 3, error: null });
  });

  test('tries only those windows again whose last run has failed when it is retried twice', async () => {
    const jobId = await makeJob();
    const refuse = (days: RegExp) =>
      faults.on(folder(), ({ key }) => (days.test(key) ? { status: 403, code: 'AccessDenied' } : undefined));
    refuse(/2025020[13]T000000Z_/);
    const { id } = await createBackfill(server, span(jobId, '2025-02-01', '2025-02-05'));
    expect(await endedBackfill(server, id)).toMatchObject({ status: 'FAILED', delivered: 2, failed: 2 });
    refuse(/20250203T000000Z_/);
    await changeBackfill(server, 'retryBackfill', id);
    expect(await endedBackfill(server, id)).toMatchObject({ status: 'FAILED', delivered: 3, failed: 1 });
    faults.clear(folder());
    await changeBackfill(server, 'retryBackfill', id);
    expect(await endedBackfill(server, id)).toMatchObject({
      status: 'SUCCEEDED',
      delivered: 4,
      failed: 0,
      runs: { totalCount: 7 },
    });
  });

  test('tries failed windows again after the others when it is retried while it is paused', async () => {
    const jobId = await makeJob();
    faults.on(folder(), () => ({ status: 403, code: 'AccessDenied' }));
    const { id } = await createBackfill(server, span(jobId, '2025-02-01', '2025-02-06', { order: 'NEWEST_FIRST' }));
    await backfillThat(server, id, ({ status }) => status === 'PAUSED');
    faults.clear(folder());
    await changeBackfill(server, 'retryBackfill', id);
    expect(await endedBackfill(server, id)).toMatchObject({ status: 'SUCCEEDED', delivered: 5, failed: 0 });
  });

  test('counts a window whose run was canceled as failed', async () => {
    const jobId = await makeJob();
    const held = createGate();
    faults.on(folder(), () => ({ hold: held.opened }));
    const { id } = await createBackfill(server, span(jobId, '2025-02-01', '2025-02-04'));
    const [waiting] = await eventually(
      () => runsOfBackfill(server, id, ['QUEUED']),
      (runs) => runs.length === 1,
    );
    await cancelRun(server, waiting?.id ?? '');
    held.open();
    expect(await endedBackfill(server, id)).toMatchObject({ status: 'FAILED', delivered: 2, failed: 1, error: null });
  });

  test('is canceled by an edit that changes the output, and not by one of its schedule', async () => {
    const jobId = await makeJob();
    faults.on(folder(), () => ({ hold: new Promise(() => undefined) }));
    const { id } = await createBackfill(server, span(jobId, '2025-02-01', '2025-02-06'));
    await updateJob(server, jobId, { cron: '0 2 1 * *', range: 'ago(2d)' });
    expect(await readBackfill(server, id)).toMatchObject({ status: 'RUNNING', windows: 5 });
    await updateJob(server, jobId, { groupBy: ['element'] });
    expect(await readBackfill(server, id)).toMatchObject({ status: 'CANCELED', error: { code: 'JOB_CHANGED' } });
    faults.clear(folder());
    expect((await runsOfBackfill(server, id)).map(({ status, error }) => [status, error?.code])).toEqual([
      ['CANCELED', 'JOB_CHANGED'],
      ['CANCELED', 'JOB_CHANGED'],
    ]);
  });

  test('keeps the windows that it had when it was created when the schedule is edited', async () => {
    const jobId = await makeJob();
    const held = createGate();
    faults.on(folder(), () => ({ hold: held.opened }));
    const { id } = await createBackfill(server, span(jobId, '2025-02-01', '2025-02-06'));
    await updateJob(server, jobId, { cron: '0 2 1 * *', range: 'ago(2d)' });
    held.open();
    expect(await endedBackfill(server, id)).toMatchObject({ status: 'SUCCEEDED', windows: 5, delivered: 5 });
    const windows = (await runsOfBackfill(server, id)).map((run) => `${run.windowStart} ${run.windowEnd}`);
    expect(windows.toSorted()).toEqual(
      [1, 2, 3, 4, 5].map((day) => `2025-02-0${day}T00:00:00Z 2025-02-0${day + 1}T00:00:00Z`),
    );
  });

  test('is canceled by deleteJob and is kept', async () => {
    const jobId = await makeJob();
    faults.on(folder(), () => ({ hold: new Promise(() => undefined) }));
    const { id } = await createBackfill(server, span(jobId, '2025-02-01', '2025-02-06'));
    await deleteJob(server, jobId);
    faults.clear(folder());
    expect(await readBackfill(server, id)).toMatchObject({
      status: 'CANCELED',
      job: null,
      error: { code: 'JOB_DELETED' },
    });
    expect(await changeBackfill(server, 'resumeBackfill', id)).toMatchObject({ code: 'BACKFILL_ENDED' });
    expect((await runsOfBackfill(server, id)).map(({ error }) => error?.code)).toEqual(['JOB_DELETED', 'JOB_DELETED']);
  });

  test('is advanced by the sweep after a crash between the end of a run and the next window', async () => {
    const jobId = await makeJob();
    const held = createGate();
    faults.on(folder(), () => ({ hold: held.opened }));
    const { id } = await createBackfill(server, span(jobId, '2025-02-01', '2025-02-06'));
    const [running] = await eventually(
      () => runsOfBackfill(server, id, ['RUNNING']),
      (runs) => runs.length === 1,
    );
    // The lock makes the end of the run skip the backfill, as if its transaction had not advanced it.
    const blocker = await openClient(server.database.url);
    await blocker.query(`BEGIN; SET LOCAL sluice.all_accounts = 'on'`);
    await blocker.query('SELECT FROM backfills WHERE id = $1 FOR UPDATE', [innerId(id)]);
    held.open();
    await endedRun(server, running?.id ?? '');
    expect(await readBackfill(server, id)).toMatchObject({ delivered: 0 });
    await blocker.query('ROLLBACK');
    await blocker.end();
    expect(await endedBackfill(server, id)).toMatchObject({ delivered: 5, runs: { totalCount: 5 } });
  });
});

describe('previewBackfill', () => {
  const preview = async (input: Settings) => {
    const { previewBackfill } = await server.graphql<{ previewBackfill: Record<string, unknown> }>(
      `query ($input: BackfillInput!) { previewBackfill(input: $input) { __typename ... on BackfillPreview { windows missing stale current
        estimatedRows estimatedBytes firstWindows { scheduledFor windowStart windowEnd state manifestKey } }
        ... on UserError { code } } }`,
      { input },
    );
    return previewBackfill;
  };

  test('returns the windows by state, the first ones, and estimates', async () => {
    const jobId = await makeJob();
    const input = span(jobId, '2025-02-01', '2025-06-01', { order: 'NEWEST_FIRST' });
    expect(await preview(input)).toMatchObject({
      windows: 120,
      missing: 120,
      estimatedRows: null,
      estimatedBytes: null,
    });
    const { run } = await exportAgain(server, jobId, '2025-02-03T01:00:00Z');
    const found = await preview(input);
    expect(found).toMatchObject({
      windows: 120,
      missing: 119,
      stale: 0,
      current: 1,
      estimatedRows: 119,
      estimatedBytes: run.bytesWritten * 119,
    });
    const first = found['firstWindows'] as object[];
    expect(first).toHaveLength(100);
    expect(first[0]).toEqual({
      scheduledFor: '2025-06-01T01:00:00Z',
      windowStart: '2025-05-31T00:00:00Z',
      windowEnd: '2025-06-01T00:00:00Z',
      state: 'MISSING',
      manifestKey: `backfill-${made}/backfilled-${made}/_20250531T000000Z_20250601T000000Z.manifest.json`,
    });
    expect(await runsOf(server, jobId)).toHaveLength(1);
    await updateJob(server, jobId, { groupBy: ['element'] });
    expect(await preview({ ...input, reprocess: 'STALE' })).toMatchObject({
      missing: 119,
      stale: 1,
      estimatedRows: 120,
    });
  });
});
