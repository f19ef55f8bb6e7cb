import type { Db } from '../db/client.ts';
import { ConflictError } from '../errors/errors.ts';
import type { GroupedWrite } from './group-commit/write-group.ts';
import { type IngestContext, type Receipt, type WriteRequest, type WriteTarget } from './ingest-request.ts';
import { isSmall, onlyHides, type PlanResult, planWrite } from './pipeline/plan.ts';
import { limitLockWaits, lockStreamName } from './sql/locks.ts';
import type { StreamTicket } from './stream-queue.ts';
import type { OperationRow, StreamRow } from './stream-rows.ts';
import { findOperationByKey, findShapeForReplay, findStream, keyMismatch, streamNotFound } from './streams.ts';
import { type PlannedWrite, WriteConflictError, writePlan } from './write-plan.ts';

// A write waits in the queue of its stream, is planned for the cached stream if there is one, and is retried after a conflict.

/** The first conflict may come from a stale cache; each other one needs a concurrent deleteStream or first write of the stream. */
const MAX_TRIES = 6;

/** Writes the whole request or nothing. Returns the stored receipt if its idempotency key was used with the same content. */
export async function write(context: IngestContext, request: WriteRequest): Promise<Receipt> {
  const { db, streamQueue, groupCommit, ended } = context;
  const { accountId, stream, kind } = request;
  const entry = { accountId, stream, ended };
  // A small write is planned before it queues, since a group needs another access to the stream; other writes while they queue. Null if
  // the stream is not cached or there are issues.
  const early = isSmall(request) ? await planFromCache(context, request) : undefined;
  const grouped = early && buildGroupedWrite(context, request, early);
  let receipt: Receipt | null = null;
  let leftMs: number | undefined;
  if (grouped && groupCommit) {
    receipt = await streamQueue.enter({ ...entry, access: kind === 'SUM' ? 'shared' : 'grouped' }, async (ticket) => {
      await ticket.turn;
      const operation = await groupCommit.write(db, early.stream, { ...grouped, ticket });
      leftMs = ticket.leftMs();
      return operation && { operation, stream: early.stream, replayed: false };
    });
  }
  const access = kind === 'SUM' ? 'shared' : 'exclusive';
  receipt ??= await streamQueue.enter({ ...entry, access, leftMs }, async (ticket) => {
    // If the group rejected the write, its idempotency key was used or the stream was deleted: the cache is of no use.
    let cached: PlannedWrite | null | undefined = grouped ? null : early;
    if (cached === undefined) cached = await planFromCache(context, request);
    return retryConflicts(db, request, ticket, async (target, tries) => {
      // Whether the idempotency key of a write planned from the cache was used shows when its operation is inserted.
      const planned = (tries === 1 && cached) || (await planOrReplay({ ...context, db: target }, request));
      if ('replayed' in planned) return planned;
      await ticket.turn;
      const written = await target.transaction((tx) => writePlan(tx, { ...context, ticket }, request, planned));
      context.streamCache.set(written.stream);
      context.streamCache.setFilterIds(written.stream.id, written.filters, written.filterIds);
      return { operation: written.operation, stream: written.stream, replayed: false };
    });
  });
  context.onWritten(kind, receipt);
  return receipt;
}

/**
 * Plans the write for the cached stream. Returns null if the stream is not cached, or if there are issues or a conflict, which the cache
 * alone may have: planOrReplay reports them.
 */
async function planFromCache(context: IngestContext, request: WriteRequest): Promise<PlannedWrite<StreamRow> | null> {
  const stream = context.streamCache.get(request.accountId, request.stream);
  if (!stream) return null;
  const now = context.clock.now();
  try {
    const { plan } = await planWrite(request, stream, { now, maxFutureMs: context.limits.maxFutureMs });
    return plan && { plan, stream, receivedAt: now };
  } catch (error) {
    if (error instanceof ConflictError) return null;
    throw error;
  }
}

/** Returns what a group needs to write the plan; null if the plan is not small or one of its filters is not cached. */
function buildGroupedWrite(
  { streamCache }: IngestContext,
  { idempotencyKey = null }: WriteTarget,
  { plan, stream, receivedAt }: PlannedWrite<StreamRow>,
): Omit<GroupedWrite, 'ticket'> | null {
  const { small: records } = plan;
  if (!records) return null;
  const filterIds = records.filters.flatMap((filter) => streamCache.getFilterId(stream.id, filter) ?? []);
  return filterIds.length < records.filters.length ? null : { plan, records, filterIds, receivedAt, idempotencyKey };
}

/** Calls `attempt` again after conflicts, with the number of the try. Throws WriteConflictError if the last try had a conflict too. */
async function retryConflicts(
  db: Db,
  { accountId, stream }: WriteTarget,
  ticket: StreamTicket,
  attempt: (db: Db, tries: number) => Promise<Receipt>,
): Promise<Receipt> {
  for (let tries = 1; ; tries += 1) {
    try {
      if (tries <= MAX_TRIES) return await attempt(db, tries);
      // Retries alone starve under concurrent deleteStream calls (50 retries still failed), so the further ones hold the lock of
      // the stream name, which deleteStream takes too.
      return await db.transaction(async (tx) => {
        await Promise.all([limitLockWaits(tx, ticket.leftMs()), lockStreamName(tx, accountId, stream)]);
        return attempt(tx, tries);
      });
    } catch (error) {
      if (!(error instanceof WriteConflictError) || tries === 2 * MAX_TRIES) throw error;
    }
  }
}

/** Looks up the stream and the idempotency key. Plans the write for the stream, or returns the stored receipt if the key was used. */
export async function planOrReplay(context: IngestContext, request: WriteRequest): Promise<PlannedWrite | Receipt> {
  const { db, clock, limits, streamCache } = context;
  const now = clock.now();
  streamCache.invalidate(request.accountId, request.stream);
  const { stream, earlier } = await findStreamAndOperation(db, request);
  // A replay returns its receipt even if the stream was deleted or created again, so the present shape does not count.
  const shape = (earlier ? await findShapeForReplay(db, earlier, request) : stream) ?? null;
  const result = await planWrite(request, shape, { now, maxFutureMs: limits.maxFutureMs });
  if (earlier) return replay(db, earlier, result);
  if (!stream && onlyHides(request)) throw streamNotFound(request.stream);
  // Only after the look-up of the idempotency key: a used key is an IDEMPOTENCY_MISMATCH, not a ValidationError.
  result.issues.throwIfAny();
  if (!result.plan) throw new Error('A request without issues has no plan.');
  return { plan: result.plan, stream: stream ?? null, receivedAt: now };
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

/** Returns the stored receipt. Throws ConflictError if the content is not that of the earlier request. */
async function replay(db: Db, earlier: OperationRow, { plan }: PlanResult): Promise<Receipt> {
  // Content with issues has no plan. It was never accepted, so it differs from the earlier content.
  if (!plan?.digest.equals(earlier.contentSha256)) {
    throw keyMismatch();
  }
  const stream = await findStream(db, earlier.accountId, earlier.streamId);
  if (!stream) throw new Error(`Operation ${earlier.id} has no stream.`);
  return { operation: earlier, stream, replayed: true };
}
