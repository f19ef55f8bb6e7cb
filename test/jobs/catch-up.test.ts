import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { planCatchUp, type SlotWindow } from '../../src/jobs/schedule/catch-up.ts';
import { computeWindow } from '../../src/jobs/schedule/window.ts';
import { slotsBetween } from './slots-between.ts';

interface Named extends SlotWindow {
  readonly name: string;
}

/** Hours as numbers: slot 10 with the window from 8 to 9. */
const at = (name: string, slot: number, start: number, end: number, output = 'same'): Named => ({
  name,
  slot: new Date(slot * 3_600_000),
  window: { start: new Date(start * 3_600_000), end: new Date(end * 3_600_000) },
  output,
});
const plan = (due: readonly Named[], waiting: readonly Named[] = [], cap = 100) => {
  const { run, missed, superseded } = planCatchUp({ due, waiting, cap });
  const names = (slots: readonly Named[]) => slots.map(({ name }) => name).join(' ');
  return { run: names(run), missed: names(missed), superseded: names(superseded) };
};

describe('planCatchUp', () => {
  test('nothing due and nothing waiting is nothing to do', () => {
    expect(plan([])).toEqual({ run: '', missed: '', superseded: '' });
  });

  test('windows that follow each other all run, oldest first', () => {
    const due = [at('c', 12, 11, 12), at('a', 10, 9, 10), at('b', 11, 10, 11)];
    expect(plan(due)).toEqual({ run: 'a b c', missed: '', superseded: '' });
  });

  test('windows that overlap all run: each has something that no other has', () => {
    const due = [at('a', 10, 3, 10), at('b', 11, 4, 11), at('c', 12, 5, 12)];
    expect(plan(due)).toEqual({ run: 'a b c', missed: '', superseded: '' });
  });

  test('a window inside a later one does not run', () => {
    const due = [at('a', 10, 9, 10), at('b', 11, 9, 11), at('c', 12, 11, 12)];
    expect(plan(due)).toEqual({ run: 'b c', missed: '', superseded: 'a' });
  });

  test('of slots with the same window the latest runs', () => {
    const due = [at('a', 10, 0, 8), at('b', 11, 0, 8), at('c', 12, 0, 8)];
    expect(plan(due)).toEqual({ run: 'c', missed: '', superseded: 'a b' });
  });

  test('a window inside a later one that writes something else, or elsewhere, runs', () => {
    const waiting = [at('w1', 10, 0, 8, 'csv'), at('w2', 11, 0, 8, 'csv')];
    expect(plan([at('d', 12, 0, 8, 'json')], waiting)).toEqual({ run: 'w2 d', missed: '', superseded: 'w1' });
  });

  test('a window inside an earlier one runs', () => {
    const due = [at('a', 10, 0, 10), at('b', 11, 5, 9)];
    expect(plan(due)).toEqual({ run: 'a b', missed: '', superseded: '' });
  });

  test('slots that wait already are planned with those that are due', () => {
    const waiting = [at('w1', 9, 8, 9), at('w2', 10, 9, 10)];
    const due = [at('d1', 11, 9, 11), at('d2', 12, 11, 12)];
    expect(plan(due, waiting)).toEqual({ run: 'w1 d1 d2', missed: '', superseded: 'w2' });
  });

  test('a slot that is due and waits already counts once, as waiting', () => {
    expect(plan([at('due', 10, 9, 10)], [at('waiting', 10, 9, 10)])).toEqual({
      run: 'waiting',
      missed: '',
      superseded: '',
    });
  });

  test('beyond the cap the newest run and the oldest are missed', () => {
    const due = [at('c', 12, 11, 12), at('d', 13, 12, 13)];
    const waiting = [at('a', 10, 9, 10), at('b', 11, 10, 11)];
    expect(plan(due, waiting, 2)).toEqual({ run: 'c d', missed: 'a b', superseded: '' });
  });

  test('superseded slots do not count towards the cap', () => {
    const due = [at('a', 10, 9, 10), at('b', 11, 10, 11), at('b again', 12, 10, 11), at('c', 13, 11, 12)];
    expect(plan(due, [], 2)).toEqual({ run: 'b again c', missed: 'a', superseded: 'b' });
  });

  test('a window inside that of a missed slot is missed: nothing that runs holds it', () => {
    const due = [at('inside', 9, 5, 6), at('missed', 10, 5, 10), at('runs', 11, 10, 11)];
    expect(plan(due, [], 1)).toEqual({ run: 'runs', missed: 'inside missed', superseded: '' });
  });

  test('ten days without a server: an hourly job of daily windows loses nothing and runs once for each day', () => {
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
      due: slots.map((slot) => ({ slot, window: computeWindow(settings, slot), output: '' })),
      cap: 100,
    });
    expect(run.map(({ window }) => window.start.toISOString().slice(0, 10))).toEqual(
      Array.from({ length: 10 }, (_, i) => `2026-11-${String(i + 1).padStart(2, '0')}`),
    );
    expect([missed.length, superseded.length]).toEqual([0, 230]);
  });

  test('whatever the slots: each is in one list, oldest first, and what is not missed is held by what runs', () => {
    const number = fc.integer({ min: 0, max: 12 });
    const slots = fc.array(
      fc
        .tuple(number, number, fc.boolean(), fc.constantFrom('csv', 'json'))
        .map(([start, length, waits, output]) => ({ start, end: start + length + 1, waits, output })),
      { maxLength: 30 },
    );
    fc.assert(
      fc.property(slots, fc.integer({ min: 1, max: 6 }), (all, cap) => {
        const named = all.map(({ start, end, waits, output }, i) => ({
          ...at(String(i), 100 + i, start, end, output),
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
        // Nothing is missed while there is room, and only what is older than all that runs.
        expect(missed.length === 0 || run.length === cap).toBe(true);
        expect(missed.every(({ slot }) => slot < (run[0]?.slot ?? slot))).toBe(true);
        const held = (one: SlotWindow) =>
          run.some(
            ({ slot, window, output }) =>
              slot > one.slot &&
              output === one.output &&
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
