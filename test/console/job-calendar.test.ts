import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  addWindowsAhead,
  type Coverage,
  type CoverageState,
  findDay,
  findOwedFrom,
  findParts,
  listHours,
} from '../../console/src/pages/job/coverage-days.ts';
import { addDays, addMonths, clockTimeOf, dateOf, instantOf, startOfDay } from '../../console/src/ui/zone-dates.ts';
import { formatDate, formatMonth, isMonth, listWeeks } from '../../console/src/pages/job/months.ts';
import { floorToBucket } from '../../src/usage/buckets.ts';

const HOUR = 3_600_000;
const ZONES = [
  'UTC',
  'Europe/Berlin',
  'America/New_York',
  'Asia/Kolkata',
  // Sets its clocks by 30 minutes.
  'Australia/Lord_Howe',
  // Sets its clocks at midnight, so that some days start at 01:00.
  'America/Havana',
  'Asia/Beirut',
  // Skipped 30 December 2011.
  'Pacific/Apia',
];
const zone = fc.constantFrom(...ZONES);
const instant = fc.integer({ min: Date.parse('2005-01-01T00:00Z'), max: Date.parse('2027-12-31T00:00Z') });
const month = fc
  .tuple(fc.integer({ min: 2005, max: 2027 }), fc.integer({ min: 1, max: 12 }))
  .map(([year, number]) => `${year}-${String(number).padStart(2, '0')}`);

describe('console > days of a time zone', () => {
  test('start when the buckets of the server do', () => {
    fc.assert(
      fc.property(instant, zone, (at, timeZone) => {
        const date = dateOf(at, timeZone);
        expect(new Date(startOfDay(date, timeZone)).toISOString()).toBe(
          floorToBucket(new Date(at), 'DAY', timeZone).toISOString(),
        );
      }),
      { numRuns: 300 },
    );
  });

  test('have the wall time that an instant is computed from', () => {
    fc.assert(
      fc.property(instant, zone, (at, timeZone) => {
        const minute = Math.floor(at / 60_000) * 60_000;
        const wallTime = `${dateOf(minute, timeZone)}T${clockTimeOf(minute, timeZone)}`;
        const found = instantOf(wallTime, timeZone);
        expect(`${dateOf(found, timeZone)}T${clockTimeOf(found, timeZone)}`).toBe(wallTime);
        // A wall time that occurs twice is the first one.
        expect(found).toBeLessThanOrEqual(minute);
      }),
      { numRuns: 300 },
    );
  });

  test('that a clock change skips a part of are moved forward', () => {
    expect(new Date(instantOf('2026-03-29T02:30', 'Europe/Berlin')).toISOString()).toBe('2026-03-29T01:00:00.000Z');
    expect(new Date(startOfDay('2011-12-30', 'Pacific/Apia')).toISOString()).toBe('2011-12-30T10:00:00.000Z');
  });
});

describe('console > months', () => {
  test('have each of their dates once, in weeks that start on Monday', () => {
    fc.assert(
      fc.property(month, (one) => {
        const weeks = listWeeks(one);
        const dates = weeks.flat().filter((date) => date !== null);
        const last = addDays(`${addMonths(one, 1)}-01`, -1);
        expect(dates[0]).toBe(`${one}-01`);
        expect(dates.at(-1)).toBe(last);
        expect(dates.length).toBe(Number(last.slice(8)));
        expect(dates.toSorted()).toEqual(dates);
        for (const week of weeks) {
          expect(week.length).toBe(7);
          for (const [index, date] of week.entries()) {
            if (date !== null) expect((new Date(`${date}T00:00Z`).getUTCDay() + 6) % 7).toBe(index);
          }
        }
      }),
    );
  });

  test('are read from the address if they are valid', () => {
    const texts = [null, '', '2026-13', '2026-00', '2026-1', '1969-12', '2026-11-01', 'x', '2026-11'];
    expect(texts.filter(isMonth)).toEqual(['2026-11']);
  });

  test('are named', () => {
    expect([formatMonth('2026-11'), formatDate('2026-02-03'), addMonths('2026-01', -1)]).toEqual([
      'November 2026',
      '3 February 2026',
      '2025-12',
    ]);
  });
});

/** Spans of hours of a month, merged as the API merges them. */
function mergeHours(from: number, hours: readonly boolean[]): { from: string; to: string }[] {
  const spans: { from: string; to: string }[] = [];
  let start: number | null = null;
  for (const [index, isIn] of [...hours, false].entries()) {
    if (isIn) start ??= index;
    else if (start !== null) {
      const iso = (hour: number): string => new Date(from + hour * HOUR).toISOString();
      spans.push({ from: iso(start), to: iso(index) });
      start = null;
    }
  }
  return spans;
}

type HourState = 'delivered' | 'stale' | 'gap';

interface Scenario {
  readonly coverage: Coverage;
  readonly hours: readonly HourState[];
  readonly from: number;
  readonly dueHours: number;
}

/** Coverage of the UTC month with long stretches of hours of the same state, of which some days are cut. */
function coverageOf(one: string, stretches: readonly (readonly [HourState, number])[], dueShare: number): Scenario {
  const [from, to] = [Date.parse(`${one}-01T00:00Z`), Date.parse(`${addMonths(one, 1)}-01T00:00Z`)];
  const length = (to - from) / HOUR;
  const dueHours = Math.round(length * dueShare);
  const hours: HourState[] = [];
  for (let index = 0; hours.length < dueHours; index += 1) {
    const [state, count] = stretches[index % stretches.length] ?? ['gap', 1];
    for (let hour = 0; hour < count && hours.length < dueHours; hour += 1) hours.push(state);
  }
  const spansOf = (...states: HourState[]) =>
    mergeHours(
      from,
      hours.map((state) => states.includes(state)),
    );
  const coverage = {
    from: new Date(from).toISOString(),
    to: new Date(from + dueHours * HOUR).toISOString(),
    delivered: spansOf('delivered', 'stale'),
    stale: spansOf('stale'),
    gaps: spansOf('gap'),
  };
  return { coverage, hours, from, dueHours };
}

const scenario = fc.record({
  one: month,
  stretches: fc.array(
    fc.tuple(fc.constantFrom<HourState>('delivered', 'stale', 'gap'), fc.integer({ min: 1, max: 60 })),
    {
      minLength: 1,
      maxLength: 12,
    },
  ),
  dueShare: fc.double({ min: 0, max: 1, noNaN: true }),
  owedHour: fc.integer({ min: -10, max: 800 }),
});

/** The state of an hour, from the list of hours alone. */
function expectedState({ hours }: Scenario, hour: number, owedHour: number): CoverageState {
  const state = hours[hour];
  if (state === undefined) return 'notDue';
  if (state !== 'gap') return state;
  return hour < owedHour ? 'undelivered' : 'missing';
}

const URGENCY: readonly CoverageState[] = ['missing', 'stale', 'delivered', 'undelivered', 'notDue'];

describe('console > coverage', () => {
  test('gives each day of a month the most urgent state of its hours, and counts the hours that have it', () => {
    fc.assert(
      fc.property(scenario, ({ one, stretches, dueShare, owedHour }) => {
        const known = coverageOf(one, stretches, dueShare);
        const owedFrom = known.from + owedHour * HOUR;
        for (const date of listWeeks(one).flat()) {
          if (date === null) continue;
          const first = (Date.parse(`${date}T00:00Z`) - known.from) / HOUR;
          const states = Array.from({ length: 24 }, (_, hour) => expectedState(known, first + hour, owedHour));
          const state = URGENCY.find((candidate) => states.includes(candidate));
          const day = findDay(known.coverage, date, 'UTC', owedFrom);
          expect(day.state).toBe(state);
          const count = states.filter((candidate) => candidate === state).length;
          expect(day.text.endsWith(`, ${count} of 24 h`)).toBe(count < 24);
          expect(listHours(day).map((hour) => hour.state)).toEqual(states);
        }
      }),
      { numRuns: 60 },
    );
  });

  test('divides a month into parts without gaps, of which two neighbours differ', () => {
    fc.assert(
      fc.property(scenario, zone, ({ one, stretches, dueShare, owedHour }, timeZone) => {
        const known = coverageOf(one, stretches, dueShare);
        const [from, to] = [startOfDay(`${one}-01`, timeZone), startOfDay(`${addMonths(one, 1)}-01`, timeZone)];
        const parts = findParts(known.coverage, from, to, known.from + owedHour * HOUR);
        expect(parts[0]?.from).toBe(from);
        expect(parts.at(-1)?.to).toBe(to);
        for (const [index, part] of parts.entries()) {
          expect(part.from).toBeLessThan(part.to);
          const next = parts[index + 1];
          if (next === undefined) continue;
          expect(next.from).toBe(part.to);
          expect(next.state).not.toBe(part.state);
        }
      }),
      { numRuns: 60 },
    );
  });

  test('has the hours of days on which the clocks are changed', () => {
    const coverage = { from: '2026-01-01T00:00Z', to: '2027-01-01T00:00Z', delivered: [], stale: [], gaps: [] };
    const hoursOf = (date: string) => listHours(findDay(coverage, date, 'Europe/Berlin', Infinity));
    expect(hoursOf('2026-03-29').length).toBe(23);
    const hours = hoursOf('2026-10-25');
    expect(hours.length).toBe(25);
    expect(hours.slice(1, 5).map(({ from }) => clockTimeOf(from, 'Europe/Berlin'))).toEqual([
      '01:00',
      '02:00',
      '02:00',
      '03:00',
    ]);
  });

  test('is owed from the bucket in which the job was created, and never without a schedule', () => {
    const job = { timeZone: 'America/New_York', createdAt: '2026-11-15T03:20:00Z', cron: '15 6 * * *' };
    const owed = (aggregationBucket: string, cron: string | null = job.cron) =>
      findOwedFrom({ ...job, cron, aggregationBucket });
    expect(new Date(owed('HOUR')).toISOString()).toBe('2026-11-15T03:00:00.000Z');
    // 22:20 on the 14th in New York.
    expect(new Date(owed('DAY')).toISOString()).toBe('2026-11-14T05:00:00.000Z');
    expect(owed('DAY', null)).toBe(Infinity);
  });

  test('has windows that were delivered by hand before their slot', () => {
    const coverage: Coverage = { from: at('01'), to: at('10'), delivered: [], stale: [], gaps: [] };
    const extended = addWindowsAhead(coverage, [
      { windowStart: at('05'), windowEnd: at('12'), state: 'CURRENT' },
      { windowStart: at('13'), windowEnd: at('14'), state: 'STALE' },
      { windowStart: at('14'), windowEnd: at('15'), state: 'MISSING' },
      { windowStart: at('02'), windowEnd: at('03'), state: 'CURRENT' },
    ]);
    const states = ['02', '09', '10', '11', '12', '13', '14'].map(
      (day) => findDay(extended, `2026-11-${day}`, 'UTC', Infinity).state,
    );
    expect(states).toEqual(['undelivered', 'undelivered', 'delivered', 'delivered', 'notDue', 'stale', 'notDue']);
  });
});

function at(day: string): string {
  return `2026-11-${day}T00:00:00Z`;
}
