// Pure: the windows of a backfill, which are the distinct windows of a cron in a span.
//
// They are computed one by one from any slot on, so that a backfill needs to store the slot of its next window only. A cron can have
// millions of slots with few windows, such as `* * * * *` with previous(month): slots of one window are skipped by bisection.
import { stretchAt } from '../../lib/zoned-time.ts';
import type { TimeWindow } from '../../usage/buckets.ts';
import { iterateSlots, iterateSlotsDown, newestSlots } from './schedule.ts';
import { computeWindow, type WindowSettings } from './window.ts';

/** A window with its latest slot; with the latest that was due at `now`, if one was. */
export interface BackfillWindow {
  readonly slot: Date;
  readonly window: TimeWindow;
}

export interface BackfillSpan {
  readonly settings: WindowSettings & { readonly cron: string };
  /** Windows start at or after it. */
  readonly from: Date;
  /** Windows end at or before it. */
  readonly to: Date;
  /** Creation of the backfill. Windows that end later are left out. */
  readonly now: Date;
}

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
/** Number of consecutive slots of one window after which the others are skipped by bisection. */
const BISECT_AFTER = 8;
/** No clock was ever set back by more than a day: only there, a later slot can have an earlier window. */
const MARGIN = 25 * HOUR;
/** More than the time between the first and the last slot of any window, which is a month at most. */
const LONGEST = 62 * 24 * HOUR;

/**
 * Yields the windows by their slots, which is the order of their ends unless the clock is set back.
 *
 * @param first slot of the first window to yield; null for all
 */
export function* iterateWindows(
  span: BackfillSpan,
  newestFirst: boolean,
  first: Date | null = null,
): Generator<BackfillWindow, undefined> {
  const { settings, from, now } = span;
  const bound = Math.min(span.to.getTime(), now.getTime());
  if (from.getTime() >= bound) return;
  const least = findFirstInstant(from.getTime(), (at) => windowAt(settings, at).start >= from) - MARGIN;
  const most = findFirstInstant(bound, (at) => windowAt(settings, at).end.getTime() > bound) + MARGIN;
  const groups = newestFirst
    ? groupSlots(settings, first?.getTime() ?? most, least, -1)
    : groupSlots(settings, first?.getTime() ?? least, most, 1);
  for (const group of groups) {
    const { window, last } = group;
    if (window.start < from || window.end.getTime() > bound) continue;
    if (recurs(settings, group)) continue;
    yield { slot: last <= now ? last : (findDueSlot(settings, group, now) ?? last), window };
  }
}

/** Returns the windows before and after a time, for a message. Null if there is none. */
export function findNearestWindows(
  settings: BackfillSpan['settings'],
  at: Date,
): { readonly before: TimeWindow | null; readonly after: TimeWindow | null } {
  const split = new Date(findFirstInstant(at.getTime(), (instant) => windowAt(settings, instant).start >= at));
  const [before] = newestSlots(settings.cron, settings.timeZone, new Date(split.getTime() - 1), new Date(0), 1);
  const [after] = iterateSlots(settings.cron, settings.timeZone, new Date(split.getTime() - 1)).take(1);
  return {
    before: before ? computeWindow(settings, before) : null,
    after: after ? computeWindow(settings, after) : null,
  };
}

/** Consecutive slots with the same window. */
interface SlotGroup {
  readonly window: TimeWindow;
  readonly first: Date;
  readonly last: Date;
  /** The slot after the last one. Null if it is not known. */
  readonly next: Date | null;
}

type Settings = BackfillSpan['settings'];

/** Yields the groups of the slots from `from` to `until`; `until` is the earlier one if `direction` is -1. */
function* groupSlots(
  settings: Settings,
  from: number,
  until: number,
  direction: 1 | -1,
): Generator<SlotGroup, undefined> {
  const { cron, timeZone } = settings;
  const slotsFrom = (at: number): IteratorObject<Date> =>
    direction === 1
      ? iterateSlots(cron, timeZone, new Date(at - 1))
      : iterateSlotsDown(cron, timeZone, new Date(at), new Date(until));
  let slots = slotsFrom(from);
  let head = nextOf(slots);
  let later: Date | null = null;
  while (head !== null && (until - head.getTime()) * direction >= 0) {
    const begun: Date = head;
    const window = computeWindow(settings, begun);
    let tail = begun;
    for (let same = 1; ; same += 1) {
      head = nextOf(slots);
      if (head === null || !isSameWindow(computeWindow(settings, head), window)) break;
      tail = head;
      if (same % BISECT_AFTER > 0) continue;
      tail = findLastSlot(settings, tail, window, direction);
      slots = slotsFrom(tail.getTime() + direction);
    }
    yield direction === 1
      ? { window, first: begun, last: tail, next: head }
      : { window, first: tail, last: begun, next: later };
    later = tail;
  }
}

/** Returns the last slot of the window in a direction, up to the next change of the clock. */
function findLastSlot(settings: Settings, slot: Date, window: TimeWindow, direction: 1 | -1): Date {
  const edge = findEdge(settings, slot.getTime(), window, direction);
  if (direction === 1) return newestSlot(settings, edge, slot);
  return nextOf(iterateSlots(settings.cron, settings.timeZone, new Date(edge - 1))) ?? slot;
}

/**
 * Whether a later slot has the same window again although slots between have others: the clock is set back after the last slot, and shows
 * the wall times of the slots again.
 */
function recurs(settings: Settings, { window, last, next }: SlotGroup): boolean {
  if (next === null) return false;
  const { timeZone, cron } = settings;
  const { until, offset } = stretchAt(last.getTime(), timeZone);
  const shift = until === Infinity ? 0 : offset - stretchAt(until, timeZone).offset;
  if (shift <= 0 || until - next.getTime() > shift) return false;
  for (const slot of iterateSlots(cron, timeZone, new Date(until - 1))) {
    if (slot.getTime() > until + shift) return false;
    if (isSameWindow(computeWindow(settings, slot), window)) return true;
  }
  return false;
}

/** Returns the latest slot of the window at or before `now`, which is before the last one. Null if none was due. */
function findDueSlot(settings: Settings, { window, first }: SlotGroup, now: Date): Date | null {
  if (first <= now) return newestSlot(settings, now.getTime(), first);
  // A slot before the group has the same window only if the clock was set back between them, and the group has wall times that were shown
  // before.
  const { timeZone, cron } = settings;
  const { from, offset } = stretchAt(first.getTime(), timeZone);
  const shift = from === -Infinity ? 0 : stretchAt(from - 1, timeZone).offset - offset;
  if (shift <= 0 || first.getTime() > from + shift) return null;
  const hasWindow = (slot: Date): boolean => isSameWindow(computeWindow(settings, slot), window);
  // From here on until the clock was set back, wall times were shown that were shown again, so some slots may have later windows.
  const repeated = from - shift;
  const slot = iterateSlotsDown(cron, timeZone, now, new Date(repeated)).find(hasWindow);
  if (slot) return slot;
  const until = new Date(Math.min(now.getTime(), repeated));
  const [earlier] = newestSlots(cron, timeZone, until, new Date(repeated - LONGEST), 1);
  return earlier && hasWindow(earlier) ? earlier : null;
}

/**
 * Returns an instant up to a minute before the last (`direction` 1) or after the first (-1) one around `at` at which a slot has the window, up
 * to the next change of the clock.
 * Between two changes, the start and the end of windows never decrease.
 */
function findEdge(settings: Settings, at: number, window: TimeWindow, direction: 1 | -1): number {
  const stretch = stretchAt(at, settings.timeZone);
  const bound = direction === 1 ? stretch.until - 1 : stretch.from;
  const clip = (instant: number): number => (direction === 1 ? Math.min(instant, bound) : Math.max(instant, bound));
  let inside = at;
  let step = HOUR * direction;
  let outside = clip(at + step);
  while (isSameWindow(windowAt(settings, outside), window)) {
    if (outside === bound) return bound;
    inside = outside;
    step *= 2;
    outside = clip(inside + step);
  }
  while (Math.abs(outside - inside) > MINUTE) {
    const middle = Math.trunc((inside + outside) / 2);
    if (isSameWindow(windowAt(settings, middle), window)) inside = middle;
    else outside = middle;
  }
  return inside;
}

/** Returns the first instant from `from` on that meets a condition, which every later instant meets too. */
function findFirstInstant(from: number, isMet: (at: number) => boolean): number {
  if (isMet(from)) return from;
  let low = from;
  let step = HOUR;
  while (!isMet(low + step)) {
    low += step;
    step *= 2;
  }
  let high = low + step;
  while (high - low > 1) {
    const middle = Math.trunc((low + high) / 2);
    if (isMet(middle)) high = middle;
    else low = middle;
  }
  return high;
}

function newestSlot({ cron, timeZone }: Settings, until: number, fallback: Date): Date {
  return newestSlots(cron, timeZone, new Date(until), fallback, 1)[0] ?? fallback;
}

function nextOf(slots: IteratorObject<Date>): Date | null {
  const { done, value } = slots.next();
  return done === true ? null : value;
}

const windowAt = (settings: Settings, at: number): TimeWindow => computeWindow(settings, new Date(at));

function isSameWindow(a: TimeWindow, b: TimeWindow): boolean {
  return a.start.getTime() === b.start.getTime() && a.end.getTime() === b.end.getTime();
}
