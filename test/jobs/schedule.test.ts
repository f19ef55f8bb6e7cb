import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { findCronProblem, newestSlots, nextSlots } from '../../src/jobs/schedule/schedule.ts';
import { CLOCK_CHANGES, clockReadings, type ClockReading } from '../support/clock-readings.ts';
import { slotsBetween } from './slots-between.ts';
import { slotsByOracle } from './slot-oracle.ts';

const DAY = 86_400_000;
const NOW = new Date('2026-11-15T00:00Z');

const text = (slots: readonly Date[]) => slots.map((slot) => slot.toISOString().replace(/:00\.000Z$/, 'Z'));

describe('nextSlots at a change of the clock', () => {
  // Expected instants, computed by hand from the changes in CLOCK_CHANGES. New York: UTC-5, from 8 March UTC-4 (02:00 becomes 03:00,
  // 07:00Z), from 1 November UTC-5 (02:00 becomes 01:00, 06:00Z). Berlin: UTC+1, from 29 March UTC+2, from 25 October UTC+1, both at 01:00Z.
  test.each<[what: string, timeZone: string, cron: string, after: string, slots: string[]]>([
    [
      'moves a skipped fixed time to the next valid time, 03:00',
      'America/New_York',
      '30 2 * * *',
      '2026-03-07T12:00Z',
      ['2026-03-08T07:00Z', '2026-03-09T06:30Z'],
    ],
    [
      'merges all times that one gap skips into one slot, even if 03:00 is a slot already',
      'America/New_York',
      '*/30 2,3 * * *',
      '2026-03-07T12:00Z',
      ['2026-03-08T07:00Z', '2026-03-08T07:30Z', '2026-03-09T06:00Z'],
    ],
    [
      'has a repeated fixed time once, at its first occurrence',
      'America/New_York',
      '30 1 * * *',
      '2026-10-31T12:00Z',
      ['2026-11-01T05:30Z', '2026-11-02T06:30Z'],
    ],
    [
      'has steps of minutes in a repeated fixed hour once',
      'America/New_York',
      '*/20 1 * * *',
      '2026-10-31T12:00Z',
      ['2026-11-01T05:00Z', '2026-11-01T05:20Z', '2026-11-01T05:40Z', '2026-11-02T06:00Z'],
    ],
    [
      'has no fixed times of the repeated hour after its first occurrence',
      'America/New_York',
      '30 1 * * *',
      '2026-11-01T06:10Z',
      ['2026-11-02T06:30Z'],
    ],
    [
      'has 02:00 once, after the second 01:59',
      'America/New_York',
      '0 2 * * *',
      '2026-10-31T12:00Z',
      ['2026-11-01T07:00Z', '2026-11-02T07:00Z'],
    ],
    [
      'has a repeated hour twice with every hour',
      'America/New_York',
      '30 * * * *',
      '2026-11-01T04:45Z',
      ['2026-11-01T05:30Z', '2026-11-01T06:30Z', '2026-11-01T07:30Z'],
    ],
    [
      'omits a skipped hour with every hour',
      'America/New_York',
      '30 * * * *',
      '2026-03-08T05:45Z',
      ['2026-03-08T06:30Z', '2026-03-08T07:30Z', '2026-03-08T08:30Z'],
    ],
    [
      'has 02:00 twice in Berlin in autumn with every second hour',
      'Europe/Berlin',
      '0 */2 * * *',
      '2026-10-24T21:00Z',
      ['2026-10-24T22:00Z', '2026-10-25T00:00Z', '2026-10-25T01:00Z', '2026-10-25T03:00Z'],
    ],
    [
      'omits 02:00 in Berlin in spring with every second hour',
      'Europe/Berlin',
      '0 */2 * * *',
      '2026-03-28T22:00Z',
      ['2026-03-28T23:00Z', '2026-03-29T02:00Z', '2026-03-29T04:00Z'],
    ],
    [
      'merges the skipped 02:00 with 03:00 in a range of hours, which are fixed hours',
      'Europe/Berlin',
      '0 1-3 * * *',
      '2026-03-28T12:00Z',
      ['2026-03-29T00:00Z', '2026-03-29T01:00Z', '2026-03-29T23:00Z', '2026-03-30T00:00Z'],
    ],
    [
      'uses UTC+5:30 for Kolkata all year',
      'Asia/Kolkata',
      '0 9 * * *',
      '2026-03-08T00:00Z',
      ['2026-03-08T03:30Z', '2026-03-09T03:30Z'],
    ],
    [
      'moves the slot of 30 December 2011, which Apia skips, to the start of the 31st',
      'Pacific/Apia',
      '0 2 * * *',
      '2011-12-29T00:00Z',
      ['2011-12-29T12:00Z', '2011-12-30T10:00Z', '2011-12-30T12:00Z', '2011-12-31T12:00Z'],
    ],
    [
      'merges midnight of a skipped date with midnight of the next date',
      'Pacific/Apia',
      '0 0 * * *',
      '2011-12-29T00:00Z',
      ['2011-12-29T10:00Z', '2011-12-30T10:00Z', '2011-12-31T10:00Z'],
    ],
    [
      'moves 02:15 to 02:30 when Lord Howe skips half an hour, to UTC+11',
      'Australia/Lord_Howe',
      '15 2 * * *',
      '2026-10-02T16:00Z',
      ['2026-10-03T15:30Z', '2026-10-04T15:15Z'],
    ],
    [
      'has 01:45 twice with every hour when Lord Howe repeats 01:30 to 02:00',
      'Australia/Lord_Howe',
      '45 * * * *',
      '2026-04-04T14:00Z',
      ['2026-04-04T14:45Z', '2026-04-04T15:15Z', '2026-04-04T16:15Z'],
    ],
    [
      'moves a midnight that São Paulo skips to 01:00 at UTC-2',
      'America/Sao_Paulo',
      '0 0 * * *',
      '2018-11-03T12:00Z',
      ['2018-11-04T03:00Z', '2018-11-05T02:00Z'],
    ],
    [
      'has the last minute of a day once when the clock is set back at midnight',
      'America/Sao_Paulo',
      '59 23 * * *',
      '2018-02-17T12:00Z',
      ['2018-02-18T01:59Z', '2018-02-19T02:59Z'],
    ],
  ])('%s', (_, timeZone, cron, after, slots) => {
    expect(text(nextSlots(cron, timeZone, new Date(after), slots.length))).toEqual(slots);
  });
});

describe('nextSlots with day, month and weekday', () => {
  test.each<[what: string, cron: string, after: string, slots: string[]]>([
    // 1 February 2026 is a Sunday.
    [
      'matches either day-of-month or weekday when both are restricted',
      '0 0 15 * FRI',
      '2026-02-01T00:00Z',
      ['2026-02-06T00:00Z', '2026-02-13T00:00Z', '2026-02-15T00:00Z', '2026-02-20T00:00Z', '2026-02-27T00:00Z'],
    ],
    [
      'treats a range of all days as a restriction, so that either field matches',
      '0 0 1-31 * FRI',
      '2026-02-04T00:00Z',
      ['2026-02-05T00:00Z', '2026-02-06T00:00Z', '2026-02-07T00:00Z'],
    ],
    // The Mondays of 2026 on a 1st, 11th, 21st or 31st.
    [
      'matches both day fields when one begins with *, as crontab(5) defines',
      '0 0 */10 * MON',
      '2026-01-01T00:00Z',
      ['2026-05-11T00:00Z', '2026-06-01T00:00Z', '2026-08-31T00:00Z'],
    ],
    ['treats 7 as Sunday', '0 0 * * 7', '2026-02-01T00:00Z', ['2026-02-08T00:00Z', '2026-02-15T00:00Z']],
    [
      'treats FRI-SUN as the last three days of the week',
      '0 0 * * fri-sun',
      '2026-02-05T00:00Z',
      ['2026-02-06T00:00Z', '2026-02-07T00:00Z', '2026-02-08T00:00Z', '2026-02-13T00:00Z'],
    ],
    ['accepts names of months', '0 0 1 Jan,JUL *', '2026-02-01T00:00Z', ['2026-07-01T00:00Z', '2027-01-01T00:00Z']],
    [
      'has a 31st only in months with 31 days',
      '0 0 31 * *',
      '2026-01-31T00:00Z',
      ['2026-03-31T00:00Z', '2026-05-31T00:00Z', '2026-07-31T00:00Z', '2026-08-31T00:00Z'],
    ],
    ['has 29 February in leap years', '0 0 29 2 *', '2026-01-01T00:00Z', ['2028-02-29T00:00Z', '2032-02-29T00:00Z']],
    // 2100 is not a leap year.
    ['omits 29 February in 2100', '0 * 29 2 *', '2096-02-29T22:30Z', ['2096-02-29T23:00Z', '2104-02-29T00:00Z']],
    [
      'accepts ranges with steps',
      '0 8-18/5 1 1 *',
      '2026-06-01T00:00Z',
      ['2027-01-01T08:00Z', '2027-01-01T13:00Z', '2027-01-01T18:00Z'],
    ],
    ['returns only slots after the given time', '0 0 * * *', '2026-02-01T00:00Z', ['2026-02-02T00:00Z']],
    [
      'returns a slot that is one millisecond after the given time',
      '0 0 * * *',
      '2026-01-31T23:59:59.999Z',
      ['2026-02-01T00:00Z'],
    ],
  ])('%s', (_, cron, after, slots) => {
    expect(text(nextSlots(cron, 'UTC', new Date(after), slots.length))).toEqual(slots);
  });
});

describe('findCronProblem', () => {
  test.each([
    '* * * * *',
    '0 0 29 2 *',
    '5,10-20,30-50/7 */3 1,15 1-6 MON-FRI',
    '00 05 * * *',
    '0\t0  1 * 0-7',
    '*/60 */24 */31 */12 */7',
    '0 0 * * sun',
    '0 0 31 2 1',
    ' \t0 0 * * * ',
    '0 0 * * *\r\n',
    `${' '.repeat(1000)}0 0 * * *`,
  ])('accepts %j', (cron) => {
    expect(findCronProblem(cron, 'America/New_York', NOW)).toBeNull();
  });

  test.each<[cron: string, reason: string]>([
    ['', 'has 0'],
    ['* * * *', 'has 4'],
    ['0 0 * * * *', 'has 6'],
    ['0 0 0 * * * 2027', 'has 7'],
    ['0 0\n* * *', 'has 4'],
    ['@daily', 'has 1'],
    ['@daily * * * *', 'not standard'],
    ['2026-11-15T00:00:00', 'has 1'],
    ['0 0 L * *', 'not standard'],
    ['0 0 LW * *', 'not standard'],
    ['0 0 15W * *', 'not standard'],
    ['0 0 * * 5L', 'not standard'],
    ['0 0 * * FRI#2', 'not standard'],
    ['0 0 ? * *', 'not standard'],
    ['0 0 * * +MON', 'not standard'],
    ['60 0 * * *', 'minute field "60": 60 is not from 0 to 59'],
    ['0 24 * * *', 'hour field "24": 24 is not from 0 to 23'],
    ['0 0 0 * *', 'day-of-month field "0": 0 is not from 1 to 31'],
    ['0 0 32 * *', '32 is not from 1 to 31'],
    ['0 0 * 13 *', 'month field "13": 13 is not from 1 to 12'],
    ['0 0 * * 8', 'weekday field "8": 8 is not from 0 to 7'],
    ['0 0 * MON *', 'not the name of a month'],
    ['0 0 * * JAN', 'not the name of a weekday'],
    ['JAN 0 * * *', 'not the name of a minute'],
    ['0 0 * * MONDAY', 'not standard'],
    ['0 22-2 * * *', 'ends before it starts'],
    ['0 0 * * SAT-TUE', 'ends before it starts'],
    ['*/0 * * * *', 'a step is from 1 to 60'],
    ['*/61 * * * *', 'a step is from 1 to 60'],
    ['5/15 * * * *', 'a step needs a range'],
    ['/5 * * * *', 'not standard'],
    ['1,,2 * * * *', 'not standard'],
    ['1, * * * *', 'not standard'],
    ['1-2-3 * * * *', 'not standard'],
    ['-1 * * * *', 'not standard'],
    ['1.5 * * * *', 'not standard'],
    ['0x1 * * * *', 'not standard'],
    ['١ * * * *', 'not standard'],
    ['0 0 31 2 *', 'no next slot'],
    ['0 * 30 2 *', 'no next slot'],
    ['0 0 31 4,6,9,11 *', 'no next slot'],
  ])('rejects %j because of "%s"', (cron, reason) => {
    expect(findCronProblem(cron, 'America/New_York', NOW)).toContain(reason);
  });

  test('rejects more than 500 characters', () => {
    expect(findCronProblem(`${'1,'.repeat(300)}1 * * * *`, 'UTC', NOW)).toContain('at most 500 characters');
  });

  test('returns a reason for any text unless it is a cron with a next slot', () => {
    const odd = fc.string({ unit: fc.constantFrom(...'0123456789*/-,@LW#?+ \tAMON'.split('')) });
    fc.assert(
      fc.property(odd, (cron) => {
        const reason = findCronProblem(cron, 'UTC', NOW);
        return reason === null ? nextSlots(cron, 'UTC', NOW, 1).length === 1 : reason !== '';
      }),
      { numRuns: 2000 },
    );
  });
});

describe('nextSlots and newestSlots', () => {
  const from = new Date('2026-02-01T00:00Z');
  const to = new Date('2026-02-05T00:00Z');

  test('exclude the start of the range in nextSlots', () => {
    expect(text(nextSlots('0 0 * * *', 'UTC', from, 4))).toEqual([
      '2026-02-02T00:00Z',
      '2026-02-03T00:00Z',
      '2026-02-04T00:00Z',
      '2026-02-05T00:00Z',
    ]);
  });

  test('return the oldest slots from nextSlots and the newest from newestSlots', () => {
    expect(text(nextSlots('0 0 * * *', 'UTC', from, 2))).toEqual(['2026-02-02T00:00Z', '2026-02-03T00:00Z']);
    expect(text(newestSlots('0 0 * * *', 'UTC', to, from, 2))).toEqual(['2026-02-05T00:00Z', '2026-02-04T00:00Z']);
  });

  test('include both ends of the range in newestSlots', () => {
    expect(text(newestSlots('0 0 * * *', 'UTC', to, from, 10))).toEqual([
      '2026-02-05T00:00Z',
      '2026-02-04T00:00Z',
      '2026-02-03T00:00Z',
      '2026-02-02T00:00Z',
      '2026-02-01T00:00Z',
    ]);
  });

  test('return nothing when the limit is 0', () => {
    expect(nextSlots('0 0 * * *', 'UTC', from, 0)).toEqual([]);
    expect(newestSlots('0 0 * * *', 'UTC', to, from, 0)).toEqual([]);
  });

  test('return nothing when the range has no slot, with fixed hours and with every hour', () => {
    for (const cron of ['0 0 29 2 *', '0 * 29 2 *']) {
      expect(slotsBetween(cron, 'America/New_York', from, to)).toEqual([]);
      expect(newestSlots(cron, 'America/New_York', to, from, 10)).toEqual([]);
    }
  });

  test('throw RangeError when the cron is not valid', () => {
    expect(() => nextSlots('@daily', 'UTC', NOW, 1)).toThrow(RangeError);
  });

  test('throw RangeError when the time zone is unknown', () => {
    expect(() => nextSlots('0 0 * * *', 'Mars/Phobos', NOW, 1)).toThrow(RangeError);
  });
});

const part = (lowest: number, highest: number) => {
  const number = fc.integer({ min: lowest, max: highest });
  const range = fc.tuple(number, number).map(([a, b]) => `${Math.min(a, b)}-${Math.max(a, b)}`);
  const step = fc.integer({ min: 1, max: Math.min(12, highest) });
  const element = fc.oneof(
    number.map(String),
    range,
    fc.tuple(range, step).map(([of, by]) => `${of}/${by}`),
  );
  return {
    some: fc.array(element, { minLength: 1, maxLength: 3 }).map((all) => all.join(',')),
    every: fc.oneof(
      fc.constant('*'),
      step.map((by) => `*/${by}`),
    ),
  };
};
const minute = part(0, 59);
const hour = part(0, 23);
const dayOfMonth = part(1, 31);
const weekday = part(0, 7);
const anyCron = fc
  .tuple(
    fc.oneof(minute.some, minute.every),
    fc.oneof(hour.some, hour.every),
    fc.oneof({ weight: 4, arbitrary: fc.constant('*') }, dayOfMonth.some, dayOfMonth.every),
    fc.oneof({ weight: 4, arbitrary: fc.constant('*') }, fc.constant('JAN-APR,sep,OCT-dec')),
    fc.oneof({ weight: 4, arbitrary: fc.constant('*') }, weekday.some, weekday.every),
  )
  .map((fields) => fields.join(' '));

describe('nextSlots and newestSlots compared with an oracle that reads the clock every minute', () => {
  // Readings of the twelve days around each change, computed once.
  const known = new Map<number, ClockReading[]>();
  const readingsAround = (index: number): ClockReading[] => {
    const [timeZone, change] = CLOCK_CHANGES[index] ?? ['', ''];
    const readings =
      known.get(index) ?? clockReadings(timeZone, Date.parse(change) - 6 * DAY, Date.parse(change) + 6 * DAY);
    known.set(index, readings);
    return readings;
  };

  test('return the same slots, in strictly ascending order, around every change', () => {
    const index = fc.integer({ min: 0, max: CLOCK_CHANGES.length - 1 });
    fc.assert(
      fc.property(index, anyCron, fc.nat({ max: 17_279 }), fc.nat({ max: 17_279 }), (at, cron, one, other) => {
        const timeZone = CLOCK_CHANGES[at]?.[0] ?? '';
        const readings = readingsAround(at).slice(Math.min(one, other), Math.max(one, other) + 1);
        const first = readings[0]?.at ?? NaN;
        const last = readings.at(-1)?.at ?? NaN;
        const expected = slotsByOracle(cron, readings);
        const slots = slotsBetween(cron, timeZone, new Date(first - 1), new Date(last)).map(Number);
        expect(slots).toEqual(expected);
        expect(slots.every((slot, i) => i === 0 || slot > (slots[i - 1] ?? NaN))).toBe(true);
        expect(newestSlots(cron, timeZone, new Date(last), new Date(first), Infinity).map(Number)).toEqual(
          expected.toReversed(),
        );
      }),
      { numRuns: 250 },
    );
  });
});
