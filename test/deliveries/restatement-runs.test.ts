import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createFaults, createGate, type Faults } from '../support/faults.ts';
import {
  addRecords,
  cancelRun,
  createJob,
  endedRun,
  exportAgain,
  exportOnce,
  innerId,
  querySql,
  readExport,
  runJob,
  runsOf,
  runThat,
  type RunView,
  type Settings,
  updateJob,
} from '../support/job-steps.ts';
import { queueRestatement, restate } from '../support/restatement-steps.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';

let faults: Faults;
let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ env: { LEDGER_SCAN_SECONDS: '1', LEDGER_SCAN_IDLE_SECONDS: '1' } });
  faults = createFaults(server.s3);
});
afterAll(() => server.stop());

const SLOT = '2026-01-21T01:00:00Z';
const HOUR = '2026-01-20T05:00:00Z';
let streamsMade = 0;

/** A stream with acme 100 and hooli 250 at 20 January, and a job of the day, delivered as revision 1. */
async function deliverBase(settings: Settings = {}) {
  streamsMade += 1;
  const stream = `requests-${streamsMade}`;
  await addRecords(server, stream, 'HOURLY', [
    { timestamp: HOUR, elementName: 'acme', value: '100', filter: [{ dimension: 'env', values: ['prod'] }] },
    { timestamp: HOUR, elementName: 'hooli', value: '250', filter: [{ dimension: 'env', values: ['prod'] }] },
  ]);
  const jobName = `Daily ${stream}`;
  const first = await exportOnce(
    server,
    {
      jobName,
      s3Url: `exports/${stream}`,
      range: 'ago(1d)',
      meterApiNames: [stream],
      groupBy: ['element'],
      ...settings,
    },
    SLOT,
  );
  return { ...first, stream };
}

const recordOf = (elementName: string, value: string, env = 'prod') => ({
  timestamp: HOUR,
  granularity: 'HOURLY',
  elementName,
  value,
  filter: [{ dimension: 'env', values: [env] }],
});

const add = (stream: string, elementName: string, value: string) =>
  addRecords(server, stream, 'HOURLY', [recordOf(elementName, value)]);

/** Replaces the records of these keys. */
async function replace(stream: string, records: readonly object[]): Promise<void> {
  const { allocationReplace } = await server.graphql<{ allocationReplace: { __typename: string } }>(
    `mutation ($input: AllocationInput!) { allocationReplace(input: $input) { __typename } }`,
    { input: { stream, records } },
  );
  expect(allocationReplace.__typename).toBe('AllocationReceipt');
}

interface DeliveryRow {
  readonly revision: number;
  readonly run_id: string;
  readonly watermark: string;
  readonly touched_at: Date | null;
  readonly check_at: Date | null;
  readonly checking: string | null;
  readonly stale_since: Date | null;
  readonly failures: number;
  readonly checked_at: Date | null;
  readonly hours: number | null;
}

async function readDelivery(jobId: string): Promise<DeliveryRow> {
  const [row] = await querySql<DeliveryRow>(
    server,
    `SELECT *, extract(epoch FROM check_at - clock_timestamp())::float8 / 3600 AS hours FROM deliveries WHERE job_id = $1`,
    [innerId(jobId)],
  );
  if (!row) throw new Error('The job has no delivery.');
  return row;
}

const setDelivery = (jobId: string, assignments: string) =>
  querySql(server, `UPDATE deliveries SET ${assignments} WHERE job_id = $1`, [innerId(jobId)]);

const putsOf = (stream: string) => server.s3.puts.filter(({ key }) => key.startsWith(`${stream}/`));

describe('restatement', () => {
  test('is CANCELED as UNCHANGED before any put when a correction moved values within a group', async () => {
    const { jobId, stream, run } = await deliverBase({ groupBy: ['env'], email: 'owner@example.com' });
    await replace(stream, [recordOf('acme', '90'), recordOf('hooli', '260')]);
    const before = await readDelivery(jobId);
    await setDelivery(jobId, 'stale_since = now(), failures = 2');
    const puts = putsOf(stream).length;
    const restated = await restate(server, jobId);
    expect(restated).toMatchObject({
      status: 'CANCELED',
      trigger: 'RESTATEMENT',
      error: { code: 'UNCHANGED', retryable: false },
    });
    expect(putsOf(stream)).toHaveLength(puts);
    const after = await readDelivery(jobId);
    expect(after).toMatchObject({
      revision: 1,
      run_id: innerId(run.id),
      stale_since: null,
      failures: 0,
    });
    expect(after.watermark).not.toBe(before.watermark);
  });

  test('of the reason COMPLETE delivers the same rows again', async () => {
    const { jobId } = await deliverBase();
    const run = await restate(server, jobId, { reason: 'COMPLETE' });
    expect(readExport(server, run).manifest).toMatchObject({
      revision: 2,
      reason: { trigger: 'RESTATEMENT', operationCount: 0, operations: [] },
      changes: { rowsAdded: 0, rowsRemoved: 0, rowsChanged: 0, meterCount: 0, meters: [] },
    });
  });

  test('that FAILED leaves the old manifest and objects, and is checked again later', async () => {
    const { jobId, stream } = await deliverBase();
    await add(stream, 'acme', '40');
    await setDelivery(jobId, 'stale_since = now()');
    const bodies = () =>
      server.s3
        .objects()
        .filter(({ key }) => key.startsWith(`${stream}/`))
        .map(({ body }) => body.toString());
    const before = bodies();
    faults.on(`${stream}/`, () => ({ status: 403, code: 'AccessDenied' }));
    for (const hours of [1, 2, 4]) {
      expect(await restate(server, jobId)).toMatchObject({ status: 'FAILED', error: { code: 'ACCESS_DENIED' } });
      const row = await readDelivery(jobId);
      expect(row.hours).toBeCloseTo(hours, 1);
      expect([row.touched_at, row.stale_since].every((at) => at !== null)).toBe(true);
    }
    await setDelivery(jobId, 'failures = 40');
    await restate(server, jobId);
    expect((await readDelivery(jobId)).hours).toBeCloseTo(24, 1);
    expect(bodies()).toEqual(before);
    // The next slot succeeds.
    faults.clear(`${stream}/`);
    await exportAgain(server, jobId, '2026-01-22T01:00:00Z');
    const [{ due } = { due: false }] = await querySql<{ due: boolean }>(
      server,
      // The check of the server may have started or ended. Before, it was to start in 24 hours.
      `SELECT coalesce(check_at < now() + interval '23 hours', true) AS due
       FROM deliveries WHERE job_id = $1 AND window_start = '2026-01-20T00:00:00Z'`,
      [innerId(jobId)],
    );
    expect(due).toBe(true);
  });

  test('does not write when the output of its job was changed before it began', async () => {
    const { jobId, stream } = await deliverBase();
    await add(stream, 'acme', '40');
    await setDelivery(jobId, 'stale_since = now()');
    const held = createGate();
    faults.on(`${stream}/`, () => ({ hold: held.opened }));
    const slot = await runJob(server, jobId, '2026-01-25T01:00:00Z');
    await runThat(server, slot, ({ status }) => status === 'RUNNING');
    const id = await queueRestatement(server, jobId, { windowStart: '2026-01-20T00:00:00Z' });
    await updateJob(server, jobId, { s3Url: `exports/${stream}-moved` });
    held.open();
    const run = await runThat(server, id, ({ status }) => status === 'CANCELED');
    expect(run.error?.code).toBe('JOB_CHANGED');
    expect(putsOf(stream).filter(({ key }) => key.includes('20260120'))).toHaveLength(2);
  });
});

const DAY_MS = 86_400_000;
const TODAY = Math.floor(Date.now() / DAY_MS) * DAY_MS;
const ago = (days: number, hour = 0): string =>
  new Date(TODAY - days * DAY_MS + hour * 3_600_000).toISOString().replace('.000', '');

/** A job that is restated automatically, whose window of three days ago was delivered with acme 100 and hooli 250. */
async function deliverRecent(settings: Settings = {}) {
  streamsMade += 1;
  const stream = `recent-${streamsMade}`;
  const record = (elementName: string, value: string) => ({ ...recordOf(elementName, value), timestamp: ago(3, 5) });
  await addRecords(server, stream, 'HOURLY', [record('acme', '100'), record('hooli', '250')]);
  const delivered = await exportOnce(
    server,
    {
      jobName: `Daily ${stream}`,
      s3Url: `exports/${stream}`,
      range: 'ago(1d)',
      cron: '0 1 1 1 *',
      enabled: true,
      meterApiNames: [stream],
      groupBy: ['element'],
      ...settings,
    },
    ago(2, 1),
  );
  return { ...delivered, stream, record };
}

/** Waits until the ledger was scanned after this call. */
async function scanned(): Promise<void> {
  const [{ now } = { now: '' }] = await querySql<{ now: string }>(server, 'SELECT clock_timestamp()::text AS now');
  await eventually(
    () => querySql<{ isDone: boolean }>(server, 'SELECT scanned_at > $1 AS "isDone" FROM ledger_cursors', [now]),
    ([row]) => row?.isDone === true,
    100_000,
  );
}

/** Waits until the scan has marked the delivery for what was written so far, and lets it be checked immediately. */
async function checkNow(jobId: string): Promise<void> {
  // The delivery may already be marked for records that were written before it.
  await scanned();
  await eventually(
    () => readDelivery(jobId),
    ({ touched_at }) => touched_at !== null,
  );
  await setDelivery(jobId, 'check_at = now()');
}

const restatedRun = (jobId: string): Promise<RunView> =>
  eventually(
    async () => (await runsOf(server, jobId)).find(({ trigger }) => trigger === 'RESTATEMENT'),
    (run) => run?.finishedAt != null,
    100_000,
  ) as Promise<RunView>;

describe('revision', () => {
  test('has one manifest for several corrections, with its reason and changes', async () => {
    const { jobId, stream, record, run: first, manifest: before } = await deliverRecent();
    await addRecords(server, stream, 'HOURLY', [record('acme', '40'), record('initech', '7')]);
    await replace(stream, [record('hooli', '150')]);
    await checkNow(jobId);
    const run = await restatedRun(jobId);
    const { manifest, text } = readExport(server, run);
    expect(Object.keys(manifest).join(' ')).toBe(
      'version state runId jobId jobName settings scheduledFor window timeZone watermark ' +
        'revision supersedes reason changes completeness objects totals warnings',
    );
    const rows = { rowsAdded: 1, rowsRemoved: 0, rowsChanged: 2 };
    expect(manifest).toMatchObject({
      version: 1,
      state: 'complete',
      window: { start: ago(3), end: ago(2) },
      revision: 2,
      supersedes: {
        revision: 1,
        runId: first.id,
        watermark: before.watermark,
        objects: first.objects.map(({ key, sha256 }) => ({ key, sha256 })),
      },
      reason: {
        trigger: 'RESTATEMENT',
        operationCount: 2,
        operations: [
          { kind: 'SUM', meterApiName: stream },
          { kind: 'REPLACE', meterApiName: stream },
        ],
      },
      changes: {
        ...rows,
        meterCount: 1,
        meters: [{ meterApiName: stream, ...rows, valueBefore: 350, valueAfter: 297, difference: -53 }],
      },
      totals: { rows: 3 },
    });
    expect(text).toContain(',acme,140\n');
    const read = await server.graphql<{ run: { changes: object } }>(
      `query ($id: ID!) { run(id: $id) { changes { rowsAdded rowsRemoved rowsChanged
        meters { meterApiName rowsAdded rowsRemoved rowsChanged valueBefore valueAfter } } } }`,
      { id: run.id },
    );
    const meter = { meterApiName: stream, ...rows };
    expect(read.run.changes).toEqual({ ...rows, meters: [{ ...meter, valueBefore: '350', valueAfter: '297' }] });
    const answer = await fetch(new URL(`/runs/${run.id}`, server.url), { headers: { 'x-api-key': server.key } });
    expect(await answer.json()).toMatchObject({
      changes: { ...rows, meters: [{ ...meter, valueBefore: 350, valueAfter: 297 }] },
    });
  });

  test('without a correction that its run did not read is followed by one with it', async () => {
    const { jobId, stream, record } = await deliverRecent();
    await querySql(server, 'UPDATE jobs SET settle_seconds = 0 WHERE id = $1', [innerId(jobId)]);
    const held = createGate();
    let puts = 0;
    faults.on(`${stream}/`, () => ((puts += 1) === 1 ? { hold: held.opened } : undefined));
    const id = await runJob(server, jobId, ago(2, 1));
    await expect.poll(() => puts, { timeout: 30_000 }).toBe(1);
    await addRecords(server, stream, 'HOURLY', [record('acme', '40')]);
    await eventually(
      () => readDelivery(jobId),
      ({ touched_at, stale_since }) => touched_at !== null || stale_since !== null,
    );
    held.open();
    const second = await endedRun(server, id);
    expect((second.objects[0]?.rows ?? 0) > 0).toBe(true);
    const run = await restatedRun(jobId);
    expect(readExport(server, run)).toMatchObject({
      manifest: { revision: 3, supersedes: { revision: 2, runId: id } },
      text: expect.stringContaining(',acme,140\n') as string,
    });
  });

  test('removes the rows of a deleted stream', async () => {
    const { jobId, stream } = await deliverRecent();
    await server.graphql(`mutation ($name: String!) { deleteStream(name: $name) { __typename } }`, { name: stream });
    await checkNow(jobId);
    const { manifest } = readExport(server, await restatedRun(jobId));
    expect(manifest).toMatchObject({
      reason: { operations: [{ kind: 'DELETE_STREAM' }] },
      changes: { rowsRemoved: 2, meters: [{ valueBefore: 350, valueAfter: 0 }] },
      totals: { rows: 0 },
    });
  });

  test('is checked when its output is that of the job again after an edit', async () => {
    const { jobId, stream, record } = await deliverRecent();
    await updateJob(server, jobId, { meterApiNames: ['other'] });
    await scanned();
    await setDelivery(jobId, 'touched_at = NULL, check_at = NULL');
    await addRecords(server, stream, 'HOURLY', [record('acme', '40')]);
    await scanned();
    expect((await readDelivery(jobId)).touched_at).toBeNull();
    await updateJob(server, jobId, { meterApiNames: [stream] });
    await checkNow(jobId);
    expect(readExport(server, await restatedRun(jobId)).manifest).toMatchObject({
      revision: 2,
      changes: { rowsChanged: 1 },
    });
  });

  test('has no changes when they cannot be computed', async () => {
    const partial = await deliverBase({ minimizeFresh: false });
    expect((await exportAgain(server, partial.jobId, SLOT)).manifest).toMatchObject({ revision: 2, changes: null });
    const purged = await deliverBase();
    await replace(purged.stream, [recordOf('acme', '90')]);
    await querySql(server, `UPDATE streams SET purged_before = now() + interval '1 minute' WHERE name = $1`, [
      purged.stream,
    ]);
    expect((await exportAgain(server, purged.jobId, SLOT)).manifest).toMatchObject({
      changes: null,
      reason: { operationCount: 1, operations: [{ kind: 'REPLACE' }] },
    });
    const restored = await deliverBase();
    await setDelivery(restored.jobId, `watermark_epoch = 'another cluster'`);
    expect((await exportAgain(server, restored.jobId, SLOT)).manifest).toMatchObject({ revision: 2, changes: null });
  });

  test('of another output has no changes, and is marked', async () => {
    const { jobId } = await deliverRecent();
    await updateJob(server, jobId, { groupBy: ['env'] });
    const { manifest } = await exportAgain(server, jobId, ago(2, 1));
    expect(manifest).toMatchObject({
      revision: 2,
      changes: null,
      reason: { trigger: 'MANUAL', operationCount: null, operations: [] },
    });
    await eventually(
      () => readDelivery(jobId),
      ({ touched_at, checked_at }) => touched_at !== null || checked_at !== null,
    );
  });
});

test('redeliver > delivers a window that was never delivered although the format has changed', async () => {
  const jobId = await createJob(server, { s3Url: 'exports/never', range: 'ago(1d)' });
  await cancelRun(server, await runJob(server, jobId, SLOT));
  await updateJob(server, jobId, { format: 'NDJSON' });
  const redeliver = async () =>
    (
      await server.graphql<{ redeliver: { id?: string; code?: string } }>(
        `mutation ($job: ID!) { redeliver(deliveryId: $job) { ... on Run { id } ... on UserError { code } } }`,
        { job: await deliveryIdOf(jobId) },
      )
    ).redeliver;
  expect((await endedRun(server, (await redeliver()).id ?? '')).status).toBe('SUCCEEDED');
});

async function deliveryIdOf(jobId: string): Promise<string> {
  const { job } = await server.graphql<{ job: { deliveries: { edges: { node: { id: string } }[] } } }>(
    `query ($id: ID!) { job(id: $id) { deliveries { edges { node { id } } } } }`,
    { id: jobId },
  );
  return job.deliveries.edges[0]?.node.id ?? '';
}
