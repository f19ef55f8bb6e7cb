// Pure: the slots of a cron in a time zone.
//
// croner only returns the wall times that a cron selects; this file converts them to instants. When the clock changes, croner
// 11.0.1 itself drops `*/15 2 * * *` in a gap, runs `*/15 1 * * *` twice, and drops a whole skipped date (30 December 2011 in
// Apia), with each of its settings. Without a time zone it also takes 5 to 10 µs for each slot instead of 120.
import { Cron } from 'croner';
import { findFirstTimestamp, latestWallTimeBy, stretchAt } from '../../lib/zoned-time.ts';
import { parseCron, type CronFields } from './cron.ts';

const SECOND = 1000;

/**
 * Returns the reason, as a sentence, if `expression` cannot be the cron of a job: it is not standard crontab (see parseCron), or
 * has no slot after `now`, as with `0 0 31 2 *`. Returns null if it can. Throws RangeError if the time zone is unknown.
 */
export function findCronProblem(expression: string, timeZone: string, now: Date): string | null {
  const fields = parseCron(expression);
  if (typeof fields === 'string') return fields;
  if (slotsAfter(fields, timeZone, now).next().done) return 'The cron has no next slot, because no date matches it.';
  return null;
}

/** Returns the next `count` slots strictly after `after`, sorted. Throws RangeError if the cron is invalid. */
export function nextSlots(cron: string, timeZone: string, after: Date, count: number): Date[] {
  return iterateSlots(cron, timeZone, after).take(count).toArray();
}

/** Returns the slots strictly after `after`, sorted and computed one by one. Throws RangeError if the cron is invalid. */
export function iterateSlots(cron: string, timeZone: string, after: Date): IteratorObject<Date> {
  return slotsAfter(requireFields(cron), timeZone, after);
}

/** Returns the slots with notBefore <= slot <= until, from the newest to the oldest, computed one by one. */
export function iterateSlotsDown(cron: string, timeZone: string, until: Date, notBefore: Date): IteratorObject<Date> {
  return slotsDownFrom(requireFields(cron), timeZone, until, notBefore);
}

/**
 * Returns the newest `limit` slots with notBefore <= slot <= until, from the newest to the oldest. After a long downtime only those
 * matter, and they are found without computing the others. Throws RangeError if the cron is invalid.
 */
export function newestSlots(cron: string, timeZone: string, until: Date, notBefore: Date, limit: number): Date[] {
  return iterateSlotsDown(cron, timeZone, until, notBefore).take(limit).toArray();
}

function requireFields(cron: string): CronFields {
  const fields = parseCron(cron);
  if (typeof fields === 'string') throw new RangeError(fields);
  return fields;
}

// With a fixed offset, croner computes on numbers alone and returns wall times. Fields are passed as lists of numbers, so that
// cron.ts alone defines the meaning of names, ranges and steps.
function createWallTimes(fields: CronFields): Cron {
  const lists = [fields.minutes, fields.hours, fields.daysOfMonth, fields.months, fields.weekdays];
  const whole = [60, 24, 31, 12, 7];
  // `*` in one of the two day fields would make croner ignore that field even if a match of either field is enough.
  const pattern = lists.map((list, i) =>
    list.length === whole[i] && !(fields.eitherDay && (i === 2 || i === 4)) ? '*' : list.join(','),
  );
  return new Cron(pattern.join(' '), { mode: '5-part', utcOffset: 0, domAndDow: !fields.eitherDay });
}

function wallTimeAfter(wallTimes: Cron, wall: number): number | undefined {
  return wallTimes.nextRun(new Date(wall))?.getTime();
}

function wallTimeBefore(wallTimes: Cron, wall: number): number | undefined {
  return wallTimes.previousRuns(1, new Date(wall))[0]?.getTime();
}

function slotsAfter(fields: CronFields, timeZone: string, after: Date): IteratorObject<Date> {
  const walk = fields.everyHour ? realHoursAfter : fixedTimesAfter;
  return walk(createWallTimes(fields), timeZone, after.getTime());
}

function slotsDownFrom(fields: CronFields, timeZone: string, until: Date, notBefore: Date): IteratorObject<Date> {
  const walk = fields.everyHour ? realHoursDownFrom : fixedTimesDownFrom;
  return walk(createWallTimes(fields), timeZone, until.getTime(), notBefore.getTime());
}

// Fixed hours: the slot of a wall time is the first instant at which the clock shows that time or a later one. So 02:30, which
// New York skips in spring, runs at 03:00; a repeated time runs at its first occurrence; and all slots within one gap are one.
function* fixedTimesAfter(wallTimes: Cron, timeZone: string, after: number): Generator<Date, undefined> {
  let last = after;
  let wall = wallTimeAfter(wallTimes, latestWallTimeBy(after, timeZone));
  for (; wall !== undefined; wall = wallTimeAfter(wallTimes, wall)) {
    const slot = findFirstTimestamp(wall, timeZone);
    if (slot > last) yield new Date((last = slot));
  }
}

function* fixedTimesDownFrom(
  wallTimes: Cron,
  timeZone: string,
  until: number,
  notBefore: number,
): Generator<Date, undefined> {
  let last = Infinity;
  let wall = wallTimeBefore(wallTimes, latestWallTimeBy(until, timeZone) + 1);
  for (; wall !== undefined; wall = wallTimeBefore(wallTimes, wall)) {
    const slot = findFirstTimestamp(wall, timeZone);
    if (slot < notBefore) return;
    if (slot < last) yield new Date((last = slot));
  }
}

// Every elapsed hour: each instant at which the clock shows a selected time is a slot. Between two changes of the clock, wall times
// and instants differ by one offset, so each such stretch is processed separately.
function* realHoursAfter(wallTimes: Cron, timeZone: string, after: number): Generator<Date, undefined> {
  let stretch = stretchAt(after, timeZone);
  let wall = wallTimeAfter(wallTimes, after + stretch.offset);
  while (wall !== undefined) {
    if (wall - stretch.offset < stretch.until) {
      yield new Date(wall - stretch.offset);
      wall = wallTimeAfter(wallTimes, wall);
    } else {
      stretch = stretchAt(stretch.until, timeZone);
      wall = wallTimeAfter(wallTimes, stretch.from + stretch.offset - SECOND);
    }
  }
}

function* realHoursDownFrom(
  wallTimes: Cron,
  timeZone: string,
  until: number,
  notBefore: number,
): Generator<Date, undefined> {
  let stretch = stretchAt(until, timeZone);
  let wall = wallTimeBefore(wallTimes, until + stretch.offset + 1);
  while (wall !== undefined) {
    const slot = wall - stretch.offset;
    if (Math.max(slot, stretch.from) < notBefore) return;
    if (slot >= stretch.from) {
      yield new Date(slot);
      wall = wallTimeBefore(wallTimes, wall);
    } else {
      stretch = stretchAt(stretch.from - 1, timeZone);
      wall = wallTimeBefore(wallTimes, stretch.until + stretch.offset);
    }
  }
}
