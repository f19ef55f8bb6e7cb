import type { Db } from '../db/client.ts';
import type { Stoppable } from '../lib/lifecycle.ts';
import { type LeasedRun, LeaseLostError, renewLease, type RunTotals } from './lease.ts';

export interface HeartbeatOptions {
  readonly db: Db;
  readonly run: LeasedRun;
  readonly leaseMs: number;
  readonly heartbeatMs: number;
  /** When the claim was sent, on this process's monotonic clock: the lease that the database granted began no earlier. */
  readonly claimSentAt: number;
  /** Read at each heartbeat and stored with the renewal. */
  readonly progress: RunTotals;
  /** Called when a renewal fails; the next heartbeat retries it. */
  readonly onError: (error: unknown) => void;
}

export interface Heartbeat extends Stoppable {
  /**
   * Aborted with LeaseLostError when the run was canceled or taken over, or when the lease could not be renewed in time:
   * another worker may own the run by then.
   */
  readonly lost: AbortSignal;
  /** Throws LeaseLostError if the lease may have expired, by this process's own clock. */
  assertLeaseCurrent(): void;
}

/** Renews the lease of a run every `heartbeatMs` until it is stopped or the lease is lost. */
export function startHeartbeat(options: HeartbeatOptions): Heartbeat {
  const { db, run, leaseMs, heartbeatMs, progress, onError } = options;
  const lost = new AbortController();
  // A flag, not an abort: aborting creates two errors with stacks, which cost this process as much CPU as a statement.
  let isStopping = false;
  let pause: NodeJS.Timeout | undefined;
  let endPause: () => void = () => undefined;
  let leasedUntil = options.claimSentAt + leaseMs;
  const checkExpiry = (): void => {
    if (performance.now() > leasedUntil) lost.abort(new LeaseLostError());
  };
  // Its own timer, because a renewal that hangs must not delay the abort.
  const expiryTimer = setInterval(checkExpiry, Math.min(heartbeatMs, 1000));
  const loop = async (): Promise<void> => {
    while (!isStopping) {
      await new Promise<void>((resolve) => {
        endPause = resolve;
        pause = setTimeout(resolve, heartbeatMs);
      });
      if (isStopping || lost.signal.aborted) return;
      const sentAt = performance.now();
      try {
        await renewLease(db, run, leaseMs, progress);
        leasedUntil = sentAt + leaseMs;
      } catch (error) {
        if (error instanceof LeaseLostError) lost.abort(error);
        else onError(error);
      }
    }
  };
  const done = loop();
  return {
    lost: lost.signal,
    assertLeaseCurrent: () => {
      checkExpiry();
      lost.signal.throwIfAborted();
    },
    stop: async () => {
      clearInterval(expiryTimer);
      clearTimeout(pause);
      isStopping = true;
      endPause();
      await done;
    },
  };
}
