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

test('consume > passes messages that are due together to one worker without pauses', async () => {
  const jobIds = await Promise.all(
    Array.from({ length: 8 }, (_, index) =>
      createJob(server, { jobName: `together ${index}`, enabled: true, cron: '0 0 1 1 *', email: 'ada@example.com' }),
    ),
  );
  // In one transaction with one NOTIFY.
  await querySql(server, `UPDATE jobs SET next_run_at = now() - interval '365 days' WHERE name LIKE 'together %'`);
  const runs = (await Promise.all(jobIds.map((jobId) => endedRunsOf(server, jobId, 1)))).flat();
  expect(runs.every(({ status }) => status === 'SUCCEEDED')).toBe(true);
  const times = runs.map(({ startedAt, finishedAt }) => [Date.parse(startedAt ?? ''), Date.parse(finishedAt ?? '')]);
  const took = Math.max(...times.flat()) - Math.min(...times.flat());
  const worked = times.reduce((sum, [start = 0, end = 0]) => sum + end - start, 0);
  // With a pause of 1 s between messages, as for messages that are not due yet, seven would take 7 s.
  expect(took - worked).toBeLessThan(6500);
  // With 5 s, as here, 35 s.
  await expect.poll(() => smtp.messages.length, { timeout: 30_000 }).toBe(runs.length);
});

test('consume > passes a delayed message in time without a notification', async () => {
  const asked: number[] = [];
  server.s3.setFault(() => {
    asked.push(performance.now());
    return asked.length === 1 ? { status: 503, code: 'SlowDown' } : undefined;
  });
  const id = await runJob(server, await createJob(server));
  expect(await endedRun(server, id)).toMatchObject({ status: 'SUCCEEDED', attempt: 2 });
  const [first = 0, second = 0] = asked;
  // 1 s with 25 % jitter, 1 s until the next poll, and time for a slow machine.
  expect(second - first).toBeGreaterThan(700);
  expect(second - first).toBeLessThan(10_000);
});

/** Messages of a job in the queue, oldest first. */
const messagesOf = async (jobId: string): Promise<string[]> => {
  const rows = await querySql<{ state: string }>(
    server,
    `SELECT state::text FROM pgboss.job WHERE name = $1 AND data ->> 'jobId' = $2 ORDER BY created_on`,
    [RUN_QUEUE, innerId(jobId)],
  );
  return rows.map(({ state }) => state);
};

test('run worker > counts an export that outlasts its message against EXPORT_CONCURRENCY', async () => {
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
  // The queue gave up both messages in turn: it delivered the second when the first expired.
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

test('queue of an earlier version > gets the longer expiration', async () => {
  const expiry = () =>
    querySql<{ seconds: number }>(server, 'SELECT expire_seconds AS seconds FROM pgboss.queue WHERE name = $1', [
      RUN_QUEUE,
    ]);
  await querySql(server, 'UPDATE pgboss.queue SET expire_seconds = 900 WHERE name = $1', [RUN_QUEUE]);
  await migrate(server.database.url);
  expect(await expiry()).toEqual([{ seconds: 86_399 }]);
});
