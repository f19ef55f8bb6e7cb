import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createFaults, createGate, type Faults } from '../support/faults.ts';
import {
  addRecords,
  exportAgain,
  exportOnce,
  innerId,
  querySql,
  readExport,
  runJob,
  runThat,
  type Settings,
  updateJob,
} from '../support/job-steps.ts';
import { queueRestatement, restate } from '../support/restatement-steps.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

let faults: Faults;
let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
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

  test('keeps a mark and makes its check due, because its correction may be newer than the watermark', async () => {
    const { jobId, stream } = await deliverBase();
    await add(stream, 'acme', '40');
    const held = createGate();
    faults.on(`${stream}/`, () => ({ hold: held.opened }));
    const id = await queueRestatement(server, jobId);
    await runThat(server, id, ({ status }) => status === 'RUNNING');
    await setDelivery(jobId, `touched_at = now() - interval '1 minute', check_at = now() + interval '1 hour'`);
    held.open();
    await runThat(server, id, ({ status }) => status === 'SUCCEEDED');
    const row = await readDelivery(jobId);
    expect(row).toMatchObject({ revision: 2, checking: null, stale_since: null });
    expect([row.touched_at === null, (row.hours ?? 1) <= 0]).toEqual([false, true]);
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
      'SELECT check_at <= now() AS due FROM deliveries WHERE job_id = $1 AND failures > 0',
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
