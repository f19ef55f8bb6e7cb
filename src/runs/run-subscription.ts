// Pure: what one subscription is shown of the runs that it follows, and in which order.
import { isEnded } from './run-status.ts';
import type { RunRow } from './runs.ts';

/** Which runs to follow: those of an account, of one job of it, or one. */
export interface RunSelection {
  readonly accountId: bigint;
  readonly runId?: string;
  readonly jobId?: string;
}

/** Ended runs are read again that long: a state must not be missed because its commit took its time. */
export const LOOK_BACK_MS = 60_000;
/** Runs whose last seen state a reader remembers. */
const MAX_SEEN = 10_000;
/** Runs that may wait for a reader, on top of those that were there when it came. One waits once, however often it changes. */
const MAX_WAITING = 10_000;

/** Ends a reader that takes less than comes. */
export class SlowSubscriberError extends Error {}

/** What one subscription has seen, and what waits for it. */
export class RunSubscription {
  readonly selection: RunSelection;
  readonly #seen = new Map<string, number>();
  readonly #waiting = new Map<string, RunRow>();
  /** What was told before the present states were read. */
  readonly #early = new Map<string, RunRow>();
  /** The database's time when they were read; null until then. */
  #from: Date | null = null;
  #mayWait = MAX_WAITING;
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
   * The states that are there when it comes, read at `from`. What ended before is not shown: neither now, nor when its
   * notification comes late or the states are read again.
   */
  start(rows: readonly RunRow[], from: Date): void {
    for (const row of rows) {
      if (isEnded(row.status) && this.selection.runId === undefined) this.#seen.set(row.id, row.change);
      else this.#show(row);
    }
    this.#mayWait = this.#waiting.size + MAX_WAITING;
    this.#from = from;
    for (const row of this.#early.values()) this.push(row);
    this.#early.clear();
  }

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
    this.#show(row);
    if (this.#waiting.size <= this.#mayWait) return;
    this.#isTooSlow = true;
    this.#waiting.clear();
  }

  #show(row: RunRow): void {
    // A Map keeps the order of insertion: what changed last is forgotten last.
    this.#seen.delete(row.id);
    this.#seen.set(row.id, row.change);
    if (this.#seen.size > MAX_SEEN) {
      const [oldest] = this.#seen.keys();
      if (oldest !== undefined) this.#seen.delete(oldest);
    }
    this.#waiting.set(row.id, row);
    this.#wake?.();
  }

  /** The next state, or null when the feed stops. Throws SlowSubscriberError. */
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
