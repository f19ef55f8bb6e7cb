import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { claimRun } from '../../src/runs/claim.ts';
import { queueDueSlots } from '../../src/runs/due-slots.ts';
import { endAttempt, type LeasedRun } from '../../src/runs/lease.ts';
import { createJob, innerId, querySql, runJob } from '../support/job-steps.ts';
import { withClient } from '../support/postgres-admin.ts';
import { hearStatements } from '../support/sent-statements.ts';
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

const WAITS = `trigger = 'CRON', wait_until = 'infinity', not_before = 'infinity'`;

const claim = (jobId: string) => claimRun(server.resources.database.acrossAccounts, innerId(jobId), 60_000);

async function claimed(jobId: string): Promise<LeasedRun> {
  const claimed = await claim(jobId);
  if (!claimed || !('run' in claimed)) throw new Error(`Nothing was claimed: ${JSON.stringify(claimed)}`);
  return claimed.run;
}

/** Ends the attempt, and returns the times of the wake-ups that it sent; null for an immediate one. */
async function endWith(run: LeasedRun, event: 'SUCCEED' | 'FAIL'): Promise<(Date | null)[]> {
  const { database, queue } = server.resources;
  await querySql(server, 'DELETE FROM pgboss.job');
  const failure = { code: 'S3_BUSY', message: 'Busy.', retryable: true };
  const outcome = event === 'SUCCEED' ? { event, totals: { rows: 0, bytes: 0 } } : { event, failure };
  await endAttempt(database.acrossAccounts, queue, run, outcome, [], 0.5);
  const sent = await querySql<{ at: Date; is_later: boolean }>(
    server,
    `SELECT start_after AS at, start_after > created_on AS is_later FROM pgboss.job WHERE name = 'runs'`,
  );
  return sent.map(({ at, is_later: isLater }) => (isLater ? at : null));
}

describe('claimRun', () => {
  test('lets later runs pass one that waits for completeness, and returns nothing if all runs wait', async () => {
    const jobId = await createJob(server);
    await queueAs(jobId, '2026-01-20T02:00:00Z', WAITS);
    await queueAs(jobId, '2026-01-21T02:00:00Z', WAITS);
    expect(await claim(jobId)).toBeNull();
    const manual = innerId(await runJob(server, jobId, '2026-01-22T02:00:00Z'));
    const restatement = await queueAs(jobId, '2026-01-19T02:00:00Z', `trigger = 'RESTATEMENT', turn = 1`);
    const first = await claimed(jobId);
    expect(first.id).toBe(manual);
    // The restatement is woken, and not the runs that wait.
    expect(await endWith(first, 'SUCCEED')).toEqual([null]);
    const second = await claimed(jobId);
    expect(second.id).toBe(restatement);
    expect(await endWith(second, 'SUCCEED')).toEqual([]);
    expect(await claim(jobId)).toBeNull();
  });

  test('returns a run that waited as soon as its wait has ended, in the order of the slots', async () => {
    const jobId = await createJob(server);
    const waited = await queueAs(jobId, '2026-01-20T02:00:00Z', WAITS);
    await runJob(server, jobId, '2026-01-21T02:00:00Z');
    await querySql(server, `UPDATE runs SET not_before = clock_timestamp() WHERE id = $1`, [waited]);
    expect((await claimed(jobId)).id).toBe(waited);
  });

  test('lets no run pass a started one that pauses before its next attempt', async () => {
    const jobId = await createJob(server);
    await runJob(server, jobId, '2026-01-20T02:00:00Z');
    const begun = await claimed(jobId);
    await runJob(server, jobId, '2026-01-19T02:00:00Z');
    const [pausedUntil] = await endWith(begun, 'FAIL');
    expect(pausedUntil).toBeInstanceOf(Date);
    expect(await claim(jobId)).toMatchObject({ pausedUntil });
  });

  test('reads the next run of a job in the order of the index, without a sort', async () => {
    const jobId = await createJob(server);
    const heard = hearStatements();
    await claim(jobId);
    heard.stop();
    const choice = heard.heard.find(({ text }) => /^select .* from "runs" .* order by .* for update$/.test(text));
    const plan = await withClient(server.database.url, async (client) => {
      await client.query('SET enable_seqscan = off');
      await client.query('SET plan_cache_mode = force_generic_plan');
      await client.query(`PREPARE choice AS ${choice?.text}`);
      const { rows } = await client.query<{ 'QUERY PLAN': string }>(`EXPLAIN EXECUTE choice ('${innerId(jobId)}', 1)`);
      return rows.map((row) => row['QUERY PLAN']).join('\n');
    });
    expect(plan).toContain('Index Scan using runs_waiting');
    expect(plan).not.toContain('Sort');
  });
});
