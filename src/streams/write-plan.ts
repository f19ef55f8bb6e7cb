import type { Transaction } from '../db/client.ts';
import { aggregate } from './pipeline/bucket-aggregator.ts';
import type { CanonicalFilter } from './pipeline/canonical.ts';
import type { WritePlan } from './pipeline/plan.ts';
import { resolveFilterIds } from './sql/filters.ts';
import { hideReplaced, hideSelected } from './sql/hide-records.ts';
import { insertBatches, insertRecords } from './sql/ledger.ts';
import { addStagedTotals, hideStagedSelections, insertStagedRecords } from './staging/staging-table.ts';
import type { StreamCache } from './stream-cache.ts';
import type { StreamRow } from './stream-rows.ts';
import { addTotals, subtractHidden } from './totals/totals.ts';

export interface WrittenPlan {
  readonly insertedRecords: number;
  readonly hiddenRecords: number;
  /** Filters that can be cached when the transaction is committed. */
  readonly filters?: readonly CanonicalFilter[];
  /** Ids of `filters`. */
  readonly filterIds?: readonly string[];
}

/** Writes the content of a plan as one operation. The transaction holds the lock of the stream. */
export async function writePlan(
  tx: Transaction,
  stream: StreamRow,
  operationId: bigint,
  { kind, content }: WritePlan,
  streamCache: StreamCache,
): Promise<WrittenPlan> {
  const replaces = kind === 'REPLACE';
  const subtract = async (hiddenRecords: number): Promise<void> => {
    if (hiddenRecords > 0) await subtractHidden(tx, stream, [operationId]);
  };
  switch (content.type) {
    case 'RECORDS': {
      const { records, totals } = content;
      const filterIds = await resolveFilterIds(tx, stream, records.filters, streamCache);
      const hiddenRecords = replaces ? await hideReplaced(tx, stream, operationId, records, filterIds) : 0;
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
      const counts = await insertStagedRecords(tx, staged, stream, operationId, replaces);
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
