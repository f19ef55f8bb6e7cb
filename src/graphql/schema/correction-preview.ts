import { countStaleDeliveries } from '../../deliveries/stale-deliveries.ts';
import { ConflictError, LimitExceededError, NotFoundError, ValidationError } from '../../errors/errors.ts';
import { parseBigintId, parseGlobalId } from '../../lib/global-ids.ts';
import { type ChangedKey, type ElementChange, MAX_LISTED_CHANGES } from '../../streams/pipeline/correction-summary.ts';
import type { FilterEntry } from '../../streams/pipeline/inputs.ts';
import { type CorrectionPreview, previewRevert, previewWrite } from '../../streams/preview.ts';
import { type addAllocations, prepareWrite } from './allocations.ts';
import type { Builder } from './builder.ts';
import { accountOf } from './context.ts';
import { AGGREGATION, ONE_STATEMENT } from './field-costs.ts';
import type { Refs } from './refs.ts';

const READ = { anyOf: ['READ'] } as const;

interface KeyChange extends ChangedKey {
  readonly stream: string;
  readonly filter: readonly FilterEntry[];
}

/** Adds the preview of a write. */
export function addCorrectionPreview(
  builder: Builder,
  refs: Refs,
  { recordsInput, selectorsInput }: ReturnType<typeof addAllocations>,
): void {
  const element = builder.objectRef<ElementChange>('ElementChange').implement({
    description: 'Change of one element, summed over the changed keys.',
    authScopes: READ,
    fields: (t) => ({
      elementName: t.exposeString('element', { description: 'Element whose records the write would add or hide.' }),
      valueBefore: t.expose('valueBefore', { type: 'Decimal', description: 'Sum before the write.' }),
      valueAfter: t.expose('valueAfter', { type: 'Decimal', description: 'Sum after the write.' }),
    }),
  });
  const key = builder.objectRef<KeyChange>('KeyChange').implement({
    description: 'Change of one bucket, filter and element.',
    authScopes: READ,
    fields: (t) => ({
      stream: t.exposeString('stream', { description: 'Name of the stream.' }),
      timestamp: t.expose('bucketStart', { type: 'DateTime', description: 'Start of the bucket, in UTC.' }),
      filter: t.expose('filter', { type: [refs.dimensionFilter], description: 'Filter of the records.' }),
      elementName: t.exposeString('element', { description: 'Element of the records.' }),
      valueBefore: t.expose('valueBefore', {
        type: 'Decimal',
        nullable: true,
        description: 'Sum of the live records before the write. Null if there is none.',
      }),
      valueAfter: t.expose('valueAfter', {
        type: 'Decimal',
        nullable: true,
        description: 'Sum of the live records after the write. Null if there is none.',
      }),
    }),
  });
  const preview = builder.objectRef<CorrectionPreview>('CorrectionPreview').implement({
    description: 'Effect that a write would have now. Nothing is stored.',
    authScopes: READ,
    fields: (t) => ({
      insertedRecords: t.expose('insertedRecords', {
        type: 'SafeInt',
        description: 'Number of records that the write would add.',
      }),
      hiddenRecords: t.expose('hiddenRecords', {
        type: 'SafeInt',
        description: 'Number of records that the write would hide.',
      }),
      changedKeys: t.field({
        type: 'SafeInt',
        description:
          'Number of keys (bucket, filter and element) whose value, or number of live records, the write would change.',
        resolve: ({ keys }) => keys.length,
      }),
      valueBefore: t.expose('valueBefore', {
        type: 'Decimal',
        description: 'Sum over the changed keys before the write.',
      }),
      valueAfter: t.expose('valueAfter', {
        type: 'Decimal',
        description: 'Sum over the changed keys after the write.',
      }),
      elements: t.expose('elements', {
        type: [element],
        description: 'The 100 elements that change most, first the one with the greatest difference.',
      }),
      keys: t.field({
        type: [key],
        description: 'The first 100 changed keys, by bucket.',
        resolve: ({ keys, filters, stream }) =>
          keys.slice(0, MAX_LISTED_CHANGES).map((one) => ({
            ...one,
            stream: stream?.name ?? '',
            filter: filters.get(one.filterId) ?? [],
          })),
      }),
      staleDeliveries: t.field({
        type: 'SafeInt',
        ...ONE_STATEMENT,
        description: 'Number of deliveries that agree with the ledger and would become STALE.',
        resolve: (parent, _, { services }) => countStaleDeliveries(services.db, parent),
      }),
    }),
  });
  const input = builder.inputType('CorrectionPreviewInput', {
    description: 'Write to preview. Give exactly one field.',
    isOneOf: true,
    fields: (t) => ({
      sum: t.field({ type: recordsInput, description: 'Input of allocationSum.' }),
      replace: t.field({ type: recordsInput, description: 'Input of allocationReplace, with or without a scope.' }),
      delete: t.field({ type: selectorsInput, description: 'Input of allocationDelete.' }),
      revertOperation: t.id({ description: 'Id of the operation that revertOperation would undo.' }),
    }),
  });
  builder.queryField('previewCorrection', (t) =>
    t.field({
      type: preview,
      authScopes: { allOf: ['INGEST', 'READ'] },
      ...AGGREGATION,
      description:
        'Effect that a write would have now. Nothing is stored. Waits for other writes to the stream up to 5 s (`PREVIEW_LOCK_MS`), and handles up to 100,000 inserted and hidden records (`PREVIEW_MAX_RECORDS`).',
      args: { input: t.arg({ type: input, required: true, description: 'Write to preview.' }) },
      errors: {
        types: [ValidationError, NotFoundError, ConflictError, LimitExceededError],
        union: {
          name: 'CorrectionPreviewResult',
          description: 'Preview, or the reason why the write would be rejected or cannot be previewed.',
        },
      },
      resolve: (_, { input: asked }, context) => {
        const services = { ...context.services, ended: context.ended };
        if (asked.revertOperation != null) {
          const operationId = parseBigintId(parseGlobalId('AllocationOperation', asked.revertOperation));
          return previewRevert(services, { accountId: accountOf(context), operationId });
        }
        const [request, field] = asked.sum
          ? ([{ kind: 'SUM', ...asked.sum }, 'sum'] as const)
          : asked.replace
            ? ([{ kind: 'REPLACE', ...asked.replace }, 'replace'] as const)
            : ([{ kind: 'DELETE', ...asked.delete }, 'delete'] as const);
        return previewWrite(services, prepareWrite(context, request, ['input', field])[1]);
      },
    }),
  );
}
