import { type LiveRecord, listRecords } from '../../streams/list-records.ts';
import { countStreams, findStream, listOperations, listStreams } from '../../streams/streams.ts';
import type { StreamRow } from '../../streams/stream-rows.ts';
import type { Builder } from './builder.ts';
import { bothWaysArgs, connectionOf, forwardArgs, toConnection } from './connections.ts';
import { accountOf, paged } from './context.ts';
import { ONE_STATEMENT } from './field-costs.ts';
import { encodeId } from '../../db/public-ids.ts';
import { readBucketBound } from './timestamp-arguments.ts';
import type { Refs } from './refs.ts';

interface RecordNode extends LiveRecord {
  readonly granularity: StreamRow['granularity'];
}

const READ = { anyOf: ['READ'] } as const;
/** A receipt shows its stream and its operation to whoever may write. */
const READ_OR_WRITE = { anyOf: ['READ', 'INGEST'] } as const;

export const addStreams = (builder: Builder, refs: Refs): void => {
  const recordConnection = addRecords(builder, refs);
  addOperation(builder, refs);
  builder.objectType(refs.stream, {
    description:
      'A named series of allocation telemetry. Its first request fixes its granularity and its set of dimensions.',
    interfaces: [refs.node],
    isTypeOf: (value) => typeof value === 'object' && value !== null && 'createdXid' in value,
    authScopes: READ_OR_WRITE,
    fields: (t) => ({
      id: t.id({ description: 'Opaque, stable, safe in a URL.', resolve: (stream) => encodeId('Stream', stream.id) }),
      name: t.exposeString('name', {
        description:
          'Given by the user: 1 to 256 characters out of `A-Z a-z 0-9 _ . -`, unique among live streams of the account, case-sensitive.',
      }),
      granularity: t.field({
        type: refs.granularity,
        description: 'How long its buckets are.',
        resolve: (stream) => stream.granularity,
      }),
      dimensions: t.stringList({
        description: 'The set that every record of the stream filters on; at most 5.',
        resolve: (stream) => stream.dimensions,
      }),
      createdAt: t.field({
        type: 'DateTime',
        description: 'When its first request was accepted.',
        resolve: (stream) => stream.createdAt,
      }),
      deletedAt: t.field({
        type: 'DateTime',
        nullable: true,
        description: 'When deleteStream hid it; null while it is live. A deleted stream is reached by its id.',
        resolve: (stream) => stream.deletedAt,
      }),
      firstTimestamp: t.field({
        type: 'DateTime',
        nullable: true,
        authScopes: READ,
        ...ONE_STATEMENT,
        description: "Start of the oldest live record's bucket; null where there is none.",
        resolve: async (stream, _, { loaders }) => (await loaders.streamBounds.load(stream)).first,
      }),
      lastTimestamp: t.field({
        type: 'DateTime',
        nullable: true,
        authScopes: READ,
        ...ONE_STATEMENT,
        description: "Start of the newest live record's bucket; null where there is none.",
        resolve: async (stream, _, { loaders }) => (await loaders.streamBounds.load(stream)).last,
      }),
      records: t.field({
        type: recordConnection,
        authScopes: READ,
        description: 'Live records, newest bucket first; none where the stream is deleted.',
        args: {
          ...forwardArgs(t.arg),
          from: t.arg({
            type: 'DateTime',
            description:
              'Only buckets that start at this time or later. HOURLY: an instant. DAILY and MONTHLY: the date and time as written, regardless of the offset.',
          }),
          to: t.arg({ type: 'DateTime', description: 'Only buckets that start before this time, read as from is.' }),
          elementName: t.arg.string({ description: 'Only this element.' }),
        },
        resolve: async (stream, { from, to, ...args }, context) => {
          context.services.keyHasher.note(stream);
          const page = await listRecords(context.services.db, stream, {
            ...paged(context, args),
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
        description: 'The ledger, newest first.',
        args: forwardArgs(t.arg),
        resolve: async (stream, args, context) =>
          toConnection(await listOperations(context.services.db, stream, paged(context, args)), (row) => [
            String(row.id),
          ]),
      }),
    }),
  });
  addQueries(builder, refs);
};

const addRecords = (builder: Builder, refs: Refs) => {
  const record = builder.objectRef<RecordNode>('AllocationRecord').implement({
    description: 'The live value of one bucket, filter and element: what all its sums add up to.',
    authScopes: READ,
    fields: (t) => ({
      timestamp: t.field({
        type: 'DateTime',
        description: 'The start of the bucket, in UTC.',
        resolve: (row) => row.bucketStart,
      }),
      granularity: t.field({ type: refs.granularity, description: "The stream's.", resolve: (row) => row.granularity }),
      filter: t.field({
        type: [refs.dimensionFilter],
        description:
          'Which cost lines it selects: dimensions combine with AND, values of one with OR; an empty list selects everything.',
        resolve: (row) => [...row.filter],
      }),
      elementName: t.exposeString('element', { description: 'Who used it: a customer, a team, a product.' }),
      value: t.field({
        type: 'Decimal',
        description: 'The exact sum of its live records.',
        resolve: (row) => row.value,
      }),
    }),
  });
  return connectionOf(builder, refs.pageInfo, record, {
    name: 'AllocationRecord',
    description: 'Live records, newest bucket first.',
    counted: false,
  });
};

const addOperation = (builder: Builder, refs: Refs): void => {
  const kind = builder.enumType('OperationKind', {
    description: 'What a write did.',
    values: {
      SUM: { description: 'Added records beside what was there.' },
      REPLACE: { description: 'Put records in the place of those with the same keys.' },
      DELETE: { description: 'Hid records.' },
      DELETE_STREAM: { description: 'Hid the whole stream.' },
    } as const,
  });
  builder.objectType(refs.operation, {
    description: 'One accepted write to a stream: an entry of its ledger.',
    interfaces: [refs.node],
    isTypeOf: (value) => typeof value === 'object' && value !== null && 'contentSha256' in value,
    authScopes: READ_OR_WRITE,
    fields: (t) => ({
      id: t.id({
        description: 'Opaque, stable, safe in a URL.',
        resolve: (operation) => encodeId('AllocationOperation', operation.id),
      }),
      kind: t.field({ type: kind, description: 'What it did.', resolve: (operation) => operation.kind }),
      stream: t.field({
        type: refs.stream,
        description: 'The stream it was written to.',
        resolve: async (operation, _, { loaders }) => {
          const stream = await loaders.streams.load(operation.streamId);
          if (!stream) throw new Error(`Operation ${operation.id} has no stream.`);
          return stream;
        },
      }),
      receivedAt: t.field({
        type: 'DateTime',
        description: 'When the server took it in.',
        resolve: (operation) => operation.receivedAt,
      }),
      insertedRecords: t.field({
        type: 'SafeInt',
        description: 'Records inserted.',
        resolve: (operation) => operation.insertedRecords,
      }),
      hiddenRecords: t.field({
        type: 'SafeInt',
        description: 'Earlier records that this write hid (soft delete).',
        resolve: (operation) => operation.hiddenRecords,
      }),
      idempotencyKey: t.exposeString('idempotencyKey', { nullable: true, description: 'As sent, or null.' }),
    }),
  });
};

const addQueries = (builder: Builder, refs: Refs): void => {
  builder.queryFields((t) => ({
    stream: t.field({
      type: refs.stream,
      nullable: true,
      authScopes: READ,
      description: 'The live stream of this name, or null.',
      args: { name: t.arg.string({ required: true, description: 'The name, exactly.' }) },
      resolve: async (_, { name }, context) =>
        (await findStream(context.services.db, accountOf(context), name)) ?? null,
    }),
    streams: t.field({
      type: refs.streamConnection,
      authScopes: READ,
      description: 'Live streams by name.',
      args: {
        ...bothWaysArgs(t.arg),
        search: t.arg.string({ description: 'Only names that contain this text, in any case.' }),
      },
      resolve: async (_, args, context) => {
        const { db } = context.services;
        const account = accountOf(context);
        return toConnection(
          await listStreams(db, account, paged(context, args)),
          (row) => [row.name],
          () => countStreams(db, account, args.search),
        );
      },
    }),
  }));
};
