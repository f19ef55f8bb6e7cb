import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TIME_ZONE_NAMES } from '../../src/lib/time-zone-names.ts';
import { ask } from '../rest/requests.ts';
import { createJob, exportOnce, jobSettings, tryCreateJob, updateJob } from '../support/job-steps.ts';
import { startTestServer, type TestServer } from '../support/server.ts';
import { pointsOf, readUsage, sendRecords } from '../usage/questions.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ resources: { clock: { now: () => new Date('2026-07-20T12:00:00Z') } } });
  await sendRecords(server, 'hours', [
    { timestamp: '2026-07-10T02:00:00Z', granularity: 'HOURLY', elementName: 'hooli', value: '1' },
  ]);
  await sendRecords(server, 'days', [
    { timestamp: '2026-07-10T00:00:00Z', granularity: 'DAILY', elementName: 'hooli', value: '1' },
  ]);
});
afterAll(() => server.stop());

const zoneOf = async (id: string): Promise<string> => {
  const { node } = await server.graphql<{ node: { timeZone: string } }>(
    'query ($id: ID!) { node(id: $id) { ... on Job { timeZone } } }',
    { id },
  );
  return node.timeZone;
};

describe('time zone of a job', () => {
  test.each([
    ['us/eastern', 'US/Eastern'],
    ['Etc/UTC', 'Etc/UTC'],
    ['gmt', 'GMT'],
    ['EUROPE/KYIV', 'Europe/Kyiv'],
    ['Asia/Calcutta', 'Asia/Calcutta'],
    ['etc/gmt+5', 'Etc/GMT+5'],
    ['est', 'EST'],
  ])('is stored for %s as %s over GraphQL and REST', async (sent, kept) => {
    const id = await createJob(server, { timeZone: sent });
    expect(await zoneOf(id)).toBe(kept);
    await updateJob(server, id, { timeZone: 'UTC' });
    await updateJob(server, id, { timeZone: sent });
    expect(await zoneOf(id)).toBe(kept);
    const { cron: _, ...settings } = jobSettings({ timeZone: sent });
    const body = { ...settings, format: 'csv', aggregationBucket: 'day' };
    expect(await ask(server, 'POST /jobs', { body })).toMatchObject({ status: 201, body: { timeZone: kept } });
  });

  test.each([
    ['+01:00', 'is an offset'],
    ['UTC+1', 'is an offset'],
    ['PST', 'abbreviations are ambiguous'],
    ['Factory', 'is not a name'],
  ])('is rejected with a reason when it is %s', async (timeZone, reason) => {
    const { issues } = await tryCreateJob(server, jobSettings({ timeZone }));
    expect(issues).toEqual([
      { path: ['input', 'timeZone'], code: 'BAD_TIME_ZONE', message: expect.stringContaining(reason) },
    ]);
  });

  test.each([
    ['us/eastern', '2026-07-09T00:00:00-04:00'],
    ['America/New_York', '2026-07-09T00:00:00-04:00'],
    ['Etc/GMT+5', '2026-07-09T00:00:00-05:00'],
    ['GMT', '2026-07-10T00:00:00+00:00'],
    ['Etc/UTC', '2026-07-10T00:00:00Z'],
    ['zulu', '2026-07-10T00:00:00Z'],
  ])('determines the days of hourly records with %s', async (timeZone, start) => {
    const { text } = await exportOnce(
      server,
      { timeZone, meterApiNames: ['hours'], range: 'ago(7d)' },
      '2026-07-12T12:00:00Z',
    );
    expect(text.split('\n')[1]).toMatch(new RegExp(`^hours,${start.replace('+', '\\+')},`));
  });
});

test('export over a change of the clock > puts hourly, daily and monthly records into their own days', async () => {
  const record = (granularity: string, timestamp: string) => ({ granularity, timestamp, elementName: 'e', value: '1' });
  // New York is five hours west of UTC until 07:00 UTC on 8 March, and four hours from then on.
  await sendRecords(server, 'by-hour', [
    record('HOURLY', '2026-03-08T04:00:00Z'),
    record('HOURLY', '2026-03-08T05:00:00Z'),
    record('HOURLY', '2026-03-09T03:00:00Z'),
    record('HOURLY', '2026-03-09T04:00:00Z'),
  ]);
  await sendRecords(server, 'by-day', [
    record('DAILY', '2026-03-07T23:59:59-11:00'),
    record('DAILY', '2026-03-08T00:00:00+13:00'),
    record('DAILY', '2026-03-09T00:00:00Z'),
  ]);
  await sendRecords(server, 'by-month', [record('MONTHLY', '2026-03-31T23:59:59-11:00')]);
  const settings = { meterApiNames: ['by-hour', 'by-day', 'by-month'], timeZone: 'us/eastern', range: 'ago(9d)' };
  const { text } = await exportOnce(server, settings, '2026-03-09T12:00:00Z');
  expect(text.split('\n').slice(1, -1)).toEqual([
    'by-day,2026-03-07T00:00:00-05:00,2026-03-08T00:00:00-05:00,1',
    'by-day,2026-03-08T00:00:00-05:00,2026-03-09T00:00:00-04:00,1',
    'by-hour,2026-03-07T00:00:00-05:00,2026-03-08T00:00:00-05:00,1',
    'by-hour,2026-03-08T00:00:00-05:00,2026-03-09T00:00:00-04:00,2',
    'by-month,2026-03-01T00:00:00-05:00,2026-03-02T00:00:00-05:00,1',
  ]);
});

test('usage > puts a daily record into its own date in zones and links of the tz database', async () => {
  // Every tenth name. test/lib/time-zones.test.ts covers all names.
  for (const timeZone of TIME_ZONE_NAMES.filter((_, index) => index % 10 === 0)) {
    const answer = await readUsage(server, {
      meterApiNames: ['days'],
      from: '2026-07-08T00:00:00Z',
      to: '2026-07-13T00:00:00Z',
      aggregationBucket: 'DAY',
      timeZone: timeZone.toLowerCase(),
    });
    const [start = '', ...more] = Object.keys(pointsOf(answer));
    expect([timeZone, more]).toEqual([timeZone, []]);
    const date = new Intl.DateTimeFormat('sv-SE', { timeZone, dateStyle: 'short', timeStyle: 'medium' });
    expect([timeZone, date.format(new Date(start))]).toEqual([timeZone, '2026-07-10 00:00:00']);
  }
});
