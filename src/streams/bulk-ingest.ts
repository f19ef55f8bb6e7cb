import { ConflictError, IssueCollector, UnavailableError } from '../errors/errors.ts';
import { Interner } from '../lib/interner.ts';
import { newId } from '../lib/ids.ts';
import { BucketAggregator } from './pipeline/bucket-aggregator.ts';
import { type BatchColumns, type EncodedBatch, encodeBatch } from './pipeline/encode-batch.ts';
import type { CanonicalFilter, StreamShape } from './pipeline/canonical.ts';
import { ContentDigest } from './pipeline/content-digest.ts';
import type { IntakeBuffer } from './pipeline/intake-buffer.ts';
import { type MalformedRecord, type RecordInput, type SelectorInput } from './pipeline/inputs.ts';
import type { StreamCache } from './stream-cache.ts';
import { insertBatches, resolveFilterIds } from './sql/ledger.ts';
import { RecordReader } from './pipeline/records.ts';
import { type CanonicalSelector, SelectorReader } from './pipeline/selectors.ts';
import { type BatchSource, createSpillWriter } from './staging/spill-writer.ts';
import {
  validateStagedKeys,
  countBatches,
  hideStagedSelections,
  type SelectorForm,
  type StagedRequest,
  insertStagedRecords,
  addStagedTotals,
} from './staging/staging-table.ts';
import { findOperationByKey, findStream } from './streams.ts';
import { addTotals, subtractHidden } from './totals/totals.ts';
import {
  validateTarget,
  type Content,
  type IngestContext,
  streamNotFound,
  reportEmptyRequest,
  type ReadContent,
  type Receipt,
  type WriteKind,
  type WriteTarget,
} from './write-plan.ts';
import { write } from './write.ts';

// Writes whose records come one by one, as many as there are, and are still all taken or none: they wait, those of a sum in
// memory while there is place and all others in a staging table, and one transaction at the end takes them over. Until then
// nothing of the stream is locked.

export interface BulkRequest extends WriteTarget {
  readonly kind: WriteKind;
  /** Milliseconds that a statement over all records may take. */
  readonly maxMs: number;
}

/** Takes records, of a delete selectors. */
export interface BulkWrite {
  /** How many were added. */
  readonly count: number;
  /** About how many bytes it holds in memory, without those that INTAKE_HELD_BYTES counts. */
  readonly heldBytes: number;
  /** How many issues were found so far. */
  readonly issueCount: number;
  /** Checks one. Selectors for a delete, else records. */
  add(input: RecordInput | SelectorInput | MalformedRecord): void;
  /** Stages what was added where that is enough for a batch; waits while the one before is written. */
  stage(): Promise<void>;
  /** Writes all that was added, or throws and nothing is written. */
  finish(): Promise<Receipt>;
  /** Forgets what was staged. To be called whatever happened. */
  close(): Promise<void>;
}

/** Enough for the statement to cost little beside its rows: with 2,000 a seventh fewer came in a second. */
const BATCH_RECORDS = 4000;
const BATCH_CHARACTERS = 1_000_000;

/** More buckets and filters than these are summed by Postgres, where they need no memory of the server: 20 MB or so. */
const MAX_SUMS = 100_000;
const BYTES_OF_SUM = 200;

export interface BulkContext extends IngestContext {
  readonly intakeBuffer: IntakeBuffer;
}

/** Throws for what can be told before the first record: ValidationError, NotFoundError. */
export const startBulkWrite = async (context: BulkContext, request: BulkRequest): Promise<BulkWrite> => {
  const { accountId, idempotencyKey, kind, path } = request;
  const issues = new IssueCollector();
  validateTarget(request, issues);
  issues.throwIfAny();
  const existing = await findStream(context.db, accountId, request.stream);
  const earlier = idempotencyKey == null ? undefined : await findOperationByKey(context.db, accountId, idempotencyKey);
  if (kind === 'DELETE' && !existing && !earlier) throw streamNotFound(request.stream);

  // What was written before is held against its digest alone, as it is for lists.
  const shape = earlier ? null : (existing ?? null);
  const options = { path: [...path, 'records'], now: context.clock.now(), maxFutureMs: context.limits.maxFutureMs };
  const staged = { accountId, requestId: newId(context.clock.now()), maxMs: request.maxMs };
  const intake =
    kind === 'DELETE'
      ? selectorIntake(new SelectorReader(shape, options, issues), shape, request, staged)
      : recordIntake(new RecordReader(shape, options, issues), kind, request, staged, issues, context.streamCache);
  const buffer = context.intakeBuffer.open();
  const stager = createSpillWriter(context.db, staged, intake, issues, earlier === undefined, buffer);
  return {
    get count() {
      return intake.reader.count;
    },
    get heldBytes() {
      return 2 * intake.reader.pending.characters + stager.writtenBytes + intake.sumsBytes;
    },
    get issueCount() {
      return issues.count;
    },
    add: (input) => intake.reader.read(input as never),
    stage: async () => {
      if (intake.reader.pending.records >= BATCH_RECORDS || intake.reader.pending.characters >= BATCH_CHARACTERS) {
        await stager.stage();
      }
    },
    finish: async () => {
      await stager.stage();
      await stager.flush();
      if (intake.reader.count === 0) {
        // No content at all, and so not told as other content under a repeated key.
        reportEmptyRequest(path, issues);
        issues.throwIfAny();
      }
      if (kind === 'REPLACE' && issues.count === 0 && !earlier) {
        await validateStagedKeys(context.db, staged, options.path, issues);
      }
      // A repeated key with bad records is told as a conflict, which is for write() to say.
      if (!earlier) issues.throwIfAny();
      let content: Content | null = null;
      const read: ReadContent = (shapeNow, found) => {
        found.addAll(issues);
        intake.checkShape(shapeNow, found);
        content ??= intake.content(stager.staged, buffer.batches);
        return content;
      };
      return write(context, kind, request, read);
    },
    close: () => stager.close(),
  };
};

/** What differs between records and selectors. What is taken is added to the digest. */
interface Intake extends BatchSource {
  readonly reader: RecordReader | SelectorReader;
  /** Holds what was read against the stream as it is now, which may not be the one that it was read for. */
  checkShape(shape: StreamShape | null, issues: IssueCollector): void;
  /** About how many bytes its sums take. */
  readonly sumsBytes: number;
  /** Of so many batches that were staged, or of these that are held. */
  content(batches: number, held: readonly EncodedBatch[]): Content;
}

const recordIntake = (
  reader: RecordReader,
  kind: 'SUM' | 'REPLACE',
  request: BulkRequest,
  staged: StagedRequest,
  issues: IssueCollector,
  streamCache: StreamCache,
): Intake => {
  const digest = new ContentDigest(kind, request.stream);
  const sums = new BucketAggregator(MAX_SUMS);
  return {
    reader,
    get sumsBytes() {
      return sums.size * BYTES_OF_SUM;
    },
    get canBuffer() {
      return kind === 'SUM' && !sums.overflowed;
    },
    take: () => {
      const records = reader.take();
      if (!records || records.elements.length === 0) return null;
      digest.addRecords(records);
      // Of records that break a rule nothing is written.
      if (issues.count === 0) sums.add(records);
      return encodeBatch(records, records.indexes[0]);
    },
    checkShape: (shape, issues) => reader.checkShape(shape, issues),
    content: (batches, held) => ({
      digest: digest.finish(),
      recordCount: reader.count,
      shape: reader.shape,
      apply: async (tx, stream, operationId) => {
        const { columns } = sums;
        const filters = columns?.filters ?? [];
        if (held.length > 0) {
          if (!columns) throw new Error('Batches are held whose totals are not known.');
          const filterIds = await resolveFilterIds(tx, stream, filters, streamCache);
          const insertedRecords = await insertBatches(tx, stream, operationId, held, idsByFilter(filters, filterIds));
          await addTotals(tx, stream, operationId, columns, filterIds, false);
          const onCommitted = () => streamCache.setFilterIds(stream.id, filters, filterIds);
          return { insertedRecords, hiddenRecords: 0, onCommitted };
        }
        checkComplete(await countBatches(tx, staged), batches);
        const counts = await insertStagedRecords(tx, staged, stream, operationId, kind === 'REPLACE', reader.count);
        if (counts.hiddenRecords > 0) await subtractHidden(tx, stream, [operationId]);
        if (columns) {
          const filterIds = await resolveFilterIds(tx, stream, filters, streamCache);
          await addTotals(tx, stream, operationId, columns, filterIds, counts.hiddenRecords > 0);
        } else {
          await addStagedTotals(tx, staged, stream, operationId);
        }
        return counts;
      },
    }),
  };
};

const idsByFilter = (
  filters: readonly CanonicalFilter[],
  ids: readonly string[],
): ((filter: CanonicalFilter) => string) => {
  const known = new Map(filters.map(({ text }, index) => [text, ids[index] as string]));
  return ({ text }) => {
    const id = known.get(text);
    if (id === undefined) throw new Error('A filter of a batch is none of its request.');
    return id;
  };
};

const selectorIntake = (
  reader: SelectorReader,
  shape: StreamShape | null,
  request: BulkRequest,
  staged: StagedRequest,
): Intake => {
  const digest = new ContentDigest('DELETE', request.stream);
  // At most one for each set of the stream's dimensions, with and without the element.
  const forms = new Map<string, SelectorForm>();
  return {
    reader,
    sumsBytes: 0,
    canBuffer: false,
    take: () => {
      const firstIndex = reader.count - reader.pending.records;
      const selectors = reader.take();
      if (selectors.length === 0) return null;
      digest.addSelectors(selectors);
      for (const { filter, element } of selectors) {
        const form = { dimensions: filter?.entries.map((entry) => entry.dimension) ?? [], element: element !== null };
        forms.set(JSON.stringify(form), form);
      }
      return encodeBatch(selectorColumns(selectors), firstIndex);
    },
    checkShape: (now) => {
      if (now && shape && !isSameShape(now, shape)) {
        throw new ConflictError('The stream was deleted and made anew while this came in. Nothing was hidden.');
      }
    },
    content: (batches) => ({
      digest: digest.finish(),
      recordCount: 0,
      shape: null,
      apply: async (tx, stream, operationId) => {
        checkComplete(await countBatches(tx, staged), batches);
        const hiddenRecords = await hideStagedSelections(
          tx,
          staged,
          stream,
          operationId,
          [...forms.values()],
          reader.count,
        );
        if (hiddenRecords > 0) await subtractHidden(tx, stream, [operationId]);
        return { insertedRecords: 0, hiddenRecords };
      },
    }),
  };
};

const isSameShape = (a: StreamShape, b: StreamShape): boolean =>
  a.granularity === b.granularity && JSON.stringify(a.dimensions) === JSON.stringify(b.dimensions);

const selectorColumns = (selectors: readonly CanonicalSelector[]): BatchColumns => {
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
};

const checkComplete = (found: number, sent: number): void => {
  if (found !== sent) throw new UnavailableError(`Of ${sent} staged batches ${found} are there.`);
};
