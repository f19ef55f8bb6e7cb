import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { computeWindow, parseCalendarRange, type WindowSettings } from '../../src/jobs/schedule/window.ts';
import { bucketCountAtMost } from '../../src/usage/buckets.ts';
import { CLOCK_CHANGES } from '../support/clock-readings.ts';
import { calendarWindowByOracle } from './calendar-window-oracle.ts';
import { slotsBetween } from './slots-between.ts';

const BUCKETS: Readonly<Record<string, readonly WindowSettings['aggregationBucket'][]>> = {
  'previous(day)': ['HOUR', 'DAY'],
  'previous(week)': ['HOUR', 'DAY', 'WEEK'],
  'previous(month)': ['HOUR', 'DAY', 'MONTH'],
  'toDate(week)': ['HOUR', 'DAY', 'WEEK'],
  'toDate(month)': ['HOUR', 'DAY', 'MONTH'],
  'toDate(year)': ['HOUR', 'DAY', 'MONTH'],
};

/** Clock changes, and changes at a midnight that starts a day, a month or a year: what the clock skips is at the start of a unit. */
const CHANGES = [
  ...CLOCK_CHANGES.map(([timeZone, change]) => [timeZone, change] as const),
  ['America/Asuncion', '2023-10-01T04:00Z'],
  ['Africa/Cairo', '2026-04-23T22:00Z'],
  ['Asia/Beirut', '2026-03-28T22:00Z'],
  ['Asia/Kathmandu', '1985-12-31T18:30Z'],
] as const;

describe('computeWindow with a calendar range', () => {
  test('agrees with the oracle near clock changes and starts of months and years', () => {
    const settings = fc.constantFrom(...Object.keys(BUCKETS)).chain((range) =>
      fc.record({
        range: fc.constant(range),
        aggregationBucket: fc.constantFrom(...(BUCKETS[range] ?? [])),
        endTimeOffset: fc.option(fc.integer({ min: 1, max: 3000 }).map((minutes) => `ago(${minutes}m)`)),
        minimizeFresh: fc.boolean(),
      }),
    );
    const near = fc.tuple(
      fc.constantFrom(...CHANGES),
      fc.oneof(fc.integer({ min: -1500, max: 3000 }), fc.integer({ min: -60, max: 60 }), fc.constant(0)),
      fc.constantFrom(0, 0, 1, 30, 31, 61, 365),
    );
    fc.assert(
      fc.property(settings, near, (job, [[timeZone, change], minutes, days]) => {
        const slot = Date.parse(change) + minutes * 60_000 + days * 86_400_000;
        const offset = Number(/\d+/.exec(job.endTimeOffset ?? '0')?.[0]) * 60_000;
        const { start, end } = computeWindow({ ...job, timeZone }, new Date(slot));
        expect([start.getTime(), end.getTime()]).toEqual(calendarWindowByOracle({ ...job, timeZone }, slot - offset));
        expect(start.getTime()).toBeLessThan(end.getTime());
      }),
      { numRuns: 300 },
    );
  });

  test.each([
    ['previous(day)', '30 2 * * *'],
    ['previous(day)', '0 0 * * *'],
    ['previous(week)', '0 6 * * 3'],
    ['previous(month)', '0 2 1 * *'],
    ['previous(month)', '59 23 28 * *'],
  ])('returns windows of %s that follow each other when the cron is %s', (range, cron) => {
    for (const [timeZone, change] of CHANGES) {
      const from = new Date(Date.parse(change) - 200 * 86_400_000);
      const slots = slotsBetween(cron, timeZone, from, new Date(from.getTime() + 400 * 86_400_000));
      const settings = { range, endTimeOffset: null, aggregationBucket: 'DAY', timeZone, minimizeFresh: true } as const;
      const windows = slots.map((slot) => computeWindow(settings, slot));
      expect(windows.length).toBeGreaterThan(10);
      // The slot of a date that Apia skipped is on the next date, which has a slot of its own: both have the same window.
      const distinct = windows.filter(({ end }, index) => end.getTime() !== windows[index - 1]?.end.getTime());
      expect(windows.length - distinct.length).toBeLessThan(2);
      expect(distinct.slice(1).map(({ start }) => start)).toEqual(distinct.slice(0, -1).map(({ end }) => end));
    }
  });

  test('has at most about 8,800 buckets', () => {
    for (const [timeZone] of CHANGES) {
      const settings = { endTimeOffset: null, aggregationBucket: 'HOUR', timeZone, minimizeFresh: false } as const;
      // Ends with the leap year 2028.
      const window = computeWindow({ ...settings, range: 'toDate(year)' }, new Date('2028-12-31T09:00Z'));
      expect(bucketCountAtMost(window, 'HOUR', timeZone)).toBeLessThanOrEqual(366 * 24 + 4);
    }
  });

  test.each([
    '',
    'previous',
    'previous(year)',
    'previous(1d)',
    'Previous(day)',
    'toDate(day)',
    'toDate(month))',
    'get',
  ])('is not parsed from %j', (text) => {
    expect(parseCalendarRange(text)).toBeNull();
  });
});
