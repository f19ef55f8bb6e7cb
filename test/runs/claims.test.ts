import { afterAll, beforeAll, expect, test } from 'vitest';
import { queueDueSlots } from '../../src/runs/due-slots.ts';
import { claimRun } from '../../src/runs/claim.ts';
import { endAttempt, requeueOnShutdown, type LeasedRun, releaseLease } from '../../src/runs/lease.ts';
import { sendWakeUps } from '../../src/db/queue.ts';
import { reapLostRuns } from '../../src/runs/lost-runs.ts';
import { cancelRun, createJob, deleteJob, innerId, querySql, readRun, runJob } from '../support/job-steps.ts';
import { untilLockWaits } from '../support/lock-waits.ts';
import { withClient } from '../support/postgres-admin.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

const LEASE_MS = 30_000;

let server: TestServer;
beforeAll(async () => {
  // Only these tests claim runs.
  server = await startTestServer({ env: { ROLE: 'api' } });
});
afterAll(() => server.stop());

const claimed = async (jobId: string): Promise<LeasedRun> => {
  const claim = await claimRun(server.resources.database.acrossAccounts, innerId(jobId), LEASE_MS);
  if (!claim || !('run' in claim)) throw new Error(`nothing was claimed: ${JSON.stringify(claim)}`);
  return claim.run;
};

test('claimRun > does not return a later run when the older run that was leased at its start is requeued meanwhile', async () => {
  const { database, queue } = server.resources;
  const jobId = await createJob(server, { jobName: 'in turn', s3Url: 'exports/claims', groupBy: ['element'] });
  const older = await runJob(server, jobId, '2026-01-28T02:00:00Z');
  const later = await runJob(server, jobId, '2026-01-29T02:00:00Z');
  const held = await claimed(jobId);
  const [place] = await querySql<{ place: string }>(
    server,
    `SELECT bucket || '/' || manifest_key AS place FROM runs WHERE id = $1`,
    [innerId(later)],
  );

  // The second claim would be blocked immediately before it takes the later run.
  await withClient(server.database.url, async (blocker) => {
    await blocker.query('BEGIN');
    await blocker.query('SELECT pg_advisory_xact_lock(hashtextextended($1, 0))', [place?.place]);
    const second = claimRun(database.acrossAccounts, innerId(jobId), LEASE_MS);
    await untilLockWaits(server, 'advisory', second);
    const failure = { code: 'S3_BUSY', message: 'Busy.', retryable: true };
    await endAttempt(database.acrossAccounts, queue, held, { event: 'FAIL', failure }, [], 0.5);
    await blocker.query('COMMIT');
    expect(await second).toBeNull();
  });
  expect(await readRun(server, older)).toMatchObject({ status: 'QUEUED', attempt: 1, error: { code: 'S3_BUSY' } });
  expect((await readRun(server, later)).status).toBe('QUEUED');
  // The pause of the older run delays the later one.
  expect(await claimRun(database.acrossAccounts, innerId(jobId), LEASE_MS)).toHaveProperty('pausedUntil');
});

test('claimRun > waits if another job takes the lease of the window while the claim waits for its lock', async () => {
  const { database } = server.resources;
  const place = { jobName: 'one window', s3Url: 'exports/claims' };
  const former = await createJob(server, place);
  const earlier = await runJob(server, former, '2026-01-28T02:00:00Z');
  // A worker that was slow to claim the run of a job that was deleted meanwhile.
  await deleteJob(server, former);
  const jobId = await createJob(server, place);
  const runId = await runJob(server, jobId, '2026-01-28T02:00:00Z');
  await withClient(server.database.url, async (blocker) => {
    await blocker.query('BEGIN');
    await blocker.query(
      `SELECT pg_advisory_xact_lock(hashtextextended(bucket || '/' || manifest_key, 0)) FROM runs WHERE id = $1`,
      [innerId(runId)],
    );
    const claim = claimRun(database.acrossAccounts, innerId(jobId), LEASE_MS);
    await untilLockWaits(server, 'advisory', claim);
    await blocker.query('UPDATE runs SET lease_token = gen_random_uuid() WHERE id = $1', [innerId(earlier)]);
    await blocker.query('COMMIT');
    expect(await claim).toHaveProperty('pausedUntil');
  });
  expect((await readRun(server, runId)).status).toBe('QUEUED');
  await querySql(server, 'UPDATE runs SET lease_token = NULL WHERE id = $1', [innerId(earlier)]);
  expect((await claimed(jobId)).id).toBe(innerId(runId));
});

test('reapLostRuns > wakes jobs in the lock order of the scheduler, without a deadlock', async () => {
  const { database, queue } = server.resources;
  const jobIds = [await createJob(server), await createJob(server)].map(innerId).toSorted();
  const [earlier = '', later = ''] = jobIds;
  const runIds = [];
  // The later run is first in the table.
  for (const jobId of [later, earlier]) {
    runIds.push(await runJob(server, Buffer.from(`Job:${jobId}`).toString('base64url')));
    const claim = await claimRun(database.acrossAccounts, jobId, 1);
    expect(claim).toHaveProperty('run');
  }
  await querySql(server, 'DELETE FROM pgboss.job');
  let reaped: ReturnType<typeof reapLostRuns> | undefined;
  // Another transaction wakes both jobs in their order, as the scheduler does, and is blocked in between.
  await database.acrossAccounts.transaction(async (tx) => {
    await sendWakeUps(queue, tx, [{ jobId: earlier }]);
    reaped = reapLostRuns(database.acrossAccounts, queue);
    await untilLockWaits(server, 'transactionid', reaped);
    await sendWakeUps(queue, tx, [{ jobId: later }]);
  });
  expect(await reaped).toMatchObject({ lost: 2 });
  for (const runId of runIds) {
    expect(await readRun(server, runId)).toMatchObject({ status: 'QUEUED', error: { code: 'WORKER_LOST' } });
  }
});

const endPause = (runId: string): Promise<unknown[]> =>
  querySql(server, 'UPDATE runs SET not_before = NULL WHERE id = $1', [innerId(runId)]);

test('requeueOnShutdown > leaves a run its five attempts after any number of shutdowns', async () => {
  const { database, queue } = server.resources;
  const jobId = await createJob(server);
  const runId = await runJob(server, jobId);
  const failure = { code: 'S3_BUSY', message: 'Busy.', retryable: true };
  const seen: number[] = [];
  for (let failed = 0; failed < 5; failed += 1) {
    for (let stops = 0; stops < 2; stops += 1)
      await requeueOnShutdown(database.acrossAccounts, queue, await claimed(jobId));
    expect(await readRun(server, runId)).toMatchObject({ status: 'QUEUED', attempt: failed });
    const run = await claimed(jobId);
    seen.push(run.attempt);
    await endAttempt(database.acrossAccounts, queue, run, { event: 'FAIL', failure }, [], 0.5);
    await endPause(runId);
  }
  expect(seen).toEqual([1, 2, 3, 4, 5]);
  expect(await readRun(server, runId)).toMatchObject({ status: 'FAILED', attempt: 5, error: { code: 'S3_BUSY' } });
});

test('requeueOnShutdown > keeps the turn of a run whose first attempt was requeued, and no later slot supersedes it', async () => {
  const { database, queue } = server.resources;
  const jobId = await createJob(server, { enabled: true, cron: '0 2 * * *', aggregationBucket: 'MONTH' });
  const queueSlot = async (slot: string): Promise<void> => {
    await querySql(server, 'UPDATE jobs SET next_run_at = $2 WHERE id = $1', [innerId(jobId), slot]);
    const onUnplannable = (_: string, error: unknown): never => {
      throw error;
    };
    const options = { batch: 10, maxCatchUp: 10, skip: [], onUnplannable, now: new Date(slot) };
    await queueDueSlots(database.acrossAccounts, queue, options);
  };
  await queueSlot('2026-01-20T02:00:00Z');
  const begun = await claimed(jobId);
  await requeueOnShutdown(database.acrossAccounts, queue, begun);
  // A slot of the same month.
  await queueSlot('2026-01-21T02:00:00Z');
  await runJob(server, jobId, '2026-01-19T02:00:00Z');
  const again = await claimed(jobId);
  expect(again).toMatchObject({ id: begun.id, attempt: 1, watermark: begun.watermark });
  await endAttempt(database.acrossAccounts, queue, again, { event: 'SUCCEED', totals: { rows: 0, bytes: 0 } }, [], 0.5);
});

test('releaseLease > leaves a RUNNING run to the reaper, and its attempt counts', async () => {
  const { database, queue } = server.resources;
  const jobId = await createJob(server);
  const runId = await runJob(server, jobId);
  const run = await claimed(jobId);
  await releaseLease(database.acrossAccounts, queue, run);
  expect(await readRun(server, runId)).toMatchObject({ status: 'RUNNING', attempt: 1 });
  await querySql(server, 'UPDATE runs SET lease_until = clock_timestamp() WHERE id = $1', [innerId(runId)]);
  await reapLostRuns(database.acrossAccounts, queue);
  expect(await readRun(server, runId)).toMatchObject({ status: 'QUEUED', attempt: 1, error: { code: 'WORKER_LOST' } });
  const next = await claimed(jobId);
  expect(next.attempt).toBe(2);
  // A canceled run is free as soon as its worker releases it.
  await cancelRun(server, runId);
  const waiting = await runJob(server, jobId);
  expect(await claimRun(database.acrossAccounts, innerId(jobId), LEASE_MS)).toBeNull();
  await releaseLease(database.acrossAccounts, queue, next);
  expect((await claimed(jobId)).id).toBe(innerId(waiting));
});
