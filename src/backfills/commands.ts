import { and, eq, inArray } from 'drizzle-orm';
import type { Db, Transaction } from '../db/client.ts';
import type { Queue } from '../db/queue.ts';
import { backfills } from '../db/delivery-tables.ts';
import { ConflictError, NotFoundError } from '../errors/errors.ts';
import { assertBucketAvailable } from '../jobs/bucket-ownership.ts';
import { parseDestination } from '../jobs/destination.ts';
import { hashOutput } from '../jobs/export-fingerprint.ts';
import { type JobRow, loadJobs, lockJob } from '../jobs/jobs.ts';
import type { Clock } from '../lib/clock.ts';
import { encodeGlobalId } from '../lib/global-ids.ts';
import { isUuid, newId } from '../lib/ids.ts';
import {
  advanceBackfill,
  cancelLocked,
  countEnded,
  holdWaitingRuns,
  releaseHeldRuns,
  storeBackfill,
} from '../runs/backfills/advance.ts';
import { type BackfillRow, isUnended, UNENDED } from '../runs/backfills/progress.ts';
import type { BackfillInput } from './input.ts';
import { chunkWindows, readSpan } from './plan.ts';

export interface BackfillContext {
  readonly db: Db;
  readonly queue: Queue;
  readonly clock: Clock;
  readonly limits: { readonly maxBackfillWindows: number };
}

const NO_JOB = 'The job does not exist. Check the id.';

/** Stores a backfill and queues its first runs. Throws ValidationError if it has no windows or too many. */
export async function createBackfill(
  { db, queue, clock, limits }: BackfillContext,
  accountId: bigint,
  jobId: string,
  input: BackfillInput,
): Promise<BackfillRow> {
  const now = clock.now();
  const newestFirst = input.order === 'NEWEST_FIRST';
  for (;;) {
    const [job] = await loadJobs(db, accountId, [jobId]);
    if (!job) throw new NotFoundError(NO_JOB);
    const span = readSpan(input, job.settings, now);
    let windows = 0;
    let nextSlot: Date | null = null;
    for await (const chunk of chunkWindows(span, newestFirst, limits.maxBackfillWindows)) {
      windows += chunk.length;
      nextSlot ??= chunk[0]?.slot ?? null;
    }
    const created = await db.transaction(async (tx) => {
      const locked = await lockJob(tx, accountId, jobId);
      if (locked.version !== job.version) return null;
      await assertNoOther(tx, locked);
      await assertBucketAvailable(tx, accountId, parseDestination(locked.settings).bucket);
      const id = newId(now);
      await tx.insert(backfills).values({
        id,
        accountId,
        jobId,
        status: 'RUNNING',
        spanStart: span.from,
        spanEnd: span.to,
        newestFirst,
        reprocess: input.reprocess,
        settings: job.settings,
        nextSlot,
        windows,
        createdAt: now,
      });
      await advanceBackfill(tx, queue, { accountId, id });
      return readLocked(tx, accountId, id);
    });
    if (created) return created;
    // The job was updated meanwhile. Its windows are computed again.
  }
}

async function assertNoOther(tx: Transaction, { accountId, id: jobId }: JobRow): Promise<void> {
  const [other] = await tx
    .select({ id: backfills.id })
    .from(backfills)
    .where(
      and(eq(backfills.accountId, accountId), eq(backfills.jobId, jobId), inArray(backfills.status, [...UNENDED])),
    );
  if (!other) return;
  throw new ConflictError(
    `The backfill ${encodeGlobalId('Backfill', other.id)} of the job has not ended. Wait for it, or cancel it.`,
    'BACKFILL_RUNNING',
  );
}

/** A run that has started ends; no other starts. */
export function pauseBackfill(context: BackfillContext, accountId: bigint, id: string): Promise<BackfillRow> {
  return changeBackfill(context, accountId, id, async (tx, backfill) => {
    assertUnended(backfill);
    if (backfill.status === 'PAUSED') return backfill;
    const counted = await countEnded(tx, backfill);
    await holdWaitingRuns(tx, counted);
    return storeBackfill(tx, { ...counted, status: 'PAUSED' });
  });
}

export function resumeBackfill(context: BackfillContext, accountId: bigint, id: string): Promise<BackfillRow> {
  return changeBackfill(context, accountId, id, async (tx, backfill) => {
    assertUnended(backfill);
    return backfill.status === 'PAUSED' ? restart(tx, context.queue, backfill) : backfill;
  });
}

/** Cancels the backfill with its runs. Windows that are delivered remain. */
export function cancelBackfill(context: BackfillContext, accountId: bigint, id: string): Promise<BackfillRow> {
  return changeBackfill(context, accountId, id, (tx, backfill) => {
    assertUnended(backfill);
    return cancelLocked(tx, context.queue, backfill, null, context.clock.now());
  });
}

/** Tries the failed windows again, after all others. A backfill that is paused or FAILED continues. */
export function retryBackfill(context: BackfillContext, accountId: bigint, id: string): Promise<BackfillRow> {
  return changeBackfill(context, accountId, id, async (tx, backfill, job) => {
    if (backfill.status === 'CANCELED') throw hasEnded(backfill);
    const counted = await countEnded(tx, backfill);
    if (counted.failed === 0) {
      if (!isUnended(counted.status)) throw hasEnded(counted);
      throw new ConflictError('No window of the backfill has failed.');
    }
    if (!isUnended(backfill.status)) {
      await assertNoOther(tx, job);
      if (!hashOutput(job.settings).equals(hashOutput(backfill.settings))) {
        throw new ConflictError('The output of the job has changed. Create another backfill.');
      }
    }
    return restart(tx, context.queue, { ...counted, retrySlot: beforeAll(backfill) });
  });
}

/** A slot before that of every window, in the order of the backfill. */
function beforeAll({ newestFirst }: BackfillRow): Date {
  return new Date(newestFirst ? '9999-12-31T00:00:00Z' : '0001-01-01T00:00:00Z');
}

async function restart(tx: Transaction, queue: Queue, backfill: BackfillRow): Promise<BackfillRow> {
  await storeBackfill(tx, { ...backfill, status: 'RUNNING', error: null, failedInRow: 0, finishedAt: null });
  await releaseHeldRuns(tx, queue, backfill);
  await advanceBackfill(tx, queue, backfill);
  return readLocked(tx, backfill.accountId, backfill.id);
}

type Change = (tx: Transaction, backfill: BackfillRow, job: JobRow) => Promise<BackfillRow>;

/** Locks the job and then the backfill, which is the order of updateJob and deleteJob. */
function changeBackfill({ db }: BackfillContext, accountId: bigint, id: string, change: Change): Promise<BackfillRow> {
  return db.transaction(async (tx) => {
    const [found] = isUuid(id) ? await selectBackfill(tx, accountId, id) : [];
    if (!found) throw new NotFoundError('The backfill does not exist. Check the id.');
    const job = await lockJob(tx, accountId, found.jobId).catch((error: unknown) => {
      // deleteJob has canceled it.
      throw error instanceof NotFoundError ? hasEnded(found) : error;
    });
    const [locked] = await selectBackfill(tx, accountId, id).for('update');
    return change(tx, locked ?? found, job);
  });
}

function selectBackfill(tx: Transaction, accountId: bigint, id: string) {
  return tx
    .select()
    .from(backfills)
    .where(and(eq(backfills.accountId, accountId), eq(backfills.id, id)));
}

async function readLocked(tx: Transaction, accountId: bigint, id: string): Promise<BackfillRow> {
  const [row] = await selectBackfill(tx, accountId, id);
  if (!row) throw new Error('The backfill was not stored.');
  return row;
}

function assertUnended(backfill: BackfillRow): void {
  if (!isUnended(backfill.status)) throw hasEnded(backfill);
}

function hasEnded({ status }: BackfillRow): ConflictError {
  return new ConflictError(`The backfill has already ended with the status ${status}.`, 'BACKFILL_ENDED');
}
