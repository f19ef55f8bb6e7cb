import { GraphQLError } from 'graphql';
import {
  type BackfillContext,
  cancelBackfill,
  createBackfill,
  pauseBackfill,
  resumeBackfill,
  retryBackfill,
} from '../../backfills/commands.ts';
import type { BackfillInput } from '../../backfills/input.ts';
import { ConflictError, NotFoundError, ValidationError } from '../../errors/errors.ts';
import { encodeGlobalId, parseGlobalId } from '../../lib/global-ids.ts';
import type { BackfillRow } from '../../runs/backfills/progress.ts';
import { listBackfills, loadBackfills } from '../../runs/backfills/read-backfills.ts';
import { countRuns, listRuns } from '../../runs/runs.ts';
import { addBackfillPreview, type BackfillInputRef } from './backfill-preview.ts';
import type { Builder } from './builder.ts';
import { defineForwardArgs, toConnection } from './connections.ts';
import { accountOf, type GraphQLContext, limitPage } from './context.ts';
import { GLOBAL_ID, RUN_STATUS_FILTER } from './descriptions.ts';
import type { Refs } from './refs.ts';
import { follow } from './subscriptions.ts';

const READ = { anyOf: ['READ'] } as const;
const JOBS = { anyOf: ['JOBS'] } as const;

const keyOf = (row: BackfillRow): string[] => [row.createdAt.toISOString(), row.id];

export function addBackfills(builder: Builder, refs: Refs): void {
  const types = addEnums(builder);
  addBackfill(builder, refs, types);
  addQueries(builder, refs);
  const input = addInput(builder, types);
  addBackfillPreview(builder, refs, input);
  addMutations(builder, refs, input);
  builder.subscriptionField('backfillUpdated', (t) =>
    t.field({
      type: refs.backfill,
      authScopes: READ,
      description:
        'Sends the state of a backfill: first the current one, then the state after each window, at most once per second, until the backfill has ended. Counts as a subscription of the API key, like runUpdated.',
      args: { id: t.arg.id({ required: true, description: 'Id of the backfill to follow.' }) },
      subscribe: (_, { id }, context) => subscribeToBackfill(id, context),
      resolve: (backfill) => backfill,
    }),
  );
}

function addEnums(builder: Builder) {
  return {
    order: builder.enumType('BackfillOrder', {
      description: 'Order in which the windows of a backfill are delivered.',
      values: {
        OLDEST_FIRST: { description: 'By the end of the window, oldest first.' },
        NEWEST_FIRST: { description: 'By the end of the window, newest first.' },
      } as const,
    }),
    reprocess: builder.enumType('BackfillReprocess', {
      description: 'Windows that a backfill delivers. The state of each is read when its turn comes.',
      values: {
        MISSING: { description: 'Windows that were never delivered.' },
        STALE: { description: 'Also windows that are TOUCHED, STALE or RETIRED.' },
        ALL: { description: 'Every window of the span.' },
      } as const,
    }),
    status: builder.enumType('BackfillStatus', {
      description: 'Whether a backfill delivers windows, waits or has ended.',
      values: {
        RUNNING: { description: 'Windows are delivered one after the other.' },
        PAUSED: {
          description: 'No run is started, because of pauseBackfill or because three windows in a row have failed.',
        },
        SUCCEEDED: { description: 'All windows were delivered or skipped.' },
        FAILED: { description: 'All windows were tried, and some have failed. retryBackfill tries them again.' },
        CANCELED: {
          description:
            'The backfill was stopped by cancelBackfill, by an edit that changed the output of the job, or by deleteJob.',
        },
      } as const,
    }),
  };
}

type Enums = ReturnType<typeof addEnums>;

function addBackfill(builder: Builder, refs: Refs, types: Enums): void {
  builder.objectType(refs.backfill, {
    description: 'Windows of a span, delivered one after the other, each by a run.',
    interfaces: [refs.node],
    isTypeOf: (value) => typeof value === 'object' && value !== null && 'spanStart' in value,
    authScopes: READ,
    fields: (t) => ({
      id: t.id({ description: GLOBAL_ID, resolve: (backfill) => encodeGlobalId('Backfill', backfill.id) }),
      job: t.field({
        type: refs.job,
        nullable: true,
        description: 'Job of the backfill. Null if the job is deleted.',
        resolve: (backfill, _, { loaders }) => loaders.jobs.load(backfill.jobId),
      }),
      from: t.expose('spanStart', { type: 'DateTime', description: 'Start of the span, inclusive.' }),
      to: t.expose('spanEnd', { type: 'DateTime', description: 'End of the span, exclusive.' }),
      order: t.field({
        type: types.order,
        description: 'Order of the windows.',
        resolve: ({ newestFirst }) => (newestFirst ? 'NEWEST_FIRST' : 'OLDEST_FIRST'),
      }),
      reprocess: t.expose('reprocess', { type: types.reprocess, description: 'Windows that get a run.' }),
      status: t.expose('status', { type: types.status, description: 'Current status of the backfill.' }),
      createdAt: t.expose('createdAt', { type: 'DateTime', description: 'Time at which the backfill was created.' }),
      finishedAt: t.expose('finishedAt', {
        type: 'DateTime',
        nullable: true,
        description: 'Time at which the backfill ended. Null before that.',
      }),
      windows: t.exposeInt('windows', {
        description:
          'Number of windows: delivered, skipped and failed ones, and those whose turn has not come or whose run has not ended.',
      }),
      delivered: t.exposeInt('delivered', { description: 'Number of windows whose run has SUCCEEDED.' }),
      skipped: t.exposeInt('skipped', { description: 'Number of windows that needed no run when their turn came.' }),
      failed: t.exposeInt('failed', {
        description:
          'Number of windows whose last run has FAILED or was canceled. Those with the code DELIVERED count as skipped.',
      }),
      rowsWritten: t.expose('rows', { type: 'SafeInt', description: 'Rows of the runs that have SUCCEEDED.' }),
      bytesWritten: t.expose('bytes', {
        type: 'SafeInt',
        description: 'Bytes of the runs that have SUCCEEDED, after compression.',
      }),
      error: t.expose('error', {
        type: refs.runError,
        nullable: true,
        description:
          'Error of the last window if three in a row have failed, or why the backfill was canceled (JOB_CHANGED, JOB_DELETED). Null if there is neither.',
      }),
      runs: t.field({
        type: refs.runConnection,
        description: 'Runs of the backfill, newest first. At most two of them have not ended.',
        args: {
          ...defineForwardArgs(t.arg),
          status: t.arg({ type: [refs.runStatus], description: RUN_STATUS_FILTER }),
        },
        resolve: async (backfill, args, context) => {
          const { db } = context.services;
          const selection = { ...limitPage(context, args), backfillId: backfill.id };
          return toConnection(
            await listRuns(db, backfill.accountId, selection),
            (row) => [row.createdAt.toISOString(), row.id],
            () => countRuns(db, backfill.accountId, selection),
          );
        },
      }),
    }),
  });
}

function addQueries(builder: Builder, refs: Refs): void {
  builder.objectFields(refs.job, (t) => ({
    backfills: t.field({
      type: refs.backfillConnection,
      description: 'Backfills of the job, newest first.',
      args: defineForwardArgs(t.arg),
      resolve: async (job, args, context) =>
        toConnection(
          await listBackfills(context.services.db, job.accountId, { ...limitPage(context, args), jobId: job.id }),
          keyOf,
        ),
    }),
  }));
  builder.objectFields(refs.run, (t) => ({
    backfill: t.field({
      type: refs.backfill,
      nullable: true,
      description: 'Backfill of the run. Null unless the trigger is BACKFILL.',
      resolve: (run, _, { loaders }) => (run.backfillId === null ? null : loaders.backfills.load(run.backfillId)),
    }),
  }));
  builder.queryFields((t) => ({
    backfills: t.field({
      type: refs.backfillConnection,
      authScopes: READ,
      description: 'Backfills of all jobs, including deleted jobs, newest first.',
      args: {
        ...defineForwardArgs(t.arg),
        jobId: t.arg.id({ description: 'Id of a job. Backfills of every job if omitted or null.' }),
      },
      resolve: async (_, { jobId, ...args }, context) =>
        toConnection(
          await listBackfills(context.services.db, accountOf(context), {
            ...limitPage(context, args),
            jobId: jobId == null ? null : parseGlobalId('Job', jobId),
          }),
          keyOf,
        ),
    }),
  }));
}

function addInput(builder: Builder, types: Enums) {
  return builder.inputType('BackfillInput', {
    description: 'Job and span of a backfill.',
    fields: (t) => ({
      jobId: t.id({ required: true, description: 'Global id of the job, which needs a cron.' }),
      from: t.field({
        type: 'DateTime',
        required: true,
        description: 'Start of the span, inclusive. Windows that start earlier are left out.',
      }),
      to: t.field({
        type: 'DateTime',
        required: true,
        description: 'End of the span, exclusive. Windows that end later or have not ended are left out.',
      }),
      order: t.field({
        type: types.order,
        required: true,
        defaultValue: 'OLDEST_FIRST',
        description: 'Order of the windows.',
      }),
      reprocess: t.field({
        type: types.reprocess,
        required: true,
        defaultValue: 'MISSING',
        description: 'Windows that get a run.',
      }),
    }),
  });
}

function addMutations(builder: Builder, refs: Refs, input: BackfillInputRef): void {
  builder.mutationFields((t) => ({
    createBackfill: t.field({
      type: refs.backfill,
      authScopes: JOBS,
      description:
        'Delivers the windows of the cron of a job that lie in a span and have ended, one after the other. Slots and restatements of the job run first. Also for a disabled job. Maximum 100,000 windows (`MAX_BACKFILL_WINDOWS`).',
      args: { input: t.arg({ type: input, required: true, description: 'Job and span.' }) },
      errors: {
        types: [ValidationError, NotFoundError, ConflictError],
        union: { name: 'CreateBackfillResult', description: 'Backfill, or the reason why none was created.' },
      },
      resolve: (_, { input: { jobId, ...span } }, context) =>
        createBackfill(context.services, accountOf(context), parseGlobalId('Job', jobId), span satisfies BackfillInput),
    }),
  }));
  builder.mutationFields((t) => {
    const change = (
      description: string,
      command: (context: BackfillContext, accountId: bigint, id: string) => Promise<BackfillRow>,
    ) =>
      t.field({
        type: refs.backfill,
        authScopes: JOBS,
        description,
        args: { id: t.arg.id({ required: true, description: 'Id of a backfill.' }) },
        errors: {
          types: [NotFoundError, ConflictError],
          // The name under which the plugin keeps the union for the other fields.
          result: { name: 'BackfillResult' },
          union: { name: 'BackfillResult', description: 'Changed backfill, or the reason why it was not changed.' },
        },
        resolve: (_, { id }, context) => command(context.services, accountOf(context), parseGlobalId('Backfill', id)),
      });
    return {
      pauseBackfill: change('Pauses a backfill. A run that has started ends; no other starts.', pauseBackfill),
      resumeBackfill: change('Continues a paused backfill.', resumeBackfill),
      cancelBackfill: change('Cancels a backfill and its runs. Delivered windows remain.', cancelBackfill),
      retryBackfill: change(
        'Delivers the windows that failed again, after all others. Also continues a paused or FAILED backfill.',
        retryBackfill,
      ),
    };
  });
}

async function subscribeToBackfill(id: string, context: GraphQLContext): Promise<AsyncIterable<BackfillRow>> {
  const accountId = accountOf(context);
  const [backfill] = await loadBackfills(context.services.db, accountId, [parseGlobalId('Backfill', id)]);
  if (!backfill) {
    throw new GraphQLError('The backfill does not exist. Check the id.', { extensions: { code: 'NOT_FOUND' } });
  }
  const { feed } = context.services;
  return follow(context, (signal) => feed.followBackfill(accountId, backfill.id, signal));
}
