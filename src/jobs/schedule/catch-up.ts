// Pure: which slots of a job run after downtime, or where runs are slower than the schedule.
import type { TimeWindow } from '../../usage/buckets.ts';

/** A slot with what its run would export. */
export interface SlotWindow {
  readonly slot: Date;
  readonly window: TimeWindow;
  /** What exportFingerprint says of its settings: a run that waits has those with which it was queued. */
  readonly output: string;
}

/** What becomes of each slot; all three oldest first. */
export interface CatchUp<T> {
  readonly run: T[];
  /** Beyond the cap: to be recorded as CANCELED with the error code MISSED. */
  readonly missed: T[];
  /** A later slot that runs writes the same, and its window holds theirs: nothing is lost without them. */
  readonly superseded: T[];
}

/**
 * Plans the scheduled slots of one job that wait already (`waiting`) or are due and not yet queued (`due`), in any order; one
 * that is both counts as waiting. A slot is superseded where its window lies inside the window of a later slot that
 * runs (the same window included) and both have the same output: after an edit of the job nobody else writes what the
 * one that waits would. Of the others the newest `cap` run, and older ones are missed. MANUAL runs stay out of it.
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
    // Newest first, so what runs so far is later. At most `cap` comparisons for each slot.
    if (plan.run.some((later) => later.output === one.output && liesInside(one.window, later.window)))
      plan.superseded.push(one);
    else if (plan.run.length < cap) plan.run.push(one);
    else plan.missed.push(one);
  }
  return { run: plan.run.reverse(), missed: plan.missed.reverse(), superseded: plan.superseded.reverse() };
}

function liesInside(inner: TimeWindow, outer: TimeWindow): boolean {
  return outer.start <= inner.start && inner.end <= outer.end;
}
