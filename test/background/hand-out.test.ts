import { afterAll, beforeAll, expect, test } from 'vitest';
import { createJob, endedRun, endedRunsOf, querySql, runJob } from '../support/job-steps.ts';
import { startTestServer, type TestServer } from '../support/server.ts';
import { startSmtp, type TestSmtp } from '../support/smtp.ts';

let smtp: TestSmtp;
let server: TestServer;
beforeAll(async () => {
  smtp = await startSmtp();
  server = await startTestServer({ env: { SMTP_URL: smtp.url, EXPORT_CONCURRENCY: '1' } });
});
afterAll(async () => {
  await server.stop();
  await smtp.close();
});

test('jobs that come due together are run by one worker without pauses, and so are their mails', async () => {
  const jobIds = await Promise.all(
    Array.from({ length: 8 }, (_, index) =>
      createJob(server, { jobName: `together ${index}`, enabled: true, cron: '0 0 1 1 *', email: 'ada@example.com' }),
    ),
  );
  // In one transaction, of which one NOTIFY tells.
  await querySql(server, `UPDATE jobs SET next_run_at = now() - interval '365 days' WHERE name LIKE 'together %'`);
  const runs = (await Promise.all(jobIds.map((jobId) => endedRunsOf(server, jobId, 1)))).flat();
  expect(runs.every(({ status }) => status === 'SUCCEEDED')).toBe(true);
  const times = runs.map(({ startedAt, finishedAt }) => [Date.parse(startedAt ?? ''), Date.parse(finishedAt ?? '')]);
  const took = Math.max(...times.flat()) - Math.min(...times.flat());
  const worked = times.reduce((sum, [start = 0, end = 0]) => sum + end - start, 0);
  // Asked once a second for the next one, as for what is not due yet, seven pauses would come to seven seconds.
  expect(took - worked).toBeLessThan(4000);
  // Every five seconds, here: to 35.
  await expect.poll(() => smtp.messages.length, { timeout: 30_000 }).toBe(runs.length);
});

test('what is to be done later is found in time, though nothing tells of it', async () => {
  const asked: number[] = [];
  server.s3.setFault(() => {
    asked.push(performance.now());
    return asked.length === 1 ? { status: 503, code: 'SlowDown' } : undefined;
  });
  const id = await runJob(server, await createJob(server));
  expect(await endedRun(server, id)).toMatchObject({ status: 'SUCCEEDED', attempt: 2 });
  const [first = 0, second = 0] = asked;
  // A second with a quarter of jitter, a second until the queue is asked next, and time for a slow machine.
  expect(second - first).toBeGreaterThan(700);
  expect(second - first).toBeLessThan(4500);
});
