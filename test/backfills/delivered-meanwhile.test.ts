import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { deliveriesOf } from '../support/correction-steps.ts';
import { createGate, createFaults, type Faults } from '../support/faults.ts';
import { addRecords, createJob, exportAgain } from '../support/job-steps.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';
import { backfillThat, changeBackfill, createBackfill, endedBackfill, runsOfBackfill } from './steps.ts';

let faults: Faults;
let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
  faults = createFaults(server.s3);
  const records = ['01', '02', '03'].map((day) => ({
    timestamp: `2025-02-${day}T00:00:00Z`,
    elementName: 'acme',
    value: '1',
  }));
  await addRecords(server, 'requests', 'DAILY', records);
});
afterAll(() => server.stop());

const SPAN = { from: '2025-02-01T00:00:00Z', to: '2025-02-04T00:00:00Z' };

/** A disabled daily job, so that no slot of today runs. */
function makeJob(name: string): Promise<string> {
  const settings = { jobName: name, s3Url: `exports/${name}`, cron: '0 1 * * *', range: 'ago(1d)' };
  return createJob(server, { ...settings, meterApiNames: ['requests'] });
}

describe('window of a backfill that another run delivers before its run starts', () => {
  test.each([
    ['MISSING', { delivered: 2, skipped: 1 }, [1, 1, 1]],
    ['STALE', { delivered: 2, skipped: 1 }, [1, 1, 1]],
    ['ALL', { delivered: 3, skipped: 0 }, [1, 2, 1]],
  ])('is skipped unless every window is delivered again: %s', async (reprocess, counts, revisions) => {
    const name = `held-${reprocess.toLowerCase()}`;
    const jobId = await makeJob(name);
    const held = createGate();
    faults.on(name, () => ({ hold: held.opened }));
    const { id } = await createBackfill(server, { jobId, ...SPAN, reprocess });
    await eventually(
      () => runsOfBackfill(server, id, ['RUNNING']),
      ({ length }) => length === 1,
    );
    await changeBackfill(server, 'pauseBackfill', id);
    held.open();
    await backfillThat(server, id, ({ delivered }) => delivered === 1);
    await exportAgain(server, jobId, '2025-02-03T01:00:00Z');
    await changeBackfill(server, 'resumeBackfill', id);
    expect(await endedBackfill(server, id)).toMatchObject({ status: 'SUCCEEDED', failed: 0, ...counts });
    const deliveries = await deliveriesOf(server, jobId);
    expect(deliveries.map(({ revision }) => revision)).toEqual(revisions);
    expect(deliveries.map(({ state }) => state)).toEqual(['CURRENT', 'CURRENT', 'CURRENT']);
    const codes = (await runsOfBackfill(server, id, ['CANCELED'])).map(({ error }) => error?.code);
    expect(codes).toEqual(counts.skipped === 1 ? ['DELIVERED'] : []);
  });

  test('is skipped when the backfill tries its failed windows again', async () => {
    const jobId = await makeJob('tried-again');
    faults.on('tried-again', ({ key }) =>
      /2025020[12]T000000Z_/.test(key) ? { status: 403, code: 'AccessDenied' } : undefined,
    );
    const { id } = await createBackfill(server, { jobId, ...SPAN });
    expect(await endedBackfill(server, id)).toMatchObject({ status: 'FAILED', delivered: 1, failed: 2 });
    faults.clear('tried-again');
    await exportAgain(server, jobId, '2025-02-02T01:00:00Z');
    await changeBackfill(server, 'retryBackfill', id);
    expect(await endedBackfill(server, id)).toMatchObject({
      status: 'SUCCEEDED',
      delivered: 2,
      skipped: 1,
      failed: 0,
    });
    expect(await changeBackfill(server, 'retryBackfill', id)).toMatchObject({ code: 'BACKFILL_ENDED' });
  });
});
