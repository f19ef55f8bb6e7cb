import { ConflictError, LimitExceededError, NotFoundError, ValidationError } from '../errors.ts';
import { allocationDelete, allocationReplace, allocationSum, type Receipt } from '../streams/ingest.ts';
import {
  countStreams,
  deleteStream,
  findStream,
  type LiveRecord,
  listOperations,
  listRecords,
  listStreams,
  streamBounds,
} from '../streams/streams.ts';
import type { StreamRow } from '../streams/rows.ts';
import type { Builder } from './builder.ts';
import { bothWaysArgs, connectionOf, forwardArgs, toConnection } from './connections.ts';
import { accountOf, type GraphQLContext } from './context.ts';
import { encodeId } from './ids.ts';
import { readMoment } from './moments.ts';
import type { Refs } from './refs.ts';

interface RecordNode extends LiveRecord {
  readonly granularity: StreamRow['granularity'];
}

const READ = { anyOf: ['READ'] } as const;
const WRITE = { anyOf: ['INGEST'] } as const;
/** A receipt shows its stream and its operation to whoever may write. */
const READ_OR_WRITE = { anyOf: ['READ', 'INGEST'] } as const;

export const addStreams = (builder: Builder, refs: Refs): void => {
  const recordConnection = addRecords(builder, refs);
  addOperation(builder, refs);
  builder.objectType(refs.stream, {
    description:
      'A named series of allocation telemetry. Its first request fixes its granularity and its set of dimensions.',
    interfaces: [refs.node],
    isTypeOf: (value) => isStream(value),
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
        description: "Start of the oldest live record's bucket; null where there is none.",
        resolve: async (stream, _, { services }) => (await streamBounds(services.db, stream)).first,
      }),
      lastTimestamp: t.field({
        type: 'DateTime',
        nullable: true,
        authScopes: READ,
        description: "Start of the newest live record's bucket; null where there is none.",
        resolve: async (stream, _, { services }) => (await streamBounds(services.db, stream)).last,
      }),
      records: t.field({
        type: recordConnection,
        authScopes: READ,
        description: 'Live records, newest bucket first; none where the stream is deleted.',
        args: {
          ...forwardArgs(t.arg),
          from: t.arg({ type: 'DateTime', description: 'Only buckets that begin at this moment or later.' }),
          to: t.arg({ type: 'DateTime', description: 'Only buckets that begin before this moment.' }),
          elementName: t.arg.string({ description: 'Only this element.' }),
        },
        resolve: async (stream, { from, to, ...args }, { services }) => {
          const page = await listRecords(services.db, stream, {
            ...args,
            from: readMoment('from', from),
            to: readMoment('to', to),
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
        resolve: async (stream, args, { services }) =>
          toConnection(await listOperations(services.db, stream, args), (row) => [String(row.id)]),
      }),
    }),
  });
  addQueries(builder, refs);
  addMutations(builder, refs);
};

export const isStream = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && 'createdXid' in value;

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
          await listStreams(db, account, args),
          (row) => [row.name],
          () => countStreams(db, account, args.search),
        );
      },
    }),
  }));
};

const addMutations = (builder: Builder, refs: Refs): void => {
  const receipt = builder.objectRef<Receipt>('AllocationReceipt').implement({
    description: 'The receipt of a write. The records are durable when it is returned.',
    authScopes: WRITE,
    fields: (t) => ({
      operation: t.field({
        type: refs.operation,
        description: 'The entry in the ledger.',
        resolve: (one) => one.operation,
      }),
      stream: t.field({
        type: refs.stream,
        description: 'The stream, as it was when the write was taken in.',
        resolve: (one) => one.stream,
      }),
      replayed: t.exposeBoolean('replayed', {
        description: 'True where this is the stored answer to an earlier request with the same idempotency key.',
      }),
    }),
  });
  const recordInput = builder.inputType('AllocationRecordInput', {
    description: 'In this bucket of time, this element used this much of what the filter selects.',
    fields: (t) => ({
      timestamp: t.field({
        type: 'DateTime',
        required: true,
        description: 'Cut to the start of its hour, day or month in UTC. At most 24 hours in the future (a setting).',
      }),
      granularity: t.field({
        type: refs.granularity,
        required: true,
        description: "The stream's; the first request fixes it.",
      }),
      filter: t.field({
        type: [refs.dimensionFilterInput],
        required: true,
        defaultValue: [],
        description: "Exactly the stream's dimensions, each once, at most 5. An empty list selects everything.",
      }),
      elementName: t.string({
        required: true,
        description: 'Who used it: 1 to 256 characters, no control characters, kept as sent.',
      }),
      value: t.field({
        type: 'Decimal',
        required: true,
        description: '0 or more; at most 38 digits, at most 12 of them decimals.',
      }),
    }),
  });
  const selectorInput = builder.inputType('AllocationSelectorInput', {
    description: 'Matches live records: timestamp and granularity always, the rest where given.',
    fields: (t) => ({
      timestamp: t.field({ type: 'DateTime', required: true, description: 'Any moment of the bucket.' }),
      granularity: t.field({ type: refs.granularity, required: true, description: "The stream's." }),
      filter: t.field({
        type: [refs.dimensionFilterInput],
        description:
          'Compared dimension by dimension for those given, as sets of values. Left out, null or empty: every filter.',
      }),
      elementName: t.string({ description: 'Only this element; left out or null: every element.' }),
    }),
  });
  const idempotencyKey =
    'Of the account, 1 to 255 characters; never expires. The same key with the same content answers with the stored receipt and writes nothing twice; with other content it is a ConflictError.';
  const input = builder.inputType('AllocationInput', {
    description: 'Records for one stream; all are taken or none.',
    fields: (t) => ({
      stream: t.string({ required: true, description: 'The name; the stream is made where it is not there yet.' }),
      records: t.field({ type: [recordInput], required: true, description: '1 to 10,000 (a setting).' }),
      idempotencyKey: t.string({ description: idempotencyKey }),
    }),
  });
  const deleteInput = builder.inputType('AllocationDeleteInput', {
    description: 'Selectors of what to hide in one stream; all are taken or none.',
    fields: (t) => ({
      stream: t.string({ required: true, description: 'The name of a live stream.' }),
      records: t.field({ type: [selectorInput], required: true, description: '1 to 10,000 (a setting).' }),
      idempotencyKey: t.string({ description: idempotencyKey }),
    }),
  });
  const ingestContext = ({ services }: GraphQLContext) => ({
    db: services.db,
    clock: services.clock,
    limits: { maxFutureMs: services.limits.maxFutureMs },
  });
  const request = <Input>(
    context: GraphQLContext,
    given: { stream: string; records: readonly Input[]; idempotencyKey?: string | null | undefined },
  ) => ({
    ...given,
    accountId: accountOf(context),
    path: ['input'],
    maxRecords: context.services.limits.maxRecords,
  });
  const writeErrors = [ValidationError, ConflictError, LimitExceededError];
  builder.mutationFields((t) => ({
    allocationSum: t.field({
      type: receipt,
      authScopes: WRITE,
      description: 'Adds records: the live value of a bucket, filter and element is the exact sum of its live records.',
      args: { input: t.arg({ type: input, required: true, description: 'What to add.' }) },
      errors: {
        types: writeErrors,
        union: { name: 'AllocationSumResult', description: 'The receipt, or why nothing was written.' },
      },
      resolve: (_, args, context) => allocationSum(ingestContext(context), request(context, args.input)),
    }),
    allocationReplace: t.field({
      type: receipt,
      authScopes: WRITE,
      description:
        'Puts records in the place of what is live with the same bucket, filter and element; inserts where nothing is.',
      args: {
        input: t.arg({
          type: input,
          required: true,
          description: 'What to put in place. No key may stand in it twice.',
        }),
      },
      errors: {
        types: writeErrors,
        union: { name: 'AllocationReplaceResult', description: 'The receipt, or why nothing was written.' },
      },
      resolve: (_, args, context) => allocationReplace(ingestContext(context), request(context, args.input)),
    }),
    allocationDelete: t.field({
      type: receipt,
      authScopes: WRITE,
      description:
        'Hides all live records that match a selector. Matching nothing is a success that says 0; a sum afterwards starts from zero.',
      args: { input: t.arg({ type: deleteInput, required: true, description: 'What to hide.' }) },
      errors: {
        types: [ValidationError, NotFoundError, ConflictError, LimitExceededError],
        union: { name: 'AllocationDeleteResult', description: 'The receipt, or why nothing was written.' },
      },
      resolve: (_, args, context) => allocationDelete(ingestContext(context), request(context, args.input)),
    }),
    deleteStream: t.field({
      type: addDeletedStream(builder),
      authScopes: { anyOf: ['ADMIN'] },
      description:
        'Hides the whole stream and frees its name, e.g. to begin anew with other dimensions. The ledger stays in the store.',
      args: { name: t.arg.string({ required: true, description: 'The name of a live stream.' }) },
      errors: {
        types: [NotFoundError],
        union: { name: 'DeleteStreamResult', description: 'What was deleted, or that it is not there.' },
      },
      resolve: (_, { name }, context) => deleteStream(context.services, accountOf(context), name),
    }),
  }));
};

const addDeletedStream = (builder: Builder) =>
  builder.objectRef<StreamRow>('DeletedStream').implement({
    description: 'A stream that was just deleted; by its id it can still be read.',
    fields: (t) => ({
      id: t.id({ description: 'The id of the stream.', resolve: (stream) => encodeId('Stream', stream.id) }),
      name: t.exposeString('name', { description: 'The name, free again.' }),
    }),
  });
