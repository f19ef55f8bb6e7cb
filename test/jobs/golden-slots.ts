// The golden table of slots: computed by the oracle, read by golden-slots.test.ts. `node scripts/golden-slots.ts` writes it
// again.
import { createHash } from 'node:crypto';
import { clockReadings } from '../support/clock-readings.ts';
import { slotsByOracle } from './slot-oracle.ts';

const DAY = 86_400_000;

/**
 * The slots of one cron in one zone over two years. `months` contains for each month (in UTC) the number of slots and the first
 * ten hex digits of the SHA-256 of the slots, written as `2026-03-08T07:00Z` and joined by LF. `aroundChanges` contains every slot
 * of the week around each change of the clock: the date, and the times of that date, both in UTC.
 */
export interface GoldenSlots {
  readonly timeZone: string;
  readonly cron: string;
  readonly firstYear: number;
  readonly months: Readonly<Record<string, string>>;
  readonly aroundChanges: Readonly<Record<string, string>>;
}

// New York and Berlin have the usual changes, Lord Howe one of half an hour, Kolkata none. Two changes are in the past, so that
// they stay the same: Apia skips 30 December 2011, São Paulo changes at midnight.
const ZONES: readonly (readonly [timeZone: string, firstYear: number])[] = [
  ['America/New_York', 2026],
  ['Europe/Berlin', 2026],
  ['Australia/Lord_Howe', 2026],
  ['Asia/Kolkata', 2026],
  ['Pacific/Apia', 2011],
  ['America/Sao_Paulo', 2017],
];

const CRONS = [
  '0 0 * * *',
  '30 2 * * *',
  '15 * * * *',
  '45 */2 * * *',
  '*/20 1-2 * * *',
  '0 0,6,12,18 * * *',
  '0 6 * * MON-FRI',
  '0 0 1 * *',
  '30 0 13 * FRI',
  '59 23 28-31 * *',
  '0 3 30 DEC,MAR *',
];

/** Computes the whole table in about 15 seconds. */
export function* goldenSlots(): Generator<GoldenSlots> {
  for (const [timeZone, firstYear] of ZONES) {
    const readings = clockReadings(timeZone, Date.UTC(firstYear, 0, 1), Date.UTC(firstYear + 2, 0, 1));
    const changes = readings.filter((reading, i) => {
      const before = readings[i - 1];
      return before !== undefined && reading.wall - before.wall !== reading.at - before.at;
    });
    for (const cron of CRONS) {
      const slots = slotsByOracle(cron, readings);
      const near = slots.filter((slot) => changes.some(({ at }) => Math.abs(dayOf(slot) - dayOf(at)) <= 3));
      yield { timeZone, cron, firstYear, months: digestByMonth(slots), aroundChanges: timesByDate(near) };
    }
  }
}

function dayOf(at: number): number {
  return Math.floor(at / DAY);
}

export function digestByMonth(slots: readonly number[]): Record<string, string> {
  const digests: Record<string, string> = {};
  for (const [month, of] of groups(slots, 7)) {
    const hash = createHash('sha256').update(of.join('\n')).digest('hex');
    digests[month] = `${of.length} ${hash.slice(0, 10)}`;
  }
  return digests;
}

export function timesByDate(slots: readonly number[]): Record<string, string> {
  const dates: Record<string, string> = {};
  for (const [date, of] of groups(slots, 10)) dates[date] = of.map((slot) => slot.slice(11, 16)).join(' ');
  return dates;
}

function groups(slots: readonly number[], length: number): Map<string, string[]> {
  const texts = slots.map((slot) => `${new Date(slot).toISOString().slice(0, 16)}Z`);
  return Map.groupBy(texts, (text) => text.slice(0, length));
}
