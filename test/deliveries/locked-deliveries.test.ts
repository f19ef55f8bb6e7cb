import { randomUUID } from 'node:crypto';
import { eq } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { jobs } from '../../src/db/tables.ts';
import type { JobSettings } from '../../src/jobs/settings.ts';
import { leaseDeliveries } from '../../src/deliveries/judge-deliveries.ts';
import { applyVerdicts } from '../../src/runs/restatements.ts';
import { daysAgo, restatedJob } from '../support/correction-steps.ts';
import { cancelRun, createJob, deleteJob, innerId, querySql, runJob, updateJob } from '../support/job-steps.ts';
import { withClient } from '../support/postgres-admin.ts';
import { hearStatements } from '../support/sent-statements.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';

let server: TestServer;
beforeAll(async () => {
  // Only this test checks deliveries.
  server = await startTestServer({ env: { ROLE: 'api' } });
});
afterAll(() => server.stop());

test('check of a delivery > is due again when a transaction had locked the delivery until the check ended', async () => {
  const jobId = await createJob(server);
  await runJob(server, jobId, '2026-01-26T01:00:00Z');
  await querySql(server, 'UPDATE deliveries SET touched_at = now(), check_at = now()');
  const { corrections: db } = server.resources.database;
  const token = randomUUID();
  const leased = await leaseDeliveries(db, token, 300, 500);
  expect(leased.map((delivery) => delivery.jobId)).toEqual([innerId(jobId)]);
  const judged = leased.map((delivery) => ({ delivery, job: undefined, verdict: 'SAME' as const, foundAt: null }));
  await withClient(server.database.url, async (client) => {
    await client.query(`SET sluice.all_accounts = 'on'; BEGIN; SELECT 1 FROM deliveries FOR UPDATE`);
    const statements = hearStatements();
    const applied = applyVerdicts(db, server.resources.queue, token, judged, { deployment: 1, account: 1 });
    try {
      // The check repeats its last statement while the delivery is locked.
      await eventually(
        () => Promise.resolve(statements.count('SET checking = NULL, check_at = clock_timestamp() WHERE')),
        (sent) => sent > 1,
      );
    } finally {
      statements.stop();
    }
    await client.query('COMMIT');
    await applied;
  });
  const [delivery] = await querySql<{ checking: string | null; is_due: boolean; is_marked: boolean }>(
    server,
    'SELECT checking, check_at <= clock_timestamp() AS is_due, touched_at IS NOT NULL AS is_marked FROM deliveries',
  );
  expect(delivery).toEqual({ checking: null, is_due: true, is_marked: true });
});

describe('job that changes while its delivery is checked', () => {
  /** Judges a delivered window of a new job as different, changes the job, and returns the settings of its restatements. */
  async function restate(change: (jobId: string) => Promise<unknown>): Promise<JobSettings[]> {
    const jobId = await createJob(server, restatedJob('checked'));
    await cancelRun(server, await runJob(server, jobId, daysAgo(2, 1)));
    const id = innerId(jobId);
    await querySql(
      server,
      'UPDATE deliveries SET revision = 1, touched_at = now(), check_at = now() WHERE job_id = $1',
      [id],
    );
    const { corrections: db } = server.resources.database;
    const token = randomUUID();
    const leased = await leaseDeliveries(db, token, 300, 500);
    const [job] = await db.select().from(jobs).where(eq(jobs.id, id));
    const judged = leased.map((delivery) => ({ delivery, job, verdict: 'DIFFERENT' as const, foundAt: null }));
    await change(jobId);
    await applyVerdicts(db, server.resources.queue, token, judged, { deployment: 1, account: 1 });
    const restatements = await querySql<{ settings: JobSettings }>(
      server,
      `SELECT settings FROM runs WHERE job_id = $1 AND trigger = 'RESTATEMENT'`,
      [id],
    );
    await querySql(
      server,
      `UPDATE runs SET status = 'CANCELED', finished_at = now() WHERE job_id = $1 AND status = 'QUEUED'`,
      [id],
    );
    return restatements.map(({ settings }) => settings);
  }

  test.each<[string, (jobId: string) => Promise<unknown>]>([
    ['it is deleted', (id) => deleteJob(server, id)],
    ['it is disabled', (id) => updateJob(server, id, { enabled: false })],
    ['its restatement is switched off', (id) => updateJob(server, id, { restatement: 'NONE' })],
    ['it has another output', (id) => updateJob(server, id, { aggregationBucket: 'HOUR' })],
  ])('is not restated when %s', async (_, change) => {
    expect(await restate(change)).toEqual([]);
  });

  test('is restated with its current settings', async () => {
    const [settings] = await restate((id) => updateJob(server, id, { region: 'eu-central-2' }));
    expect(settings).toMatchObject({ region: 'eu-central-2' });
  });

  test('is checked again when another transaction has locked it', async () => {
    const restatements = await withClient(server.database.url, (client) =>
      restate(async (jobId) => {
        await client.query(`SET sluice.all_accounts = 'on'; BEGIN`);
        await client.query('SELECT 1 FROM jobs WHERE id = $1 FOR UPDATE', [innerId(jobId)]);
      }),
    );
    expect(restatements).toEqual([]);
    const read =
      'SELECT checking, check_at <= clock_timestamp() AS is_due FROM deliveries WHERE revision = 1 ORDER BY id DESC LIMIT 1';
    expect(await querySql(server, read)).toEqual([{ checking: null, is_due: true }]);
  });
});
