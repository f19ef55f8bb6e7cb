import type { Db } from '../db/client.ts';
import { ConflictError, IssueCollector, UnavailableError } from '../errors.ts';
import { newId } from '../lib/ids.ts';
import { BucketSums } from './bucket-sums.ts';
import type { StreamShape } from './canonical.ts';
import { ContentDigest } from './content-digest.ts';
import { type Misshapen, type RecordInput, type SelectorInput } from './inputs.ts';
import type { KnownStreams } from './known-streams.ts';
import { resolveFilterIds } from './ledger.ts';
import { RecordReader } from './records.ts';
import { type CanonicalSelector, SelectorReader } from './selectors.ts';
import {
  checkStagedKeys,
  clearStaged,
  countBatches,
  hideStaged,
  type SelectorForm,
  stageBatch,
  type StagedColumns,
  type StagedRequest,
  takeOverRecords,
  takeOverTotals,
} from './staging.ts';
import { findOperationByKey, findStream } from './streams.ts';
import { addTotals, subtractHidden } from './totals.ts';
import {
  checkTarget,
  type Content,
  type IngestContext,
  missingStream,
  noRecords,
  type ReadContent,
  type Receipt,
  write,
  type WriteKind,
  type WriteTarget,
} from './write.ts';

// Writes whose records come one by one, as many as there are, and are still all taken or none: they wait in a staging
// table, and one transaction at the end takes them over. Until then nothing of the stream is locked.

export interface BulkRequest extends WriteTarget {
  readonly kind: WriteKind;
  /** Milliseconds that a statement over all records may take. */
  readonly maxMs: number;
}

/** Takes records, of a delete selectors. */
export interface BulkWrite {
  /** How many were added. */
  readonly count: number;
  /** How many issues were found so far. */
  readonly issueCount: number;
  /** Checks one. Selectors for a delete, else records. */
  add(input: RecordInput | SelectorInput | Misshapen): void;
  /** Stages what was added where that is enough for a batch; waits while the one before is written. */
  stage(): Promise<void>;
  /** Writes all that was added, or throws and nothing is written. */
  finish(): Promise<Receipt>;
  /** Forgets what was staged. To be called whatever happened. */
  close(): Promise<void>;
}

/** Enough for the statement to cost little beside its rows; of more at a time V8 keeps what is soon garbage for longer. */
const BATCH_RECORDS = 2000;
const BATCH_CHARACTERS = 1_000_000;

/** More buckets and filters than these are summed by Postgres, where they need no memory of the server: 20 MB or so. */
const MAX_SUMS = 100_000;

/** Throws for what can be told before the first record: ValidationError, NotFoundError. */
export const startBulkWrite = async (context: IngestContext, request: BulkRequest): Promise<BulkWrite> => {
  const { accountId, idempotencyKey, kind, path } = request;
  const issues = new IssueCollector();
  checkTarget(request, issues);
  issues.throwIfAny();
  const known = await findStream(context.db, accountId, request.stream);
  const earlier = idempotencyKey == null ? undefined : await findOperationByKey(context.db, accountId, idempotencyKey);
  if (kind === 'DELETE' && !known && !earlier) throw missingStream(request.stream);

  // What was written before is held against its digest alone, as it is for lists.
  const shape = earlier ? null : (known ?? null);
  const options = { path: [...path, 'records'], now: context.clock.now(), maxFutureMs: context.limits.maxFutureMs };
  const staged = { accountId, requestId: newId(context.clock.now()), maxMs: request.maxMs };
  const intake =
    kind === 'DELETE'
      ? selectorIntake(new SelectorReader(shape, options, issues), shape, request, staged)
      : recordIntake(new RecordReader(shape, options, issues), kind, request, staged, issues, context.known);
  const stager = createStager(context.db, staged, intake, issues, earlier === undefined);
  return {
    get count() {
      return intake.reader.count;
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
      await stager.settle();
      if (intake.reader.count === 0) {
        // No content at all, and so not told as other content under a repeated key.
        noRecords(path, issues);
        issues.throwIfAny();
      }
      if (kind === 'REPLACE' && issues.count === 0 && !earlier) {
        await checkStagedKeys(context.db, staged, options.path, issues);
      }
      // A repeated key with bad records is told as a conflict, which is for write() to say.
      if (!earlier) issues.throwIfAny();
      let content: Content | null = null;
      const read: ReadContent = (shapeNow, found) => {
        found.addAll(issues);
        intake.checkShape(shapeNow, found);
        content ??= intake.content(stager.batches);
        return content;
      };
      return write(context, kind, request, read);
    },
    close: () => stager.close(),
  };
};

/** What differs between records and selectors. */
interface Intake {
  readonly reader: RecordReader | SelectorReader;
  /** What was read since the last time, added to the digest; null where there is nothing. */
  take(): StagedColumns | null;
  /** Holds what was read against the stream as it is now, which may not be the one that it was read for. */
  checkShape(shape: StreamShape | null, issues: IssueCollector): void;
  content(batches: number): Content;
}

const recordIntake = (
  reader: RecordReader,
  kind: 'SUM' | 'REPLACE',
  request: BulkRequest,
  staged: StagedRequest,
  issues: IssueCollector,
  known: KnownStreams,
): Intake => {
  const digest = new ContentDigest(kind, request.stream);
  const sums = new BucketSums(MAX_SUMS);
  return {
    reader,
    take: () => {
      const records = reader.take();
      if (!records || records.buckets.length === 0) return null;
      digest.addRecords(records);
      // Of records that break a rule nothing is written.
      if (issues.count === 0) sums.add(records);
      return { ...records, firstIndex: records.indexes[0] ?? 0 };
    },
    checkShape: (shape, issues) => reader.checkShape(shape, issues),
    content: (batches) => ({
      digest: digest.finish(),
      recordCount: reader.count,
      shape: reader.shape,
      apply: async (tx, stream, operationId) => {
        checkComplete(await countBatches(tx, staged), batches);
        const counts = await takeOverRecords(tx, staged, stream, operationId, kind === 'REPLACE');
        if (counts.hiddenRecords > 0) await subtractHidden(tx, stream, operationId);
        const { columns } = sums;
        if (columns) {
          const filterIds = await resolveFilterIds(tx, stream, columns.filters, known);
          await addTotals(tx, stream, operationId, columns, filterIds);
        } else {
          await takeOverTotals(tx, staged, stream, operationId);
        }
        return counts;
      },
    }),
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
    take: () => {
      const firstIndex = reader.count - reader.pending.records;
      const selectors = reader.take();
      if (selectors.length === 0) return null;
      digest.addSelectors(selectors);
      for (const { filter, element } of selectors) {
        const form = { dimensions: filter?.entries.map((entry) => entry.dimension) ?? [], element: element !== null };
        forms.set(JSON.stringify(form), form);
      }
      return selectorColumns(selectors, firstIndex);
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
        const hiddenRecords = await hideStaged(tx, staged, stream, operationId, [...forms.values()]);
        if (hiddenRecords > 0) await subtractHidden(tx, stream, operationId);
        return { insertedRecords: 0, hiddenRecords };
      },
    }),
  };
};

const isSameShape = (a: StreamShape, b: StreamShape): boolean =>
  a.granularity === b.granularity && JSON.stringify(a.dimensions) === JSON.stringify(b.dimensions);

const selectorColumns = (selectors: readonly CanonicalSelector[], firstIndex: number): StagedColumns => {
  const filters = [...new Set(selectors.flatMap(({ filter }) => filter ?? []))];
  const places = new Map(filters.map((filter, index) => [filter, index]));
  return {
    firstIndex,
    filters,
    buckets: selectors.map(({ bucket }) => bucket),
    filterIndexes: selectors.map(({ filter }) => (filter ? (places.get(filter) ?? -1) : -1)),
    elements: selectors.map(({ element }) => element),
    values: [],
  };
};

const checkComplete = (found: number, sent: number): void => {
  if (found !== sent) throw new UnavailableError(`Of ${sent} staged batches ${found} are there.`);
};

/** Writes batches one at a time, and lets the next be read meanwhile. */
const createStager = (db: Db, staged: StagedRequest, intake: Intake, issues: IssueCollector, stages: boolean) => {
  let batches = 0;
  let writing: Promise<void> = Promise.resolve();
  return {
    get batches() {
      return batches;
    },
    stage: async (): Promise<void> => {
      const batch = intake.take();
      // Of what breaks a rule nothing will be written: the rest is read for its issues alone.
      if (!batch || !stages || issues.count > 0) return;
      await writing;
      writing = stageBatch(db, staged, batches, batch);
      // Whoever waits for it next hears of a failure.
      writing.catch(() => undefined);
      batches += 1;
    },
    settle: () => writing,
    close: async (): Promise<void> => {
      await writing.catch(() => undefined);
      if (batches > 0) await clearStaged(db, staged);
    },
  };
};
