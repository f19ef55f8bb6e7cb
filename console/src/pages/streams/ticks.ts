// Pure: ticks of a time axis at round dates and hours of a time zone.
import type { TickUnit } from './bucket-text.ts';
import { addDays, addMonths, dateOf, startOfDay } from '../../ui/zone-dates.ts';

export interface TickPlan {
  readonly unit: TickUnit;
  /** Milliseconds since 1970. */
  readonly times: readonly number[];
}

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const MONTH_MS = 30 * DAY_MS;
const STEPS: readonly (readonly [unit: TickUnit, count: number, length: number])[] = [
  ...[1, 2, 3, 6, 12].map((count) => ['hour', count, count * HOUR_MS] as const),
  ...[1, 2, 7, 14].map((count) => ['day', count, count * DAY_MS] as const),
  ...[1, 2, 3, 6, 12, 24, 60, 120, 600, 1200].map((count) => ['month', count, count * MONTH_MS] as const),
];

/** Plans at most `maxCount` ticks from one instant to a later one, none denser than the buckets of `shortest`. */
export function planTicks(
  {
    from,
    to,
    shortest,
    zone,
  }: { readonly from: number; readonly to: number; readonly shortest: TickUnit; readonly zone: string },
  maxCount: number,
): TickPlan {
  const usable = STEPS.slice(STEPS.findIndex(([unit]) => unit === shortest));
  const step = usable.find(([, , length]) => (to - from) / length <= maxCount) ?? usable.at(-1);
  if (step === undefined) throw new Error(`There are no ticks of ${shortest}.`);
  const [unit, count] = step;
  const times = listTimes(unit, count, from, to, zone).filter((time) => time >= from && time < to);
  return { unit, times };
}

function listTimes(unit: TickUnit, count: number, from: number, to: number, zone: string): number[] {
  const times: number[] = [];
  let date = dateOf(from, zone);
  // Months of a year, so that steps of 3 or 12 months start in January.
  if (unit === 'month') date = `${date.slice(0, 4)}-01-01`;
  for (;;) {
    const start = startOfDay(date, zone);
    if (start >= to) return times;
    if (unit === 'hour') {
      for (let hour = 0; hour < 24; hour += count) times.push(start + hour * HOUR_MS);
    } else {
      times.push(start);
    }
    date = unit === 'month' ? `${addMonths(date.slice(0, 7), count)}-01` : addDays(date, unit === 'day' ? count : 1);
  }
}
