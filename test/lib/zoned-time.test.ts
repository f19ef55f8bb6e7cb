import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  addDays,
  findFirstTimestamp,
  formatInZone,
  isWholeHoursFromUtc,
  latestWallTimeBy,
  stretchAt,
} from '../../src/lib/zoned-time.ts';

describe('formatInZone', () => {
  // New York is UTC-4 from 8 March 2026 07:00Z, UTC-5 before.
  test.each([
    ['UTC', '2026-03-08T07:00Z', '2026-03-08T07:00:00Z'],
    ['UTC', '2026-03-08T07:00:59.999Z', '2026-03-08T07:00:59Z'],
    ['America/New_York', '2026-03-08T06:59:59.999Z', '2026-03-08T01:59:59-05:00'],
    ['America/New_York', '2026-03-08T07:00Z', '2026-03-08T03:00:00-04:00'],
    ['Asia/Kolkata', '2026-03-08T20:00Z', '2026-03-09T01:30:00+05:30'],
    ['Asia/Kathmandu', '2026-03-08T00:00Z', '2026-03-08T05:45:00+05:45'],
    ['Pacific/Marquesas', '2026-03-08T00:00Z', '2026-03-07T14:30:00-09:30'],
    ['Pacific/Apia', '2011-12-30T09:59:59Z', '2011-12-29T23:59:59-10:00'],
    ['Pacific/Apia', '2011-12-30T10:00Z', '2011-12-31T00:00:00+14:00'],
    ['Europe/London', '2026-01-01T00:00Z', '2026-01-01T00:00:00+00:00'],
    // Until 1972 Monrovia was 44 minutes 30 seconds behind UTC. The offset is rounded to the minute, the instant stays.
    ['Africa/Monrovia', '1960-03-08T07:00Z', '1960-03-08T06:16:00-00:44'],
  ])('in %s %s is %s', (timeZone, at, text) => {
    expect(formatInZone(new Date(at), timeZone)).toBe(text);
  });

  test('returns a text that parses to the same instant, in every zone', () => {
    const anyZone = fc.constantFrom(...Intl.supportedValuesOf('timeZone'));
    const anySecond = fc.integer({ min: Date.UTC(1900, 0, 1) / 1000, max: Date.UTC(2100, 0, 1) / 1000 });
    fc.assert(
      fc.property(anyZone, anySecond, (timeZone, second) => {
        expect(Date.parse(formatInZone(new Date(second * 1000), timeZone))).toBe(second * 1000);
      }),
      { numRuns: 500 },
    );
  });
});

test('addDays > changes the calendar day and keeps the wall time', () => {
  const from = new Date('2026-03-09T06:30Z');
  expect(addDays(from, -2, 'America/New_York')).toEqual(new Date('2026-03-07T07:30Z'));
  expect(addDays(from, -1, 'America/New_York')).toEqual(new Date('2026-03-08T07:00Z'));
  expect(addDays(from, 1, 'America/New_York')).toEqual(new Date('2026-03-10T06:30Z'));
});

test('isWholeHours > considers the whole range, not only its start', () => {
  const whole = (timeZone: string, start: string, end: string) =>
    isWholeHoursFromUtc(new Date(start), new Date(end), timeZone);
  expect(whole('UTC', '2026-01-01', '2027-01-01')).toBe(true);
  expect(whole('America/New_York', '2026-01-01', '2027-01-01')).toBe(true);
  expect(whole('Asia/Kolkata', '2026-01-01', '2026-01-02')).toBe(false);
  // UTC+11 in summer, UTC+10:30 from 4 April 15:00Z.
  expect(whole('Australia/Lord_Howe', '2026-01-01', '2026-02-01')).toBe(true);
  expect(whole('Australia/Lord_Howe', '2026-01-01', '2026-05-01')).toBe(false);
});

test('offsets > are those of Intl in every zone', () => {
  const anyZone = fc.constantFrom(...Intl.supportedValuesOf('timeZone'));
  const anyHour = fc.integer({ min: Date.UTC(1900, 0, 1) / 3_600_000, max: Date.UTC(2100, 0, 1) / 3_600_000 });
  fc.assert(
    fc.property(anyZone, anyHour, (timeZone, hour) => {
      const format = new Intl.DateTimeFormat('en-US', { timeZone, timeZoneName: 'longOffset' });
      const [, sign, hours = 0, minutes = 0, seconds = 0] =
        /GMT([+-])?(?:(\d\d):(\d\d)(?::(\d\d))?)?$/.exec(format.format(hour * 3_600_000)) ?? [];
      const offset = (Number(hours) * 60 + Number(minutes)) * 60_000 + Number(seconds) * 1000;
      expect(stretchAt(hour * 3_600_000, timeZone).offset + 0).toBe(sign === '-' ? -offset : offset);
    }),
    { numRuns: 1000 },
  );
});

test('offsets > are those of Intl in the far future', () => {
  const anyHour = fc.integer({ min: Date.UTC(2390, 0, 1) / 3_600_000, max: Date.UTC(9990, 0, 1) / 3_600_000 });
  fc.assert(
    fc.property(
      fc.constantFrom('America/New_York', 'Europe/Berlin', 'Australia/Lord_Howe', 'Asia/Kolkata'),
      anyHour,
      (timeZone, hour) => {
        const at = new Date(hour * 3_600_000);
        const format = new Intl.DateTimeFormat('en-US', { timeZone, timeZoneName: 'longOffset' });
        expect(`${format.format(at)} `).toContain(`GMT${formatInZone(at, timeZone).slice(-6)} `);
        const { from, until } = stretchAt(at.getTime(), timeZone);
        expect(from <= at.getTime() && at.getTime() < until).toBe(true);
      },
    ),
    { numRuns: 500 },
  );
});

test('a wall time > has passed exactly if the clock has shown it or a later one', () => {
  const anyZone = fc.constantFrom(...Intl.supportedValuesOf('timeZone'));
  const anyMinute = fc.integer({ min: Date.UTC(1925, 0, 1) / 60_000, max: Date.UTC(2040, 0, 1) / 60_000 });
  fc.assert(
    fc.property(anyZone, anyMinute, fc.integer({ min: -3000, max: 3000 }), (timeZone, minute, apart) => {
      // Around the last change of the clock before the instant, if there is one.
      const { from } = stretchAt(minute * 60_000, timeZone);
      const at = (Number.isFinite(from) ? from : minute * 60_000) + apart * 60_000;
      const latest = latestWallTimeBy(at, timeZone);
      expect(findFirstTimestamp(latest, timeZone)).toBeLessThanOrEqual(at);
      expect(findFirstTimestamp(latest + 1, timeZone)).toBeGreaterThan(at);
    }),
    { numRuns: 1000 },
  );
});
