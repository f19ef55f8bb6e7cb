import { ConflictError, LimitExceededError, NotFoundError, ValidationError } from '../../errors/errors.ts';
import { ingest, type IngestRequest } from '../../streams/ingest.ts';
import type { ListContent } from '../../streams/pipeline/plan.ts';
import type { StreamRow } from '../../streams/stream-rows.ts';
import { deleteStream } from '../../streams/streams.ts';
import { type IngestContext, listInput, type Receipt } from '../../streams/ingest-request.ts';
import { declareAndRelease } from '../../runs/release-runs.ts';
import { revertOperation } from '../../streams/revert.ts';
import type { RecordInput, SelectorInput } from '../../streams/pipeline/inputs.ts';
import type { Builder } from './builder.ts';
import { accountOf, countIntake, type GraphQLContext } from './context.ts';
import { encodeGlobalId, parseBigintId, parseGlobalId } from '../../lib/global-ids.ts';
import type { Refs } from './refs.ts';

const WRITE = { anyOf: ['INGEST'] } as const;
const WRITE_RESULT = 'Receipt of the write, or the reason why nothing was written.';
const COUNT_LIMIT = '1 to 10,000 per HTTP request, summed over all its fields (`MAX_RECORDS`).';
const IDEMPOTENCY_KEY =
  'Idempotency key, unique in the account: 1 to 255 characters, never expires. A repeated request returns the stored receipt and writes nothing; the same key with other content returns a ConflictError.';

/** Adds the mutations that write to streams, and their receipts. */
export function addAllocations(builder: Builder, refs: Refs) {
  const receipt = builder.objectRef<Receipt>('AllocationReceipt').implement({
    description: 'Receipt of an accepted write. The write is committed before the receipt is returned.',
    authScopes: WRITE,
    fields: (t) => ({
      operation: t.expose('operation', {
        type: refs.operation,
        description: 'Entry of the write in the ledger of the stream.',
      }),
      stream: t.expose('stream', {
        type: refs.stream,
        description: 'Stream that was written to, as it was when the write was accepted.',
      }),
      replayed: t.exposeBoolean('replayed', {
        description:
          'True if this is the stored receipt of an earlier request with the same idempotency key. Nothing was written again.',
      }),
    }),
  });
  const recordInput = builder.inputType('AllocationRecordInput', {
    description: 'Usage of one element in one time bucket, for the cost lines that `filter` selects.',
    fields: (t) => ({
      timestamp: t.field({
        type: 'DateTime',
        required: true,
        description:
          'Any time in the bucket. HOURLY: the hour in UTC. DAILY and MONTHLY: the date or month as written, regardless of the offset. The bucket may start up to 24 hours in the future (`MAX_FUTURE_HOURS`).',
      }),
      granularity: t.field({
        type: refs.granularity,
        required: true,
        description: 'Granularity of the stream. The first request to a stream sets it; later ones must match.',
      }),
      filter: t.field({
        type: [refs.dimensionFilterInput],
        required: true,
        defaultValue: [],
        description:
          'Cost lines that the usage belongs to: an entry for each dimension of the stream, up to 5. The first request to a stream sets its dimensions. An empty list selects everything.',
      }),
      elementName: t.string({
        required: true,
        description:
          'Element: the customer, team or product that used something. 1 to 256 characters without control characters, stored unchanged.',
      }),
      value: t.field({
        type: 'Decimal',
        required: true,
        description: 'Amount of usage, 0 or more. Up to 38 significant digits and 30 decimals.',
      }),
    }),
  });
  const selectorInput = builder.inputType('AllocationSelectorInput', {
    description:
      'Selector of live records. Matches one time bucket, and only the given filter and element if those are present.',
    fields: (t) => ({
      timestamp: t.field({
        type: 'DateTime',
        required: true,
        description: 'Any time in the bucket, read as in AllocationRecordInput.',
      }),
      granularity: t.field({ type: refs.granularity, required: true, description: 'Granularity of the stream.' }),
      filter: t.field({
        type: [refs.dimensionFilterInput],
        description:
          'Dimensions to match. A record matches if its filter has exactly these values for each of them; order does not matter. Matches every filter if omitted, null or empty.',
      }),
      elementName: t.string({ description: 'Element to match. Matches every element if omitted or null.' }),
    }),
  });
  const scopeInput = builder.inputType('ReplaceScopeInput', {
    description: 'Buckets, and optionally the filter and the element, whose live records a replace hides.',
    fields: (t) => ({
      from: t.field({
        type: 'DateTime',
        required: true,
        description:
          'Start of the scope, inclusive. Must be the start of a bucket of the stream: an hour in UTC, or midnight of a date or of the first of a month as written.',
      }),
      to: t.field({
        type: 'DateTime',
        required: true,
        description:
          'End of the scope, exclusive. Must be the start of a bucket, and after `from`. May be in the future.',
      }),
      filter: t.field({
        type: [refs.dimensionFilterInput],
        description:
          'Dimensions to match, as in AllocationSelectorInput. Matches every filter if omitted, null or empty.',
      }),
      elementName: t.string({ description: 'Element to match. Matches every element if omitted or null.' }),
    }),
  });
  const input = builder
    .inputType('AllocationInput', {
      description: 'Records for one stream. Either all of them are written or none.',
      fields: (t) => ({
        stream: t.string({ required: true, description: 'Stream name. Created on first write.' }),
        records: t.field({
          type: [recordInput],
          required: true,
          description: `Records to write. ${COUNT_LIMIT}`,
        }),
        idempotencyKey: t.string({ description: IDEMPOTENCY_KEY }),
        scope: t.field({
          type: scopeInput,
          description:
            'Scope of a replace: all live records in it are hidden before the records are inserted. Every record must lie in it, and `records` may be empty. Only for allocationReplace.',
        }),
      }),
    })
    .validate(listInput<RecordInput>());
  const deleteInput = builder
    .inputType('AllocationDeleteInput', {
      description: 'Selectors of the records to hide in one stream. Either all of them are applied or none.',
      fields: (t) => ({
        stream: t.string({ required: true, description: 'Name of a live stream.' }),
        records: t.field({
          type: [selectorInput],
          required: true,
          description: `Selectors of the records to hide. ${COUNT_LIMIT}`,
        }),
        idempotencyKey: t.string({ description: IDEMPOTENCY_KEY }),
      }),
    })
    .validate(listInput<SelectorInput>());
  const revertInput = builder.inputType('RevertOperationInput', {
    description: 'Operation to undo.',
    fields: (t) => ({
      operationId: t.id({ required: true, description: 'Id of an operation of the account.' }),
      idempotencyKey: t.string({ description: IDEMPOTENCY_KEY }),
    }),
  });
  const declareInput = builder.inputType('DeclareCompleteInput', {
    description: 'Stream, and the instant through which it is complete.',
    fields: (t) => ({
      stream: t.string({ required: true, description: 'Name of a live stream.' }),
      through: t.field({
        type: 'DateTime',
        required: true,
        description:
          'Every record of every bucket that ends at or before this instant was sent and acknowledged. Moved back to the start of a bucket, which for DAILY and MONTHLY streams is midnight UTC. Up to 24 hours in the future (`MAX_FUTURE_HOURS`).',
      }),
      idempotencyKey: t.string({ description: IDEMPOTENCY_KEY }),
    }),
  });
  const writeErrors = [ValidationError, ConflictError, LimitExceededError];
  builder.mutationFields((t) => ({
    allocationSum: t.field({
      type: receipt,
      authScopes: WRITE,
      description: 'Adds records. The value of a bucket, filter and element is the exact sum of its live records.',
      args: { input: t.arg({ type: input, required: true, description: 'Stream and records to add.' }) },
      errors: {
        types: writeErrors,
        union: { name: 'AllocationSumResult', description: WRITE_RESULT },
      },
      resolve: (_, args, context) => ingest(...prepareWrite(context, { kind: 'SUM', ...args.input })),
    }),
    allocationReplace: t.field({
      type: receipt,
      authScopes: WRITE,
      description:
        'Replaces records. Hides the live records with the same bucket, filter and element as a given record, or all live records in `scope`, and adds the given ones.',
      args: {
        input: t.arg({
          type: input,
          required: true,
          description: 'Stream and new records. A bucket, filter and element may occur once (`DUPLICATE_KEY`).',
        }),
      },
      errors: {
        // NotFoundError: the stream does not exist, and the request only hides.
        types: [...writeErrors, NotFoundError],
        union: { name: 'AllocationReplaceResult', description: WRITE_RESULT },
      },
      resolve: (_, args, context) => ingest(...prepareWrite(context, { kind: 'REPLACE', ...args.input })),
    }),
    allocationDelete: t.field({
      type: receipt,
      authScopes: WRITE,
      description:
        'Hides all live records that match a selector. A later sum starts from zero. Succeeds with `hiddenRecords: 0` if nothing matches.',
      args: {
        input: t.arg({
          type: deleteInput,
          required: true,
          description: 'Stream, and selectors of the records to hide.',
        }),
      },
      errors: {
        types: [ValidationError, NotFoundError, ConflictError, LimitExceededError],
        union: { name: 'AllocationDeleteResult', description: WRITE_RESULT },
      },
      resolve: (_, args, context) => ingest(...prepareWrite(context, { kind: 'DELETE', ...args.input })),
    }),
    revertOperation: t.field({
      type: receipt,
      authScopes: WRITE,
      description:
        'Undoes one operation with a new one of the kind REVERT, if the ledger is then as it would be without the operation. A REVERT can be reverted.',
      args: {
        input: t.arg({ type: revertInput, required: true, description: 'Operation to undo.' }),
      },
      errors: {
        types: [ValidationError, NotFoundError, ConflictError],
        union: {
          name: 'RevertOperationResult',
          description:
            'Receipt of the REVERT, or the reason why nothing was written: NOT_REVERTIBLE if a later write depends on the operation.',
        },
      },
      resolve: (_, { input: { operationId, idempotencyKey } }, context) =>
        revertOperation(
          { ...context.services, ended: context.ended },
          {
            accountId: accountOf(context),
            operationId: parseBigintId(parseGlobalId('AllocationOperation', operationId)),
            idempotencyKey,
          },
        ),
    }),
    declareComplete: t.field({
      type: receipt,
      authScopes: WRITE,
      description:
        'States that all records of buckets that end at or before `through` were sent and acknowledged. Runs of jobs with `completeWithin` wait for it. Late records are still accepted. A declaration before an earlier one has no effect.',
      args: { input: t.arg({ type: declareInput, required: true, description: 'Stream and instant.' }) },
      errors: {
        types: [ValidationError, NotFoundError, ConflictError],
        union: {
          name: 'DeclareCompleteResult',
          description: 'Receipt of the COMPLETE, or the reason why nothing was written.',
        },
      },
      resolve: (_, { input }, context) =>
        declareAndRelease(
          { ...context.services, ended: context.ended },
          { ...input, accountId: accountOf(context), path: ['input'] },
        ),
    }),
    deleteStream: t.field({
      type: addDeletedStream(builder),
      authScopes: { anyOf: ['ADMIN'] },
      description:
        'Hides a stream with all its records and frees its name, for example to start again with other dimensions. The ledger is kept. Windows that were delivered with its rows and ended within `restateWithin` are delivered again without them, by jobs whose `restatement` is AUTOMATIC.',
      args: { name: t.arg.string({ required: true, description: 'Name of a live stream.' }) },
      errors: {
        types: [NotFoundError],
        union: {
          name: 'DeleteStreamResult',
          description: 'Deleted stream, or NotFoundError if the account has no live stream of this name.',
        },
      },
      resolve: (_, { name }, context) =>
        deleteStream({ ...context.services, ended: context.ended }, accountOf(context), name),
    }),
  }));
  return { recordsInput: input, selectorsInput: deleteInput };
}

/**
 * Counts the records of the field, and adds the account and the limits. Throws RateLimitedError if the client sent too many.
 * @param path path of the input
 */
export function prepareWrite(
  context: GraphQLContext,
  input: ListContent & { readonly stream: string; readonly idempotencyKey?: string | null | undefined },
  path: readonly string[] = ['input'],
): [IngestContext, IngestRequest] {
  const { services, ended, records } = context;
  countIntake(context, input.records.length);
  const recordsBefore = records.count;
  records.count += input.records.length;
  const { maxRecords } = services.limits;
  const request = { ...input, accountId: accountOf(context), path, maxRecords, recordsBefore };
  return [{ ...services, ended }, request];
}

function addDeletedStream(builder: Builder) {
  return builder.objectRef<StreamRow>('DeletedStream').implement({
    description: 'Stream that the mutation deleted. It can still be read by its id.',
    fields: (t) => ({
      // Named `id`, a global id would make normalized caches overwrite the Stream with this object.
      deletedId: t.id({
        description: 'Id of the deleted stream.',
        resolve: (stream) => encodeGlobalId('Stream', stream.id),
      }),
      name: t.exposeString('name', { description: 'Name of the deleted stream. A new stream may use it.' }),
    }),
  });
}
