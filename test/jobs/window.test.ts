import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  isShorter,
  MAX_AGO_DAYS,
  parseAgo,
  computeWindow,
  type WindowSettings,
} from '../../src/jobs/schedule/window.ts';
import { floorToBucket } from '../../src/usage/buckets.ts';
import { CLOCK_CHANGES } from '../support/clock-readings.ts';

describe('ago(#x)', () => {
  test.each([
    ['ago(7d)', { amount: 7, unit: 'd' }],
    ['ago(1h)', { amount: 1, unit: 'h' }],
    ['ago(90m)', { amount: 90, unit: 'm' }],
    ['ago(36500d)', { amount: 36_500, unit: 'd' }],
    ['ago(876000h)', { amount: 876_000, unit: 'h' }],
    ['ago(52560000m)', { amount: 52_560_000, unit: 'm' }],
  ])('is parsed from %s', (text, ago) => {
    expect(parseAgo(text)).toEqual(ago);
  });

  test.each([
    '',
    'ago()',
    'ago(d)',
    'ago(7)',
    '7d',
    'ago(0d)',
    'ago(-1d)',
    'ago(+1d)',
    'ago(07d)',
    'ago(1.5d)',
    'ago(1e3d)',
    'ago( 7d)',
    'ago(7 d)',
    ' ago(7d)',
    'ago(7d) ',
    'ago(7d)\n',
    'AGO(7d)',
    'ago(7D)',
    'ago(7w)',
    'ago(7s)',
    'ago(7d',
    'ago(7dd)',
    'ago(٧d)',
    'ago(36501d)',
    'ago(876001h)',
    'ago(52560001m)',
    'ago(9007199254740993m)',
    `ago(${'9'.repeat(400)}d)`,
  ])('is not parsed from %j', (text) => {
    expect(parseAgo(text)).toBeNull();
  });

  test.each([
    ['ago(23h)', 'ago(1d)', true],
    ['ago(24h)', 'ago(1d)', false],
    ['ago(1d)', 'ago(24h)', false],
    ['ago(1439m)', 'ago(1d)', true],
    ['ago(60m)', 'ago(1h)', false],
    ['ago(6d)', 'ago(7d)', true],
    ['ago(7d)', 'ago(7d)', false],
    ['ago(8d)', 'ago(7d)', false],
  ])('%s compared with %s is shorter: %s', (offset, range, shorter) => {
    expect(isShorter(offset, range)).toBe(shorter);
  });

  test('throws RangeError when the text is not a duration', () => {
    expect(() => isShorter('1d', 'ago(7d)')).toThrow(RangeError);
    expect(() => computeWindow({ ...daily, range: 'ago(0d)' }, new Date(0))).toThrow(RangeError);
  });
});

const daily: WindowSettings = {
  range: 'ago(1d)',
  endTimeOffset: null,
  aggregationBucket: 'DAY',
  timeZone: 'UTC',
  minimizeFresh: true,
};
const hourly: WindowSettings = { ...daily, aggregationBucket: 'HOUR' };

describe('computeWindow', () => {
  // New York: UTC-5, from 8 March 2026 07:00Z UTC-4, from 1 November 06:00Z UTC-5. Berlin: UTC+1, from 29 March 01:00Z UTC+2. Each
  // expected instant is the wall time of the comment minus that offset.
  test.each<[what: string, settings: WindowSettings, slot: string, start: string, end: string]>([
    [
      'returns seven whole days',
      { ...daily, range: 'ago(7d)' },
      '2026-11-15T06:00Z',
      '2026-11-08T00:00Z',
      '2026-11-15T00:00Z',
    ],
    [
      'ends at the slot without minimizeFresh',
      { ...daily, range: 'ago(7d)', minimizeFresh: false },
      '2026-11-15T06:12:34.567Z',
      '2026-11-08T00:00Z',
      '2026-11-15T06:12:34Z',
    ],
    [
      'ends two days before the slot with an offset of two days',
      { ...daily, range: 'ago(7d)', endTimeOffset: 'ago(2d)' },
      '2026-11-15T06:00Z',
      '2026-11-08T00:00Z',
      '2026-11-13T00:00Z',
    ],
    [
      'does not floor an end 90 minutes before the slot without minimizeFresh',
      { ...hourly, range: 'ago(6h)', endTimeOffset: 'ago(90m)', minimizeFresh: false },
      '2026-11-15T06:20Z',
      '2026-11-15T00:00Z',
      '2026-11-15T04:50Z',
    ],
    // One day before 9 March 02:00 is 8 March, on which 02:00 is skipped; that day began at 00:00 at UTC-5.
    [
      'treats a day of 23 hours as one day',
      { ...daily, timeZone: 'America/New_York' },
      '2026-03-09T06:00Z',
      '2026-03-08T05:00Z',
      '2026-03-09T04:00Z',
    ],
    [
      'treats a day of 25 hours as one day',
      { ...daily, timeZone: 'America/New_York' },
      '2026-11-02T12:00Z',
      '2026-11-01T04:00Z',
      '2026-11-02T05:00Z',
    ],
    [
      'treats a day of 23 hours in Berlin as one day',
      { ...daily, timeZone: 'Europe/Berlin' },
      '2026-03-30T03:00Z',
      '2026-03-28T23:00Z',
      '2026-03-29T22:00Z',
    ],
    // One day before 8 March 12:00 at UTC-4 is 7 March 12:00 at UTC-5.
    [
      'subtracts days (d) in wall time',
      { ...hourly, timeZone: 'America/New_York' },
      '2026-03-08T16:00Z',
      '2026-03-07T17:00Z',
      '2026-03-08T16:00Z',
    ],
    [
      'subtracts hours (h) in elapsed time',
      { ...hourly, timeZone: 'America/New_York', range: 'ago(24h)' },
      '2026-03-08T16:00Z',
      '2026-03-07T16:00Z',
      '2026-03-08T16:00Z',
    ],
    // One day before 9 March 02:30 is the skipped 02:30, which becomes 03:00 at UTC-4: the slot of the previous day.
    [
      'moves a skipped wall time to the next valid time',
      { ...hourly, timeZone: 'America/New_York', minimizeFresh: false },
      '2026-03-09T06:30Z',
      '2026-03-08T07:00Z',
      '2026-03-09T06:30Z',
    ],
    // One day before 2 November 01:30 at UTC-5 is 1 November 01:30, which occurs first at UTC-4.
    [
      'uses the first occurrence of a repeated wall time',
      { ...hourly, timeZone: 'America/New_York' },
      '2026-11-02T06:30Z',
      '2026-11-01T05:00Z',
      '2026-11-02T06:00Z',
    ],
    // The slot is 16:15 in Kolkata (UTC+5:30); one hour before is 15:15.
    [
      'starts and ends with hours of Kolkata',
      { ...hourly, timeZone: 'Asia/Kolkata', range: 'ago(1h)' },
      '2026-01-15T10:45Z',
      '2026-01-15T09:30Z',
      '2026-01-15T10:30Z',
    ],
    [
      'returns the previous whole hour when a range of half an hour contains none',
      { ...hourly, range: 'ago(30m)' },
      '2026-01-15T10:45Z',
      '2026-01-15T09:00Z',
      '2026-01-15T10:00Z',
    ],
    [
      'returns the previous whole hour when the slot is at a boundary and the range is shorter than the bucket',
      { ...hourly, range: 'ago(30m)' },
      '2026-01-15T10:00Z',
      '2026-01-15T09:00Z',
      '2026-01-15T10:00Z',
    ],
    [
      'returns the previous whole month, of 31 days, when the range contains none',
      { ...daily, aggregationBucket: 'MONTH' },
      '2026-11-15T06:00Z',
      '2026-10-01T00:00Z',
      '2026-11-01T00:00Z',
    ],
    [
      'returns February, of 28 days, for a slot on 1 March',
      { ...daily, aggregationBucket: 'MONTH' },
      '2026-03-01T03:00Z',
      '2026-02-01T00:00Z',
      '2026-03-01T00:00Z',
    ],
    [
      'includes the whole month when the range starts within it',
      { ...daily, aggregationBucket: 'MONTH', range: 'ago(31d)' },
      '2026-03-01T03:00Z',
      '2026-01-01T00:00Z',
      '2026-03-01T00:00Z',
    ],
    [
      'returns the last whole month before the end, not before the slot',
      { ...daily, aggregationBucket: 'MONTH', range: 'ago(40d)', endTimeOffset: 'ago(20d)' },
      '2026-11-15T06:00Z',
      '2026-09-01T00:00Z',
      '2026-10-01T00:00Z',
    ],
    // 1 January 2026 and 25 December 2025 are Thursdays.
    [
      'starts and ends weeks on Mondays',
      { ...daily, aggregationBucket: 'WEEK', range: 'ago(7d)' },
      '2026-01-01T06:00Z',
      '2025-12-22T00:00Z',
      '2025-12-29T00:00Z',
    ],
    [
      'returns ISO week 53 of 2026',
      { ...daily, aggregationBucket: 'WEEK', range: 'ago(7d)' },
      '2027-01-04T01:00Z',
      '2026-12-28T00:00Z',
      '2027-01-04T00:00Z',
    ],
    // One day before 31 December 20:00 at UTC+14 is the skipped 30 December: only the 31st remains, and it has not ended.
    [
      'returns the 29th on the day after the 30th that Apia skipped',
      { ...daily, timeZone: 'Pacific/Apia' },
      '2011-12-31T06:00Z',
      '2011-12-29T10:00Z',
      '2011-12-30T10:00Z',
    ],
    // A day (of 23 hours) before 9 March 02:30 is 07:00Z, and 1,439 minutes before it is 06:31Z: the end would be before the start.
    [
      'returns the last whole hour before the end when the offset is longer than a day of 23 hours',
      { ...hourly, timeZone: 'America/New_York', endTimeOffset: 'ago(1439m)', minimizeFresh: false },
      '2026-03-09T06:30Z',
      '2026-03-08T05:00Z',
      '2026-03-08T06:00Z',
    ],
    [
      'returns the whole day before for previous(day)',
      { ...hourly, range: 'previous(day)', timeZone: 'America/New_York' },
      '2026-11-02T12:00Z',
      '2026-11-01T04:00Z',
      '2026-11-02T05:00Z',
    ],
    [
      'returns the month that ends at the slot for previous(month) when the slot starts a month',
      { ...daily, range: 'previous(month)', minimizeFresh: false },
      '2026-03-01T00:00Z',
      '2026-02-01T00:00Z',
      '2026-03-01T00:00Z',
    ],
    [
      'returns ISO week 53 of 2026 for previous(week)',
      { ...daily, range: 'previous(week)', aggregationBucket: 'WEEK' },
      '2027-01-10T23:59:59Z',
      '2026-12-28T00:00Z',
      '2027-01-04T00:00Z',
    ],
    // Four hours before 1 March 03:00 is 28 February, whose last whole month is January.
    [
      'moves the slot back by endTimeOffset before previous(month)',
      { ...daily, range: 'previous(month)', endTimeOffset: 'ago(4h)' },
      '2026-03-01T03:00Z',
      '2026-01-01T00:00Z',
      '2026-02-01T00:00Z',
    ],
    // Apia skipped 30 December.
    [
      'returns the 29th for previous(day) on the day after the 30th that Apia skipped',
      { ...hourly, range: 'previous(day)', timeZone: 'Pacific/Apia' },
      '2011-12-31T06:00Z',
      '2011-12-29T10:00Z',
      '2011-12-30T10:00Z',
    ],
    // In Asuncion, 1 October 2023 began at 01:00 at UTC-3; the month before began at UTC-4.
    [
      'returns a whole month that ends at 01:00 when midnight is skipped',
      { ...hourly, range: 'previous(month)', timeZone: 'America/Asuncion' },
      '2023-10-05T12:00Z',
      '2023-09-01T04:00Z',
      '2023-10-01T04:00Z',
    ],
    // In Kathmandu, 1986 began at 00:15 at UTC+5:45, 15 minutes after the last hour of 1985 at UTC+5:30 ended.
    [
      'starts a year at 00:15 when midnight is skipped within an hour bucket',
      { ...hourly, range: 'toDate(year)', timeZone: 'Asia/Kathmandu' },
      '1985-12-31T20:20Z',
      '1985-12-31T18:30Z',
      '1985-12-31T20:15Z',
    ],
    [
      'returns the whole year before for toDate(year) within the first hour of a year',
      { ...hourly, range: 'toDate(year)', timeZone: 'Europe/Berlin' },
      '2026-12-31T23:30Z',
      '2025-12-31T23:00Z',
      '2026-12-31T23:00Z',
    ],
    [
      'returns the days of the month for toDate(month)',
      { ...daily, range: 'toDate(month)' },
      '2026-11-15T06:00Z',
      '2026-11-01T00:00Z',
      '2026-11-15T00:00Z',
    ],
    [
      'returns the whole month before for toDate(month) on its first day',
      { ...daily, range: 'toDate(month)' },
      '2026-11-01T06:00Z',
      '2026-10-01T00:00Z',
      '2026-11-01T00:00Z',
    ],
    [
      'ends at the slot for toDate(month) without minimizeFresh',
      { ...daily, range: 'toDate(month)', minimizeFresh: false },
      '2026-11-01T06:00Z',
      '2026-11-01T00:00Z',
      '2026-11-01T06:00Z',
    ],
    [
      'returns the whole month before for toDate(month) without minimizeFresh when the slot starts a month',
      { ...daily, range: 'toDate(month)', minimizeFresh: false },
      '2026-11-01T00:00Z',
      '2026-10-01T00:00Z',
      '2026-11-01T00:00Z',
    ],
    [
      'returns the whole month before for toDate(month) with month buckets',
      { ...daily, range: 'toDate(month)', aggregationBucket: 'MONTH' },
      '2026-11-15T06:00Z',
      '2026-10-01T00:00Z',
      '2026-11-01T00:00Z',
    ],
    [
      'moves the slot back by endTimeOffset before toDate(week)',
      { ...daily, range: 'toDate(week)', endTimeOffset: 'ago(2d)' },
      '2026-11-17T06:00Z',
      '2026-11-09T00:00Z',
      '2026-11-15T00:00Z',
    ],
  ])('%s', (_, settings, slot, start, end) => {
    expect(computeWindow(settings, new Date(slot))).toEqual({ start: new Date(start), end: new Date(end) });
  });

  test('returns a valid date with the longest range', () => {
    const { start } = computeWindow(
      { ...daily, range: `ago(${MAX_AGO_DAYS}d)`, timeZone: 'America/New_York' },
      new Date('2026-11-15T06:00Z'),
    );
    // 36,500 days are 100 years minus the 25 leap days from 29 February 1928 to 2024.
    expect(start).toEqual(new Date('1926-12-10T05:00Z'));
  });

  test('starts with a bucket, is not empty, and ends at or before the slot minus the offset', () => {
    const amount = fc.integer({ min: 1, max: 100 });
    const unit = fc.constantFrom('d', 'h', 'm');
    const settings = fc.record({
      range: fc.tuple(amount, unit).map(([of, by]) => `ago(${of}${by})`),
      endTimeOffset: fc.option(fc.tuple(amount, unit).map(([of, by]) => `ago(${of}${by})`)),
      aggregationBucket: fc.constantFrom<WindowSettings['aggregationBucket'][]>('HOUR', 'DAY', 'WEEK', 'MONTH'),
      timeZone: fc.constantFrom(...CLOCK_CHANGES.map(([timeZone]) => timeZone)),
      minimizeFresh: fc.boolean(),
    });
    const near = fc.tuple(fc.constantFrom(...CLOCK_CHANGES), fc.integer({ min: -4 * 86_400, max: 4 * 86_400 }));
    fc.assert(
      fc.property(settings, near, (job, [[, change], seconds]) => {
        fc.pre(job.endTimeOffset === null || isShorter(job.endTimeOffset, job.range));
        const slot = new Date(Date.parse(change) + seconds * 1000);
        const { start, end } = computeWindow(job, slot);
        expect(start.getTime()).toBeLessThan(end.getTime());
        expect(floorToBucket(start, job.aggregationBucket, job.timeZone)).toEqual(start);
        expect(end.getTime()).toBeLessThanOrEqual(slot.getTime());
        const floored = floorToBucket(end, job.aggregationBucket, job.timeZone);
        const endsWhole = floored.getTime() === end.getTime();
        expect(endsWhole || !job.minimizeFresh).toBe(true);
        expect(endsWhole || job.endTimeOffset !== null || end.getTime() === slot.getTime()).toBe(true);
      }),
      { numRuns: 1000 },
    );
  });
});
