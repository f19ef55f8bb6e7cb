import { test } from 'vitest';
import { createJob, querySql, innerId } from '../support/job-steps.ts';
import { startTestServer } from '../support/server.ts';
import { queueDueSlots } from '../../src/runs/due-slots.ts';
test('dbg', async () => {
  const server = await startTestServer({ env: { ROLE: 'api' } });
  const jobId = await createJob(server, {
    cron: '* * * * *',
    enabled: true,
    aggregationBucket: 'HOUR',
    range: 'ago(2h)',
    minimizeFresh: false,
    timeZone: 'Europe/Berlin',
  });
  await querySql(server, 'UPDATE jobs SET next_run_at = $2 WHERE id = $1', [
    innerId(jobId),
    new Date(Date.now() - 500 * 3600_000),
  ]);
  const t0 = performance.now();
  const cpu = process.cpuUsage();
  await queueDueSlots(server.resources.database.db, server.resources.queue, { batch: 200, maxCatchUp: 100 });
  console.log('ms', performance.now() - t0, process.cpuUsage(cpu));
  await server.stop();
});
