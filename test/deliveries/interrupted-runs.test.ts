import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { settleImmediately } from '../support/correction-steps.ts';
import { createFaults, createGate, type Faults } from '../support/faults.ts';
import {
  addRecords,
  cancelRun,
  endedRun,
  exportOnce,
  innerId,
  type Manifest,
  querySql,
  runJob,
  runsOf,
  updateJob,
} from '../support/job-steps.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';

/** Servers end the attempts of their runs immediately when they stop. */
const ENV = { LEDGER_SCAN_SECONDS: '1', LEDGER_SCAN_IDLE_SECONDS: '1', SHUTDOWN_GRACE_SECONDS: '0' };

let server: TestServer;
let faults: Faults;
beforeAll(async () => {
  server = await startTestServer({ env: ENV });
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
  await settleImmediately(server, jobId);
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

const checkNow = (jobId: string): Promise<unknown> =>
  querySql(server, 'UPDATE deliveries SET check_at = now(), checking = NULL WHERE job_id = $1', [innerId(jobId)]);

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

  test('is delivered again when a run FAILED after the manifest said "rewriting", before the first object', async () => {
    const stream = 'too-large';
    await add(stream, '100000000000000000000');
    const settings = { jobName: stream, s3Url: `exports/${stream}`, range: 'ago(1d)', meterApiNames: [stream] };
    const { jobId } = await exportOnce(server, { ...settings, enabled: true, cron: '0 1 1 1 *' }, SLOT);
    await updateJob(server, jobId, { format: 'PARQUET' });
    const run = await endedRun(server, await runJob(server, jobId, SLOT));
    expect(run).toMatchObject({ status: 'FAILED', attempt: 1, objects: [], error: { code: 'VALUE_TOO_LARGE' } });
    expect(manifestsOf(stream).at(-1)).toMatchObject({ state: 'rewriting', revision: 2 });
    await updateJob(server, jobId, { format: 'CSV' });
    await checkNow(jobId);
    await untilComplete(stream, 3);
    await eventually(
      () => stateOf(jobId),
      (state) => state === 'CURRENT',
    );
  });

  test('is restated when its worker stopped while it wrote the manifest, and the next attempt was refused', async () => {
    const { database, s3 } = server;
    const startWorker = () => startTestServer({ database, s3, env: { ...ENV, ROLE: 'worker' } });
    const jobId = await deliver('stopped');
    await server.app.stop();
    const api = await startTestServer({ database, s3, env: { ROLE: 'api' } });
    const worker = await startWorker();
    const stops = [api];
    try {
      const caught = createGate();
      faults.on('stopped/', () => {
        caught.open();
        return 'hang';
      });
      const id = await runJob(api, jobId, SLOT);
      await caught.opened;
      await worker.stop();
      faults.on('stopped/', () => ({ status: 403, code: 'AccessDenied' }));
      stops.unshift(await startWorker());
      expect(await endedRun(api, id)).toMatchObject({ status: 'FAILED', attempt: 1, objects: [] });
      await checkNow(jobId);
      await eventually(
        () => runsOf(api, jobId),
        (runs) => runs.some(({ trigger, status }) => trigger === 'RESTATEMENT' && status === 'FAILED'),
      );
    } finally {
      for (const one of stops) await one.stop();
    }
  });
});
