import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type BackfillSpan, iterateWindows } from '../../src/jobs/schedule/backfill-windows.ts';
import { newestSlots } from '../../src/jobs/schedule/schedule.ts';
import { computeWindow, isShorter } from '../../src/jobs/schedule/window.ts';
import { CLOCK_CHANGES } from '../support/clock-readings.ts';

const DAY = 86_400_000;

const DAILY: BackfillSpan = {
  settings: {
    cron: '0 1 * * *',
    timeZone: 'UTC',
    range: 'ago(1d)',
    endTimeOffset: null,
    aggregationBucket: 'DAY',
    minimizeFresh: true,
  },
  from: new Date('2025-01-01T00:00:00Z'),
  to: new Date('2026-01-01T00:00:00Z'),
  now: new Date('2026-11-22T10:00:00Z'),
};

/** Slot, start and end of each window. */
function list(span: BackfillSpan, newestFirst = false, first: Date | null = null): string[] {
  return iterateWindows(span, newestFirst, first)
    .map(({ slot, window }) => [slot, window.start, window.end].map((at) => at.toISOString()).join(' '))
    .toArray();
}

/** The same, from every slot that can have a window of the span. */
function listFromAllSlots({ settings, from, to, now }: BackfillSpan): string[] {
  const { cron, timeZone } = settings;
  const latest = new Map<string, { slot: Date; due: Date | null; start: Date; end: Date }>();
  const bound = Math.min(to.getTime(), now.getTime());
  const slots = newestSlots(cron, timeZone, new Date(bound + 90 * DAY), new Date(from.getTime() - DAY), 1e9);
  for (const slot of slots.reverse()) {
    const { start, end } = computeWindow(settings, slot);
    if (start < from || end.getTime() > bound) continue;
    const key = `${start.toISOString()} ${end.toISOString()}`;
    const due = slot <= now ? slot : (latest.get(key)?.due ?? null);
    latest.set(key, { slot, due, start, end });
  }
  return [...latest.entries()]
    .map(([key, { slot, due }]) => ({ key, slot, shown: due ?? slot }))
    .sort((a, b) => a.slot.getTime() - b.slot.getTime())
    .map(({ key, shown }) => `${shown.toISOString()} ${key}`);
}

describe('windows of a backfill', () => {
  test('are those of the cron that lie in the span, by their ends', () => {
    const windows = list(DAILY);
    expect(windows).toHaveLength(365);
    expect(windows[0]).toBe('2025-01-02T01:00:00.000Z 2025-01-01T00:00:00.000Z 2025-01-02T00:00:00.000Z');
    expect(windows.at(-1)).toBe('2026-01-01T01:00:00.000Z 2025-12-31T00:00:00.000Z 2026-01-01T00:00:00.000Z');
    expect(list(DAILY, true)).toEqual(windows.toReversed());
  });

  test('end in the past', () => {
    const now = new Date('2025-01-03T00:30:00Z');
    expect(list({ ...DAILY, now }).map((line) => line.slice(0, 10))).toEqual(['2025-01-02', '2025-01-03']);
  });

  test('have the latest slot that is due if several slots have the same window', () => {
    const settings = { ...DAILY.settings, cron: '* * * * *', range: 'previous(month)' };
    const span = { ...DAILY, settings, from: new Date('2015-01-01T00:00:00Z'), to: new Date('2026-11-01T00:00:00Z') };
    const windows = list(span);
    // Ten years of minutes have 6 million slots.
    expect(windows).toHaveLength(142);
    expect(windows[0]).toBe('2015-02-28T23:59:00.000Z 2015-01-01T00:00:00.000Z 2015-02-01T00:00:00.000Z');
    expect(windows.at(-1)).toBe('2026-11-22T10:00:00.000Z 2026-10-01T00:00:00.000Z 2026-11-01T00:00:00.000Z');
    expect(list(span, true)).toEqual(windows.toReversed());
  });

  test('have the slot that is due if the clock is set back before another slot of the same window', () => {
    // At 02:45 of 25 October, 15 minutes before the clock is set back from 03:00 to 02:00.
    const now = new Date('2026-10-25T00:45:00Z');
    const settings = {
      ...DAILY.settings,
      cron: '*/30 * * * *',
      timeZone: 'Europe/Berlin',
      range: 'toDate(month)',
      endTimeOffset: 'ago(1d)',
      aggregationBucket: 'HOUR' as const,
      minimizeFresh: false,
    };
    const span = { settings, from: new Date('2026-09-30T22:00:00Z'), to: new Date('2026-10-24T00:30:00Z'), now };
    const windows = list(span);
    expect(windows.slice(-2)).toEqual([
      '2026-10-25T00:00:00.000Z 2026-09-30T22:00:00.000Z 2026-10-24T00:00:00.000Z',
      '2026-10-25T00:30:00.000Z 2026-09-30T22:00:00.000Z 2026-10-24T00:30:00.000Z',
    ]);
    expect(list(span, true)).toEqual(windows.toReversed());
  });

  test('have an earlier slot that is due if the clock is set back at midnight and shows the day of the window again', () => {
    // At 23:06 of 28 October, before the clock is set back from 00:01 of 29 October to 23:01 of 28 October.
    const now = new Date('2006-10-29T01:36:00Z');
    const settings = {
      ...DAILY.settings,
      cron: '*/7 * * * *',
      timeZone: 'America/St_Johns',
      range: 'previous(day)',
      endTimeOffset: 'ago(1d)',
      aggregationBucket: 'HOUR' as const,
      minimizeFresh: false,
    };
    const span = { settings, from: new Date('2006-10-26T02:30:00Z'), to: new Date('2006-10-27T02:30:00Z'), now };
    expect(list(span)).toEqual(['2006-10-29T01:30:00.000Z 2006-10-26T02:30:00.000Z 2006-10-27T02:30:00.000Z']);
    expect(list({ ...span, now: new Date('2006-10-28T20:00:00Z') }, true)).toEqual([
      '2006-10-28T19:58:00.000Z 2006-10-26T02:30:00.000Z 2006-10-27T02:30:00.000Z',
    ]);
  });

  test('are the same as those of every slot, from each window on, in both orders', () => {
    const amount = fc.oneof(
      fc.integer({ min: 1, max: 40 }).map((days) => `ago(${days}d)`),
      fc.integer({ min: 1, max: 60 }).map((hours) => `ago(${hours}h)`),
      fc.integer({ min: 1, max: 2000 }).map((minutes) => `ago(${minutes}m)`),
    );
    const spans = fc
      .record({
        change: fc.constantFrom(...CLOCK_CHANGES),
        cron: fc.constantFrom(
          '0 1 * * *',
          '*/30 * * * *',
          '0 * * * *',
          '15 */3 * * *',
          '0 0 1 * *',
          '30 2 * * 1',
          '*/7 * * * *',
          '1,31 0-3 * * *',
        ),
        range: fc.oneof(
          amount,
          fc.constantFrom('previous(day)', 'previous(week)', 'previous(month)', 'toDate(week)', 'toDate(month)'),
        ),
        endTimeOffset: fc.option(amount),
        aggregationBucket: fc.constantFrom('HOUR', 'DAY', 'WEEK', 'MONTH'),
        minimizeFresh: fc.boolean(),
        daysBefore: fc.integer({ min: 0, max: 50 }),
        minutes: fc.integer({ min: -3000, max: 3000 }),
        days: fc.integer({ min: 1, max: 60 }),
        nowAfter: fc.integer({ min: -20, max: 60 }),
        // The clock can be set back between two slots of a window, of which only the first is due.
        nowFromChange: fc.option(fc.integer({ min: -1500, max: 1500 })),
      })
      .filter(
        ({ range, endTimeOffset }) =>
          endTimeOffset === null || !range.startsWith('ago') || isShorter(endTimeOffset, range),
      )
      .map(
        ({ change: [timeZone, at], daysBefore, minutes, days, nowAfter, nowFromChange, ...settings }): BackfillSpan => {
          const from = new Date(Date.parse(at) - daysBefore * DAY + minutes * 60_000);
          const to = new Date(from.getTime() + days * DAY);
          const now =
            nowFromChange === null
              ? new Date(to.getTime() + nowAfter * DAY)
              : new Date(Date.parse(at) + nowFromChange * 60_000);
          return { settings: { ...settings, timeZone }, from, to, now };
        },
      );
    let found = 0;
    fc.assert(
      fc.property(spans, fc.nat(), (span, pick) => {
        const windows = listFromAllSlots(span);
        found += windows.length;
        expect(list(span)).toEqual(windows);
        expect(list(span, true)).toEqual(windows.toReversed());
        const index = pick % (windows.length || 1);
        const slot = windows[index]?.slice(0, 24);
        if (slot === undefined) return;
        expect(list(span, false, new Date(slot))).toEqual(windows.slice(index));
        expect(list(span, true, new Date(slot))).toEqual(windows.slice(0, index + 1).toReversed());
      }),
      { numRuns: 200 },
    );
    expect(found).toBeGreaterThan(300);
  });
});
