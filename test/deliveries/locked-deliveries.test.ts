import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { leaseDeliveries } from '../../src/deliveries/judge-deliveries.ts';
import { applyVerdicts } from '../../src/runs/restatements.ts';
import { createJob, innerId, querySql, runJob } from '../support/job-steps.ts';
import { withClient } from '../support/postgres-admin.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

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
    // Longer than the statements of a check take.
    const released = client.query('SELECT pg_sleep(1)').then(() => client.query('COMMIT'));
    await applyVerdicts(db, server.resources.queue, token, judged, { deployment: 1, account: 1 });
    await released;
  });
  const [delivery] = await querySql<{ checking: string | null; is_due: boolean; is_marked: boolean }>(
    server,
    'SELECT checking, check_at <= clock_timestamp() AS is_due, touched_at IS NOT NULL AS is_marked FROM deliveries',
  );
  expect(delivery).toEqual({ checking: null, is_due: true, is_marked: true });
});
