// Pure: collects the records or selectors of a request one by one, in batches, and plans their write at the end.
import { ConflictError, type IssueCollector } from '../../errors/errors.ts';
import { Interner } from '../../lib/interner.ts';
import { BucketAggregator } from './bucket-aggregator.ts';
import type { CanonicalFilter, StreamShape } from './canonical.ts';
import { ContentDigest } from './content-digest.ts';
import { type BatchColumns, type EncodedBatch, encodeBatch } from './encode-batch.ts';
import type { PlannedContent, SelectorForm, StagedContent, WritePlan } from './plan.ts';
import type { RecordReader } from './records.ts';
import { type BucketBounds, boundsOfScope, computeBounds, type ScopeReader } from './scope.ts';
import type { CanonicalSelector, SelectorReader } from './selectors.ts';

export interface Collector {
  readonly reader: RecordReader | SelectorReader;
  /** Whether the batches taken so far may be buffered in memory instead of staged. */
  readonly canBuffer: boolean;
  /** Approximate size of the totals in memory. */
  readonly totalsBytes: number;
  /** Returns the records or selectors read since the last call as a batch, and adds them to the digest; null if there are none. */
  take(): EncodedBatch | null;
  /** Plans the write. Call it once, after the last batch. The content is buffered, or else staged. */
  plan(staged: StagedContent, buffered: readonly EncodedBatch[]): WritePlan;
  /** Adds issues, or throws ConflictError, if the stream has another shape than the content was validated against. */
  validateShape(shape: StreamShape | null, issues: IssueCollector): void;
}

/** Maximum number of totals in memory, about 20 MB. PostgreSQL computes them if there are more. */
const MAX_TOTALS = 100_000;
const BYTES_PER_TOTAL = 200;

export function createRecordCollector(
  reader: RecordReader,
  kind: 'SUM' | 'REPLACE',
  stream: string,
  issues: IssueCollector,
  scope: ScopeReader | null,
): Collector {
  const digest = new ContentDigest(kind, stream);
  let bounds: BucketBounds | null = null;
  const aggregator = new BucketAggregator(MAX_TOTALS);
  return {
    reader,
    get totalsBytes() {
      return aggregator.size * BYTES_PER_TOTAL;
    },
    // A replace looks up what it hides in the staging table.
    get canBuffer() {
      return kind === 'SUM' && !aggregator.overflowed;
    },
    take: () => {
      const records = reader.take();
      if (!records || records.elements.length === 0) return null;
      scope?.validateRecords(records);
      bounds = computeBounds(records.buckets, bounds);
      digest.addRecords(records);
      // Nothing is written if there are issues.
      if (issues.count === 0) aggregator.add(records);
      return encodeBatch(records, records.indexes[0]);
    },
    plan: (staged, batches) => {
      const { totals } = aggregator;
      let content: PlannedContent = { type: 'STAGED_RECORDS', staged, totals };
      if (batches.length > 0) {
        if (!totals) throw new Error('Batches are buffered without their totals.');
        content = { type: 'BUFFERED_RECORDS', batches, totals };
      }
      const shape = reader.shape;
      const canonical = (scope && shape && scope.read(shape)) ?? null;
      if (canonical) digest.addScope(canonical);
      return {
        kind,
        digest: digest.finish(),
        recordCount: reader.count,
        shape: reader.count > 0 ? shape : null,
        bounds: canonical ? boundsOfScope(canonical) : bounds,
        scope: canonical,
        content,
        small: null,
      };
    },
    validateShape: (shape, found) => {
      reader.validateShape(shape, found);
      // Without records, only the scope depends on the shape. The plan has no scope if there was no stream.
      if (!scope || reader.count > 0 || !shape) return;
      if (!reader.shape) throw streamCreated();
      if (!isSameShape(shape, reader.shape)) throw shapeChanged();
    },
  };
}

/** @param validatedShape shape of the stream that the reader validates against */
export function createSelectorCollector(
  reader: SelectorReader,
  stream: string,
  validatedShape: StreamShape | null,
): Collector {
  const digest = new ContentDigest('DELETE', stream);
  let bounds: BucketBounds | null = null;
  // One form for each set of the stream's dimensions, with and without the element.
  const forms = new Map<string, SelectorForm>();
  return {
    reader,
    totalsBytes: 0,
    canBuffer: false,
    take: () => {
      const firstIndex = reader.count - reader.pending.records;
      const selectors = reader.take();
      if (selectors.length === 0) return null;
      bounds = computeBounds(
        selectors.map(({ bucket }) => bucket),
        bounds,
      );
      digest.addSelectors(selectors);
      for (const { filter, element } of selectors) {
        const form = { dimensions: filter?.entries.map((entry) => entry.dimension) ?? [], element: element !== null };
        forms.set(JSON.stringify(form), form);
      }
      return encodeBatch(toColumns(selectors), firstIndex);
    },
    plan: (staged) => ({
      kind: 'DELETE',
      digest: digest.finish(),
      recordCount: 0,
      shape: null,
      bounds,
      scope: null,
      content: { type: 'STAGED_SELECTORS', staged, forms: [...forms.values()] },
      small: null,
    }),
    validateShape: (shape) => {
      if (shape && validatedShape && !isSameShape(shape, validatedShape)) {
        throw shapeChanged();
      }
    },
  };
}

function shapeChanged(): ConflictError {
  return new ConflictError(
    'The stream was deleted and created again with another shape while the request arrived. Nothing was hidden; send the request again.',
  );
}

function streamCreated(): ConflictError {
  return new ConflictError(
    'Another request created the stream while the request arrived. Nothing was hidden; send the request again.',
  );
}

function isSameShape(a: StreamShape, b: StreamShape): boolean {
  return a.granularity === b.granularity && JSON.stringify(a.dimensions) === JSON.stringify(b.dimensions);
}

function toColumns(selectors: readonly CanonicalSelector[]): BatchColumns {
  const buckets = new Interner<string>();
  const filters = new Interner<CanonicalFilter>();
  return {
    bucketIndexes: selectors.map(({ bucket }) => buckets.intern(bucket, bucket)),
    filterIndexes: selectors.map(({ filter }) => (filter ? filters.intern(filter.text, filter) : -1)),
    buckets: buckets.items,
    filters: filters.items,
    elements: selectors.map(({ element }) => element),
    values: [],
  };
}
