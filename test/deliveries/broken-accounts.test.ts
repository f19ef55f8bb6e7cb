import { afterAll, beforeAll, expect, test } from 'vitest';
import { daysAgo, restatedJob, settled } from '../support/correction-steps.ts';
import { createGraphQLClient } from '../support/graphql-client.ts';
import { addRecords, createJob, endedRun, innerId, querySql, runJob } from '../support/job-steps.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ env: { LEDGER_SCAN_SECONDS: '1', LEDGER_SCAN_IDLE_SECONDS: '1' } });
});
afterAll(() => server.stop());

/** Delivers a day of an account of its own, and returns the id of the job in the database. */
async function deliver(account: string, bucket: string): Promise<string> {
  const key = await server.createKey(account, ['ADMIN']);
  const owner = { ...server, key, ...createGraphQLClient(server.url, key) };
  await addRecords(owner, 'hours', 'HOURLY', [{ timestamp: daysAgo(3, 5), elementName: 'acme', value: '1' }]);
  const jobId = await createJob(owner, restatedJob('hours', { s3Url: `${bucket}/hours` }));
  await endedRun(owner, await runJob(owner, jobId, daysAgo(2, 1)));
  return innerId(jobId);
}

test('deliveries of an account that cannot be checked > do not keep those of other accounts from their check', async () => {
  await deliver('first', 'exports');
  const broken = await deliver('broken', 'other-exports');
  await deliver('last', 'handed-on');
  await settled(server);
  await querySql(server, `UPDATE jobs SET settings = 'null' WHERE id = $1`, [broken]);
  // In one statement, so that one check leases all three.
  await querySql(
    server,
    `UPDATE deliveries SET touched_at = now(), check_at = now(), complete = CASE WHEN job_id = $1 THEN false ELSE complete END`,
    [broken],
  );
  const readMarked = () =>
    querySql<{ job: string }>(server, 'SELECT job_id AS job FROM deliveries WHERE touched_at IS NOT NULL');
  expect(await eventually(readMarked, ({ length }) => length === 1)).toEqual([{ job: broken }]);
  const leased = await querySql(server, 'SELECT 1 FROM deliveries WHERE check_at > now()');
  expect(leased).toHaveLength(1);
});
