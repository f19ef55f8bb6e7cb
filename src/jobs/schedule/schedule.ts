// Pure: the slots of a cron in a time zone.
//
// croner only says which wall times a cron selects; which moments those are is decided here. At a change of the clock
// croner 11.0.1 itself drops `*/15 2 * * *` in a gap, runs `*/15 1 * * *` twice, and drops a whole skipped date
// (30 December 2011 in Apia), with each of its settings. Without a zone it also takes 5 to 10 µs a slot, not 120.
import { Cron } from 'croner';
import { firstMomentOf, latestWallTimeBy, stretchAt } from '../../lib/zoned-time.ts';
import { parseCron, type CronFields } from './cron.ts';

const SECOND = 1000;

/**
 * Why `expression` cannot be a job's cron, as a sentence without its full stop; null where it can. It is not standard
 * crontab (see parseCron), or no slot of it ever comes after `now`, as with `0 0 31 2 *`.
 * Throws a RangeError for an unknown time zone.
 */
export function checkCron(expression: string, timeZone: string, now: Date): string | null {
  const fields = parseCron(expression);
  if (typeof fields === 'string') return fields;
  if (slotsAfter(fields, timeZone, now).next().done) return 'the cron has no next slot: no date ever matches it';
  return null;
}

/** The next `count` slots strictly after `after`, oldest first; fewer where the cron ends. Throws a RangeError for a bad cron. */
export function nextSlots(cron: string, timeZone: string, after: Date, count: number): Date[] {
  return slotsAfter(requireFields(cron), timeZone, after).take(count).toArray();
}

/**
 * The slots with notBefore <= slot <= until, newest first, the newest `limit` of them: after a long downtime only those
 * matter, and they are found without walking through the rest. Throws a RangeError for a bad cron.
 */
export function newestSlots(cron: string, timeZone: string, until: Date, notBefore: Date, limit: number): Date[] {
  const slots: Date[] = [];
  for (const slot of slotsDownFrom(requireFields(cron), timeZone, until, notBefore)) {
    if (slots.length >= limit) break;
    slots.push(slot);
  }
  return slots;
}

function requireFields(cron: string): CronFields {
  const fields = parseCron(cron);
  if (typeof fields === 'string') throw new RangeError(fields);
  return fields;
}

// With a fixed offset croner reckons on numbers alone: what it answers are wall times. Fields go in as plain lists of
// numbers, so that the meaning of names, ranges and steps is cron.ts's.
function createWallTimes(fields: CronFields): Cron {
  const lists = [fields.minutes, fields.hours, fields.daysOfMonth, fields.months, fields.weekdays];
  const whole = [60, 24, 31, 12, 7];
  // `*` in one of the two day fields would make croner ignore that one also where either is enough.
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

// Fixed hours: the slot of a wall time is the first moment at which the clock shows it or later. So 02:30, skipped in New
// York's spring, runs at 03:00, the next valid moment; a repeated time runs at its first coming; and several slots that one
// gap swallows are one slot.
function* fixedTimesAfter(wallTimes: Cron, timeZone: string, after: number): Generator<Date, undefined> {
  let last = after;
  let wall = wallTimeAfter(wallTimes, latestWallTimeBy(after, timeZone));
  for (; wall !== undefined; wall = wallTimeAfter(wallTimes, wall)) {
    const slot = firstMomentOf(wall, timeZone);
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
    const slot = firstMomentOf(wall, timeZone);
    if (slot < notBefore) return;
    if (slot < last) yield new Date((last = slot));
  }
}

// Every real hour: wherever the clock shows a selected time, there is a slot. Between two changes of the clock wall times
// and moments differ by one offset, so each such stretch is walked on its own.
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
