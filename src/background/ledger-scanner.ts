import pLimit from 'p-limit';
import type { Db } from '../db/client.ts';
import { leaseCursors } from '../deliveries/ledger-cursors.ts';
import { scanLedger, type ScanOptions } from '../deliveries/scan-ledger.ts';
import { repeat, type Stoppable } from '../lib/lifecycle.ts';

export interface LedgerScannerOptions extends ScanOptions {
  readonly db: Db;
  readonly everyMs: number;
  readonly onError: (error: unknown) => void;
}

/** Maximum number of accounts that a server leases together. */
const BATCH = 50;
/** Accounts that are scanned at the same time. */
const CONCURRENCY = 2;

/** Scans the ledgers of all accounts for corrections. Any number of servers may do so: each leases the accounts that it scans. */
export function startLedgerScanner({ db, everyMs, onError, ...options }: LedgerScannerOptions): Stoppable {
  return repeat(
    async (signal) => {
      const cursors = await leaseCursors(db, BATCH);
      const limit = pLimit(CONCURRENCY);
      await Promise.all(
        cursors.map((cursor) =>
          limit(async () => {
            if (signal.aborted) return;
            await scanLedger(db, cursor, options).catch(onError);
          }),
        ),
      );
      return cursors.length === BATCH;
    },
    { everyMs, onError },
  );
}
