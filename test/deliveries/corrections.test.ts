import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { addRecords, exportOnce, innerId, querySql, type Result, runsOf, type Settings } from '../support/job-steps.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ env: { LEDGER_SCAN_SECONDS: '1', LEDGER_SCAN_IDLE_SECONDS: '1' } });
});
afterAll(() => server.stop());

const DAY_MS = 86_400_000;
const TODAY = Math.floor(Date.now() / DAY_MS) * DAY_MS;

/** Returns an instant some days before today, at an hour of the day. */
function daysAgo(days: number, hour = 0): string {
  return new Date(TODAY - days * DAY_MS + hour * 3_600_000).toISOString().replace('.000', '');
}

interface DeliveryView {
  readonly id: string;
  readonly state: string;
  readonly windowStart: string;
  readonly revision: number;
}

async function deliveriesOf(jobId: string): Promise<DeliveryView[]> {
  const { job } = await server.graphql<{ job: { deliveries: { edges: { node: DeliveryView }[] } } }>(
    `query ($id: ID!) { job(id: $id) { deliveries { edges { node { id state windowStart revision } } } } }`,
    { id: jobId },
  );
  return job.deliveries.edges.map(({ node }) => node);
}

async function statesOf(jobId: string): Promise<string[]> {
  return (await deliveriesOf(jobId)).map(({ state }) => state);
}

/** Lets marked deliveries of the job be checked immediately. */
async function settleImmediately(jobId: string): Promise<void> {
  await querySql(server, 'UPDATE jobs SET settle_seconds = 0 WHERE id = $1', [innerId(jobId)]);
}

/** Waits until the ledger was scanned after this call, and no delivery is marked. */
async function checkedAll(): Promise<void> {
  const [{ now } = { now: '' }] = await querySql<{ now: string }>(server, 'SELECT clock_timestamp()::text AS now');
  await eventually(
    () =>
      querySql<{ scanned: boolean; marked: number }>(
        server,
        `SELECT bool_and(scanned_at > $1::timestamptz) AS scanned,
           (SELECT count(*)::int FROM deliveries WHERE check_at IS NOT NULL) AS marked FROM ledger_cursors`,
        [now],
      ),
    ([row]) => row?.scanned === true && row.marked === 0,
    40_000,
  );
}

const hourly = (day: number, elementName: string, value: string, hour = 5) => ({
  timestamp: daysAgo(day, hour),
  elementName,
  value,
});

async function write(
  kind: 'allocationReplace' | 'allocationSum',
  stream: string,
  records: readonly object[],
): Promise<string> {
  const data = await server.graphql<Record<string, Result>>(
    `mutation ($input: AllocationInput!) { ${kind}(input: $input) { __typename ... on AllocationReceipt { operation { id } } } }`,
    { input: { stream, records: records.map((record) => ({ granularity: 'HOURLY', ...record })) } },
  );
  const receipt = data[kind] as unknown as { operation: { id: string } };
  return receipt.operation.id;
}

const base = (stream: string, settings: Settings = {}): Settings => ({
  range: 'ago(1d)',
  groupBy: ['element'],
  meterApiNames: [stream],
  enabled: true,
  cron: '0 1 1 1 *',
  restateAfter: 'ago(1m)',
  ...settings,
});

/** Delivers the window of the day for a new job over a new stream with acme 100 and hooli 250. */
async function deliver(stream: string, settings: Settings = {}) {
  await addRecords(server, stream, 'HOURLY', [hourly(9, 'acme', '100'), hourly(9, 'hooli', '250')]);
  const exported = await exportOnce(server, base(stream, settings), daysAgo(8, 1));
  await settleImmediately(exported.jobId);
  return exported;
}

describe('a correction', () => {
  test('leads to the next revision', async () => {
    const { jobId } = await deliver('late');
    expect(await deliveriesOf(jobId)).toMatchObject([{ state: 'CURRENT', revision: 1 }]);
    await write('allocationSum', 'late', [hourly(9, 'acme', '40')]);
    await eventually(
      () => deliveriesOf(jobId),
      ([one]) => one?.revision === 2,
      40_000,
    );
    const restated = (await runsOf(server, jobId)).find(({ trigger }) => trigger === 'RESTATEMENT');
    expect(restated).toMatchObject({ status: 'SUCCEEDED', windowStart: daysAgo(9), windowEnd: daysAgo(8) });
    await checkedAll();
    expect(await statesOf(jobId)).toEqual(['CURRENT']);
  });

  test('that changes no value leads to no run', async () => {
    const { jobId } = await deliver('same');
    await write('allocationReplace', 'same', [hourly(9, 'hooli', '250')]);
    await checkedAll();
    expect(await deliveriesOf(jobId)).toMatchObject([{ state: 'CURRENT', revision: 1 }]);
    expect(await runsOf(server, jobId)).toHaveLength(1);
  });
});
