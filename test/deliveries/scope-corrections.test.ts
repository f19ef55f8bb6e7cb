import { afterAll, beforeAll, expect, test } from 'vitest';
import { exportOnce, innerId, querySql, runsOf } from '../support/job-steps.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';
import { type RecordInput, write } from '../streams/writes.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

const DAY_MS = 86_400_000;
/** Recent enough for a restatement. */
const MIDNIGHT = Math.floor(Date.now() / DAY_MS) * DAY_MS - 3 * DAY_MS;
const iso = (offset: number): string => new Date(MIDNIGHT + offset).toISOString();

const usage = (acme: string): RecordInput[] =>
  [
    ['acme', acme],
    ['hooli', '250'],
  ].map(([elementName = '', value = '']) => ({
    timestamp: iso(0),
    granularity: 'DAILY',
    elementName,
    filter: [{ dimension: 'env', values: ['prod'] }],
    value,
  }));

async function readState(jobId: string): Promise<string | undefined> {
  const { job } = await server.graphql<{ job: { deliveries: { edges: { node: { state: string } }[] } } }>(
    'query ($id: ID!) { job(id: $id) { deliveries { edges { node { state } } } } }',
    { id: jobId },
  );
  return job.deliveries.edges[0]?.node.state;
}

test('replace of a delivered day with a scope > leads to a revision only if it changes a value', async () => {
  await write(server, 'Sum', { stream: 'requests', records: usage('100') });
  const { jobId } = await exportOnce(
    server,
    { range: 'ago(1d)', meterApiNames: ['requests'], groupBy: ['element'], enabled: true, cron: '0 0 1 1 *' },
    iso(DAY_MS + 3_600_000),
  );
  const replaceDay = (acme: string) =>
    write(server, 'Replace', { stream: 'requests', scope: { from: iso(0), to: iso(DAY_MS) }, records: usage(acme) });
  /** Waits for the mark and lets the check begin. */
  const check = async () => {
    await eventually(
      () => readState(jobId),
      (state) => state === 'TOUCHED',
      20_000,
    );
    await querySql(server, 'UPDATE deliveries SET check_at = now() WHERE job_id = $1', [innerId(jobId)]);
    await eventually(
      () => readState(jobId),
      (state) => state === 'CURRENT',
      20_000,
    );
  };
  expect((await replaceDay('100')).operation).toMatchObject({ hiddenRecords: 2, insertedRecords: 2 });
  await check();
  expect(await runsOf(server, jobId)).toHaveLength(1);

  await replaceDay('140');
  await check();
  const restatements = (await runsOf(server, jobId)).filter(({ trigger }) => trigger === 'RESTATEMENT');
  expect(restatements).toMatchObject([{ status: 'SUCCEEDED', windowStart: iso(0).replace('.000Z', 'Z') }]);
});
