import { LRUCache } from 'lru-cache';
import type { Db } from '../db/client.ts';
import type { OnWritten, Receipt } from '../streams/ingest-request.ts';
import { hurryScan } from './ledger-cursors.ts';

// After a write that may be a correction, its account is scanned soon. Best effort: other writes are found by the next scan.

/** Interval at which the scan of an account is requested at most. */
const EVERY_MS = 1000;
const MAX_ACCOUNTS = 10_000;

const HOUR_MS = 3_600_000;
/** Length of the longest bucket of each granularity. */
const BUCKET_MS = { HOURLY: HOUR_MS, DAILY: 24 * HOUR_MS, MONTHLY: 31 * 24 * HOUR_MS } as const;
/** Sums into buckets that ended less than this long ago are usual, and no windows may contain them yet. */
const USUAL_MS = HOUR_MS;

export interface ScanRequests {
  /** Requests a scan of the account. */
  readonly request: (accountId: bigint) => void;
  /** Requests a scan if the write may be a correction. */
  readonly onWritten: OnWritten;
}

export function createScanRequests(options: {
  readonly db: Db;
  readonly onError: (error: unknown) => void;
}): ScanRequests {
  const recent = new LRUCache<bigint, true>({ max: MAX_ACCOUNTS, ttl: EVERY_MS });
  const request = (accountId: bigint): void => {
    if (recent.has(accountId)) return;
    recent.set(accountId, true);
    hurryScan(options.db, accountId).catch(options.onError);
  };
  return {
    request,
    onWritten: (kind, receipt) => {
      if (!receipt.replayed && (kind !== 'SUM' || isLate(receipt))) request(receipt.stream.accountId);
    },
  };
}

function isLate({ operation: { firstBucket, receivedAt }, stream }: Receipt): boolean {
  return (
    firstBucket !== null && firstBucket.getTime() + BUCKET_MS[stream.granularity] + USUAL_MS <= receivedAt.getTime()
  );
}
