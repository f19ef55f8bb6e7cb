// Pure: the slot of a job whose window contains a date.
import { iterateSlots } from '../jobs/schedule/schedule.ts';
import { computeWindow, parseAgoMs, type WindowSettings } from '../jobs/schedule/window.ts';
import { DAY, findFirstTimestamp } from '../lib/zoned-time.ts';

const MINUTE = 60_000;
/** No window ends more than a month after the slots minus their offset; a year is enough for every calendar. */
const LATEST = 366 * DAY;

/**
 * Returns the first slot whose window contains all of a calendar date in the time zone of the job: a slot of the schedule, or, without
 * a cron, the first minute at which a run would contain the date. Null if no such window contains it.
 * @param wall midnight of the date, as if it were in UTC
 */
export function findSlotOfDate(settings: WindowSettings & { readonly cron: string | null }, wall: number): Date | null {
  const { cron, timeZone, endTimeOffset } = settings;
  const start = findFirstTimestamp(wall, timeZone);
  const end = findFirstTimestamp(wall + DAY, timeZone);
  const endOf = (minute: number): number => computeWindow(settings, new Date(minute * MINUTE)).end.getTime();
  // The end of the window never decreases with the slot, so the first slot is found by bisection.
  let low = Math.ceil(end / MINUTE) - 1;
  let high = low + Math.ceil(((endTimeOffset === null ? 0 : (parseAgoMs(endTimeOffset) ?? 0)) + LATEST) / MINUTE);
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (endOf(middle) >= end) high = middle;
    else low = middle;
  }
  const slot =
    cron === null
      ? new Date(high * MINUTE)
      : iterateSlots(cron, timeZone, new Date(high * MINUTE - 1))
          .take(1)
          .toArray()[0];
  if (!slot) return null;
  const window = computeWindow(settings, slot);
  return window.start.getTime() <= start && window.end.getTime() >= end ? slot : null;
}
