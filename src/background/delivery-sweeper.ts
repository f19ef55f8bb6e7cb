import type { Db } from '../db/client.ts';
import { removeOldCorrections, removeOldSnapshots, sweepDeliveries } from '../deliveries/sweep-deliveries.ts';
import { repeat, type Stoppable } from '../lib/lifecycle.ts';

export interface DeliverySweeperOptions {
  readonly db: Db;
  readonly everyMs: number;
  /** CORRECTION_RETENTION_DAYS. */
  readonly retentionDays: number;
  readonly onError: (error: unknown) => void;
}

/** Number of sweeps after which old rows are removed. */
const REMOVE_EVERY = 60;

/** Makes the checks of marked deliveries due that nothing else makes due, and removes old corrections and snapshots. */
export function startDeliverySweeper({ db, everyMs, retentionDays, onError }: DeliverySweeperOptions): Stoppable {
  let sweeps = 0;
  return repeat(
    async (stopping) => {
      if (await sweepDeliveries(db)) return true;
      const removes = sweeps % REMOVE_EVERY === 0;
      // Before the removal: one that fails, for example by a timeout, is not repeated by the next sweep.
      sweeps += 1;
      if (removes) {
        await removeOldCorrections(db, retentionDays);
        await removeOldSnapshots(db, stopping);
      }
      return false;
    },
    { everyMs, onError },
  );
}
