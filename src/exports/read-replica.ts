import { sql } from 'drizzle-orm';
import { setTimeout as delay } from 'node:timers/promises';
import type { Db } from '../db/client.ts';
import type { RowReader, RowReaders } from '../db/row-readers.ts';
import type { LeasedRun } from '../runs/lease.ts';

/** A standby that exports may read their rows from, so that the primary has its disks and caches for what comes in. */
export interface ReadReplica {
  /** A reader of the standby as soon as that has all that the run's watermark sees; null where the primary is to be read. */
  open(run: LeasedRun, signal: AbortSignal): Promise<RowReader | null>;
}

export interface ReadReplicaOptions {
  readonly readers: RowReaders;
  /** Milliseconds that a run waits for the standby, connecting included. */
  readonly waitMs: number;
  /** Told why it is left out for a while. */
  readonly onLeftOut: (error: unknown) => void;
}

/** A standby that is away for hours must not cost each of a thousand runs its wait. */
const LEFT_OUT_MS = 60_000;
const SHORTEST_PAUSE_MS = 10;
const LONGEST_PAUSE_MS = 250;

class ReplicaBehindError extends Error {
  constructor(waitMs: number) {
    super(`The read replica did not have a run within ${waitMs} ms of its start.`);
  }
}

/**
 * No run fails because of the standby: where it is away or behind, the attempt reads from the primary; and so does every
 * further attempt, since what ended the first may have been the standby cancelling it (SQLSTATE 40001, a conflict with
 * what it replays).
 */
export const createReadReplica = ({ readers, waitMs, onLeftOut }: ReadReplicaOptions): ReadReplica => {
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
};

/**
 * Waits until the standby shows the run with its watermark. That row was committed on the primary after the watermark was
 * taken; a transaction is seen there only when its commit stands in the log, so whatever the watermark sees was logged before
 * the row, and a standby replays the log in order. It needs no trust in positions in the log (of which there are several,
 * as of synchronous_commit=off), and another database, or a standby that was promoted meanwhile, never shows the row.
 */
const untilReplayed = async (reader: RowReader, run: LeasedRun, deadline: number, waitMs: number): Promise<void> => {
  // Ends a statement too that is never answered.
  const overdue = setTimeout(() => reader.close(), deadline - performance.now());
  try {
    for (let pause = SHORTEST_PAUSE_MS; ; pause = Math.min(2 * pause, LONGEST_PAUSE_MS)) {
      const isThere = await hasReplayed(reader.db, run);
      // The standby may have to replay a lock of the table that was asked: it would wait for us, and we for it.
      await reader.releaseLocks();
      if (isThere) return;
      await delay(pause);
    }
  } catch (error) {
    throw performance.now() < deadline ? error : new ReplicaBehindError(waitMs);
  } finally {
    clearTimeout(overdue);
  }
};

const hasReplayed = async (db: Db, run: LeasedRun): Promise<boolean> => {
  const { rows } = await db.execute(sql`
    SELECT 1 FROM runs WHERE account_id = ${run.accountId} AND id = ${run.id} AND watermark = ${run.watermark}`);
  return rows.length === 1;
};
