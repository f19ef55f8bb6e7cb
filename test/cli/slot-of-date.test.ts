import { describe, expect, test } from 'vitest';
import { findSlotOfDate } from '../../src/cli/slot-of-date.ts';
import { computeWindow, type WindowSettings } from '../../src/jobs/schedule/window.ts';

const base = { aggregationBucket: 'DAY', timeZone: 'UTC', minimizeFresh: true, endTimeOffset: null } as const;

const slotOf = (settings: Partial<WindowSettings> & { range: string; cron: string | null }, date: string) =>
  findSlotOfDate({ ...base, ...settings }, Date.parse(`${date}T00:00:00Z`))?.toISOString() ?? null;

describe('slot of a date', () => {
  test.each<[string, Partial<WindowSettings> & { range: string; cron: string | null }, string | null]>([
    ['the next day of a daily job', { range: 'ago(1d)', cron: '0 2 * * *' }, '2026-03-29T02:00:00.000Z'],
    ['the earliest of overlapping windows', { range: 'ago(7d)', cron: '0 2 * * *' }, '2026-03-29T02:00:00.000Z'],
    [
      'later by the offset',
      { range: 'ago(3d)', endTimeOffset: 'ago(2d)', cron: '0 2 * * *' },
      '2026-03-31T02:00:00.000Z',
    ],
    ['the first of the next month', { range: 'previous(month)', cron: '30 6 1 * *' }, '2026-04-01T06:30:00.000Z'],
    ['the next week', { range: 'previous(week)', cron: '0 6 * * 1' }, '2026-03-30T06:00:00.000Z'],
    ['midnight without a cron', { range: 'ago(1d)', cron: null }, '2026-03-29T00:00:00.000Z'],
    [
      'in the time zone of the job',
      { range: 'ago(1d)', cron: '0 2 * * *', timeZone: 'Europe/Berlin' },
      '2026-03-29T01:00:00.000Z',
    ],
    ['null for a shorter window', { range: 'ago(2h)', aggregationBucket: 'HOUR', cron: '0 * * * *' }, null],
    ['null for a date between the windows', { range: 'ago(1d)', cron: '0 2 * * 1' }, null],
  ])('is %s', (_name, settings, slot) => {
    expect(slotOf(settings, '2026-03-28')).toBe(slot);
    if (slot === null) return;
    const { start, end } = computeWindow({ ...base, ...settings }, new Date(slot));
    expect(start.getTime()).toBeLessThanOrEqual(Date.parse('2026-03-28T00:00:00Z'));
    expect(end.getTime()).toBeGreaterThanOrEqual(Date.parse('2026-03-28T23:00:00Z'));
  });

  test('is found in a day of 23 hours', () => {
    expect(slotOf({ range: 'ago(1d)', cron: '0 2 * * *', timeZone: 'Europe/Berlin' }, '2026-03-29')).toBe(
      '2026-03-30T00:00:00.000Z',
    );
  });
});
