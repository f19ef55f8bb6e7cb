import { and, eq, gt, isNotNull, isNull, sql } from 'drizzle-orm';
import { formatPlainArray } from '../db/array-text.ts';
import type { Db } from '../db/client.ts';
import { sendWakeUps, type Queue } from '../db/queue.ts';
import { runs } from '../db/tables.ts';
import { findComplete, markCompleteDeliveries } from '../deliveries/complete-deliveries.ts';
import { type DeclareRequest, declareComplete } from '../streams/declare-complete.ts';
import type { IngestContext, Receipt } from '../streams/ingest-request.ts';
import { notifyRuns } from './run-notifications.ts';
import { nextChange } from './runs.ts';

// Runs that wait for completeness start when their streams are declared complete: after a declaration, after they were queued, and in
// each scan of the ledger, in case a server ended between a commit and the release.

/** Number of runs that are read, and released in one transaction. */
const BATCH = 500;

/**
 * Lets the runs of an account start that wait for completeness and whose streams are complete now. They take a watermark when they
 * start, so it sees the declarations. Locked runs are skipped. May be repeated. Returns the number of released runs.
 */
export async function releaseRuns(db: Db, queue: Queue, accountId: bigint): Promise<number> {
  let released = 0;
  for (let after: string | null = null; ;) {
    const waiting: WaitingRun[] = await findWaiting(db, accountId, after);
    const complete = await findComplete(
      db,
      accountId,
      waiting.map((run) => ({ ...run, window: { start: run.windowStart, end: run.windowEnd } })),
    );
    if (complete.length > 0) released += await release(db, queue, accountId, complete);
    after = waiting.at(-1)?.id ?? null;
    if (waiting.length < BATCH) return released;
  }
}

type WaitingRun = Pick<typeof runs.$inferSelect, 'id' | 'windowStart' | 'windowEnd' | 'settings'>;

/** Condition: the run waits. `wait_until` stays when the wait ends, so that no later slot supersedes the run. */
const waits = and(
  // A literal, for the partial index runs_awaited.
  sql`${runs.status} = 'QUEUED'`,
  isNotNull(runs.waitUntil),
  isNotNull(runs.notBefore),
  isNull(runs.startedAt),
);

function findWaiting(db: Db, accountId: bigint, after: string | null): Promise<WaitingRun[]> {
  return db
    .select({ id: runs.id, windowStart: runs.windowStart, windowEnd: runs.windowEnd, settings: runs.settings })
    .from(runs)
    .where(and(eq(runs.accountId, accountId), waits, after === null ? undefined : gt(runs.id, after)))
    .orderBy(runs.id)
    .limit(BATCH);
}

function release(db: Db, queue: Queue, accountId: bigint, ids: readonly string[]): Promise<number> {
  return db.transaction(async (tx) => {
    const unlocked = tx
      .select({ id: runs.id })
      .from(runs)
      .where(and(eq(runs.accountId, accountId), sql`${runs.id} = ANY(${formatPlainArray(ids)}::uuid[])`, waits))
      .for('update', { skipLocked: true });
    const released = await tx
      .update(runs)
      .set({ notBefore: null, change: nextChange })
      .where(sql`${runs.id} IN ${unlocked}`)
      .returning();
    const jobIds = new Set(released.map(({ jobId }) => jobId));
    await sendWakeUps(
      queue,
      tx,
      [...jobIds].map((jobId) => ({ jobId })),
    );
    await notifyRuns(tx, released);
    return released.length;
  });
}

/**
 * Declares a stream complete, and lets the runs start that waited for it. The declaration is acknowledged even if the second step fails:
 * the next scan of the ledger repeats it.
 */
export async function declareAndRelease(
  context: IngestContext & { readonly queue: Queue },
  request: DeclareRequest,
): Promise<Receipt> {
  const { db, queue, clock } = context;
  const receipt = await declareComplete(context, request);
  const { accountId, name } = receipt.stream;
  await Promise.all([
    releaseRuns(db, queue, accountId),
    markCompleteDeliveries(db, accountId, [name], clock.now()),
  ]).catch(() => undefined);
  return receipt;
}
