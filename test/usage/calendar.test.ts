import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestServer, type TestServer } from '../support/server.ts';
import type { RecordInput } from '../streams/writes.ts';
import { daily, pointsOf, readUsage, sendRecords, type UsageAnswer, type UsageInput } from './questions.ts';

// Days, weeks and months of usage in time zones. The expected values were computed by hand.

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ resources: { clock: { now: () => new Date('2027-02-01T00:00:00Z') } } });
});
afterAll(() => server.stop());

const send = (stream: string, records: readonly RecordInput[]) => sendRecords(server, stream, records);
/** Returns a record of the value 1 for each hour of the UTC days `from` to `to`. */
const everyHour = (from: string, to: string): RecordInput[] => {
  const records: RecordInput[] = [];
  for (let at = Date.parse(`${from}T00:00:00Z`); at < Date.parse(`${to}T24:00:00Z`); at += 3_600_000) {
    records.push({ timestamp: new Date(at).toISOString(), granularity: 'HOURLY', elementName: 'hooli', value: '1' });
  }
  return records;
};
const usage = (stream: string, input: Omit<UsageInput, 'meterApiNames'>): Promise<UsageAnswer> =>
  readUsage(server, { meterApiNames: [stream], ...input });

describe('usage of hourly records', () => {
  beforeAll(async () => {
    await send('hourly', everyHour('2026-03-06', '2026-03-10'));
    await send('hourly', everyHour('2026-03-27', '2026-03-31'));
    await send('hourly', everyHour('2026-10-23', '2026-10-27'));
    await send('hourly', everyHour('2026-10-30', '2026-11-03'));
  });

  test.each([
    // New York: UTC-5, from 8 March 07:00Z to 1 November 06:00Z UTC-4.
    ['America/New_York', '2026-03-08T05:00:00Z', '2026-03-09T04:00:00Z', '23'],
    ['America/New_York', '2026-11-01T04:00:00Z', '2026-11-02T05:00:00Z', '25'],
    // Berlin: UTC+1, from 29 March 01:00Z to 25 October 01:00Z UTC+2.
    ['Europe/Berlin', '2026-03-28T23:00:00Z', '2026-03-29T22:00:00Z', '23'],
    ['Europe/Berlin', '2026-10-24T22:00:00Z', '2026-10-25T23:00:00Z', '25'],
    // Kolkata: UTC+5:30. The hour that begins at 18:00Z begins at 23:30 of the day before.
    ['Asia/Kolkata', '2026-03-07T18:30:00Z', '2026-03-08T18:30:00Z', '24'],
    ['UTC', '2026-03-29T00:00:00Z', '2026-03-30T00:00:00Z', '24'],
  ])('has a day in %s from %s to %s with the sum %s', async (timeZone, from, to, value) => {
    const [noon, afterNoon] = [0, 1000].map((more) =>
      new Date((Date.parse(from) + Date.parse(to)) / 2 + more).toISOString(),
    ) as [string, string];
    const answer = await usage('hourly', {
      from: noon,
      to: afterNoon,
      timeZone,
      aggregationBucket: 'DAY',
    });
    expect([answer.from, answer.to]).toEqual([from, to]);
    expect(answer.series[0]?.points).toEqual([{ bucketStart: from, bucketEnd: to, value }]);
  });

  test.each([
    // The clock shows 02:00 twice in Berlin; each is a separate hour.
    ['Europe/Berlin', '2026-10-24T22:00:00Z', '2026-10-25T23:00:00Z', 25],
    ['America/New_York', '2026-03-08T05:00:00Z', '2026-03-09T04:00:00Z', 23],
  ])('has one value for each hour of the day in %s from %s to %s: %i', async (timeZone, from, to, hours) => {
    const { series } = await usage('hourly', { from, to, timeZone, aggregationBucket: 'HOUR' });
    expect(series[0]?.points.map((point) => point.value)).toEqual(Array.from({ length: hours }, () => '1'));
    expect(series[0]?.total).toBe(String(hours));
  });

  test('has a UTC hour in the hour of Kolkata in which it begins', async () => {
    const answer = await usage('hourly', {
      from: '2026-03-07T18:30:00Z',
      to: '2026-03-07T20:30:00Z',
      timeZone: 'Asia/Kolkata',
      aggregationBucket: 'HOUR',
    });
    expect(answer.series[0]?.points).toEqual([
      { bucketStart: '2026-03-07T18:30:00Z', bucketEnd: '2026-03-07T19:30:00Z', value: '1' },
      { bucketStart: '2026-03-07T19:30:00Z', bucketEnd: '2026-03-07T20:30:00Z', value: '1' },
    ]);
  });

  test('has a month of New York with a change of the clock', async () => {
    // In New York March is 1 March 05:00Z to 1 April 04:00Z: the five days from the 6th and the five from the 27th.
    const answer = await usage('hourly', {
      from: '2026-03-15T00:00:00Z',
      to: '2026-03-15T00:00:01Z',
      timeZone: 'America/New_York',
      aggregationBucket: 'MONTH',
    });
    expect([answer.from, answer.to]).toEqual(['2026-03-01T05:00:00Z', '2026-04-01T04:00:00Z']);
    expect(pointsOf(answer)).toEqual({ '2026-03-01T05:00:00Z': '240' });
  });
});

describe('usage of daily and monthly records', () => {
  beforeAll(async () => {
    await send('daily', [daily('2026-01-24', '1'), daily('2026-01-25', '20'), daily('2026-01-26', '300')]);
    await send('daily', [daily('2026-03-08', '4000'), daily('2026-09-06', '50000')]);
    await send('monthly', [
      { ...daily('2025-12-31', '1'), granularity: 'MONTHLY' },
      { ...daily('2026-01-31', '20'), granularity: 'MONTHLY' },
      { ...daily('2026-02-28', '300'), granularity: 'MONTHLY' },
    ]);
  });

  test.each([
    ['America/New_York', '2026-01-25T05:00:00Z', '2026-01-26T05:00:00Z'],
    ['Asia/Tokyo', '2026-01-24T15:00:00Z', '2026-01-25T15:00:00Z'],
    ['Pacific/Kiritimati', '2026-01-24T10:00:00Z', '2026-01-25T10:00:00Z'],
    ['Pacific/Pago_Pago', '2026-01-25T11:00:00Z', '2026-01-26T11:00:00Z'],
    ['Asia/Kolkata', '2026-01-24T18:30:00Z', '2026-01-25T18:30:00Z'],
    ['UTC', '2026-01-25T00:00:00Z', '2026-01-26T00:00:00Z'],
  ])('has the record of 25 January in the first hour of 25 January in %s', async (timeZone, from, to) => {
    const day = await usage('daily', { from, to, timeZone, aggregationBucket: 'DAY' });
    expect(pointsOf(day)).toEqual({ [from]: '20' });
    const hours = await usage('daily', { from, to, timeZone, aggregationBucket: 'HOUR' });
    expect(pointsOf(hours)).toEqual({ [from]: '20' });
    // A window that starts an hour later does not contain the first hour of a date.
    const later = new Date(Date.parse(from) + 3_600_000).toISOString();
    expect((await usage('daily', { from: later, to, timeZone, aggregationBucket: 'HOUR' })).series).toEqual([]);
  });

  test.each([
    // The clock in New York skips from 02:00 to 03:00, so the day begins at midnight.
    ['America/New_York', '2026-03-08', '2026-03-08T05:00:00Z', '4000'],
    // The clock in Santiago skips from 00:00 to 01:00 (UTC-4 to UTC-3): the first hour of the date begins at 01:00.
    ['America/Santiago', '2026-09-06', '2026-09-06T04:00:00Z', '50000'],
  ])(
    'has in hour buckets of %s the record of %s in the first hour of its date: %s',
    async (timeZone, date, start, value) => {
      const answer = await usage('daily', {
        from: `${date}T00:00:00Z`,
        to: `${date}T23:00:00Z`,
        timeZone,
        aggregationBucket: 'HOUR',
      });
      expect(pointsOf(answer)).toEqual({ [start]: value });
    },
  );

  test.each([
    [
      'America/New_York',
      'MONTH',
      { '2025-12-01T05:00:00Z': '1', '2026-01-01T05:00:00Z': '20', '2026-02-01T05:00:00Z': '300' },
    ],
    [
      'Asia/Tokyo',
      'MONTH',
      { '2025-11-30T15:00:00Z': '1', '2025-12-31T15:00:00Z': '20', '2026-01-31T15:00:00Z': '300' },
    ],
    // A monthly record is in its first day and in the week of that day: Monday 1 December, 29 December and 26 January.
    ['Asia/Tokyo', 'DAY', { '2025-11-30T15:00:00Z': '1', '2025-12-31T15:00:00Z': '20', '2026-01-31T15:00:00Z': '300' }],
    ['UTC', 'WEEK', { '2025-12-01T00:00:00Z': '1', '2025-12-29T00:00:00Z': '20', '2026-01-26T00:00:00Z': '300' }],
  ])('has monthly records in %s by %s', async (timeZone, aggregationBucket, expected) => {
    const answer = await usage('monthly', {
      from: '2025-11-15T00:00:00Z',
      to: '2026-02-15T00:00:00Z',
      timeZone,
      aggregationBucket,
    });
    expect(pointsOf(answer)).toEqual(expected);
  });

  test('has the records of 30 December 2011, which Apia skipped, in the 31st', async () => {
    await send('apia', [daily('2011-12-29', '1'), daily('2011-12-30', '20'), daily('2011-12-31', '300')]);
    await send('apia-hours', everyHour('2011-12-29', '2011-12-31'));
    const days = {
      from: '2011-12-29T10:00:00Z',
      to: '2011-12-31T10:00:00Z',
      timeZone: 'Pacific/Apia',
      aggregationBucket: 'DAY',
    };
    expect(pointsOf(await usage('apia', days))).toEqual({
      '2011-12-29T10:00:00Z': '1',
      '2011-12-30T10:00:00Z': '320',
    });
    expect(pointsOf(await usage('apia-hours', days))).toEqual({
      '2011-12-29T10:00:00Z': '24',
      '2011-12-30T10:00:00Z': '24',
    });
    // The week from Monday 26 December (10:00Z of the 26th at UTC-10) has six days.
    const week = await usage('apia', { ...days, aggregationBucket: 'WEEK' });
    expect([week.from, week.to]).toEqual(['2011-12-26T10:00:00Z', '2012-01-01T10:00:00Z']);
    expect(pointsOf(week)).toEqual({ '2011-12-26T10:00:00Z': '321' });
  });

  test('has ISO week 53 of 2026 from 28 December to 3 January', async () => {
    await send('weeks', [
      daily('2026-12-27', '1'),
      daily('2026-12-28', '20'),
      daily('2027-01-03', '300'),
      daily('2027-01-04', '4000'),
    ]);
    const answer = await usage('weeks', {
      from: '2026-12-31T12:00:00Z',
      to: '2027-01-01T12:00:00Z',
      aggregationBucket: 'WEEK',
    });
    expect([answer.from, answer.to]).toEqual(['2026-12-28T00:00:00Z', '2027-01-04T00:00:00Z']);
    expect(pointsOf(answer)).toEqual({ '2026-12-28T00:00:00Z': '320' });
  });
});
