import type { StoredScope } from '../../db/json-columns.ts';
import { BadUserInputError, ValidationError } from '../../errors/errors.ts';
import { type LiveRecord, listRecords } from '../../streams/list-records.ts';
import { type LedgerMoment, type LedgerMomentInput, readMoment } from '../../streams/ledger-moment.ts';
import { countStreams, findStream, listOperations, listStreams } from '../../streams/streams.ts';
import type { StreamRow } from '../../streams/stream-rows.ts';
import type { Builder } from './builder.ts';
import { definePageArgs, addConnection, defineForwardArgs, toConnection } from './connections.ts';
import { accountOf, limitPage } from './context.ts';
import { GLOBAL_ID, SEARCH } from './descriptions.ts';
import { ONE_STATEMENT } from './field-costs.ts';
import { encodeGlobalId } from '../../lib/global-ids.ts';
import { readBucketBound } from './timestamp-arguments.ts';
import type { Refs } from './refs.ts';

interface RecordNode extends LiveRecord {
  readonly granularity: StreamRow['granularity'];
}

const READ = { anyOf: ['READ'] } as const;
/** A receipt contains stream and operation, so the scope to write is sufficient. */
const READ_OR_WRITE = { anyOf: ['READ', 'INGEST'] } as const;

export function addStreams(builder: Builder, refs: Refs): void {
  const recordConnection = addRecords(builder, refs);
  addOperation(builder, refs);
  builder.objectType(refs.stream, {
    description: 'Named series of allocation telemetry. Its first request sets its granularity and its dimensions.',
    interfaces: [refs.node],
    isTypeOf: (value) => typeof value === 'object' && value !== null && 'createdXid' in value,
    authScopes: READ_OR_WRITE,
    fields: (t) => ({
      id: t.id({ description: GLOBAL_ID, resolve: (stream) => encodeGlobalId('Stream', stream.id) }),
      name: t.exposeString('name', {
        description:
          'Name that the first request gave the stream: 1 to 256 characters out of `A-Z a-z 0-9 _ . -`. Case-sensitive, and unique among the live streams of the account.',
      }),
      granularity: t.expose('granularity', {
        type: refs.granularity,
        description: 'Length of the time buckets of the stream.',
      }),
      dimensions: t.exposeStringList('dimensions', {
        description: 'Dimensions of the stream, up to 5. The filter of each record has exactly these.',
      }),
      createdAt: t.expose('createdAt', {
        type: 'DateTime',
        description: 'Time at which the first request to the stream was accepted.',
      }),
      deletedAt: t.expose('deletedAt', {
        type: 'DateTime',
        nullable: true,
        description:
          'Time at which deleteStream hid the stream. Null if the stream is live. A deleted stream can be read by its id only.',
      }),
      firstTimestamp: t.field({
        type: 'DateTime',
        nullable: true,
        authScopes: READ,
        ...ONE_STATEMENT,
        description: 'Start of the oldest bucket with a live record. Null if the stream has none.',
        resolve: async (stream, _, { loaders }) => (await loaders.loadStreamBounds.load(stream)).first,
      }),
      lastTimestamp: t.field({
        type: 'DateTime',
        nullable: true,
        authScopes: READ,
        ...ONE_STATEMENT,
        description: 'Start of the newest bucket with a live record. Null if the stream has none.',
        resolve: async (stream, _, { loaders }) => (await loaders.loadStreamBounds.load(stream)).last,
      }),
      completeThrough: t.field({
        type: 'DateTime',
        nullable: true,
        authScopes: READ,
        ...ONE_STATEMENT,
        description:
          'Greatest instant that declareComplete stated: every record of every bucket that ends by then was sent. Null if the stream was never declared.',
        resolve: async (stream, _, { loaders }) =>
          (await loaders.streamActivity.load(stream.id))?.completeThrough ?? null,
      }),
      lastOperationAt: t.field({
        type: 'DateTime',
        nullable: true,
        authScopes: READ,
        ...ONE_STATEMENT,
        description: 'Time at which the server accepted the newest operation.',
        resolve: async (stream, _, { loaders }) =>
          (await loaders.streamActivity.load(stream.id))?.lastOperationAt ?? null,
      }),
      records: t.field({
        type: recordConnection,
        authScopes: READ,
        description:
          'Live records, newest bucket first. Empty if the stream is deleted. If the state of `asOf` does not exist or cannot be read, the error is a top-level one: NOT_FOUND, CONFLICT, HISTORY_GONE or TOO_RECENT.',
        args: {
          ...defineForwardArgs(t.arg),
          from: t.arg({
            type: 'DateTime',
            description:
              'Earliest start of a bucket, inclusive. HOURLY: an instant. DAILY and MONTHLY: the date and time as written, regardless of the offset. Unlimited if omitted or null.',
          }),
          to: t.arg({
            type: 'DateTime',
            description: 'Latest start of a bucket, exclusive; read like `from`. Unlimited if omitted or null.',
          }),
          elementName: t.arg.string({ description: 'Element of the records. Every element if omitted or null.' }),
          asOf: t.arg({
            type: refs.ledgerMomentInput,
            description: 'Earlier state of the ledger to read. The current state if omitted or null.',
          }),
        },
        resolve: async (stream, { from, to, asOf, ...args }, context) => {
          context.services.keyHasher.enqueue(stream);
          const page = await listRecords(context.services.db, stream, {
            ...limitPage(context, args),
            asOf: readAsOfArgument(asOf, context.services.clock.now()),
            from: readBucketBound('from', from, stream.granularity),
            to: readBucketBound('to', to, stream.granularity),
          });
          const rows = page.rows.map((row) => ({ ...row, granularity: stream.granularity }));
          return toConnection<RecordNode>({ ...page, rows }, (row) => row.key);
        },
      }),
      operations: t.field({
        type: refs.operationConnection,
        authScopes: READ,
        description: 'Ledger of the stream: its accepted writes, newest first.',
        args: defineForwardArgs(t.arg),
        resolve: async (stream, args, context) =>
          toConnection(await listOperations(context.services.db, stream, limitPage(context, args)), (row) => [
            String(row.id),
          ]),
      }),
    }),
  });
  addQueries(builder, refs);
}

function readAsOfArgument(asOf: LedgerMomentInput | null | undefined, now: Date): LedgerMoment | null {
  try {
    return readMoment(asOf, now, ['asOf']);
  } catch (error) {
    throw error instanceof ValidationError ? new BadUserInputError(`asOf.time: ${error.message}`) : error;
  }
}

function addRecords(builder: Builder, refs: Refs) {
  const record = builder.objectRef<RecordNode>('AllocationRecord').implement({
    description: 'Live value of one bucket, filter and element.',
    authScopes: READ,
    fields: (t) => ({
      timestamp: t.field({
        type: 'DateTime',
        description: 'Start of the bucket, in UTC.',
        resolve: (row) => row.bucketStart,
      }),
      granularity: t.expose('granularity', { type: refs.granularity, description: 'Granularity of the stream.' }),
      filter: t.expose('filter', {
        type: [refs.dimensionFilter],
        description:
          'Cost lines that the usage belongs to. Dimensions combine with AND, the values of one dimension with OR. An empty list selects everything.',
      }),
      elementName: t.exposeString('element', {
        description: 'Element: the customer, team or product that used something.',
      }),
      value: t.expose('value', {
        type: 'Decimal',
        description: 'Exact sum of the live records with this bucket, filter and element.',
      }),
    }),
  });
  return addConnection(builder, refs.pageInfo, record, {
    name: 'AllocationRecord',
    description: 'Page of live records, newest bucket first.',
    counted: false,
  });
}

function addOperation(builder: Builder, refs: Refs): void {
  const kind = builder.enumType('OperationKind', {
    description: 'Kind of a write.',
    values: {
      SUM: { description: 'Added records. Earlier ones remain live.' },
      REPLACE: {
        description:
          'Added records and hid the live ones with the same bucket, filter and element, or those in its scope.',
      },
      DELETE: { description: 'Hid the records that its selectors match.' },
      DELETE_STREAM: { description: 'Hid the stream and all its records.' },
      REVERT: { description: 'Undid another operation: hid what it inserted, and inserted what it hid again.' },
      COMPLETE: { description: 'Declared the stream complete through an instant.' },
    } as const,
  });
  const scope = builder.objectRef<StoredScope>('ReplaceScope').implement({
    description: 'Buckets, and optionally the filter and the element, whose live records a replace hid.',
    authScopes: READ_OR_WRITE,
    fields: (t) => ({
      from: t.field({
        type: 'DateTime',
        description: 'Start of the scope, inclusive.',
        resolve: ({ from }) => new Date(from),
      }),
      to: t.field({ type: 'DateTime', description: 'End of the scope, exclusive.', resolve: ({ to }) => new Date(to) }),
      filter: t.expose('filter', {
        type: [refs.dimensionFilter],
        nullable: true,
        description: 'Dimensions that were matched. Null if every filter was.',
      }),
      elementName: t.exposeString('elementName', {
        nullable: true,
        description: 'Element that was matched. Null if every element was.',
      }),
    }),
  });
  builder.objectType(refs.operation, {
    description: 'Accepted write to a stream: an entry of its ledger.',
    interfaces: [refs.node],
    isTypeOf: (value) => typeof value === 'object' && value !== null && 'contentSha256' in value,
    authScopes: READ_OR_WRITE,
    fields: (t) => ({
      id: t.id({
        description: GLOBAL_ID,
        resolve: (operation) => encodeGlobalId('AllocationOperation', operation.id),
      }),
      kind: t.expose('kind', { type: kind, description: 'Kind of the write.' }),
      stream: t.field({
        type: refs.stream,
        description: 'Stream that was written to.',
        resolve: async (operation, _, { loaders }) => {
          const stream = await loaders.streams.load(operation.streamId);
          if (!stream) throw new Error(`Operation ${operation.id} has no stream.`);
          return stream;
        },
      }),
      receivedAt: t.expose('receivedAt', {
        type: 'DateTime',
        description: 'Time at which the server accepted the write.',
      }),
      insertedRecords: t.expose('insertedRecords', {
        type: 'SafeInt',
        description: 'Number of records that the write added.',
      }),
      hiddenRecords: t.expose('hiddenRecords', {
        type: 'SafeInt',
        description: 'Number of earlier records that the write hid (soft delete).',
      }),
      idempotencyKey: t.exposeString('idempotencyKey', {
        nullable: true,
        description: 'Idempotency key of the request. Null if it had none.',
      }),
      firstTimestamp: t.expose('firstBucket', {
        type: 'DateTime',
        nullable: true,
        description:
          'Start of the first bucket that the operation may have touched. Null if it is unknown, and for DELETE_STREAM and COMPLETE.',
      }),
      lastTimestamp: t.expose('lastBucket', {
        type: 'DateTime',
        nullable: true,
        description:
          'Start of the last bucket that the operation may have touched. Null if it is unknown, and for DELETE_STREAM and COMPLETE.',
      }),
      completeThrough: t.expose('completeThrough', {
        type: 'DateTime',
        nullable: true,
        description: 'Instant that this COMPLETE declared, at the granularity of the stream. Null for other kinds.',
      }),
      reverts: t.field({
        type: refs.operation,
        nullable: true,
        description: 'Operation that this REVERT undid. Null for other kinds.',
        resolve: (operation, _, { loaders }) =>
          operation.reverts === null ? null : loaders.operations.load(operation.reverts),
      }),
      scope: t.expose('scope', {
        type: scope,
        nullable: true,
        description: 'Scope of a replace. Null if the operation had none.',
      }),
    }),
  });
}

function addQueries(builder: Builder, refs: Refs): void {
  builder.queryFields((t) => ({
    stream: t.field({
      type: refs.stream,
      nullable: true,
      authScopes: READ,
      description: 'Live stream with this name. Null if the account has none.',
      args: { name: t.arg.string({ required: true, description: 'Name of the stream, case-sensitive.' }) },
      resolve: async (_, { name }, context) =>
        (await findStream(context.services.db, accountOf(context), name)) ?? null,
    }),
    streams: t.field({
      type: refs.streamConnection,
      authScopes: READ,
      description: 'Live streams, sorted by name.',
      args: {
        ...definePageArgs(t.arg),
        search: t.arg.string({ description: SEARCH }),
      },
      resolve: async (_, args, context) => {
        const { db } = context.services;
        const account = accountOf(context);
        return toConnection(
          await listStreams(db, account, limitPage(context, args)),
          (row) => [row.name],
          () => countStreams(db, account, args.search),
        );
      },
    }),
  }));
}
