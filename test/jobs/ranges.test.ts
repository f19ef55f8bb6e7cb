import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { addRecords, createJob, exportAgain, exportOnce, jobSettings, runJob, readRun } from '../support/job-steps.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

// Calendar ranges through the public API.

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ resources: { clock: { now: () => new Date('2026-11-15T06:00:00Z') } } });
  const days = Array.from({ length: 45 }, (_, day) => new Date(Date.UTC(2026, 9, 1 + day)).toISOString());
  await addRecords(
    server,
    'daily',
    'DAILY',
    days.map((timestamp) => ({ timestamp, elementName: 'e', value: 1 })),
  );
});
afterAll(() => server.stop());

interface Check {
  readonly job: { readonly range: string };
  readonly query: { readonly windowStart: string; readonly windowEnd: string };
  readonly objectKeys: readonly string[];
  readonly warnings: readonly string[];
}

async function check(settings: object): Promise<Check> {
  const { checkJob } = await server.graphql<{ checkJob: Check }>(
    `mutation ($input: CreateJobInput!) { checkJob(input: $input) { ... on JobCheck {
       job { range } query { windowStart windowEnd } objectKeys warnings }
       ... on UserError { message } } }`,
    { input: jobSettings({ ...settings }) },
  );
  return checkJob;
}

describe('calendar ranges', () => {
  const monthly = { cron: '0 2 1 * *', aggregationBucket: 'MONTH', meterApiNames: ['daily'] };

  test('give a monthly job one whole month at each slot with previous(month)', async () => {
    const jobId = await createJob(server, { ...monthly, range: 'previous(month)' });
    const windows = [];
    for (const slot of ['2026-03-01T02:00:00Z', '2026-04-01T02:00:00Z', '2026-05-01T02:00:00Z']) {
      const { windowStart, windowEnd } = await readRun(server, await runJob(server, jobId, slot));
      windows.push([windowStart, windowEnd]);
    }
    expect(windows).toEqual([
      ['2026-02-01T00:00:00Z', '2026-03-01T00:00:00Z'],
      ['2026-03-01T00:00:00Z', '2026-04-01T00:00:00Z'],
      ['2026-04-01T00:00:00Z', '2026-05-01T00:00:00Z'],
    ]);
  });

  test('export the days of the month so far with toDate(month), and on the first day the month before', async () => {
    const settings = { range: 'toDate(month)', aggregationBucket: 'DAY', meterApiNames: ['daily'] };
    const { jobId, text } = await exportOnce(server, settings, '2026-11-15T06:00:00Z');
    const daysIn = (csv: string): string[] => csv.match(/(?<=daily,)\d{4}-\d\d-\d\d/g) ?? [];
    const days = daysIn(text);
    expect([days.length, days[0], days.at(-1)]).toEqual([14, '2026-11-01', '2026-11-14']);
    const october = daysIn((await exportAgain(server, jobId, '2026-11-01T06:00:00Z')).text);
    expect([october.length, october[0], october.at(-1)]).toEqual([31, '2026-10-01', '2026-10-31']);
  });

  test('are previewed by checkJob and kept in the spelling of the specification', async () => {
    expect(await check({ ...monthly, range: 'previous(month)', timeZone: 'Europe/Berlin' })).toMatchObject({
      job: { range: 'previous(month)' },
      query: { windowStart: '2026-09-30T22:00:00Z', windowEnd: '2026-10-31T23:00:00Z' },
      objectKeys: [
        expect.stringContaining('/20260930T220000Z_20261031T230000Z.csv'),
        expect.stringContaining('20260930T220000Z_20261031T230000Z.manifest.json'),
      ],
      warnings: [],
    });
  });

  test('are recommended by checkJob when the windows of ago(31d) drift', async () => {
    expect((await check({ ...monthly, range: 'ago(31d)' })).warnings).toEqual([
      'The windows of ago(31d) contain 1 to 2 whole buckets, depending on the slot. Set range to previous(month).',
    ]);
  });

  test('are accepted by the REST routes, which return them', async () => {
    const send = (path: string, method: string, body: object): Promise<Response> =>
      fetch(`${server.url}${path}`, { method, headers: { 'x-api-key': server.key }, body: JSON.stringify(body) });
    const settings = { jobName: 'Over REST', s3Url: 'exports/rest', format: 'csv', aggregationBucket: 'day' };
    const created = await send('/jobs', 'POST', { ...settings, range: 'toDate(week)', enabled: false });
    const job = (await created.json()) as { id: string; range: string };
    expect([created.status, job.range]).toEqual([201, 'toDate(week)']);
    const refused = await send(`/jobs/${job.id}`, 'PUT', {
      ...settings,
      aggregationBucket: 'month',
      range: 'toDate(week)',
    });
    expect([refused.status, await refused.json()]).toMatchObject([
      400,
      { error: { issues: [{ path: ['range'], code: 'BUCKET_TOO_LARGE' }] } },
    ]);
  });
});
