import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { queueDueSlots } from '../../src/runs/due-slots.ts';
import { createJob, innerId, querySql, runJob } from '../support/job-steps.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

let server: TestServer;
beforeAll(async () => {
  // Only these tests plan and claim runs.
  server = await startTestServer({ env: { ROLE: 'api' } });
});
afterAll(() => server.stop());

const MAX_CATCH_UP = 2;

/** Plans the slots of one job up to the given time. */
async function planSlots(jobId: string, now: string): Promise<void> {
  const onUnplannable = (_: string, error: unknown): never => {
    throw error;
  };
  await querySql(server, 'UPDATE jobs SET next_run_at = $2 WHERE id = $1', [innerId(jobId), new Date(now)]);
  const options = { batch: 10, maxCatchUp: MAX_CATCH_UP, skip: [], onUnplannable, now: new Date(now) };
  await queueDueSlots(server.resources.database.acrossAccounts, server.resources.queue, options);
}

interface StoredRun {
  readonly id: string;
  readonly trigger: string;
  readonly status: string;
}

const storedRuns = (jobId: string): Promise<StoredRun[]> =>
  querySql<StoredRun>(server, 'SELECT id, trigger, status FROM runs WHERE job_id = $1 ORDER BY scheduled_for, id', [
    innerId(jobId),
  ]);

/** Queues a run of the slot and changes its columns to those of another trigger. */
async function queueAs(jobId: string, slot: string, change: string): Promise<string> {
  const id = innerId(await runJob(server, jobId, slot));
  await querySql(server, `UPDATE runs SET ${change} WHERE id = $1`, [id]);
  return id;
}

describe('queueDueSlots', () => {
  test('neither supersedes nor misses runs that are not of a slot, and runs that wait for completeness', async () => {
    const jobId = await createJob(server, { cron: '0 2 * * *', enabled: true, aggregationBucket: 'MONTH' });
    for (const change of [
      `trigger = 'RESTATEMENT', turn = 1`,
      `trigger = 'BACKFILL', turn = 2`,
      `trigger = 'CRON', wait_until = 'infinity', not_before = 'infinity'`,
    ]) {
      // All windows are the month before the slot: the slots of January contain them, and those of the year before exceed the limit.
      await queueAs(jobId, '2026-01-20T02:00:00Z', change);
    }
    for (const [index, month] of ['07', '08', '09', '10'].entries()) {
      const change = index % 2 === 0 ? `trigger = 'BACKFILL', turn = 2` : `trigger = 'CRON', wait_until = 'infinity'`;
      await queueAs(jobId, `2025-${month}-20T02:00:00Z`, change);
    }
    await planSlots(jobId, '2026-01-21T02:00:00Z');
    expect((await storedRuns(jobId)).filter(({ status }) => status !== 'QUEUED')).toEqual([]);
    expect(await storedRuns(jobId)).toHaveLength(8);
  });
});
