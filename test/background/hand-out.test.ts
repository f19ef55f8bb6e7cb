import { afterAll, beforeAll, expect, test } from 'vitest';
import { migrate } from '../../src/db/migrate.ts';
import { RUN_QUEUE } from '../../src/db/queue.ts';
import { createGate } from '../support/faults.ts';
import { createJob, endedRun, endedRunsOf, innerId, querySql, readRun, runJob } from '../support/job-steps.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';
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

/** What the queue holds of a job, oldest first. */
const messagesOf = async (jobId: string): Promise<string[]> => {
  const rows = await querySql<{ state: string }>(
    server,
    `SELECT state::text FROM pgboss.job WHERE name = $1 AND data ->> 'jobId' = $2 ORDER BY created_on`,
    [RUN_QUEUE, innerId(jobId)],
  );
  return rows.map(({ state }) => state);
};

test('an export that outlasts its message keeps its place: the next one waits for it', async () => {
  const gate = createGate();
  const asked: string[] = [];
  server.s3.setFault(({ key }) => {
    asked.push(key);
    return asked.length === 1 ? { hold: gate.opened } : undefined;
  });
  await server.resources.queue.updateQueue(RUN_QUEUE, { expireInSeconds: 1 });
  const [first, second] = [await createJob(server), await createJob(server)];
  const firstRun = await runJob(server, first);
  await expect.poll(() => asked.length).toBe(1);
  const secondRun = await runJob(server, second);
  // The queue has given up both, one after the other: it had handed out the second in the place of the first.
  await eventually(
    () => messagesOf(second),
    (states) => states.includes('failed'),
  );
  expect(await messagesOf(first)).toContain('failed');
  expect(asked).toHaveLength(1);
  expect(await readRun(server, secondRun)).toMatchObject({ status: 'QUEUED', attempt: 0 });
  gate.open();
  const [one, two] = [await endedRun(server, firstRun), await endedRun(server, secondRun)];
  expect([one, two]).toMatchObject([
    { status: 'SUCCEEDED', attempt: 1 },
    { status: 'SUCCEEDED', attempt: 1 },
  ]);
  expect(Date.parse(one.finishedAt ?? '')).toBeLessThanOrEqual(Date.parse(two.startedAt ?? ''));
});

test('a queue of an earlier version learns to wait for long exports', async () => {
  const expiry = () =>
    querySql<{ seconds: number }>(server, 'SELECT expire_seconds AS seconds FROM pgboss.queue WHERE name = $1', [
      RUN_QUEUE,
    ]);
  await querySql(server, 'UPDATE pgboss.queue SET expire_seconds = 900 WHERE name = $1', [RUN_QUEUE]);
  await migrate(server.database.url);
  expect(await expiry()).toEqual([{ seconds: 86_399 }]);
});
