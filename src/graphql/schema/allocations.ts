import { ConflictError, LimitExceededError, NotFoundError, ValidationError } from '../../errors/errors.ts';
import { allocationDelete, allocationReplace, allocationSum } from '../../streams/ingest.ts';
import type { StreamRow } from '../../streams/stream-rows.ts';
import { deleteStream } from '../../streams/streams.ts';
import type { Receipt } from '../../streams/write-plan.ts';
import type { Builder } from './builder.ts';
import { accountOf, countIntake, type GraphQLContext } from './context.ts';
import { encodeId } from '../../db/public-ids.ts';
import type { Refs } from './refs.ts';

const WRITE = { anyOf: ['INGEST'] } as const;

/** The writes to streams and their receipts. */
export const addAllocations = (builder: Builder, refs: Refs): void => {
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
        description:
          'Any time of the bucket. HOURLY: the hour in UTC. DAILY and MONTHLY: the date or month as written, in its own offset. The bucket starts at most 24 hours from now (`MAX_FUTURE_HOURS`).',
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
        description: '0 or more; at most 38 significant digits, at most 30 decimals.',
      }),
    }),
  });
  const selectorInput = builder.inputType('AllocationSelectorInput', {
    description: 'Matches live records: timestamp and granularity always, the rest where given.',
    fields: (t) => ({
      timestamp: t.field({
        type: 'DateTime',
        required: true,
        description: 'Any time of the bucket, as in AllocationRecordInput.',
      }),
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
      records: t.field({
        type: [recordInput],
        required: true,
        description: '1 to 10,000 (a setting), those of all fields of the request counted together.',
      }),
      idempotencyKey: t.string({ description: idempotencyKey }),
    }),
  });
  const deleteInput = builder.inputType('AllocationDeleteInput', {
    description: 'Selectors of what to hide in one stream; all are taken or none.',
    fields: (t) => ({
      stream: t.string({ required: true, description: 'The name of a live stream.' }),
      records: t.field({
        type: [selectorInput],
        required: true,
        description: '1 to 10,000 (a setting), those of all fields of the request counted together.',
      }),
      idempotencyKey: t.string({ description: idempotencyKey }),
    }),
  });
  const ingestContext = ({ services, ended }: GraphQLContext) => ({
    db: services.db,
    clock: services.clock,
    limits: { maxFutureMs: services.limits.maxFutureMs },
    known: services.known,
    batches: services.batches,
    streamQueue: services.streamQueue,
    ended,
    onWritten: services.onWritten,
  });
  const request = <Input>(
    context: GraphQLContext,
    given: { stream: string; records: readonly Input[]; idempotencyKey?: string | null | undefined },
  ) => {
    const { records, services } = context;
    countIntake(context, given.records.length);
    const recordsBefore = records.count;
    records.count += given.records.length;
    return {
      ...given,
      accountId: accountOf(context),
      path: ['input'],
      maxRecords: services.limits.maxRecords,
      recordsBefore,
    };
  };
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
      resolve: (_, { name }, context) =>
        deleteStream({ ...context.services, ended: context.ended }, accountOf(context), name),
    }),
  }));
};

const addDeletedStream = (builder: Builder) =>
  builder.objectRef<StreamRow>('DeletedStream').implement({
    description: 'A stream that was just deleted; by its id it can still be read.',
    fields: (t) => ({
      // A global id under the name `id` would make normalized caches store this object over the Stream.
      deletedId: t.id({
        description: 'The id of the deleted stream.',
        resolve: (stream) => encodeId('Stream', stream.id),
      }),
      name: t.exposeString('name', { description: 'The name, free again.' }),
    }),
  });
