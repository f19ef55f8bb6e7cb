import type { Db } from '../db/client.ts';
import { ConflictError } from '../errors/errors.ts';
import { type IngestContext, type Receipt, type WriteRequest, type WriteTarget } from './ingest-request.ts';
import { isSmall, type PlanResult, planWrite, type WritePlan } from './pipeline/plan.ts';
import { buildOperation, insertOperations, storeHiddenCounts, takeOperationIds } from './sql/ledger.ts';
import { limitLockWaits, lockStreamName, lockStream } from './sql/locks.ts';
import type { StreamTicket } from './stream-queue.ts';
import type { OperationRow, StreamRow } from './stream-rows.ts';
import { createStream, findOperationByKey, findStream, streamNotFound } from './streams.ts';
import { writePlan } from './write-plan.ts';

// A write waits in the queue of its stream, is planned for the cached stream if there is one, and is retried after a conflict.

/** A write in the queue of its stream. */
interface QueuedContext extends IngestContext {
  readonly ticket: StreamTicket;
}

/** A plan, and the stream whose shape it was validated against; null if the write creates the stream. */
interface PlannedWrite<Stream extends StreamRow | null = StreamRow | null> {
  readonly plan: WritePlan;
  readonly stream: Stream;
  readonly now: Date;
}

/** Another write took the stream name or the idempotency key, or deleted the stream, after this one had read them. */
class WriteConflictError extends Error {}

/** The first conflict may come from a stale cache; each other one needs a concurrent deleteStream or first write of the stream. */
const MAX_TRIES = 6;

/** Writes the whole request or nothing. Returns the stored receipt if its idempotency key was used with the same content. */
export async function write(context: IngestContext, request: WriteRequest): Promise<Receipt> {
  const { streamQueue, ended } = context;
  const { accountId, stream, kind } = request;
  const entry = { accountId, stream, ended };
  // A small write is planned before it queues, since a group needs another access to the stream; other writes while they queue. Null if
  // the stream is not cached or there are issues.
  const early = isSmall(request) ? await planFromCache(context, request) : undefined;
  const writeInGroup = early && prepareGroupWrite(context, request, early);
  let receipt: Receipt | null = null;
  let leftMs: number | undefined;
  if (writeInGroup) {
    receipt = await streamQueue.enter({ ...entry, access: kind === 'SUM' ? 'shared' : 'grouped' }, async (ticket) => {
      await ticket.turn;
      const written = await writeInGroup(ticket);
      leftMs = ticket.leftMs();
      return written;
    });
  }
  receipt ??= await streamQueue.enter(
    { ...entry, access: kind === 'SUM' ? 'shared' : 'exclusive', leftMs },
    async (ticket) => {
      // If the group rejected the write, its idempotency key was used or the stream was deleted: the cache is of no use.
      const cached = writeInGroup ? null : early === undefined ? await planFromCache(context, request) : early;
      return writeWithRetry({ ...context, ticket }, request, cached);
    },
  );
  context.onWritten(kind, receipt);
  return receipt;
}

/** Plans the write for the cached stream. Returns null if the stream is not cached or there are issues: writeOnce reports them. */
async function planFromCache(context: IngestContext, request: WriteRequest): Promise<PlannedWrite<StreamRow> | null> {
  const stream = context.streamCache.get(request.accountId, request.stream);
  if (!stream) return null;
  const now = context.clock.now();
  const { plan } = await planWrite(request, stream, { now, maxFutureMs: context.limits.maxFutureMs });
  return plan && { plan, stream, now };
}

/**
 * Returns a function that writes the plan in a transaction with others; null if the plan is not small or one of its filters is
 * not cached. The function returns null if the write cannot share a transaction.
 */
function prepareGroupWrite(
  { db, streamCache, groupCommit }: IngestContext,
  { idempotencyKey = null }: WriteTarget,
  { plan, stream, now: receivedAt }: PlannedWrite<StreamRow>,
): ((ticket: StreamTicket) => Promise<Receipt | null>) | null {
  const { small: records } = plan;
  if (!groupCommit || !records) return null;
  const filterIds = records.filters.flatMap((filter) => streamCache.getFilterId(stream.id, filter) ?? []);
  if (filterIds.length < records.filters.length) return null;
  return async (ticket) => {
    const item = { plan, records, filterIds, receivedAt, idempotencyKey, ticket };
    const operation = await groupCommit.write(db, stream, item);
    return operation && { operation, stream, replayed: false };
  };
}

/** Retries after conflicts. Throws WriteConflictError if the last try had a conflict too. */
async function writeWithRetry(
  context: QueuedContext,
  request: WriteRequest,
  cached: PlannedWrite | null,
): Promise<Receipt> {
  const { db, ticket } = context;
  for (let tries = 1; ; tries += 1) {
    try {
      if (tries <= MAX_TRIES) return await writeOnce(context, request, tries === 1 ? cached : null);
      // Retries alone starve under concurrent deleteStream calls (50 retries still failed), so the further ones hold the lock of
      // the stream name, which deleteStream takes too.
      return await db.transaction(async (tx) => {
        await Promise.all([limitLockWaits(tx, ticket.leftMs()), lockStreamName(tx, request.accountId, request.stream)]);
        return writeOnce({ ...context, db: tx }, request, null);
      });
    } catch (error) {
      if (!(error instanceof WriteConflictError) || tries === 2 * MAX_TRIES) throw error;
    }
  }
}

async function writeOnce(context: QueuedContext, request: WriteRequest, cached: PlannedWrite | null): Promise<Receipt> {
  const { db, clock, limits, streamCache, ticket } = context;
  if (cached) {
    await ticket.turn;
    // Whether the idempotency key was used shows when the operation is inserted.
    return commitPlan(context, request, cached);
  }
  const now = clock.now();
  streamCache.invalidate(request.accountId, request.stream);
  const { stream, earlier } = await findStreamAndOperation(db, request);
  // A replay returns its receipt even if the stream was deleted or created again, so the present shape does not count.
  const result = await planWrite(request, earlier ? null : (stream ?? null), { now, maxFutureMs: limits.maxFutureMs });
  if (earlier) return replay(db, earlier, result);
  if (request.kind === 'DELETE' && !stream) throw streamNotFound(request.stream);
  // Only after the look-up of the idempotency key: a used key is an IDEMPOTENCY_MISMATCH, not a ValidationError.
  result.issues.throwIfAny();
  if (!result.plan) throw new Error('A request without issues has no plan.');
  await ticket.turn;
  return commitPlan(context, request, { plan: result.plan, stream: stream ?? null, now });
}

/** Finds the live stream, and then the operation of the idempotency key, so that the operation that made the stream is found. */
function findStreamAndOperation(db: Db, { accountId, stream: name, idempotencyKey }: WriteTarget) {
  return db.transaction(async (tx) => {
    const [stream, earlier] = await Promise.all([
      findStream(tx, accountId, name),
      idempotencyKey == null ? undefined : findOperationByKey(tx, accountId, idempotencyKey),
    ]);
    return { stream, earlier };
  });
}

/**
 * Writes the plan in a transaction of its own. Statements that do not need each other's results are sent together, and run in the
 * order in which this function sends them. Throws WriteConflictError.
 */
async function commitPlan(
  { db, streamCache, clock, ticket }: QueuedContext,
  request: WriteRequest,
  { plan, stream: found, now: receivedAt }: PlannedWrite,
): Promise<Receipt> {
  const { idempotencyKey = null } = request;
  const { stream, operation, written } = await db.transaction(async (tx) => {
    const limited = limitLockWaits(tx, ticket.leftMs());
    // Awaited, and its error thrown, below; not if the stream cannot be created.
    limited.catch(() => undefined);
    const target = found ?? (await createStream(tx, request.accountId, request.stream, plan.shape, receivedAt));
    if (!target) throw new WriteConflictError();
    const [[id], locked] = await Promise.all([
      takeOperationIds(tx, 1),
      lockStream(tx, target, plan.kind === 'SUM' ? 'shared' : 'exclusive'),
      limited,
    ]);
    if (!locked || id === undefined) throw new WriteConflictError();
    const inserted = buildOperation(locked, id, { plan, receivedAt, idempotencyKey });
    // If the key is taken, roll back before the retry: this transaction may have created the stream.
    if ((await insertOperations(tx, locked, [inserted])) === 0) throw new WriteConflictError();
    const done = await writePlan(tx, locked, id, plan, streamCache);
    if (done.insertedRecords !== plan.recordCount) {
      throw new Error(`Inserted ${done.insertedRecords} of ${plan.recordCount} records.`);
    }
    if (done.hiddenRecords > 0) await storeHiddenCounts(tx, locked, new Map([[id, done.hiddenRecords]]), clock.now());
    return { stream: locked, operation: { ...inserted, hiddenRecords: done.hiddenRecords }, written: done };
  });
  streamCache.set(stream);
  streamCache.setFilterIds(stream.id, written.filters ?? [], written.filterIds ?? []);
  return { operation, stream, replayed: false };
}

/** Returns the stored receipt. Throws ConflictError if the content is not that of the earlier request. */
async function replay(db: Db, earlier: OperationRow, { plan }: PlanResult): Promise<Receipt> {
  // Content with issues has no plan. It was never accepted, so it differs from the earlier content.
  if (!plan?.digest.equals(earlier.contentSha256)) {
    throw new ConflictError(
      'The idempotency key was used by an earlier request with different content. Nothing was written; send the request with a new key.',
      'IDEMPOTENCY_MISMATCH',
    );
  }
  const stream = await findStream(db, earlier.accountId, earlier.streamId);
  if (!stream) throw new Error(`Operation ${earlier.id} has no stream.`);
  return { operation: earlier, stream, replayed: true };
}
