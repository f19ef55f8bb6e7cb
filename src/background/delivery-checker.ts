import { LRUCache } from 'lru-cache';
import { randomUUID } from 'node:crypto';
import type { Db } from '../db/client.ts';
import type { Queue } from '../db/queue.ts';
import type { ChangeIndex } from '../deliveries/compare-changes.ts';
import { judgeDeliveries, type JudgeOptions, leaseDeliveries } from '../deliveries/judge-deliveries.ts';
import { repeat, type Stoppable } from '../lib/lifecycle.ts';
import { admitWaiting, applyVerdicts, type RestatementLimits } from '../runs/restatements.ts';

export interface DeliveryCheckerOptions extends Omit<JudgeOptions, 'changes'> {
  readonly db: Db;
  readonly queue: Queue;
  readonly everyMs: number;
  readonly limits: RestatementLimits;
}

/** Maximum number of deliveries that a server leases together. */
const BATCH = 500;
/** How long a net change is used for further batches. */
const CHANGE_MS = 60_000;

/** Checks marked deliveries, and queues restatements of those that differ from the ledger. Any number of servers may do so. */
export function startDeliveryChecker({ db, queue, everyMs, limits, ...options }: DeliveryCheckerOptions): Stoppable {
  const { checkSeconds, maxChangedKeys, onError } = options;
  const changes = new LRUCache<string, ChangeIndex>({
    maxSize: maxChangedKeys + 1,
    sizeCalculation: ({ size }) => size + 1,
    ttl: CHANGE_MS,
  });
  return repeat(
    async () => {
      const isAdmitted = await admitWaiting(db, limits);
      const token = randomUUID();
      const leased = await leaseDeliveries(db, token, checkSeconds, BATCH);
      if (leased.length === 0) return false;
      await applyVerdicts(db, queue, token, await judgeDeliveries(db, leased, { ...options, changes }), limits);
      return isAdmitted || leased.length === BATCH;
    },
    { everyMs, onError },
  );
}
