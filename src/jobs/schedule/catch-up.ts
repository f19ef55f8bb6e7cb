// Pure: which slots of a job run after downtime, or when runs are slower than the schedule.
import type { TimeWindow } from '../../usage/buckets.ts';

/** A slot with the window and the fingerprint of its run. */
export interface SlotWindow {
  readonly slot: Date;
  readonly window: TimeWindow;
  /** The exportFingerprint of its settings. A waiting run has the settings with which it was queued. */
  readonly fingerprint: string;
}

/** The slots by their fate; each list is sorted from the oldest to the newest. */
export interface CatchUp<T> {
  readonly run: T[];
  /** Slots beyond the cap, to be recorded as CANCELED with the error code MISSED. */
  readonly missed: T[];
  /** Slots whose window is contained in the window of a later slot that runs and writes the same. */
  readonly superseded: T[];
}

/**
 * Plans the scheduled slots of one job that are queued (`waiting`) or due and not queued yet (`due`), in any order. A slot in
 * both lists counts as waiting. A slot is superseded if its window is contained in (or equal to) the window of a later slot that
 * runs, and both have the same fingerprint: after an edit of the job, no later slot writes what the waiting one does. The newest
 * `cap` of the other slots run, and older ones are missed. Runs that wait for completeness, and those of other triggers, are not planned.
 */
export function planCatchUp<T extends SlotWindow>(slots: {
  readonly waiting: readonly T[];
  readonly due: readonly T[];
  readonly cap: number;
}): CatchUp<T> {
  const { waiting, due, cap } = slots;
  const waitingSlots = new Set(waiting.map(({ slot }) => slot.getTime()));
  const all = [...waiting, ...due.filter(({ slot }) => !waitingSlots.has(slot.getTime()))];
  all.sort((a, b) => b.slot.getTime() - a.slot.getTime());

  const plan: CatchUp<T> = { run: [], missed: [], superseded: [] };
  for (const one of all) {
    // From the newest to the oldest, so every slot in `run` is later. At most `cap` comparisons for each slot.
    if (plan.run.some((later) => later.fingerprint === one.fingerprint && liesInside(one.window, later.window)))
      plan.superseded.push(one);
    else if (plan.run.length < cap) plan.run.push(one);
    else plan.missed.push(one);
  }
  return { run: plan.run.reverse(), missed: plan.missed.reverse(), superseded: plan.superseded.reverse() };
}

function liesInside(inner: TimeWindow, outer: TimeWindow): boolean {
  return outer.start <= inner.start && inner.end <= outer.end;
}
