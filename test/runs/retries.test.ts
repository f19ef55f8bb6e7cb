import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { RUN_QUEUE } from '../../src/db/queue.ts';
import { brokenPromises } from '../support/bucket-check.ts';
import { createFaults, type Faults } from '../support/faults.ts';
import {
  addRecords,
  cancelRun,
  createJob,
  endedRun,
  innerId,
  querySql,
  readExport,
  readRun,
  runJob,
  runThat,
  type RunView,
} from '../support/job-steps.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';
import type { Fault } from '../support/strict-s3.ts';

const SLOT = '2026-01-28T02:00:00Z';

let server: TestServer;
let faults: Faults;
beforeAll(async () => {
  // The time limit of a put is the lease: a put that hangs ends after 5 s.
  server = await startTestServer({ env: { RUN_LEASE_SECONDS: '5', EXPORT_CONCURRENCY: '12' } });
  faults = createFaults(server.s3);
  await notePauses();
  await addRecords(server, 's', 'DAILY', [{ timestamp: '2026-01-25T00:00:00Z', elementName: 'e', value: '1' }]);
});
afterAll(async () => {
  try {
    expect(brokenPromises(server.s3.puts)).toEqual([]);
  } finally {
    await server.stop();
  }
});

let folders = 0;

/** A job in its own folder whose first `count` puts fail with the fault, and the times of all its puts. */
const failingJob = async (fault: Fault, count: number, settings: object = {}) => {
  folders += 1;
  const folder = `retries/${folders}/`;
  const asked: number[] = [];
  faults.on(folder, () => {
    asked.push(performance.now());
    return asked.length <= count ? fault : undefined;
  });
  const jobId = await createJob(server, { s3Url: `exports/${folder}`, meterApiNames: ['s'], ...settings });
  return { jobId, asked, recover: () => faults.clear(folder) };
};

/** Ends the pause between two attempts immediately. */
const endPause = async (run: RunView): Promise<void> => {
  await querySql(server, `UPDATE runs SET not_before = clock_timestamp() WHERE id = $1 AND status = 'QUEUED'`, [
    innerId(run.id),
  ]);
  const jobId = innerId(run.job?.id ?? '');
  await server.resources.queue.send(RUN_QUEUE, { jobId }, { singletonKey: jobId });
};

interface Pause {
  readonly attempt: number;
  readonly seconds: number;
}

/** A trigger records each pause when it starts, so that a slow test sees all of them. */
const notePauses = async (): Promise<void> => {
  await querySql(
    server,
    `CREATE TABLE noted_pauses (run_id uuid, attempt int, seconds float8);
     CREATE FUNCTION note_pause() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
       INSERT INTO noted_pauses VALUES (NEW.id, NEW.attempt, extract(epoch FROM NEW.not_before - clock_timestamp()));
       RETURN NULL; END $$;
     CREATE TRIGGER note_pause AFTER UPDATE ON runs FOR EACH ROW
       WHEN (OLD.status = 'RUNNING' AND NEW.not_before IS NOT NULL) EXECUTE FUNCTION note_pause()`,
  );
};

const pausesOf = (runId: string): Promise<Pause[]> =>
  querySql<Pause>(server, 'SELECT attempt, seconds FROM noted_pauses WHERE run_id = $1 ORDER BY attempt', [
    innerId(runId),
  ]);

/** Resolves when the test has seen the error; the fault lasts until then, also on a slow machine. */
const isPaused = ({ status, attempt }: RunView): boolean => status === 'QUEUED' && attempt > 0;

describe.concurrent('retryable failure', () => {
  test.each<[string, Fault, string]>([
    ['SlowDown', { status: 503, code: 'SlowDown' }, 'S3_BUSY'],
    ['an internal error', { status: 500, code: 'InternalError' }, 'S3_ERROR'],
    ['a gateway without an S3 error', { status: 502, text: '<html>Bad gateway</html>' }, 'S3_ERROR'],
    ['a reset connection', 'reset', 'CONNECTION_LOST'],
    ['a connection that is reset in the body', 'reset-mid-body', 'CONNECTION_LOST'],
    ['a lost answer', 'reset-after-store', 'CONNECTION_LOST'],
    ['no answer', 'hang', 'S3_TIMEOUT'],
  ])('%s > is retried, and the waiting run shows its error', async (_name, fault, code) => {
    const { jobId, recover } = await failingJob(fault, Infinity);
    const id = await runJob(server, jobId, SLOT);
    const waiting = await runThat(server, id, isPaused);
    expect(waiting).toMatchObject({
      error: { code, retryable: true },
      finishedAt: null,
      manifestKey: null,
      startedAt: expect.any(String),
    });
    recover();
    await endPause(waiting);
    const run = await endedRun(server, id);
    expect(run).toMatchObject({ status: 'SUCCEEDED', error: null, rowsWritten: 1, startedAt: waiting.startedAt });
    expect(run.attempt).toBeGreaterThan(waiting.attempt);
  });

  test('is retried after about 1, 4, 15 and 60 s, then fails the run, and the next run starts', async () => {
    const { jobId, asked } = await failingJob({ status: 503, code: 'SlowDown' }, 5);
    const id = await runJob(server, jobId, SLOT);
    const next = await runJob(server, jobId, '2026-01-29T02:00:00Z');
    for (let seen = 0; seen < 5;) {
      const run = await runThat(server, id, ({ status, attempt }) => status !== 'RUNNING' && attempt > seen);
      seen = run.attempt;
      if (run.status !== 'QUEUED') break;
      expect(run).toMatchObject({ error: { code: 'S3_BUSY', retryable: true }, finishedAt: null });
      expect((await readRun(server, next)).status).toBe('QUEUED');
      await endPause(run);
    }
    const pauses = await pausesOf(id);
    expect(pauses.map(({ attempt }) => attempt)).toEqual([1, 2, 3, 4]);
    for (const [index, { seconds }] of pauses.entries()) {
      const expected = [1, 4, 15, 60][index] ?? 0;
      // Recorded shortly after it was computed.
      expect(seconds).toBeGreaterThan(expected * 0.75 - 0.5);
      expect(seconds).toBeLessThanOrEqual(expected * 1.25);
    }
    expect(await endedRun(server, id)).toMatchObject({
      status: 'FAILED',
      attempt: 5,
      error: { code: 'S3_BUSY', retryable: true },
      manifestKey: null,
      finishedAt: expect.any(String),
    });
    expect(await endedRun(server, next)).toMatchObject({ status: 'SUCCEEDED', attempt: 1, error: null });
    // Five puts of the first run, an object and a manifest of the next.
    expect(asked).toHaveLength(7);
  });
});

describe.concurrent('permanent failure', () => {
  test.each<[string, Fault | null, string, RegExp]>([
    ['AccessDenied', { status: 403, code: 'AccessDenied' }, 'ACCESS_DENIED', /Attach the bucket policy/],
    [
      'a missing bucket',
      null,
      'NO_SUCH_BUCKET',
      /bucket no-such-bucket does not exist.*Create it, or correct the s3Url/,
    ],
    [
      'a bucket in another region',
      { status: 301, code: 'PermanentRedirect', headers: { 'x-amz-bucket-region': 'eu-west-1' } },
      'WRONG_REGION',
      /region eu-west-1.*AWS_REGION=eu-west-1/,
    ],
    [
      'a bucket that refuses ACLs',
      { status: 400, code: 'AccessControlListNotSupported' },
      'ACL_NOT_SUPPORTED',
      /Object Ownership/,
    ],
    ['credentials that are refused', { status: 403, code: 'InvalidAccessKeyId' }, 'CREDENTIALS_REFUSED', /operator/],
  ])(
    '%s > fails the run without a retry and says what to change, and the next run starts',
    async (_name, fault, code, message) => {
      const { jobId } = await failingJob(fault ?? 'hang', 1, fault ? {} : { s3Url: 'no-such-bucket/retries' });
      const [id, next] = [await runJob(server, jobId, SLOT), await runJob(server, jobId, '2026-01-29T02:00:00Z')];
      const run = await endedRun(server, id);
      expect(run).toMatchObject({
        status: 'FAILED',
        attempt: 1,
        error: { code, retryable: false },
        finishedAt: expect.any(String),
        manifestKey: null,
        objects: [],
      });
      expect(run.error?.message).toMatch(message);
      expect(run.error?.message).not.toMatch(/LEAK|AKIA/);
      expect((await endedRun(server, next)).status).toBe(fault ? 'SUCCEEDED' : 'FAILED');
    },
  );
});

describe.concurrent('run between two attempts', () => {
  /** The state after the fourth attempt, with a message that is due in a minute. */
  const pausedForAMinute = async (jobId: string, recover: () => void): Promise<RunView> => {
    const id = await runJob(server, jobId, SLOT);
    await eventually(
      () =>
        querySql(
          server,
          `UPDATE runs SET not_before = clock_timestamp() + interval '60 s'
           WHERE id = $1 AND status = 'QUEUED' AND attempt > 0 RETURNING id`,
          [innerId(id)],
        ),
      (paused) => paused.length === 1,
      30_000,
    );
    recover();
    await querySql(
      server,
      `UPDATE pgboss.job SET start_after = now() + interval '60 s'
       WHERE name = $1 AND state = 'created' AND data ->> 'jobId' = $2`,
      [RUN_QUEUE, innerId(jobId)],
    );
    return readRun(server, id);
  };

  const nextAttemptOf = async (id: string): Promise<{ graphql: string | null; rest: string | null }> => {
    const { run } = await server.graphql<{ run: { nextAttemptAt: string | null } }>(
      'query ($id: ID!) { run(id: $id) { nextAttemptAt } }',
      { id },
    );
    const response = await fetch(`${server.url}/runs/${id}`, { headers: { 'x-api-key': server.key } });
    const { nextAttemptAt } = (await response.json()) as { nextAttemptAt: string | null };
    return { graphql: run.nextAttemptAt, rest: nextAttemptAt };
  };

  test('says when the next one starts, until it starts', async () => {
    const { jobId, recover } = await failingJob({ status: 503, code: 'SlowDown' }, Infinity);
    const { id } = await pausedForAMinute(jobId, recover);
    const { graphql, rest } = await nextAttemptOf(id);
    const left = Date.parse(graphql ?? '') - Date.now();
    expect(left).toBeGreaterThan(20_000);
    expect(left).toBeLessThan(61_000);
    expect(rest).toBe(graphql);
    await cancelRun(server, id);
    expect(await nextAttemptOf(id)).toEqual({ graphql: null, rest: null });
  });

  test('lets the next run of its job start immediately when it is canceled', async () => {
    const { jobId, recover } = await failingJob({ status: 503, code: 'SlowDown' }, Infinity);
    const waiting = await pausedForAMinute(jobId, recover);
    expect(waiting).toMatchObject({ status: 'QUEUED', error: { code: 'S3_BUSY' } });
    const next = await runJob(server, jobId, '2026-01-29T02:00:00Z');
    expect(await cancelRun(server, waiting.id)).toMatchObject({
      status: 'CANCELED',
      attempt: waiting.attempt,
      finishedAt: expect.any(String),
    });
    expect(await endedRun(server, next)).toMatchObject({ status: 'SUCCEEDED', attempt: 1 });
  });

  test('keeps its turn before a run for an older slot, so that the newer figures remain in the bucket', async () => {
    const addOne = (): Promise<void> =>
      addRecords(server, 'in-turn', 'DAILY', [{ timestamp: '2026-01-25T00:00:00Z', elementName: 'e', value: '1' }]);
    await addOne();
    const { jobId, recover } = await failingJob({ status: 503, code: 'SlowDown' }, Infinity, {
      meterApiNames: ['in-turn'],
    });
    const waiting = await pausedForAMinute(jobId, recover);
    await addOne();
    // A slot one hour earlier, with the same days.
    const older = await runJob(server, jobId, '2026-01-28T01:00:00Z');
    expect(await readRun(server, older)).toMatchObject({ status: 'QUEUED', attempt: 0, windowEnd: waiting.windowEnd });
    await endPause(waiting);
    const [first, second] = [await endedRun(server, waiting.id), await endedRun(server, older)];
    expect([first, second]).toMatchObject([{ status: 'SUCCEEDED' }, { status: 'SUCCEEDED', attempt: 1 }]);
    expect(Date.parse(first.finishedAt ?? '')).toBeLessThanOrEqual(Date.parse(second.startedAt ?? ''));
    expect(readExport(server, second).text).toContain(',2\n');
  });
});
