// Pure: which states of the runs that it follows a subscription delivers, and in which order.
import { isEnded } from './run-status.ts';
import type { RunRow } from './runs.ts';

/** Selects the runs to follow: all runs of an account, those of one job, or one run. */
export interface RunSelection {
  readonly accountId: bigint;
  readonly runId?: string;
  readonly jobId?: string;
}

/** How long after its end a run is still read again: its commit may become visible late. */
export const LOOK_BACK_MS = 60_000;
/** Maximum number of runs whose last delivered state is remembered. */
const MAX_SEEN = 10_000;
/** Maximum number of runs that wait for delivery, in addition to the initial ones. A run waits once, with its newest state. */
const MAX_WAITING = 10_000;

/** Ends a subscription whose client reads more slowly than runs change. */
export class SlowSubscriberError extends Error {}

/** The states that one subscription has delivered, and those that wait. */
export class RunSubscription {
  readonly selection: RunSelection;
  readonly #seen = new Map<string, number>();
  readonly #waiting = new Map<string, RunRow>();
  /** Changes that arrived before start(). */
  readonly #early = new Map<string, RunRow>();
  /** Database time at which the initial states were read; null before start(). */
  #from: Date | null = null;
  #maxWaiting = MAX_WAITING;
  #isTooSlow = false;
  #wake: (() => void) | undefined;

  constructor(selection: RunSelection) {
    this.selection = selection;
  }

  matches(accountId: bigint, jobId: string, runId: string): boolean {
    const { selection } = this;
    if (selection.accountId !== accountId) return false;
    if (selection.runId !== undefined) return selection.runId === runId;
    return selection.jobId === undefined || selection.jobId === jobId;
  }

  /**
   * Sets the initial states, read at `from`. Runs that had ended by then are not delivered, neither now nor when their
   * notification arrives late or a resync reads them again.
   */
  start(rows: readonly RunRow[], from: Date): void {
    for (const row of rows) {
      if (isEnded(row.status) && this.selection.runId === undefined) this.#seen.set(row.id, row.change);
      else this.#enqueue(row);
    }
    this.#maxWaiting = this.#waiting.size + MAX_WAITING;
    this.#from = from;
    for (const row of this.#early.values()) this.push(row);
    this.#early.clear();
  }

  /** Queues a state for delivery if the subscription follows the run and has not delivered this or a newer state. */
  push(row: RunRow): void {
    if (this.#isTooSlow || !this.matches(row.accountId, row.jobId, row.id)) return;
    if (this.#from === null) {
      const early = this.#early.get(row.id);
      if (!early || early.change < row.change) this.#early.set(row.id, row);
      return;
    }
    const seen = this.#seen.get(row.id);
    if (row.change <= (seen ?? 0)) return;
    const longEnded = row.finishedAt !== null && row.finishedAt.getTime() < this.#from.getTime() - LOOK_BACK_MS;
    if (seen === undefined && longEnded) return;
    this.#enqueue(row);
    if (this.#waiting.size <= this.#maxWaiting) return;
    this.#isTooSlow = true;
    this.#waiting.clear();
  }

  #enqueue(row: RunRow): void {
    // A Map keeps the order of insertion, so the run that changed longest ago is evicted first.
    this.#seen.delete(row.id);
    this.#seen.set(row.id, row.change);
    if (this.#seen.size > MAX_SEEN) {
      const [oldest] = this.#seen.keys();
      if (oldest !== undefined) this.#seen.delete(oldest);
    }
    this.#waiting.set(row.id, row);
    this.#wake?.();
  }

  /** Returns the next state, or null if `stopping` is aborted. Throws SlowSubscriberError if too many runs wait. */
  async next(stopping: AbortSignal): Promise<RunRow | null> {
    for (;;) {
      if (stopping.aborted) return null;
      if (this.#isTooSlow) throw new SlowSubscriberError();
      const [first] = this.#waiting;
      if (first) {
        this.#waiting.delete(first[0]);
        return first[1];
      }
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          stopping.removeEventListener('abort', wake);
          this.#wake = undefined;
          resolve();
        };
        this.#wake = wake;
        stopping.addEventListener('abort', wake, { once: true });
      });
    }
  }
}
