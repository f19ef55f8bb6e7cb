import type { Db } from '../db/client.ts';
import { repeat, type Stoppable } from '../lib/lifecycle.ts';
import { mergeTotals } from '../streams/merge-totals.ts';

export interface TotalsMergerOptions {
  readonly db: Db;
  readonly everyMs: number;
  readonly onError: (error: unknown) => void;
}

/** Fewer cost a reader nothing that he would notice. */
const LEAST_OPERATIONS = 200;

/** Merges the totals of streams that were written to often. */
export const startTotalsMerger = ({ db, everyMs, onError }: TotalsMergerOptions): Stoppable =>
  repeat((signal) => mergeTotals(db, { leastOperations: LEAST_OPERATIONS }, signal), { everyMs, onError });
