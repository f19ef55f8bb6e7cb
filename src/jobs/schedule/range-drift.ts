// Pure: whether the windows of a job leave gaps, differ in length from slot to slot, as with `ago(31d)` and a monthly cron, or overlap.
import { addDays, DAY, formatInZone, stretchAt } from '../../lib/zoned-time.ts';
import { bucketCountAtMost, type CalendarUnit, floorToBucket, type TimeWindow } from '../../usage/buckets.ts';
import { iterateSlots, newestSlots, nextSlots } from './schedule.ts';
import {
  BUCKETS_IN_UNIT,
  computeWindow,
  parseAgo,
  parseCalendarRange,
  toMinutes,
  type WindowSettings,
} from './window.ts';

export interface ScheduledWindows extends WindowSettings {
  readonly cron: string | null;
}

interface SlotWindow {
  readonly slot: Date;
  readonly window: TimeWindow;
}

type SlotPair = readonly [previous: SlotWindow, next: SlotWindow];

/** Maximum number of consecutive slots that are compared: about 3 ms (November 2026). */
const MAX_SLOTS = 400;
/** Slots of this many days are compared, which include each clock change and month, if they are not more than MAX_SLOTS. */
const MAX_DAYS = 400;
/** Number of slots that are compared even if they are further apart. */
const MIN_SLOTS = 14;
/** Number of midnights around which frequent slots are compared: a cron may pause at night or at weekends. */
const MIDNIGHTS = 7;

/**
 * Returns a message for the owner of the job if no window contains the time between the windows of two consecutive slots after
 * `after`, if the windows of an `ago` range have different numbers of whole buckets, or if windows overlap. Returns null if the job
 * has no cron. Throws RangeError if the settings are not valid.
 */
export function findRangeDrift(settings: ScheduledWindows, after: Date): string | null {
  const { cron, timeZone, range } = settings;
  if (cron === null) return null;
  const sequences = selectSlots(cron, timeZone, after);
  const windows = computeWindows(settings, sequences);
  const gap = findGap(windows);
  const problem = gap
    ? `No window contains the usage from ${formatInZone(gap.start, timeZone)} to ${formatInZone(gap.end, timeZone)}.`
    : parseAgo(range) && describeDifference(settings, windows);
  if (!problem) return listPairs(windows).some((pair) => hasOverlap(pair, timeZone)) ? OVERLAP : null;
  return `${problem} ${findRemedy(settings, sequences, gap !== null)}`;
}

/** Returns sequences of consecutive slots after `after`. */
function selectSlots(cron: string, timeZone: string, after: Date): Date[][] {
  const until = after.getTime() + MAX_DAYS * DAY;
  const slots: Date[] = [];
  for (const slot of iterateSlots(cron, timeZone, after)) {
    slots.push(slot);
    if (slots.length === MAX_SLOTS || (slots.length >= MIN_SLOTS && slot.getTime() > until)) break;
  }
  const sequences = [slots];
  for (let day = 1; day <= MIDNIGHTS && slots.length === MAX_SLOTS; day += 1) {
    const midnight = floorToBucket(addDays(after, day, timeZone), 'DAY', timeZone);
    if (midnight <= (slots.at(-1) ?? midnight)) continue;
    const before = new Date(midnight.getTime() - 1);
    sequences.push([...newestSlots(cron, timeZone, before, after, 1), ...nextSlots(cron, timeZone, before, 1)]);
  }
  return sequences;
}

function computeWindows(settings: WindowSettings, sequences: readonly Date[][]): SlotWindow[][] {
  return sequences.map((slots) => slots.map((slot) => ({ slot, window: computeWindow(settings, slot) })));
}

function findGap(sequences: readonly SlotWindow[][]): TimeWindow | null {
  for (const [previous, next] of listPairs(sequences)) {
    if (next.window.start > previous.window.end) return { start: previous.window.end, end: next.window.start };
  }
  return null;
}

function listPairs(sequences: readonly SlotWindow[][]): SlotPair[] {
  return sequences.flatMap((windows) => windows.slice(1).map((next, index) => [windows[index] ?? next, next] as const));
}

const OVERLAP =
  'The windows of consecutive slots overlap, and older files are not rewritten after a correction. For each bucket, read the complete manifest with the latest window end.';

/**
 * Slots of the same window write the same keys and do not overlap. Neither do slots that are closer than usual because the clock
 * changes between them, by at most an hour.
 */
function hasOverlap([previous, next]: SlotPair, timeZone: string): boolean {
  const [{ start, end }, later] = [previous.window, next.window];
  if (start.getTime() === later.start.getTime() && end.getTime() === later.end.getTime()) return false;
  const overlap = end.getTime() - later.start.getTime();
  if (overlap > DAY / 24) return true;
  return overlap > 0 && stretchAt(previous.slot.getTime(), timeZone).until > next.slot.getTime();
}

function describeDifference(settings: WindowSettings, sequences: readonly SlotWindow[][]): string | null {
  const counts = sequences.flat().flatMap((one) => countWholeBuckets(settings, one) ?? []);
  const [least, most] = [Math.min(...counts), Math.max(...counts)];
  if (least < most) {
    return `The windows of ${settings.range} contain ${least} to ${most} whole buckets, depending on the slot.`;
  }
  const unit = findUnit(daysOf(settings.range));
  const overlaps = listPairs(sequences).map(([previous, next]) => {
    if (unit === null || findUnit((next.slot.getTime() - previous.slot.getTime()) / DAY) !== unit) return null;
    return next.window.start < floorToBucket(previous.window.end, settings.aggregationBucket, settings.timeZone);
  });
  if (overlaps.includes(null) || !overlaps.includes(true) || !overlaps.includes(false)) return null;
  return `Some windows of ${settings.range} contain buckets of the window before, and some do not.`;
}

/** Returns null for hour buckets if the clock changes in the window: days of 23 and 25 hours count as equal to others. */
function countWholeBuckets(settings: WindowSettings, { slot, window }: SlotWindow): number | null {
  const { aggregationBucket, timeZone } = settings;
  if (aggregationBucket === 'HOUR' && stretchAt(window.start.getTime(), timeZone).until <= slot.getTime()) return null;
  const whole = { start: window.start, end: floorToBucket(window.end, aggregationBucket, timeZone) };
  if (aggregationBucket === 'HOUR') return (whole.end.getTime() - whole.start.getTime()) / (DAY / 24);
  return bucketCountAtMost(whole, aggregationBucket, timeZone);
}

/** Calendar ranges by their unit. With a slot on 1 January, `toDate(year)` is the whole year before. */
const RANGES: Readonly<Record<CalendarUnit, string>> = {
  DAY: 'previous(day)',
  WEEK: 'previous(week)',
  MONTH: 'previous(month)',
  YEAR: 'toDate(year)',
};

/**
 * Names the calendar range that was probably meant: that of the unit as long as the range, as long as the time between two slots, or
 * that of the bucket. If the bucket does not fit into any of them or if all leave gaps, returns what else to change.
 */
function findRemedy(settings: WindowSettings, sequences: readonly Date[][], hasGap: boolean): string {
  const { aggregationBucket: bucket, range } = settings;
  const isComplete = (change: Partial<WindowSettings>): boolean =>
    findGap(computeWindows({ ...settings, ...change }, sequences)) === null;
  if (parseCalendarRange(range)?.kind === 'toDate') {
    // Without minimizeFresh, the first slot of a month exports the month that has just started instead of the one before.
    return isComplete({ minimizeFresh: true }) ? 'Set minimizeFresh to true.' : 'Choose a cron with more slots.';
  }
  const [first, second] = sequences[0] ?? [];
  const step = first && second ? (second.getTime() - first.getTime()) / DAY : 0;
  const units = [findUnit(daysOf(range)), findUnit(step), bucket === 'HOUR' ? null : bucket];
  const unit = units.find(
    (one) => one !== null && BUCKETS_IN_UNIT[one].includes(bucket) && isComplete({ range: RANGES[one] }),
  );
  if (unit) return `Set range to ${RANGES[unit]}.`;
  return hasGap ? 'Choose a longer range, or a cron with more slots.' : 'Choose a range of whole buckets.';
}

function daysOf(range: string): number {
  const ago = parseAgo(range);
  return ago === null ? 0 : (toMinutes(ago) * 60_000) / DAY;
}

/** Returns the unit that can have this length; a day has 23 to 25 hours. */
function findUnit(days: number): CalendarUnit | null {
  const tolerance = 1 / 24;
  const isFrom = (least: number, most: number): boolean => days >= least - tolerance && days <= most + tolerance;
  if (isFrom(1, 1)) return 'DAY';
  if (isFrom(7, 7)) return 'WEEK';
  if (isFrom(28, 31)) return 'MONTH';
  return isFrom(365, 366) ? 'YEAR' : null;
}
