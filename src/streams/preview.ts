import { type SQL, sql } from 'drizzle-orm';
import { type Db, inOrder, type Transaction } from '../db/client.ts';
import { LimitExceededError } from '../errors/errors.ts';
import { type IngestRequest, validateRequest } from './ingest.ts';
import type { IngestContext } from './ingest-request.ts';
import { type ChangedKey, type ChangeSummary, summarizeChanges } from './pipeline/correction-summary.ts';
import type { FilterEntry } from './pipeline/inputs.ts';
import type { WritePlan } from './pipeline/plan.ts';
import { findRevertible, type RevertRequest, writeRevert } from './revert.ts';
import { readChangedKeys, readFilters } from './sql/changed-keys.ts';
import { countInScope, countReplaced, countSelected } from './sql/hide-records.ts';
import { limitLockWaits, lockStream } from './sql/locks.ts';
import type { StreamCache } from './stream-cache.ts';
import { NoTimeLeftError, type StreamAccess, type StreamTicket } from './stream-queue.ts';
import type { OperationRow, StreamRow } from './stream-rows.ts';
import { planOrReplay } from './write.ts';
import { type PlannedWrite, WriteConflictError, writePlan } from './write-plan.ts';

// Previews execute a write and roll it back: the checks, the locks and the statements are those of the write. They share no transaction
// with other writes, and never change the caches of the process, which would keep ids that were rolled back.

export interface PreviewContext extends Omit<IngestContext, 'groupCommit' | 'onWritten'> {
  readonly limits: IngestContext['limits'] & {
    /** PREVIEW_MAX_RECORDS. */
    readonly previewMaxRecords: number;
    /** PREVIEW_LOCK_MS. */
    readonly previewLockMs: number;
  };
}

/** The effect that a write would have now. */
export interface CorrectionPreview extends ChangeSummary {
  readonly accountId: bigint;
  readonly insertedRecords: number;
  readonly hiddenRecords: number;
  /** The stream as it would be; null if the write has been made before and would write nothing. */
  readonly stream: StreamRow | null;
  /** All changed keys, sorted by bucket. */
  readonly keys: readonly ChangedKey[];
  /** The filters of the keys, by id. */
  readonly filters: ReadonlyMap<string, readonly FilterEntry[]>;
}

const MAX_TRIES = 6;

/** Previews a sum, a replace or a delete. Throws what the write throws, and LimitExceededError. */
export async function previewWrite(context: PreviewContext, request: IngestRequest): Promise<CorrectionPreview> {
  validateRequest(request);
  const { db, limits } = context;
  const { accountId, stream, kind } = request;
  const reading = {
    ...context,
    streamCache: readOnly(context.streamCache),
    groupCommit: undefined,
    onWritten: () => {},
  };
  const access = kind === 'SUM' ? 'shared' : 'exclusive';
  const preview = await enterQueue(context, { accountId, stream, access }, async (ticket) => {
    for (let tries = 1; tries <= MAX_TRIES; tries += 1) {
      const planned = await planOrReplay(reading, request);
      if ('replayed' in planned) return null;
      assertWithinLimit(planned.plan.recordCount, limits.previewMaxRecords);
      await ticket.turn;
      try {
        return await rolledBack(db, async (tx) => {
          await assertFewRecords(tx, ticket, planned, limits.previewMaxRecords);
          // Without the key: a request that uses it now would wait for this transaction.
          const target = { ...request, idempotencyKey: null };
          const { stream: written, operation } = await writePlan(tx, { ...reading, ticket }, target, planned);
          return readPreview(tx, written, operation, bucketsOf(planned.plan));
        });
      } catch (error) {
        if (!(error instanceof WriteConflictError)) throw error;
      }
    }
    throw new NoTimeLeftError();
  });
  return preview ?? nothing(accountId);
}

/** Previews revertOperation. Throws what it throws, and LimitExceededError. */
export async function previewRevert(
  context: PreviewContext,
  request: Omit<RevertRequest, 'idempotencyKey'>,
): Promise<CorrectionPreview> {
  const { db, limits } = context;
  const { accountId } = request;
  const { operation, stream } = await findRevertible(db, request);
  assertWithinLimit(operation.insertedRecords + operation.hiddenRecords, limits.previewMaxRecords);
  const entry = { accountId, stream: stream.name, access: 'exclusive' } as const;
  return enterQueue(context, entry, async (ticket) => {
    await ticket.turn;
    return rolledBack(db, async (tx) => {
      const receipt = await writeRevert(tx, context, ticket, stream, operation, null);
      if (!receipt) throw new Error('A revert without an idempotency key was not written.');
      return readPreview(tx, receipt.stream, receipt.operation, betweenBounds(operation));
    });
  });
}

function enterQueue<Value>(
  { streamQueue, ended, limits }: PreviewContext,
  entry: { readonly accountId: bigint; readonly stream: string; readonly access: StreamAccess },
  work: (ticket: StreamTicket) => Promise<Value>,
): Promise<Value> {
  return streamQueue.enter({ ...entry, ended, maxMs: limits.previewLockMs }, work);
}

/** Runs the work in a transaction that is rolled back, and returns its result. */
async function rolledBack<Value>(db: Db, work: (tx: Transaction) => Promise<Value>): Promise<Value> {
  class RolledBack extends Error {}
  let value: { readonly of: Value } | undefined;
  try {
    await db.transaction(async (tx) => {
      value = { of: await work(tx) };
      throw new RolledBack();
    });
  } catch (error) {
    if (!(error instanceof RolledBack)) throw error;
  }
  if (!value) throw new Error('A preview ended without a result.');
  return value.of;
}

function readOnly(cache: StreamCache): StreamCache {
  return {
    get: (accountId, name) => cache.get(accountId, name),
    getFilterId: (streamId, filter) => cache.getFilterId(streamId, filter),
    set: () => {},
    setFilterIds: () => {},
    invalidate: () => {},
  };
}

function assertWithinLimit(count: number, limit: number): void {
  if (count <= limit) return;
  throw new LimitExceededError(
    `The write would insert and hide at least ${count} records; a preview handles at most ${limit}. Preview a part of it.`,
    limit,
    count,
  );
}

/** Locks the stream and counts the records that the write would hide, before anything is written. */
async function assertFewRecords(
  tx: Transaction,
  ticket: StreamTicket,
  { plan, stream: found }: PlannedWrite,
  limit: number,
): Promise<void> {
  const { content, scope, recordCount } = plan;
  if (!found || plan.kind === 'SUM') return;
  const [, stream] = await inOrder([limitLockWaits(tx, ticket.leftMs()), lockStream(tx, found, 'exclusive')]);
  if (!stream) throw new WriteConflictError();
  const left = limit - recordCount;
  let hidden = 0;
  if (scope) hidden = await countInScope(tx, stream, scope, left);
  else if (content.type === 'RECORDS') hidden = await countReplaced(tx, stream, content.records, left);
  else if (content.type === 'SELECTORS') hidden = await countSelected(tx, stream, content.selectors, left);
  assertWithinLimit(recordCount + hidden, limit);
}

/** SQL: the buckets in which the write inserts records. A key whose records it hides has no others. */
function bucketsOf({ content }: WritePlan): SQL {
  return content.type === 'RECORDS'
    ? sql`r.bucket_start = ANY(${sql.param([...content.records.buckets])}::timestamptz[])`
    : sql`false`;
}

/** SQL: the buckets that the operation may have touched. Null bounds: every bucket. */
function betweenBounds({ firstBucket, lastBucket }: OperationRow): SQL {
  return firstBucket && lastBucket
    ? sql`r.bucket_start BETWEEN ${firstBucket.toISOString()}::timestamptz AND ${lastBucket.toISOString()}::timestamptz`
    : sql`true`;
}

async function readPreview(
  tx: Transaction,
  stream: StreamRow,
  { accountId, id, insertedRecords, hiddenRecords }: OperationRow,
  inBuckets: SQL,
): Promise<CorrectionPreview> {
  const keys = await readChangedKeys(tx, stream, id, inBuckets);
  const filters = await readFilters(tx, stream, keys);
  return { accountId, insertedRecords, hiddenRecords, stream, keys, filters, ...summarizeChanges(keys) };
}

function nothing(accountId: bigint): CorrectionPreview {
  const counts = { insertedRecords: 0, hiddenRecords: 0 };
  return { accountId, ...counts, stream: null, keys: [], filters: new Map(), ...summarizeChanges([]) };
}
