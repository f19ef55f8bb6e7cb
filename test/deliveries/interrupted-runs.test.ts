import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createFaults, createGate, type Faults } from '../support/faults.ts';
import {
  addRecords,
  cancelRun,
  exportOnce,
  innerId,
  type Manifest,
  querySql,
  runJob,
  runsOf,
} from '../support/job-steps.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';

let server: TestServer;
let faults: Faults;
beforeAll(async () => {
  server = await startTestServer({ env: { LEDGER_SCAN_SECONDS: '1', LEDGER_SCAN_IDLE_SECONDS: '1' } });
  faults = createFaults(server.s3);
});
afterAll(() => server.stop());

const DAY_MS = 86_400_000;
const TODAY = Math.floor(Date.now() / DAY_MS) * DAY_MS;
const SLOT = new Date(TODAY - DAY_MS).toISOString();
const timestamp = new Date(TODAY - 2 * DAY_MS).toISOString();

const add = (stream: string, value: string) =>
  addRecords(server, stream, 'HOURLY', [{ timestamp, elementName: 'acme', value }]);

async function replace(stream: string, value: string): Promise<void> {
  const input = { stream, records: [{ timestamp, granularity: 'HOURLY', elementName: 'acme', value }] };
  const { answer } = await server.graphql<{ answer: { __typename: string } }>(
    'mutation ($input: AllocationInput!) { answer: allocationReplace(input: $input) { __typename } }',
    { input },
  );
  expect(answer.__typename).toBe('AllocationReceipt');
}

/** Delivers the window of a new job over a new stream. Its marks are checked immediately. */
async function deliver(stream: string): Promise<string> {
  await add(stream, '100');
  const { jobId } = await exportOnce(
    server,
    {
      jobName: stream,
      s3Url: `exports/${stream}`,
      range: 'ago(1d)',
      meterApiNames: [stream],
      enabled: true,
      cron: '0 1 1 1 *',
    },
    SLOT,
  );
  await querySql(server, 'UPDATE jobs SET settle_seconds = 0 WHERE id = $1', [innerId(jobId)]);
  return jobId;
}

/** Cancels the run that `begin` starts while it writes its first object, after the manifest says "rewriting". */
async function cancelMidway(stream: string, jobId: string, begin: () => Promise<unknown>): Promise<void> {
  const caught = createGate();
  faults.on(`${stream}/`, ({ key }) => {
    if (key.endsWith('.manifest.json')) return undefined;
    caught.open();
    return 'hang';
  });
  await begin();
  await caught.opened;
  faults.clear(`${stream}/`);
  const running = (await runsOf(server, jobId)).find(({ status }) => status === 'RUNNING');
  await cancelRun(server, running?.id ?? '');
}

function manifestsOf(stream: string): (Manifest & { readonly revision: number })[] {
  return server.s3.puts
    .filter(({ key }) => key.startsWith(`${stream}/`) && key.endsWith('.manifest.json'))
    .map(({ body }) => JSON.parse(body.toString()) as Manifest & { revision: number });
}

async function stateOf(jobId: string): Promise<string | undefined> {
  const { job } = await server.graphql<{ job: { deliveries: { edges: { node: { state: string } }[] } } }>(
    `query ($id: ID!) { job(id: $id) { deliveries { edges { node { state } } } } }`,
    { id: jobId },
  );
  return job.deliveries.edges[0]?.node.state;
}

function untilComplete(stream: string, revision: number): Promise<unknown> {
  return eventually(
    () => Promise.resolve(manifestsOf(stream).at(-1)),
    (newest) => newest?.state === 'complete' && newest.revision === revision,
  );
}

describe('delivery', () => {
  test('is delivered again when a run that had started to overwrite it was canceled', async () => {
    const jobId = await deliver('canceled');
    await cancelMidway('canceled', jobId, () => runJob(server, jobId, SLOT));
    expect(manifestsOf('canceled').at(-1)).toMatchObject({ state: 'rewriting', revision: 2 });
    await untilComplete('canceled', 3);
    await eventually(
      () => stateOf(jobId),
      (state) => state === 'CURRENT',
    );
  });

  test('stays STALE when its restatement was canceled, and is delivered again when the correction is undone', async () => {
    const jobId = await deliver('undone');
    await cancelMidway('undone', jobId, () => add('undone', '40'));
    expect(await stateOf(jobId)).toBe('STALE');
    await replace('undone', '100');
    await untilComplete('undone', 3);
    await eventually(
      () => stateOf(jobId),
      (state) => state === 'CURRENT',
    );
  });
});
