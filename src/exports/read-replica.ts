import { sql } from 'drizzle-orm';
import { setTimeout as delay } from 'node:timers/promises';
import type { Db } from '../db/client.ts';
import type { RowReader, RowReaders } from '../db/row-readers.ts';
import type { LeasedRun } from '../runs/lease.ts';

/** A standby that exports read their rows from, so that the primary's disks and caches are left to writes. */
export interface ReadReplica {
  /** Waits until the standby has replayed the run's watermark, and returns a reader of it; null if the primary must be read. */
  open(run: LeasedRun, signal: AbortSignal): Promise<RowReader | null>;
}

export interface ReadReplicaOptions {
  readonly readers: RowReaders;
  /** Milliseconds that a run waits for the standby, connecting included. */
  readonly waitMs: number;
  /** Called with the reason when the standby is skipped for a while. */
  readonly onLeftOut: (error: unknown) => void;
}

/** How long the standby is skipped after a failure, so that runs do not wait for it while it is down. */
const LEFT_OUT_MS = 60_000;
const SHORTEST_PAUSE_MS = 10;
const LONGEST_PAUSE_MS = 250;

class ReplicaBehindError extends Error {
  constructor(waitMs: number) {
    super(`The read replica did not have a run within ${waitMs} ms of its start.`);
  }
}

/**
 * No run fails because of the standby. If it is down or behind, the attempt reads from the primary; so does every further attempt,
 * because the standby may have canceled the first one (SQLSTATE 40001, a conflict with replay).
 */
export function createReadReplica({ readers, waitMs, onLeftOut }: ReadReplicaOptions): ReadReplica {
  let leftOutUntil = -Infinity;
  return {
    open: async (run, signal) => {
      if (run.attempt > 1 || performance.now() < leftOutUntil) return null;
      const deadline = performance.now() + waitMs;
      let reader: RowReader | undefined;
      try {
        reader = await readers.open(run.accountId, signal);
        await untilReplayed(reader, run, deadline, waitMs);
        return reader;
      } catch (error) {
        reader?.close();
        signal.throwIfAborted();
        leftOutUntil = performance.now() + LEFT_OUT_MS;
        onLeftOut(error);
        return null;
      }
    },
  };
}

/**
 * Waits until the standby shows the run with its watermark. The primary committed that row after the watermark was taken, and a
 * transaction is visible there only after its commit is in the WAL. So everything that the watermark sees was logged before the row,
 * and a standby replays the WAL in order. Unlike a comparison of WAL positions this also holds with synchronous_commit=off, and
 * another database, or a standby that was promoted meanwhile, never shows the row.
 */
async function untilReplayed(reader: RowReader, run: LeasedRun, deadline: number, waitMs: number): Promise<void> {
  // Closing the reader also ends a statement that never returns.
  const overdue = setTimeout(() => reader.close(), deadline - performance.now());
  try {
    for (let pause = SHORTEST_PAUSE_MS; ; pause = Math.min(2 * pause, LONGEST_PAUSE_MS)) {
      const isThere = await hasReplayed(reader.db, run);
      // Releases the lock on the table: the standby may have to replay an exclusive lock on it, and both would wait for each other.
      await reader.releaseLocks();
      if (isThere) return;
      await delay(pause);
    }
  } catch (error) {
    throw performance.now() < deadline ? error : new ReplicaBehindError(waitMs);
  } finally {
    clearTimeout(overdue);
  }
}

async function hasReplayed(db: Db, run: LeasedRun): Promise<boolean> {
  const { rows } = await db.execute(sql`
    SELECT 1 FROM runs WHERE account_id = ${run.accountId} AND id = ${run.id} AND watermark = ${run.watermark}`);
  return rows.length === 1;
}
