import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  isShorter,
  LONGEST_AGO_DAYS,
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
  ])('%s is read', (text, ago) => {
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
  ])('%j is not', (text) => {
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
  ])('%s is shorter than %s: %s', (offset, range, shorter) => {
    expect(isShorter(offset, range)).toBe(shorter);
  });

  test('what is not a duration is a RangeError', () => {
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

describe('the window of a slot', () => {
  // New York: UTC-5, from 8 March 2026 07:00Z UTC-4, from 1 November 06:00Z UTC-5. Berlin: UTC+1, from 29 March 01:00Z UTC+2. Each expected
  // moment is the wall time of the comment less that offset.
  test.each<[what: string, settings: WindowSettings, slot: string, start: string, end: string]>([
    ['seven whole days', { ...daily, range: 'ago(7d)' }, '2026-11-15T06:00Z', '2026-11-08T00:00Z', '2026-11-15T00:00Z'],
    [
      'without minimizeFresh it ends with the slot',
      { ...daily, range: 'ago(7d)', minimizeFresh: false },
      '2026-11-15T06:12:34.567Z',
      '2026-11-08T00:00Z',
      '2026-11-15T06:12:34Z',
    ],
    [
      'an end two days ago',
      { ...daily, range: 'ago(7d)', endTimeOffset: 'ago(2d)' },
      '2026-11-15T06:00Z',
      '2026-11-08T00:00Z',
      '2026-11-13T00:00Z',
    ],
    [
      'an end 90 minutes ago, not floored',
      { ...hourly, range: 'ago(6h)', endTimeOffset: 'ago(90m)', minimizeFresh: false },
      '2026-11-15T06:20Z',
      '2026-11-15T00:00Z',
      '2026-11-15T04:50Z',
    ],
    // 9 March 02:00 back to 8 March, where 02:00 is skipped; the day began at 00:00 at UTC-5.
    [
      'a day of 23 hours is one day',
      { ...daily, timeZone: 'America/New_York' },
      '2026-03-09T06:00Z',
      '2026-03-08T05:00Z',
      '2026-03-09T04:00Z',
    ],
    [
      'a day of 25 hours is one day',
      { ...daily, timeZone: 'America/New_York' },
      '2026-11-02T12:00Z',
      '2026-11-01T04:00Z',
      '2026-11-02T05:00Z',
    ],
    [
      'and so in Berlin',
      { ...daily, timeZone: 'Europe/Berlin' },
      '2026-03-30T03:00Z',
      '2026-03-28T23:00Z',
      '2026-03-29T22:00Z',
    ],
    // 8 March 12:00 at UTC-4, a day before is 7 March 12:00 at UTC-5.
    [
      'd is the same wall time',
      { ...hourly, timeZone: 'America/New_York' },
      '2026-03-08T16:00Z',
      '2026-03-07T17:00Z',
      '2026-03-08T16:00Z',
    ],
    [
      'h is elapsed time',
      { ...hourly, timeZone: 'America/New_York', range: 'ago(24h)' },
      '2026-03-08T16:00Z',
      '2026-03-07T16:00Z',
      '2026-03-08T16:00Z',
    ],
    // 9 March 02:30 back to the skipped 02:30, that is 03:00 at UTC-4: where the slot of the day before ran.
    [
      'a wall time that is skipped is the next valid moment',
      { ...hourly, timeZone: 'America/New_York', minimizeFresh: false },
      '2026-03-09T06:30Z',
      '2026-03-08T07:00Z',
      '2026-03-09T06:30Z',
    ],
    // 2 November 01:30 at UTC-5 back to 1 November 01:30, first at UTC-4.
    [
      'a wall time that is repeated is its first coming',
      { ...hourly, timeZone: 'America/New_York' },
      '2026-11-02T06:30Z',
      '2026-11-01T05:00Z',
      '2026-11-02T06:00Z',
    ],
    // 16:15 in Kolkata (UTC+5:30), back to 15:15.
    [
      'hours of Kolkata',
      { ...hourly, timeZone: 'Asia/Kolkata', range: 'ago(1h)' },
      '2026-01-15T10:45Z',
      '2026-01-15T09:30Z',
      '2026-01-15T10:30Z',
    ],
    [
      'nothing left of a half hour: the last whole hour before',
      { ...hourly, range: 'ago(30m)' },
      '2026-01-15T10:45Z',
      '2026-01-15T09:00Z',
      '2026-01-15T10:00Z',
    ],
    [
      'a slot at a boundary, and a range shorter than the bucket',
      { ...hourly, range: 'ago(30m)' },
      '2026-01-15T10:00Z',
      '2026-01-15T09:00Z',
      '2026-01-15T10:00Z',
    ],
    [
      'nothing left of a month: the last whole month before, of 31 days',
      { ...daily, aggregationBucket: 'MONTH' },
      '2026-11-15T06:00Z',
      '2026-10-01T00:00Z',
      '2026-11-01T00:00Z',
    ],
    [
      'the last whole month before 1 March, of 28 days',
      { ...daily, aggregationBucket: 'MONTH' },
      '2026-03-01T03:00Z',
      '2026-02-01T00:00Z',
      '2026-03-01T00:00Z',
    ],
    [
      'a start within a month takes that month whole',
      { ...daily, aggregationBucket: 'MONTH', range: 'ago(31d)' },
      '2026-03-01T03:00Z',
      '2026-01-01T00:00Z',
      '2026-03-01T00:00Z',
    ],
    [
      'the last whole month is before the end, not before the slot',
      { ...daily, aggregationBucket: 'MONTH', range: 'ago(40d)', endTimeOffset: 'ago(20d)' },
      '2026-11-15T06:00Z',
      '2026-09-01T00:00Z',
      '2026-10-01T00:00Z',
    ],
    // 1 January 2026 is a Thursday, and so is 25 December.
    [
      'a week of Mondays',
      { ...daily, aggregationBucket: 'WEEK', range: 'ago(7d)' },
      '2026-01-01T06:00Z',
      '2025-12-22T00:00Z',
      '2025-12-29T00:00Z',
    ],
    [
      'ISO week 53 of 2026',
      { ...daily, aggregationBucket: 'WEEK', range: 'ago(7d)' },
      '2027-01-04T01:00Z',
      '2026-12-28T00:00Z',
      '2027-01-04T00:00Z',
    ],
    // 31 December 20:00 at UTC+14, back to the skipped 30 December: the 31st is left, and has not ended.
    [
      'the day after the one that Apia skipped: the last whole day is the 29th',
      { ...daily, timeZone: 'Pacific/Apia' },
      '2011-12-31T06:00Z',
      '2011-12-29T10:00Z',
      '2011-12-30T10:00Z',
    ],
    // 9 March 02:30 back a day of 23 hours is 07:00Z, back 1,439 minutes 06:31Z: the end would be before the start.
    [
      'an offset of 1,439 minutes over a day of 23 hours',
      { ...hourly, timeZone: 'America/New_York', endTimeOffset: 'ago(1439m)', minimizeFresh: false },
      '2026-03-09T06:30Z',
      '2026-03-08T05:00Z',
      '2026-03-08T06:00Z',
    ],
  ])('%s', (_, settings, slot, start, end) => {
    expect(computeWindow(settings, new Date(slot))).toEqual({ start: new Date(start), end: new Date(end) });
  });

  test('the longest range stays within what dates hold', () => {
    const { start } = computeWindow(
      { ...daily, range: `ago(${LONGEST_AGO_DAYS}d)`, timeZone: 'America/New_York' },
      new Date('2026-11-15T06:00Z'),
    );
    // 36,500 days are 100 years less the 25 leap days from 29 February 1928 to 2024.
    expect(start).toEqual(new Date('1926-12-10T05:00Z'));
  });

  test('starts with a bucket, has a length, and ends no later than its offset says', () => {
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
