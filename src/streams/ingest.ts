import { IssueCollector, LimitExceededError } from '../errors/errors.ts';
import { yieldToEventLoop, RECORDS_PER_TICK } from '../lib/event-loop.ts';
import { encodeBatch } from './pipeline/encode-batch.ts';
import { BucketAggregator, type BucketTotals } from './pipeline/bucket-aggregator.ts';
import type { ReaderOptions } from './pipeline/canonical.ts';
import { ContentDigest } from './pipeline/content-digest.ts';
import type { MalformedRecord, RecordInput, SelectorInput } from './pipeline/inputs.ts';
import { hideReplaced, hideSelected } from './sql/hide-records.ts';
import { insertRecords, resolveFilterIds } from './sql/ledger.ts';
import { type CanonicalRecords, validateDistinctKeys, RecordReader } from './pipeline/records.ts';
import { SelectorReader, extractWholeKeys } from './pipeline/selectors.ts';
import { MAX_SMALL_RECORDS } from './group-commit/write-group.ts';
import { addTotals, subtractHidden } from './totals/totals.ts';
import {
  validateTarget,
  type IngestContext,
  reportEmptyRequest,
  type ReadContent,
  type Receipt,
  type WriteTarget,
} from './write-plan.ts';
import { write } from './write.ts';

// Writes whose records came as a list, all of it in memory.

export interface IngestRequest<Input> extends WriteTarget {
  readonly records: readonly (Input | MalformedRecord)[];
  /** At most so many records; left out where another limit (the size of the body) holds. */
  readonly maxRecords?: number;
  /** What other parts of the same request brought, which counts too. */
  readonly recordsBefore?: number;
}

/** Adds records beside what is there; the live value of a key is the sum of its live records. */
export const allocationSum = (context: IngestContext, request: IngestRequest<RecordInput>): Promise<Receipt> =>
  writeList(context, 'SUM', request, readRecords(context, 'SUM', request));

/** Hides everything live that a record's bucket, filter and element match, then inserts. */
export const allocationReplace = (context: IngestContext, request: IngestRequest<RecordInput>): Promise<Receipt> =>
  writeList(context, 'REPLACE', request, readRecords(context, 'REPLACE', request));

/** Hides all live records that a selector matches. */
export const allocationDelete = (context: IngestContext, request: IngestRequest<SelectorInput>): Promise<Receipt> =>
  writeList(context, 'DELETE', request, async (shape, issues, now) => {
    const reader = new SelectorReader(shape, checkOptions(context, request, now), issues);
    await readAll(reader, request.records);
    const selectors = reader.take();
    return {
      digest: new ContentDigest('DELETE', request.stream).addSelectors(selectors).finish(),
      recordCount: 0,
      shape: null,
      small: isSmall(request) && shape ? extractWholeKeys(selectors, shape) : null,
      apply: async (tx, stream, operationId) => {
        const hiddenRecords = await hideSelected(tx, stream, operationId, selectors);
        if (hiddenRecords > 0) await subtractHidden(tx, stream, [operationId]);
        return { insertedRecords: 0, hiddenRecords };
      },
    };
  });

const readAll = async <Input>(reader: { read(input: Input): void }, inputs: readonly Input[]): Promise<void> => {
  let read = 0;
  for (const input of inputs) {
    if (read > 0 && read % RECORDS_PER_TICK === 0) await yieldToEventLoop();
    reader.read(input);
    read += 1;
  }
};

const writeList = (
  context: IngestContext,
  kind: 'SUM' | 'REPLACE' | 'DELETE',
  request: IngestRequest<unknown>,
  read: ReadContent,
): Promise<Receipt> => {
  checkRequest(request);
  return write(context, kind, { ...request, isSmall: isSmall(request) }, read);
};

const isSmall = ({ records }: IngestRequest<unknown>): boolean => records.length <= MAX_SMALL_RECORDS;

const sumsOf = (records: CanonicalRecords): BucketTotals => {
  const { columns } = new BucketAggregator().add(records);
  if (!columns) throw new Error('Sums without a limit went beyond it.');
  return columns;
};

const checkRequest = (request: IngestRequest<unknown>): void => {
  const { path, maxRecords, records } = request;
  const count = (request.recordsBefore ?? 0) + records.length;
  if (maxRecords !== undefined && count > maxRecords) {
    throw new LimitExceededError(
      `A request takes at most ${maxRecords} records; this one has ${count}. Send it in parts.`,
      maxRecords,
      count,
    );
  }
  const issues = new IssueCollector();
  validateTarget(request, issues);
  if (records.length === 0) reportEmptyRequest(path, issues);
  issues.throwIfAny();
};

const checkOptions = (context: IngestContext, { path }: WriteTarget, now: Date): ReaderOptions => ({
  path: [...path, 'records'],
  now,
  maxFutureMs: context.limits.maxFutureMs,
});

const readRecords =
  (context: IngestContext, kind: 'SUM' | 'REPLACE', request: IngestRequest<RecordInput>): ReadContent =>
  async (shape, issues, now) => {
    const options = checkOptions(context, request, now);
    const reader = new RecordReader(shape, options, issues);
    await readAll(reader, request.records);
    const read = request.records.length;
    const records = reader.take();
    if (!records) return null;
    if (kind === 'REPLACE') validateDistinctKeys(records, options.path, issues);
    if (issues.count > 0) return null;
    if (read > RECORDS_PER_TICK) await yieldToEventLoop();
    const digest = new ContentDigest(kind, request.stream).addRecords(records).finish();
    const small = isSmall(request) ? records : null;
    if (read > RECORDS_PER_TICK) await yieldToEventLoop();
    // Of small ones those of a batch are summed together.
    const sums = small ? null : sumsOf(records);
    return {
      digest,
      recordCount: records.elements.length,
      shape: records,
      small,
      apply: async (tx, stream, operationId) => {
        const { streamCache } = context;
        const filterIds = await resolveFilterIds(tx, stream, records.filters, streamCache);
        const hiddenRecords = kind === 'REPLACE' ? await hideReplaced(tx, stream, operationId, records, filterIds) : 0;
        if (hiddenRecords > 0) await subtractHidden(tx, stream, [operationId]);
        const [insertedRecords] = await Promise.all([
          insertRecords(tx, stream, operationId, encodeBatch(records), filterIds),
          addTotals(tx, stream, operationId, sums ?? sumsOf(records), filterIds, hiddenRecords > 0),
        ]);
        const onCommitted = () => streamCache.setFilterIds(stream.id, records.filters, filterIds);
        return { hiddenRecords, insertedRecords, onCommitted };
      },
    };
  };
