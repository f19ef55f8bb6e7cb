import type { Transaction } from '../db/client.ts';
import { UnavailableError } from '../errors/errors.ts';
import { aggregate } from './pipeline/bucket-aggregator.ts';
import type { CanonicalFilter } from './pipeline/canonical.ts';
import type { PlannedContent, StagedContent, WritePlan } from './pipeline/plan.ts';
import { resolveFilterIds } from './sql/filters.ts';
import { hideReplaced, hideSelected } from './sql/hide-records.ts';
import { insertBatches, insertRecords } from './sql/ledger.ts';
import { addStagedTotals, countBatches, hideStagedSelections, insertStagedRecords } from './staging/staging-table.ts';
import type { StreamCache } from './stream-cache.ts';
import type { StreamRow } from './stream-rows.ts';
import { addTotals, subtractHidden } from './totals/totals.ts';

export interface WrittenPlan {
  readonly insertedRecords: number;
  readonly hiddenRecords: number;
  /** Filters that the stream has once the transaction is committed, with their ids. */
  readonly filters: readonly CanonicalFilter[];
  readonly filterIds: readonly string[];
}

type Content<Type extends PlannedContent['type']> = Extract<PlannedContent, { type: Type }>;

/** Writes the content of a plan as one operation. The transaction holds the lock of the stream. */
export async function writePlan(
  tx: Transaction,
  stream: StreamRow,
  operationId: bigint,
  { kind, content }: WritePlan,
  streamCache: StreamCache,
): Promise<WrittenPlan> {
  switch (content.type) {
    case 'RECORDS':
      return writeRecords(tx, stream, operationId, kind === 'REPLACE', content, streamCache);
    case 'SELECTORS':
      return subtractSelected(tx, stream, operationId, await hideSelected(tx, stream, operationId, content.selectors));
    case 'BUFFERED_RECORDS':
      return writeBufferedRecords(tx, stream, operationId, content, streamCache);
    case 'STAGED_RECORDS':
      return writeStagedRecords(tx, stream, operationId, kind === 'REPLACE', content, streamCache);
    case 'STAGED_SELECTORS':
      return subtractSelected(tx, stream, operationId, await hideStaged(tx, stream, operationId, content));
  }
}

async function writeRecords(
  tx: Transaction,
  stream: StreamRow,
  operationId: bigint,
  replaces: boolean,
  { records, totals }: Content<'RECORDS'>,
  streamCache: StreamCache,
): Promise<WrittenPlan> {
  const filterIds = await resolveFilterIds(tx, stream, records.filters, streamCache);
  const hiddenRecords = replaces ? await hideReplaced(tx, stream, operationId, records, filterIds) : 0;
  if (hiddenRecords > 0) await subtractHidden(tx, stream, [operationId]);
  const [insertedRecords] = await Promise.all([
    insertRecords(tx, stream, { records, filterIds, operationIds: operationId }),
    addTotals(tx, stream, operationId, totals ?? aggregate(records), filterIds, hiddenRecords > 0),
  ]);
  return { insertedRecords, hiddenRecords, filters: records.filters, filterIds };
}

async function writeBufferedRecords(
  tx: Transaction,
  stream: StreamRow,
  operationId: bigint,
  { batches, totals }: Content<'BUFFERED_RECORDS'>,
  streamCache: StreamCache,
): Promise<WrittenPlan> {
  const { filters } = totals;
  const filterIds = await resolveFilterIds(tx, stream, filters, streamCache);
  const ids = new Map(filters.map(({ text }, index) => [text, filterIds[index] as string]));
  const insertedRecords = await insertBatches(tx, stream, operationId, batches, ids);
  await addTotals(tx, stream, operationId, totals, filterIds, false);
  return { insertedRecords, hiddenRecords: 0, filters, filterIds };
}

async function writeStagedRecords(
  tx: Transaction,
  stream: StreamRow,
  operationId: bigint,
  replaces: boolean,
  { staged, totals }: Content<'STAGED_RECORDS'>,
  streamCache: StreamCache,
): Promise<WrittenPlan> {
  await assertComplete(tx, staged);
  const counts = await insertStagedRecords(tx, staged, stream, operationId, replaces);
  if (counts.hiddenRecords > 0) await subtractHidden(tx, stream, [operationId]);
  if (totals) {
    const filterIds = await resolveFilterIds(tx, stream, totals.filters, streamCache);
    await addTotals(tx, stream, operationId, totals, filterIds, counts.hiddenRecords > 0);
  } else {
    await addStagedTotals(tx, staged.request, stream, operationId);
  }
  return { ...counts, filters: [], filterIds: [] };
}

async function hideStaged(
  tx: Transaction,
  stream: StreamRow,
  operationId: bigint,
  { staged, forms }: Content<'STAGED_SELECTORS'>,
): Promise<number> {
  await assertComplete(tx, staged);
  return hideStagedSelections(tx, staged, stream, operationId, forms);
}

async function subtractSelected(
  tx: Transaction,
  stream: StreamRow,
  operationId: bigint,
  hiddenRecords: number,
): Promise<WrittenPlan> {
  if (hiddenRecords > 0) await subtractHidden(tx, stream, [operationId]);
  return { insertedRecords: 0, hiddenRecords, filters: [], filterIds: [] };
}

/** Throws UnavailableError if batches are missing: a crash of PostgreSQL empties the unlogged staging table. */
async function assertComplete(tx: Transaction, { request, batches }: StagedContent): Promise<void> {
  const found = await countBatches(tx, request);
  if (found !== batches) throw new UnavailableError(`Only ${found} of ${batches} staged batches exist.`);
}
