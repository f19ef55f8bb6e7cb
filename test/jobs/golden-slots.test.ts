import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { newestSlots } from '../../src/jobs/schedule/schedule.ts';
import { slotsBetween } from './slots-between.ts';
import { digestByMonth, timesByDate, type GoldenSlots } from './golden-slots.ts';

const file = new URL('golden-slots.ndjson', import.meta.url);
const golden = readFileSync(file, 'utf8')
  .trimEnd()
  .split('\n')
  .map((line) => JSON.parse(line) as GoldenSlots);

test('golden table of slots > covers six zones for two years each', () => {
  expect(new Set(golden.map(({ timeZone }) => timeZone)).size).toBe(6);
  // The table omits months without a slot; `15 * * * *` has slots in every month.
  const hourly = golden.filter(({ cron }) => cron === '15 * * * *');
  expect(hourly.map(({ months }) => Object.keys(months).length)).toEqual([24, 24, 24, 24, 24, 24]);
});

describe.each(golden)('$cron in $timeZone', ({ timeZone, cron, firstYear, months, aroundChanges }) => {
  const start = new Date(Date.UTC(firstYear, 0, 1));
  const last = new Date(Date.UTC(firstYear + 2, 0, 1) - 1);

  test(`has the slots of the golden table in ${firstYear} and the year after`, () => {
    const slots = slotsBetween(cron, timeZone, new Date(start.getTime() - 1), last).map(Number);
    const near = slots.filter((slot) => new Date(slot).toISOString().slice(0, 10) in aroundChanges);
    expect(timesByDate(near)).toEqual(aroundChanges);
    expect(digestByMonth(slots)).toEqual(months);
  });

  test('has the same slots in reverse when read newest first', () => {
    const slots = newestSlots(cron, timeZone, last, start, Infinity).map(Number);
    expect(digestByMonth(slots.toReversed())).toEqual(months);
  });
});
