import { afterAll, beforeAll, expect, test } from 'vitest';
import { claimRun } from '../../src/runs/claim.ts';
import { readDeliveryFigures } from '../../src/runs/delivery-figures.ts';
import { endAttempt, type LeasedRun, type Outcome } from '../../src/runs/lease.ts';
import { reapLostRuns, WORKER_LOST } from '../../src/runs/lost-runs.ts';
import { MAX_ATTEMPTS } from '../../src/runs/run-status.ts';
import { cancelRun, createJob, innerId, querySql, readRun, runJob } from '../support/job-steps.ts';
import { queueRestatement } from '../support/restatement-steps.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

let server: TestServer;
beforeAll(async () => {
  // The test executes the runs step by step.
  server = await startTestServer({ env: { ROLE: 'api' } });
});
afterAll(() => server.stop());

const db = () => server.resources.database.acrossAccounts;

async function claim(jobId: string): Promise<LeasedRun> {
  const claimed = await claimRun(db(), innerId(jobId), 60_000);
  if (!claimed || !('run' in claimed)) throw new Error('The run could not be started.');
  return claimed.run;
}

async function end(jobId: string, outcome: Outcome): Promise<void> {
  await endAttempt(db(), server.resources.queue, await claim(jobId), outcome, [], 0.5);
}

const SUCCEEDED: Outcome = { event: 'SUCCEED', totals: { rows: 1, bytes: 1 } };
const UNCHANGED: Outcome = {
  event: 'SKIP',
  reason: { code: 'UNCHANGED', message: 'The rows are the same.', retryable: false },
};
const FAILED: Outcome = {
  event: 'FAIL',
  failure: { code: 'ACCESS_DENIED', message: 'Attach the bucket policy.', retryable: false },
};

/** Queues a restatement of a window that was delivered, and returns the ids of its job and its run. */
async function queue(): Promise<{ jobId: string; runId: string }> {
  const jobId = await createJob(server, { s3Url: 'exports/figures', range: 'ago(1d)' });
  await runJob(server, jobId, '2026-01-21T01:00:00Z');
  await end(jobId, SUCCEEDED);
  return { jobId, runId: await queueRestatement(server, jobId) };
}

test('figures of deliveries > count each restatement that ended by its outcome, also if its last worker was lost', async () => {
  for (const outcome of [SUCCEEDED, UNCHANGED, FAILED]) await end((await queue()).jobId, outcome);
  await cancelRun(server, (await queue()).runId);
  const lost = await queue();
  await querySql(server, 'UPDATE runs SET attempt = $2 WHERE id = $1', [innerId(lost.runId), MAX_ATTEMPTS - 1]);
  await claim(lost.jobId);
  await querySql(server, `UPDATE runs SET lease_until = now() - interval '1 second' WHERE id = $1`, [
    innerId(lost.runId),
  ]);
  await reapLostRuns(db(), server.resources.queue);
  expect(await readRun(server, lost.runId)).toMatchObject({ status: 'FAILED', error: { code: WORKER_LOST.code } });
  // A reading covers runs that ended at least ten seconds ago.
  await querySql(server, `UPDATE runs SET finished_at = finished_at - interval '20 seconds'`);
  const endedSince = new Date(Date.now() - 60_000).toISOString();
  const { restatements, endedUntil } = await readDeliveryFigures(db(), { endedSince, limitMs: 10_000 });
  expect(Object.fromEntries(restatements)).toEqual({ succeeded: 1, unchanged: 1, failed: 2, canceled: 1 });
  const next = await readDeliveryFigures(db(), { endedSince: endedUntil, limitMs: 10_000 });
  expect(next.restatements.size).toBe(0);
});
