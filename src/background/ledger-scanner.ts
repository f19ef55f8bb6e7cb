import pLimit from 'p-limit';
import type { Db } from '../db/client.ts';
import { databaseNow } from '../db/database-now.ts';
import type { Queue } from '../db/queue.ts';
import { markCompleteDeliveries } from '../deliveries/complete-deliveries.ts';
import { leaseCursors } from '../deliveries/ledger-cursors.ts';
import { scanLedger, type ScanOptions } from '../deliveries/scan-ledger.ts';
import { repeat, type Stoppable } from '../lib/lifecycle.ts';
import { releaseRuns } from '../runs/release-runs.ts';

export interface LedgerScannerOptions extends Omit<ScanOptions, 'onScanned'> {
  readonly db: Db;
  readonly queue: Queue;
  readonly everyMs: number;
  readonly onError: (error: unknown) => void;
}

/** Maximum number of accounts that a server leases together. */
const BATCH = 50;
/** Accounts that are scanned at the same time. */
const CONCURRENCY = 2;

/** Scans the ledgers of all accounts for corrections. Any number of servers may do so: each leases the accounts that it scans. */
export function startLedgerScanner({ db, queue, everyMs, onError, ...options }: LedgerScannerOptions): Stoppable {
  const onScanned = async (accountId: bigint, declared: readonly string[]): Promise<void> => {
    await releaseRuns(db, queue, accountId);
    if (declared.length > 0) await markCompleteDeliveries(db, accountId, declared, await databaseNow(db));
  };
  return repeat(
    async (signal) => {
      const cursors = await leaseCursors(db, BATCH);
      const limit = pLimit(CONCURRENCY);
      await Promise.all(
        cursors.map((cursor) =>
          limit(async () => {
            if (signal.aborted) return;
            await scanLedger(db, cursor, { ...options, onScanned }).catch(onError);
          }),
        ),
      );
      return cursors.length === BATCH;
    },
    { everyMs, onError },
  );
}
