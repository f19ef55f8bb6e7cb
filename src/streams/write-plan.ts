import { inOrder, type Transaction } from '../db/client.ts';
import type { IngestContext, WriteTarget } from './ingest-request.ts';
import { aggregate } from './pipeline/bucket-aggregator.ts';
import type { CanonicalFilter } from './pipeline/canonical.ts';
import type { WritePlan } from './pipeline/plan.ts';
import { resolveFilterIds } from './sql/filters.ts';
import { hideReplaced, hideScope, hideSelected } from './sql/hide-records.ts';
import {
  buildOperation,
  insertBatches,
  insertOperations,
  insertRecords,
  storeHiddenCounts,
  takeOperationIds,
} from './sql/ledger.ts';
import { limitLockWaits, lockStream } from './sql/locks.ts';
import { addStagedTotals, hideStagedSelections, insertStagedRecords } from './staging/staging-table.ts';
import type { StreamCache } from './stream-cache.ts';
import type { StreamTicket } from './stream-queue.ts';
import type { OperationRow, StreamRow } from './stream-rows.ts';
import { createStream } from './streams.ts';
import { addTotals, subtractHidden } from './totals/totals.ts';

/** A plan, and the stream whose shape it was validated against; null if the write creates the stream. */
export interface PlannedWrite<Stream extends StreamRow | null = StreamRow | null> {
  readonly plan: WritePlan;
  readonly stream: Stream;
  readonly receivedAt: Date;
}

export interface WrittenPlan {
  readonly stream: StreamRow;
  readonly operation: OperationRow;
  /** Filters that can be cached when the transaction is committed. */
  readonly filters: readonly CanonicalFilter[];
  /** Ids of `filters`. */
  readonly filterIds: readonly string[];
}

/** Another write took the stream name or the idempotency key, or deleted the stream, after this one had read them. */
export class WriteConflictError extends Error {}

/**
 * Writes a plan as one operation, and creates the stream if there is none. Statements that do not need each other's results are sent
 * together, and run in the order in which this function sends them. Throws WriteConflictError.
 */
export async function writePlan(
  tx: Transaction,
  { streamCache, clock, ticket }: Pick<IngestContext, 'streamCache' | 'clock'> & { readonly ticket: StreamTicket },
  { accountId, stream: name, idempotencyKey = null }: WriteTarget,
  { plan, stream: found, receivedAt }: PlannedWrite,
): Promise<WrittenPlan> {
  const limited = limitLockWaits(tx, ticket.leftMs());
  // Awaited, and its error thrown, below; not if the stream cannot be created.
  limited.catch(() => undefined);
  const target = found ?? (await createStream(tx, accountId, name, plan.shape, receivedAt));
  if (!target) throw new WriteConflictError();
  const [, stream, [id]] = await inOrder([
    limited,
    lockStream(tx, target, plan.kind === 'SUM' ? 'shared' : 'exclusive'),
    // Under the lock: of two operations of which one is exclusive, the later one has the greater id. A REVERT relies on it.
    takeOperationIds(tx, 1),
  ]);
  if (!stream || id === undefined) throw new WriteConflictError();
  const operation = buildOperation(stream, id, { plan, receivedAt, idempotencyKey });
  // If the key is taken, roll back before the retry: this transaction may have created the stream.
  if ((await insertOperations(tx, stream, [operation])) === 0) throw new WriteConflictError();
  const {
    insertedRecords,
    hiddenRecords,
    filters = [],
    filterIds = [],
  } = await writeContent(tx, stream, id, plan, streamCache);
  if (insertedRecords !== plan.recordCount) {
    throw new Error(`Inserted ${insertedRecords} of ${plan.recordCount} records.`);
  }
  if (hiddenRecords > 0) await storeHiddenCounts(tx, stream, new Map([[id, hiddenRecords]]), clock.now());
  return { stream, operation: { ...operation, hiddenRecords }, filters, filterIds };
}

interface WrittenContent extends Partial<Pick<WrittenPlan, 'filters' | 'filterIds'>> {
  readonly insertedRecords: number;
  readonly hiddenRecords: number;
}

/** Writes the records, or hides those that the selectors match. The transaction holds the lock of the stream. */
async function writeContent(
  tx: Transaction,
  stream: StreamRow,
  operationId: bigint,
  { kind, content, scope }: WritePlan,
  streamCache: StreamCache,
): Promise<WrittenContent> {
  const replaces = kind === 'REPLACE';
  const subtract = async (hiddenRecords: number): Promise<void> => {
    if (hiddenRecords > 0) await subtractHidden(tx, stream, [operationId]);
  };
  switch (content.type) {
    case 'RECORDS': {
      const { records, totals } = content;
      const filterIds = await resolveFilterIds(tx, stream, records.filters, streamCache);
      const hiddenRecords = scope
        ? await hideScope(tx, stream, operationId, scope)
        : replaces
          ? await hideReplaced(tx, stream, operationId, records, filterIds)
          : 0;
      await subtract(hiddenRecords);
      const [insertedRecords] = await Promise.all([
        insertRecords(tx, stream, { records, filterIds, operationIds: operationId }),
        addTotals(tx, stream, operationId, totals ?? aggregate(records), filterIds, hiddenRecords > 0),
      ]);
      return { insertedRecords, hiddenRecords, filters: records.filters, filterIds };
    }
    case 'BUFFERED_RECORDS': {
      const { batches, totals } = content;
      const { filters } = totals;
      const filterIds = await resolveFilterIds(tx, stream, filters, streamCache);
      const idsByText = new Map(filters.map(({ text }, index) => [text, filterIds[index] as string]));
      const insertedRecords = await insertBatches(tx, stream, operationId, batches, idsByText);
      await addTotals(tx, stream, operationId, totals, filterIds, false);
      return { insertedRecords, hiddenRecords: 0, filters, filterIds };
    }
    case 'STAGED_RECORDS': {
      const { staged, totals } = content;
      const counts = await insertStagedRecords(tx, staged, stream, operationId, scope ?? replaces);
      await subtract(counts.hiddenRecords);
      if (totals) {
        const filterIds = await resolveFilterIds(tx, stream, totals.filters, streamCache);
        await addTotals(tx, stream, operationId, totals, filterIds, counts.hiddenRecords > 0);
      } else await addStagedTotals(tx, staged.request, stream, operationId);
      return counts;
    }
    case 'SELECTORS': {
      const hiddenRecords = await hideSelected(tx, stream, operationId, content.selectors);
      await subtract(hiddenRecords);
      return { insertedRecords: 0, hiddenRecords };
    }
    case 'STAGED_SELECTORS': {
      const hiddenRecords = await hideStagedSelections(tx, content.staged, stream, operationId, content.forms);
      await subtract(hiddenRecords);
      return { insertedRecords: 0, hiddenRecords };
    }
  }
}
