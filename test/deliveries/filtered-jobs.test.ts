import { afterAll, beforeAll, expect, test } from 'vitest';
import { copyJob } from '../support/copied-jobs.ts';
import { addRecords, querySql, readExport, runsOf } from '../support/job-steps.ts';
import { checkedAll, daysAgo, deliverDay, settled, write } from '../support/correction-steps.ts';
import { hearStatements } from '../support/sent-statements.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';

const JOBS = 1000;

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ env: { LEDGER_SCAN_SECONDS: '1', LEDGER_SCAN_IDLE_SECONDS: '1' } });
});
afterAll(() => server.stop());

const record = (number: number, value: string) => ({
  timestamp: daysAgo(9, 5),
  elementName: `element ${number}`,
  value,
});
const filterOf = (number: number) => [{ dimension: 'element', values: [`element ${number}`] }];

test(`correction of 3 elements > restates 3 of ${JOBS} jobs with one element each, after one read of its change`, async () => {
  const all = Array.from({ length: JOBS }, (_, number) => record(number, '1'));
  await addRecords(server, 'requests', 'HOURLY', all);
  await checkedAll(server);
  const { jobId } = await deliverDay(server, 'requests', 9, {
    jobName: 'One element',
    s3Url: 'exports/filtered',
    filter: filterOf(0),
  });
  await settled(server);
  await copyJob(server, jobId, JOBS - 1, (number) => ({ filter: filterOf(number) }));
  const count = (from: string) => querySql<{ count: number }>(server, `SELECT count(*)::int AS count FROM ${from}`);
  // All of them are marked before the first is checked.
  await querySql(server, 'UPDATE jobs SET settle_seconds = 3600');
  const corrected = [7, 500, 999];
  const statements = hearStatements();
  try {
    const records = corrected.map((number) => record(number, '41'));
    await write(server, 'allocationSum', 'requests', records);
    await eventually(
      () => count('deliveries WHERE touched_at IS NOT NULL'),
      ([row]) => row?.count === JOBS,
    );
    await querySql(server, 'UPDATE deliveries SET check_at = now()');
    await settled(server);
  } finally {
    statements.stop();
  }
  const restated = await querySql<{ id: string; name: string }>(
    server,
    `SELECT r.job_id AS id, j.name FROM runs r JOIN jobs j ON j.id = r.job_id WHERE r.trigger = 'RESTATEMENT' ORDER BY j.name`,
  );
  expect(restated.map(({ name }) => name)).toEqual(corrected.map((number) => `One element ${number}`).toSorted());
  for (const { id, name } of restated) {
    const [run] = await runsOf(server, Buffer.from(`Job:${id}`).toString('base64url'));
    if (!run) throw new Error(`The job "${name}" has no run.`);
    const { manifest, text } = readExport(server, run);
    expect(text).toContain(`,${name.replace('One ', '')},42\n`);
    expect(manifest).toMatchObject({ state: 'complete', revision: 2 });
  }
  expect(await count('deliveries WHERE touched_at IS NOT NULL OR stale_since IS NOT NULL')).toEqual([{ count: 0 }]);
  expect(statements.count('HAVING sum(value) <> 0 OR sum(n) <> 0 LIMIT')).toBe(1);
});
