import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createBackfill, endedBackfill } from '../backfills/steps.ts';
import {
  checkedAll,
  daysAgo,
  deliveriesOf,
  deliverDay,
  restatedJob,
  restatementsOf,
  settled,
  settleImmediately,
  write,
} from '../support/correction-steps.ts';
import { createFaults, createGate, type Faults } from '../support/faults.ts';
import {
  addRecords,
  createJob,
  deleteJob,
  endedRun,
  exportAgain,
  exportOnce,
  innerId,
  type Manifest,
  querySql,
  runJob,
  updateJob,
} from '../support/job-steps.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

// Windows that are delivered again with other settings of their job, or after another job had their place.

let faults: Faults;
let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ env: { LEDGER_SCAN_SECONDS: '1', LEDGER_SCAN_IDLE_SECONDS: '1' } });
  faults = createFaults(server.s3);
});
afterAll(() => server.stop());

const NOON = daysAgo(8, 12);
const morning = (value: string) => [{ timestamp: daysAgo(8, 5), elementName: 'acme', value }];

/** Settings of a job whose window at noon ends with half of a day. */
const untilNoon = (stream: string) =>
  restatedJob(stream, { s3Url: `exports/${stream}`, range: 'toDate(month)', minimizeFresh: false });

describe('delivery of a job that has other buckets now', () => {
  test('is restated when a bucket is corrected that was not whole before', async () => {
    await addRecords(server, 'halves', 'HOURLY', morning('100'));
    const { jobId } = await exportOnce(server, untilNoon('halves'), NOON);
    await updateJob(server, jobId, { aggregationBucket: 'HOUR' });
    await settleImmediately(server, jobId);
    await exportAgain(server, jobId, NOON);
    await settled(server);
    expect(await deliveriesOf(server, jobId)).toMatchObject([{ state: 'CURRENT', revision: 2 }]);
    await write(server, 'allocationSum', 'halves', morning('40'));
    await settled(server);
    expect(await deliveriesOf(server, jobId)).toMatchObject([{ state: 'CURRENT', revision: 3 }]);
  });

  test('is restated when such a bucket is corrected while its run writes', async () => {
    // No other window of the account reaches as far.
    const key = await server.createKey('alone', ['ADMIN']);
    const alone: TestServer = { ...server, graphql: (query, variables) => server.graphql(query, variables, key) };
    await addRecords(alone, 'written', 'HOURLY', morning('100'));
    const jobId = await createJob(alone, { ...untilNoon('written'), s3Url: 'other-exports/written' });
    await endedRun(alone, await runJob(alone, jobId, NOON));
    await updateJob(alone, jobId, { aggregationBucket: 'HOUR' });
    await settleImmediately(server, jobId);
    const held = createGate();
    const begun = createGate();
    faults.on('written/', () => {
      begun.open();
      return { hold: held.opened };
    });
    const id = await runJob(alone, jobId, NOON);
    await begun.opened;
    await write(alone, 'allocationSum', 'written', morning('40'));
    await checkedAll(server);
    faults.clear('written/');
    held.open();
    expect(await endedRun(alone, id)).toMatchObject({ status: 'SUCCEEDED' });
    await settled(server);
    expect(await deliveriesOf(alone, jobId)).toMatchObject([{ state: 'CURRENT', revision: 3 }]);
  });

  test('is restated when a date is corrected that its window has in the new time zone only', async () => {
    const value = (of: string) => [{ timestamp: daysAgo(7), elementName: 'acme', value: of }];
    await addRecords(server, 'dates', 'DAILY', value('100'));
    // In UTC+14, the next day begins at 10:00Z.
    const job = restatedJob('dates', { s3Url: 'exports/dates', range: 'ago(1h)', aggregationBucket: 'HOUR' });
    const { jobId } = await exportOnce(server, job, daysAgo(8, 11));
    await updateJob(server, jobId, { timeZone: 'Pacific/Kiritimati' });
    await settleImmediately(server, jobId);
    const { text } = await exportAgain(server, jobId, daysAgo(8, 11));
    expect(text).toContain(',acme,100\n');
    await settled(server);
    await write(server, 'allocationSum', 'dates', value('40'), 'DAILY');
    await settled(server);
    expect(await deliveriesOf(server, jobId)).toMatchObject([{ state: 'CURRENT', revision: 3 }]);
  });
});

describe('delivery of a job that has its former time zone again', () => {
  test('is not restated when a date is corrected that its window had in the other time zone only', async () => {
    const at = (days: number, value: string) => [{ timestamp: daysAgo(days), elementName: 'acme', value }];
    await addRecords(server, 'former', 'DAILY', [...at(8, '100'), ...at(7, '250')]);
    const job = restatedJob('former', {
      s3Url: 'exports/former',
      range: 'ago(24h)',
      aggregationBucket: 'HOUR',
      timeZone: 'Pacific/Kiritimati',
    });
    const { jobId } = await exportOnce(server, job, daysAgo(7));
    for (const [timeZone, value] of [
      ['UTC', '100'],
      ['Pacific/Kiritimati', '250'],
    ]) {
      await updateJob(server, jobId, { timeZone });
      expect((await exportAgain(server, jobId, daysAgo(7))).text).toContain(`,acme,${value}\n`);
    }
    await settleImmediately(server, jobId);
    await settled(server);
    await write(server, 'allocationSum', 'former', at(8, '40'), 'DAILY');
    await settled(server);
    expect(await restatementsOf(server, jobId)).toEqual([]);
    expect(await deliveriesOf(server, jobId)).toMatchObject([{ state: 'CURRENT', revision: 3 }]);
  });

  test('is restated for each of its dates when another window had some of them in the other time zone', async () => {
    const at = (days: number, value: string) => [{ timestamp: daysAgo(days), elementName: 'acme', value }];
    await addRecords(server, 'owed', 'DAILY', [...at(8, '100'), ...at(7, '250')]);
    const job = restatedJob('owed', {
      s3Url: 'exports/owed',
      range: 'ago(24h)',
      // Midnight in UTC.
      cron: '0 14 * * *',
      aggregationBucket: 'HOUR',
      timeZone: 'Pacific/Kiritimati',
    });
    const jobId = await createJob(server, job);
    const { id } = await createBackfill(server, { jobId, from: daysAgo(9), to: daysAgo(7) });
    expect(await endedBackfill(server, id)).toMatchObject({ status: 'SUCCEEDED', delivered: 2 });
    // In UTC, the second window has the date of the first one.
    await updateJob(server, jobId, { timeZone: 'UTC' });
    await exportAgain(server, jobId, daysAgo(7));
    await updateJob(server, jobId, { timeZone: 'Pacific/Kiritimati' });
    await exportAgain(server, jobId, daysAgo(7));
    await exportAgain(server, jobId, daysAgo(8));
    await settleImmediately(server, jobId);
    await settled(server);
    await write(server, 'allocationSum', 'owed', at(8, '40'), 'DAILY');
    await settled(server);
    const [restated, ...more] = await restatementsOf(server, jobId);
    expect(more).toEqual([]);
    expect(restated).toMatchObject({ status: 'SUCCEEDED', windowStart: daysAgo(9) });
  });
});

describe('delivery of a job that returns to its destination', () => {
  test('is delivered again when another job had delivered the window there meanwhile', async () => {
    const stream = 'returned';
    await addRecords(server, stream, 'HOURLY', [
      { timestamp: daysAgo(9, 5), elementName: 'acme', value: '100' },
      { timestamp: daysAgo(9, 5), elementName: 'hooli', value: '250' },
    ]);
    const place = { jobName: 'Returned', s3Url: 'exports/returned' };
    const { jobId } = await deliverDay(server, stream, 9, place);
    await updateJob(server, jobId, { jobName: 'Away', s3Url: 'exports/away' });
    const filter = [{ dimension: 'element', values: ['acme'] }];
    const other = await deliverDay(server, stream, 9, { ...place, filter });
    expect(other.manifest).toMatchObject({ revision: 2, totals: { rows: 1 } });
    await deleteJob(server, other.jobId);
    await updateJob(server, jobId, place);
    // Instead of waiting for the sweep.
    await querySql(server, 'UPDATE deliveries SET check_at = now(), checking = NULL WHERE job_id = $1', [
      innerId(jobId),
    ]);
    await settled(server);
    expect(await deliveriesOf(server, jobId)).toMatchObject([{ state: 'CURRENT', revision: 3 }]);
    const newest = server.s3.puts.findLast(({ key }) => key.startsWith('returned/') && key.endsWith('.manifest.json'));
    expect(JSON.parse(newest?.body.toString() ?? '') as Manifest).toMatchObject({
      state: 'complete',
      totals: { rows: 2 },
    });
  });
});
