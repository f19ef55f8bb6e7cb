import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { planCatchUp, type SlotWindow } from '../../src/jobs/schedule/catch-up.ts';
import { computeWindow } from '../../src/jobs/schedule/window.ts';
import { slotsBetween } from './slots-between.ts';

interface Named extends SlotWindow {
  readonly name: string;
}

/** Slot and window in hours: slot 10 with the window from 8 to 9. */
const at = (name: string, slot: number, start: number, end: number, fingerprint = 'same'): Named => ({
  name,
  slot: new Date(slot * 3_600_000),
  window: { start: new Date(start * 3_600_000), end: new Date(end * 3_600_000) },
  fingerprint,
});
const plan = (due: readonly Named[], waiting: readonly Named[] = [], cap = 100) => {
  const { run, missed, superseded } = planCatchUp({ due, waiting, cap });
  const names = (slots: readonly Named[]) => slots.map(({ name }) => name).join(' ');
  return { run: names(run), missed: names(missed), superseded: names(superseded) };
};

describe('planCatchUp', () => {
  test('returns empty lists when no slot is due or waiting', () => {
    expect(plan([])).toEqual({ run: '', missed: '', superseded: '' });
  });

  test('runs all slots, oldest first, when their windows follow each other', () => {
    const due = [at('c', 12, 11, 12), at('a', 10, 9, 10), at('b', 11, 10, 11)];
    expect(plan(due)).toEqual({ run: 'a b c', missed: '', superseded: '' });
  });

  test('runs all slots when their windows overlap and none contains another', () => {
    const due = [at('a', 10, 3, 10), at('b', 11, 4, 11), at('c', 12, 5, 12)];
    expect(plan(due)).toEqual({ run: 'a b c', missed: '', superseded: '' });
  });

  test('supersedes a slot when a later window contains its own', () => {
    const due = [at('a', 10, 9, 10), at('b', 11, 9, 11), at('c', 12, 11, 12)];
    expect(plan(due)).toEqual({ run: 'b c', missed: '', superseded: 'a' });
  });

  test('runs only the latest of the slots with the same window', () => {
    const due = [at('a', 10, 0, 8), at('b', 11, 0, 8), at('c', 12, 0, 8)];
    expect(plan(due)).toEqual({ run: 'c', missed: '', superseded: 'a b' });
  });

  test('runs a slot when the later window that contains its own writes other fingerprint', () => {
    const waiting = [at('w1', 10, 0, 8, 'csv'), at('w2', 11, 0, 8, 'csv')];
    expect(plan([at('d', 12, 0, 8, 'json')], waiting)).toEqual({ run: 'w2 d', missed: '', superseded: 'w1' });
  });

  test('runs a slot when an earlier window contains its own', () => {
    const due = [at('a', 10, 0, 10), at('b', 11, 5, 9)];
    expect(plan(due)).toEqual({ run: 'a b', missed: '', superseded: '' });
  });

  test('plans waiting slots together with due ones', () => {
    const waiting = [at('w1', 9, 8, 9), at('w2', 10, 9, 10)];
    const due = [at('d1', 11, 9, 11), at('d2', 12, 11, 12)];
    expect(plan(due, waiting)).toEqual({ run: 'w1 d1 d2', missed: '', superseded: 'w2' });
  });

  test('counts a slot once, as waiting, when it is both waiting and due', () => {
    expect(plan([at('due', 10, 9, 10)], [at('waiting', 10, 9, 10)])).toEqual({
      run: 'waiting',
      missed: '',
      superseded: '',
    });
  });

  test('misses the oldest slots when there are more than the cap', () => {
    const due = [at('c', 12, 11, 12), at('d', 13, 12, 13)];
    const waiting = [at('a', 10, 9, 10), at('b', 11, 10, 11)];
    expect(plan(due, waiting, 2)).toEqual({ run: 'c d', missed: 'a b', superseded: '' });
  });

  test('does not count superseded slots towards the cap', () => {
    const due = [at('a', 10, 9, 10), at('b', 11, 10, 11), at('b again', 12, 10, 11), at('c', 13, 11, 12)];
    expect(plan(due, [], 2)).toEqual({ run: 'b again c', missed: 'a', superseded: 'b' });
  });

  test('misses a slot when only the window of a missed slot contains its own', () => {
    const due = [at('inside', 9, 5, 6), at('missed', 10, 5, 10), at('runs', 11, 10, 11)];
    expect(plan(due, [], 1)).toEqual({ run: 'runs', missed: 'inside missed', superseded: '' });
  });

  test('runs an hourly job of daily windows once for each day after ten days without a server', () => {
    const settings = {
      range: 'ago(1d)',
      endTimeOffset: null,
      aggregationBucket: 'DAY',
      timeZone: 'UTC',
      minimizeFresh: true,
    } as const;
    const slots = slotsBetween('0 * * * *', 'UTC', new Date('2026-11-01T23:30Z'), new Date('2026-11-11T23:30Z'));
    const { run, missed, superseded } = planCatchUp({
      waiting: [],
      due: slots.map((slot) => ({ slot, window: computeWindow(settings, slot), fingerprint: '' })),
      cap: 100,
    });
    expect(run.map(({ window }) => window.start.toISOString().slice(0, 10))).toEqual(
      Array.from({ length: 10 }, (_, i) => `2026-11-${String(i + 1).padStart(2, '0')}`),
    );
    expect([missed.length, superseded.length]).toEqual([0, 230]);
  });

  test('runs the newest slot of each month after weeks without a server when the range is toDate(month)', () => {
    const settings = {
      range: 'toDate(month)',
      endTimeOffset: null,
      aggregationBucket: 'DAY',
      timeZone: 'UTC',
      minimizeFresh: true,
    } as const;
    const slots = slotsBetween('0 6 * * *', 'UTC', new Date('2026-10-20T00:00Z'), new Date('2026-12-15T12:00Z'));
    const { run, missed, superseded } = planCatchUp({
      waiting: [],
      due: slots.map((slot) => ({ slot, window: computeWindow(settings, slot), fingerprint: '' })),
      cap: 100,
    });
    // The slot on the first day of a month has the whole month before, which contains all other windows of that month.
    expect(
      run.map(({ slot, window }) => [slot, window.start, window.end].map((at) => at.toISOString().slice(0, 10))),
    ).toEqual([
      ['2026-11-01', '2026-10-01', '2026-11-01'],
      ['2026-12-01', '2026-11-01', '2026-12-01'],
      ['2026-12-15', '2026-12-01', '2026-12-15'],
    ]);
    expect([missed.length, superseded.length]).toEqual([0, slots.length - 3]);
  });

  test('puts each of any slots into one list, oldest first, and supersedes exactly those that a run contains', () => {
    const number = fc.integer({ min: 0, max: 12 });
    const slots = fc.array(
      fc
        .tuple(number, number, fc.boolean(), fc.constantFrom('csv', 'json'))
        .map(([start, length, waits, fingerprint]) => ({ start, end: start + length + 1, waits, fingerprint })),
      { maxLength: 30 },
    );
    fc.assert(
      fc.property(slots, fc.integer({ min: 1, max: 6 }), (all, cap) => {
        const named = all.map(({ start, end, waits, fingerprint }, i) => ({
          ...at(String(i), 100 + i, start, end, fingerprint),
          waits,
        }));
        const { run, missed, superseded } = planCatchUp({
          waiting: named.filter(({ waits }) => waits),
          due: named.filter(({ waits }) => !waits),
          cap,
        });
        for (const list of [run, missed, superseded])
          expect(list).toEqual(list.toSorted((a, b) => Number(a.slot) - Number(b.slot)));
        expect([...run, ...missed, ...superseded].toSorted((a, b) => Number(a.slot) - Number(b.slot))).toEqual(named);
        expect(run.length).toBeLessThanOrEqual(cap);
        // Slots are missed only if the cap is reached, and only slots that are older than every slot that runs.
        expect(missed.length === 0 || run.length === cap).toBe(true);
        expect(missed.every(({ slot }) => slot < (run[0]?.slot ?? slot))).toBe(true);
        const held = (one: SlotWindow) =>
          run.some(
            ({ slot, window, fingerprint }) =>
              slot > one.slot &&
              fingerprint === one.fingerprint &&
              window.start <= one.window.start &&
              window.end >= one.window.end,
          );
        expect(superseded.every(held)).toBe(true);
        expect([...run, ...missed].some(held)).toBe(false);
      }),
      { numRuns: 500 },
    );
  });
});
