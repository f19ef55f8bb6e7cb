import { IssueCollector } from '../errors/errors.ts';
import { newId } from '../lib/ids.ts';
import {
  type IngestContext,
  type Receipt,
  validateCount,
  validateScope,
  validateTarget,
  type WriteTarget,
} from './ingest-request.ts';
import { type Collector, createRecordCollector, createSelectorCollector } from './pipeline/collectors.ts';
import type { MalformedRecord, RecordInput, SelectorInput, WriteKind } from './pipeline/inputs.ts';
import type { IntakeBuffer } from './pipeline/intake-buffer.ts';
import { RecordReader } from './pipeline/records.ts';
import { type ScopeInput, ScopeReader } from './pipeline/scope.ts';
import { SelectorReader } from './pipeline/selectors.ts';
import { createSpillWriter } from './staging/spill-writer.ts';
import { validateStagedKeys } from './staging/staging-table.ts';
import { findOperationByKey, findShapeForReplay, findStream, streamNotFound } from './streams.ts';
import { write } from './write.ts';

// Writes any number of records that arrive one by one: all of them or none. Until the last one has arrived, the records of a sum wait in
// memory while the intake buffer has space, and all others wait in a staging table. The transaction that writes them is the first to lock
// the stream.

export interface BulkRequest extends WriteTarget {
  readonly kind: WriteKind;
  readonly scope?: ScopeInput | null | undefined;
  /** Timeout of a statement over all records, in milliseconds. */
  readonly maxMs: number;
}

export interface BulkContext extends IngestContext {
  readonly intakeBuffer: IntakeBuffer;
}

export interface BulkIngest {
  /** Number of records or selectors added. */
  readonly count: number;
  /** Approximate bytes in memory, without those that INTAKE_HELD_BYTES limits. */
  readonly heldBytes: number;
  readonly issueCount: number;
  /** Validates and adds a record, or a selector for a delete. */
  add(input: RecordInput | SelectorInput | MalformedRecord): void;
  /** Buffers or stages what was added if it fills a batch. Waits until the batch before it is staged. */
  spill(): Promise<void>;
  /** Writes everything that was added, or throws and writes nothing. */
  finish(): Promise<Receipt>;
  /** Discards what is buffered and staged. Must be called in every case. */
  close(): Promise<void>;
}

/** With 2,000 records per batch, throughput was a seventh lower. */
const BATCH_RECORDS = 4000;
const BATCH_CHARACTERS = 1_000_000;

/** Starts a write. Throws ValidationError or NotFoundError if the request fails regardless of its records. */
export async function startBulkIngest(context: BulkContext, request: BulkRequest): Promise<BulkIngest> {
  const { db, clock, limits } = context;
  const { accountId, idempotencyKey, kind, path } = request;
  const issues = new IssueCollector();
  validateTarget(request, issues);
  validateScope(request, issues);
  issues.throwIfAny();
  const stream = await findStream(db, accountId, request.stream);
  const earlier = idempotencyKey == null ? undefined : await findOperationByKey(db, accountId, idempotencyKey);
  if (kind === 'DELETE' && !stream && !earlier) throw streamNotFound(request.stream);

  const shape = (earlier ? await findShapeForReplay(db, earlier, request) : stream) ?? null;
  const options = { path: [...path, 'records'], now: clock.now(), maxFutureMs: limits.maxFutureMs };
  const staged = { accountId, requestId: newId(clock.now()), maxMs: request.maxMs };
  const collector =
    kind === 'DELETE'
      ? createSelectorCollector(new SelectorReader(shape, options, issues), request.stream, shape)
      : createRecordCollector(
          new RecordReader(shape, options, issues),
          kind,
          request.stream,
          issues,
          request.scope ? new ScopeReader(request.scope, path, issues) : null,
        );
  const { reader } = collector;
  const buffer = context.intakeBuffer.open();
  const writer = createSpillWriter(db, staged, collector, issues, earlier === undefined, buffer);
  return {
    get count() {
      return reader.count;
    },
    get heldBytes() {
      // 2 bytes per character in UTF-16.
      return 2 * reader.pending.characters + writer.stagingBytes + collector.totalsBytes;
    },
    get issueCount() {
      return issues.count;
    },
    add: (input) => reader.read(input as never),
    spill: async () => {
      const { records, characters } = reader.pending;
      if (records >= BATCH_RECORDS || characters >= BATCH_CHARACTERS) await writer.spill();
    },
    finish: async () => {
      await writer.spill();
      await writer.flush();
      // Checked before the idempotency key: an empty request has no content to compare.
      if (reader.count === 0) {
        validateCount(request, reader.count, issues);
        issues.throwIfAny();
      }
      // Issues of a request with a used idempotency key are a conflict, which write() throws.
      if (!earlier) {
        if (kind === 'REPLACE' && issues.count === 0) await validateStagedKeys(db, staged, options.path, issues);
        issues.throwIfAny();
      }
      const content = { request: staged, batches: writer.batches, rows: reader.count };
      const plan = collector.plan(content, buffer.batches);
      const validateShape: Collector['validateShape'] = (now, found) => collector.validateShape(now, found);
      return write(context, { ...request, collected: { plan, issues, validateShape } });
    },
    close: () => writer.close(),
  };
}
