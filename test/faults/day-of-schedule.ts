// The jobs of a simulated day, and the slots that they must have by the oracle, which shares nothing with the schedule.
import { clockReadings } from '../support/clock-readings.ts';
import { slotsByOracle } from '../jobs/slot-oracle.ts';

export const ZONES = ['Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe'] as const;
export type Zone = (typeof ZONES)[number];

/** 24 hours. */
export interface Day {
  readonly start: Date;
  /** Time zones in which the clock changes on this day. */
  readonly changes: readonly Zone[];
}

/** Jobs that only differ in their name. */
export interface Kind {
  readonly name: string;
  readonly timeZone: string;
  readonly cron: string;
  /** Such that no window holds another slot's, where its runs wait for the end of the day. */
  readonly range: string;
  readonly count: number;
  /** Whether workers take each of its runs in its minute, or only at the end of the day. */
  readonly atOnce: boolean;
}

const MINUTE = 60_000;
export const MINUTES = 1440;

/** In and around the hours in which clocks change, and some that come all day. */
const CRONS = [
  '30 2 * * *',
  '0 2 * * *',
  '15 1,2,3 * * *',
  '*/10 1-3 * * *',
  '*/20 * * * *',
  '45 */3 * * *',
  '0 0 * * *',
  '59 23 * * *',
  '5,35 0-4 * * SUN',
  '0 2 29 OCT,MAR *',
  '30 1 * * SAT',
];

/** @param crowd jobs that are due in one minute, in each of the crowded zones; some of them have another cron that selects it */
export const kindsOf = (crowd: number, crowdedZones: readonly Zone[]): Kind[] =>
  ZONES.flatMap((timeZone) => {
    const place = timeZone.replace(/^.*\//, '').replace('_', ' ');
    const few = crowd / 5;
    const some = CRONS.map((cron, index) => ({
      name: `${place} ${index}`,
      timeZone,
      cron,
      range: 'ago(1d)',
      count: 1,
      atOnce: true,
    }));
    if (!crowdedZones.includes(timeZone)) return some;
    return [
      ...some,
      { name: `${place} twice`, timeZone, cron: '0 2,8,20 * * *', range: 'ago(6h)', count: crowd - few, atOnce: false },
      { name: `${place} even`, timeZone, cron: '0 */2 * * *', range: 'ago(2h)', count: few, atOnce: false },
    ];
  });

/** The slots of a kind in the day, oldest first. Those of its very start belong to the day before. */
export const slotsOf = ({ cron, timeZone }: Pick<Kind, 'cron' | 'timeZone'>, day: Day): number[] => {
  const start = day.start.getTime();
  return slotsByOracle(cron, readingsOf(timeZone, day)).filter((slot) => slot > start);
};

const readingsOf = (timeZone: string, { start }: Day) =>
  clockReadings(timeZone, start.getTime(), start.getTime() + (MINUTES + 1) * MINUTE);

/** The zones whose clock changes in the day, by looking at it. */
export const changesOf = (day: Day): string[] =>
  ZONES.filter((timeZone) => {
    const readings = readingsOf(timeZone, day);
    const [first, last] = [readings.at(0), readings.at(-1)];
    return first !== undefined && last !== undefined && last.wall - first.wall !== last.at - first.at;
  });
