import { setTimeout as sleep } from 'node:timers/promises';
import type { Db } from '../../db/client.ts';
import { type BackfillRow, isUnended } from './progress.ts';
import { loadBackfills } from './read-backfills.ts';

/** Minimum interval between two states that a subscription receives. */
const INTERVAL_MS = 1000;

export interface BackfillFeed {
  /**
   * Yields the backfill first, then its state after changes, at most once per second. Ends when the backfill has ended or `signal` is
   * aborted. Throws what `stopped` returns when the feed stops.
   */
  readonly follow: (accountId: bigint, id: string, signal: AbortSignal) => AsyncGenerator<BackfillRow, void>;
  /** Called when a backfill may have changed; without an id, when each may have. */
  wake(id?: string): void;
  /** Number of active subscriptions. */
  readonly size: number;
}

/** The subscriptions to backfills of this process. Each reads its row, which changes at most once per window. */
export function createBackfillFeed(
  dbOf: (accountId: bigint) => Db,
  stopping: AbortSignal,
  stopped: () => Error,
): BackfillFeed {
  const followers = new Map<object, { readonly id: string; wake: () => void }>();

  async function* follow(accountId: bigint, id: string, signal: AbortSignal): AsyncGenerator<BackfillRow, void> {
    const follower = { id, wake: (): void => undefined };
    followers.set(follower, follower);
    const ending = AbortSignal.any([stopping, signal]);
    try {
      let seen = 0;
      for (;;) {
        // Before the row is read, so that no change after it is missed.
        const woken = new Promise<void>((resolve) => {
          follower.wake = resolve;
        });
        const pause = sleep(INTERVAL_MS, undefined, { signal: ending }).catch(() => undefined);
        const row = await readRow(dbOf(accountId), accountId, id, seen === 0);
        if (row && row.change > seen) {
          seen = row.change;
          yield row;
          if (!isUnended(row.status)) return;
        }
        // After a failed read, without waiting for a change.
        if (row) await untilWokenOr(ending, woken);
        await pause;
        if (signal.aborted) return;
        if (stopping.aborted) throw stopped();
      }
    } finally {
      followers.delete(follower);
    }
  }

  return {
    follow,
    wake: (id) => {
      for (const follower of followers.values()) if (id === undefined || follower.id === id) follower.wake();
    },
    get size() {
      return followers.size;
    },
  };
}

/** Returns null if the database is unavailable, unless it is the first read. */
async function readRow(db: Db, accountId: bigint, id: string, isFirst: boolean): Promise<BackfillRow | null> {
  try {
    const [row] = await loadBackfills(db, accountId, [id]);
    return row ?? null;
  } catch (error) {
    if (isFirst) throw error;
    return null;
  }
}

async function untilWokenOr(ending: AbortSignal, woken: Promise<void>): Promise<void> {
  if (ending.aborted) return;
  const aborted = Promise.withResolvers<void>();
  const onAbort = (): void => aborted.resolve();
  ending.addEventListener('abort', onAbort, { once: true });
  await Promise.race([woken, aborted.promise]);
  ending.removeEventListener('abort', onAbort);
}
