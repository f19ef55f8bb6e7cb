// An oracle for time zones: reads the clock once per minute through Intl, without a search for clock changes and without
// arithmetic on offsets. Slow (2 µs per minute) and simple on purpose.

const MINUTE = 60_000;

/** At `at` a clock in the zone shows `wall`. Both are epoch milliseconds; `wall` is the instant at which a UTC clock shows the same. */
export interface ClockReading {
  readonly at: number;
  readonly wall: number;
  /** The latest wall time of all earlier readings. */
  readonly latestBefore: number;
}

const READING = /(\d+)\/(\d+)\/(\d+), (\d+):(\d+)/;

/** Returns a reading for each minute of from <= at < until, both whole minutes. `latestBefore` includes the two days before. */
export function clockReadings(timeZone: string, from: number, until: number): ClockReading[] {
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone,
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
  });
  const readings: ClockReading[] = [];
  let latestBefore = -Infinity;
  for (let at = from - 2 * 1440 * MINUTE; at < until; at += MINUTE) {
    const [, month, day, year, hour, minute] = (READING.exec(format.format(at)) ?? []).map(Number);
    const wall = Date.UTC(year ?? NaN, (month ?? NaN) - 1, day, hour, minute);
    if (at >= from) readings.push({ at, wall, latestBefore });
    latestBefore = Math.max(latestBefore, wall);
  }
  return readings;
}

/** Clock changes from the rules of the IANA database: the instant of each and how the wall clock changes. */
export const CLOCK_CHANGES: readonly (readonly [timeZone: string, change: string, what: string])[] = [
  ['America/New_York', '2026-03-08T07:00Z', '02:00 to 03:00'],
  ['America/New_York', '2026-11-01T06:00Z', '02:00 to 01:00'],
  ['Europe/Berlin', '2026-03-29T01:00Z', '02:00 to 03:00'],
  ['Europe/Berlin', '2026-10-25T01:00Z', '03:00 to 02:00'],
  ['Australia/Lord_Howe', '2026-10-03T15:30Z', '02:00 to 02:30'],
  ['Australia/Lord_Howe', '2026-04-04T15:00Z', '02:00 to 01:30'],
  ['Pacific/Apia', '2011-12-30T10:00Z', 'the end of 29 December to the start of 31 December'],
  ['Pacific/Apia', '2012-03-31T14:00Z', '04:00 to 03:00'],
  ['America/Sao_Paulo', '2018-11-04T03:00Z', '00:00 to 01:00'],
  ['America/Sao_Paulo', '2018-02-18T02:00Z', '00:00 to 23:00 the day before'],
  ['America/Havana', '2026-11-01T05:00Z', '01:00 to 00:00'],
  ['America/St_Johns', '2006-10-29T02:31Z', '00:01 to 23:01 the day before'],
  ['America/St_Johns', '2006-04-02T03:31Z', '00:01 to 01:01'],
  ['Asia/Pyongyang', '2018-05-04T15:00Z', '23:30 to 00:00 the day after'],
  ['Antarctica/Troll', '2026-03-29T01:00Z', '01:00 to 03:00'],
  ['Pacific/Kwajalein', '1969-09-30T13:00Z', '00:00 to 01:00 the day before'],
  ['Asia/Kolkata', '2026-03-08T07:00Z', 'none'],
  ['UTC', '2026-03-08T07:00Z', 'none'],
];
