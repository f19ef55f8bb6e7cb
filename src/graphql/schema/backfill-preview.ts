import type { InputRef } from '@pothos/core';
import type { BackfillInput } from '../../backfills/input.ts';
import { type BackfillPreview, previewBackfill, type PreviewedWindow } from '../../backfills/preview.ts';
import { ConflictError, NotFoundError, ValidationError } from '../../errors/errors.ts';
import { parseGlobalId } from '../../lib/global-ids.ts';
import type { Builder } from './builder.ts';
import { accountOf } from './context.ts';
import { AGGREGATION } from './field-costs.ts';
import type { Refs } from './refs.ts';

const READ = { anyOf: ['READ'] } as const;
const JOBS = { anyOf: ['JOBS'] } as const;

/** The input of createBackfill and previewBackfill. */
export type BackfillInputRef = InputRef<BackfillInput & { readonly jobId: string }>;

/** Adds previewBackfill. */
export function addBackfillPreview(builder: Builder, refs: Refs, input: BackfillInputRef): void {
  const window = builder.objectRef<PreviewedWindow>('BackfillWindow').implement({
    description: 'Window that a backfill would contain.',
    authScopes: READ,
    fields: (t) => ({
      scheduledFor: t.expose('scheduledFor', { type: 'DateTime', description: 'Slot of the window.' }),
      windowStart: t.expose('windowStart', { type: 'DateTime', description: 'Start of the window, inclusive.' }),
      windowEnd: t.expose('windowEnd', { type: 'DateTime', description: 'End of the window, exclusive.' }),
      state: t.expose('state', { type: refs.deliveryState, description: 'State of the delivery of the window.' }),
      manifestKey: t.exposeString('manifestKey', { description: 'Object key of the manifest.' }),
    }),
  });
  const preview = builder.objectRef<BackfillPreview>('BackfillPreview').implement({
    description: 'Windows of a backfill by state, and estimates. Nothing is stored.',
    authScopes: READ,
    fields: (t) => ({
      windows: t.exposeInt('windows', { description: 'Number of windows.' }),
      missing: t.exposeInt('missing', { description: 'Number of windows that are MISSING.' }),
      stale: t.exposeInt('stale', { description: 'Number of windows that are TOUCHED, STALE or RETIRED.' }),
      current: t.exposeInt('current', { description: 'Number of windows that are CURRENT or SUPERSEDED.' }),
      firstWindows: t.expose('firstWindows', {
        type: [window],
        description: 'First 100 windows in the order of the backfill.',
      }),
      estimatedRows: t.expose('estimatedRows', {
        type: 'SafeInt',
        nullable: true,
        description:
          'Estimated rows of the windows that would get a run, from the last 10 deliveries of the job. Null if it has none.',
      }),
      estimatedBytes: t.expose('estimatedBytes', {
        type: 'SafeInt',
        nullable: true,
        description: 'Estimated bytes, like estimatedRows.',
      }),
    }),
  });
  builder.queryFields((t) => ({
    previewBackfill: t.field({
      type: preview,
      authScopes: JOBS,
      ...AGGREGATION,
      description: 'Returns the windows of a backfill and their states. Stores nothing and reads no records.',
      args: { input: t.arg({ type: input, required: true, description: 'Job and span.' }) },
      errors: {
        types: [ValidationError, NotFoundError, ConflictError],
        union: { name: 'BackfillPreviewResult', description: 'Preview, or the reason why there is none.' },
      },
      resolve: (_, { input: { jobId, ...span } }, context) =>
        previewBackfill(
          context.services,
          accountOf(context),
          parseGlobalId('Job', jobId),
          span satisfies BackfillInput,
        ),
    }),
  }));
}
