import { GraphQLError } from 'graphql';
import { z } from 'zod';
import { BadUserInputError, ConflictError, NotFoundError, ValidationError } from '../../errors/errors.ts';
import { cancelRun, runJob } from '../../jobs/commands.ts';
import { countRuns, listRuns, loadRuns, type RunObjectRow, type RunRow } from '../../runs/runs.ts';
import { findNextAttempt, findWaitEnd } from '../../runs/run-status.ts';
import type { Clock } from '../../lib/clock.ts';
import { slotInput } from '../../jobs/run-input.ts';
import { descriptionOf } from '../../validation/zod-issues.ts';
import type { Builder } from './builder.ts';
import { definePageArgs, toConnection } from './connections.ts';
import { accountOf, type GraphQLContext, limitPage } from './context.ts';
import { GLOBAL_ID, RUN_STATUS_FILTER } from './descriptions.ts';
import { ONE_STATEMENT } from './field-costs.ts';
import { encodeGlobalId, parseGlobalId } from '../../lib/global-ids.ts';
import type { Refs } from './refs.ts';
import { followRuns } from './subscriptions.ts';

const READ = { anyOf: ['READ'] } as const;
const JOBS = { anyOf: ['JOBS'] } as const;

export function addRuns(builder: Builder, refs: Refs, clock: Clock): void {
  const trigger = builder.enumType('RunTrigger', {
    description: 'Reason why a run was created.',
    values: {
      CRON: { description: 'The cron schedule of the job.' },
      ONE_OFF: { description: 'The time in `scheduledTimeInSeconds` of the job.' },
      IMMEDIATE: { description: 'The creation of a job without a schedule.' },
      MANUAL: { description: 'A call of runJob or redeliver.' },
      RESTATEMENT: { description: 'The delivered window no longer agreed with the ledger, or became complete.' },
      BACKFILL: { description: 'A window of a backfill.' },
    } as const,
  });
  const object = builder.objectRef<RunObjectRow>('ExportObject').implement({
    description: 'File that a run wrote to the S3 bucket.',
    authScopes: READ,
    fields: (t) => ({
      key: t.exposeString('key', { description: 'Object key in the S3 bucket.' }),
      rows: t.expose('rows', { type: 'SafeInt', description: 'Number of rows, without the header.' }),
      bytes: t.expose('bytes', { type: 'SafeInt', description: 'Size in bytes, after compression.' }),
      sha256: t.exposeString('sha256', { description: 'SHA-256 of the bytes, in hexadecimal digits.' }),
    }),
  });
  builder.objectType(refs.runError, {
    description: 'Reason why an attempt failed, or why a run did not start.',
    authScopes: READ,
    fields: (t) => ({
      code: t.exposeString('code', {
        description: 'Machine-readable error code, such as ACCESS_DENIED, NO_SUCH_BUCKET, S3_TIMEOUT or MISSED.',
      }),
      message: t.exposeString('message', { description: 'Human-readable message: what happened, and what to change.' }),
      retryable: t.exposeBoolean('retryable', {
        description:
          'Whether a retry can succeed without a change. The run retries such errors automatically, up to 5 attempts.',
      }),
    }),
  });
  builder.objectType(refs.run, {
    description: 'One execution of a job for one slot.',
    interfaces: [refs.node],
    isTypeOf: (value) => typeof value === 'object' && value !== null && 'leaseToken' in value,
    authScopes: READ,
    fields: (t) => ({
      id: t.id({ description: GLOBAL_ID, resolve: (run) => encodeGlobalId('Run', run.id) }),
      job: t.field({
        type: refs.job,
        nullable: true,
        description: 'Job of the run. Null if the job was deleted; its runs are kept.',
        resolve: (run, _, { loaders }) => loaders.jobs.load(run.jobId),
      }),
      jobName: t.string({
        description: 'Name of the job when the run was queued.',
        resolve: (run) => run.settings.jobName,
      }),
      trigger: t.expose('trigger', { type: trigger, description: 'Reason why the run was created.' }),
      status: t.expose('status', { type: refs.runStatus, description: 'Current status of the run.' }),
      scheduledFor: t.expose('scheduledFor', {
        type: 'DateTime',
        description: 'Slot of the run. The window is computed from it, even if the run starts late.',
      }),
      windowStart: t.expose('windowStart', {
        type: 'DateTime',
        description: 'Start of the exported window, inclusive.',
      }),
      windowEnd: t.expose('windowEnd', { type: 'DateTime', description: 'End of the exported window, exclusive.' }),
      startedAt: t.expose('startedAt', {
        type: 'DateTime',
        nullable: true,
        description: 'Time at which the first attempt started. Null before that.',
      }),
      waitsUntil: t.field({
        type: 'DateTime',
        nullable: true,
        description:
          'While the run waits until its streams are complete (`completeWithin`): when it starts regardless. Null if it does not wait.',
        resolve: (run) => findWaitEnd(run, clock.now()),
      }),
      nextAttemptAt: t.field({
        type: 'DateTime',
        nullable: true,
        description: 'While the run waits between two attempts: when the next one starts. Null if it does not wait.',
        resolve: (run) => findNextAttempt(run, clock.now()),
      }),
      finishedAt: t.expose('finishedAt', {
        type: 'DateTime',
        nullable: true,
        description: 'Time at which the run ended. Null before that.',
      }),
      attempt: t.exposeInt('attempt', {
        description:
          'Number of the current or last attempt: 0 before the first one, up to 5. A take-over from a server that crashed counts as an attempt. A server that shuts down hands its run over without using up the attempt.',
      }),
      rowsWritten: t.expose('rowsWritten', {
        type: 'SafeInt',
        description:
          'Number of rows that this attempt has written. Updated at least once per second during the export.',
      }),
      bytesWritten: t.expose('bytesWritten', {
        type: 'SafeInt',
        description:
          'Number of bytes that this attempt has written, after compression. Updated at least once per second during the export.',
      }),
      objects: t.field({
        type: [object],
        ...ONE_STATEMENT,
        description:
          'Files that the run has written, in the order of the parts. Rely on them only if the status is SUCCEEDED.',
        resolve: async (run, _, { loaders }) => [...(await loaders.runObjects.load(run.id))],
      }),
      complete: t.exposeBoolean('complete', {
        nullable: true,
        description:
          'Whether the streams of the job were declared complete for the window, as of the state that the run read. False if one that `meterApiNames` names was not; without `meterApiNames`, streams count that were ever declared. Null if none counts, and unless the status is SUCCEEDED.',
      }),
      manifestKey: t.string({
        nullable: true,
        description:
          'Object key of the manifest, which is written last: the export is complete when it is present. Null unless the status is SUCCEEDED.',
        resolve: (run) => (run.status === 'SUCCEEDED' ? run.manifestKey : null),
      }),
      warnings: t.exposeStringList('warnings', {
        description:
          'Warnings about the export, such as a dimension that no stream has. Stored when an attempt ends, and in the manifest. Empty before the first attempt.',
      }),
      error: t.expose('error', {
        type: refs.runError,
        nullable: true,
        description:
          'Error of the last attempt that failed, or the reason why the run did not start. Null if there is neither.',
      }),
    }),
  });
  addQueries(builder, refs);
  addMutations(builder, refs, clock);
  addSubscription(builder, refs);
}

function addQueries(builder: Builder, refs: Refs): void {
  builder.queryFields((t) => ({
    run: t.field({
      type: refs.run,
      nullable: true,
      authScopes: READ,
      description: 'Run with this id. Null if the account has none.',
      args: { id: t.arg.id({ required: true, description: 'Id of a run.' }) },
      resolve: async (_, { id }, context) =>
        (await loadRuns(context.services.db, accountOf(context), [parseGlobalId('Run', id)]))[0] ?? null,
    }),
    runs: t.field({
      type: refs.runConnection,
      authScopes: READ,
      description: 'Runs of all jobs, including deleted jobs, newest first.',
      args: {
        ...definePageArgs(t.arg),
        status: t.arg({ type: [refs.runStatus], description: RUN_STATUS_FILTER }),
        jobId: t.arg.id({ description: 'Id of a job. Runs of every job if omitted or null.' }),
      },
      resolve: async (_, { jobId, ...args }, context) => {
        const { db } = context.services;
        const account = accountOf(context);
        const selection = { ...limitPage(context, args), jobId: jobId == null ? null : parseGlobalId('Job', jobId) };
        return toConnection(
          await listRuns(db, account, selection),
          (row) => [row.createdAt.toISOString(), row.id],
          () => countRuns(db, account, selection),
        );
      },
    }),
  }));
}

function addMutations(builder: Builder, refs: Refs, clock: Clock): void {
  const scheduledFor = slotInput(clock);
  const input = builder
    .inputType('RunJobInput', {
      description: 'Job and slot of a manual run.',
      fields: (t) => ({
        jobId: t.id({ required: true, description: 'Global id of the job to run.' }),
        scheduledFor: t.field({ type: 'DateTime', description: descriptionOf(scheduledFor) }),
      }),
    })
    .validate(z.object({ jobId: z.string(), scheduledFor }));
  builder.mutationFields((t) => ({
    runJob: t.field({
      type: refs.run,
      authScopes: JOBS,
      description: 'Queues a MANUAL run of a job. The job may be disabled, and the slot may have been run before.',
      args: { input: t.arg({ type: input, required: true, description: 'Job and slot to run.' }) },
      errors: {
        // ConflictError: the S3 bucket belongs to another account.
        types: [ValidationError, NotFoundError, ConflictError],
        union: { name: 'RunJobResult', description: 'Queued run, or the reason why none was queued.' },
      },
      resolve: (_, { input: { jobId, scheduledFor: slot } }, context) =>
        runJob(context.services, accountOf(context), parseGlobalId('Job', jobId), slot),
    }),
    cancelRun: t.field({
      type: refs.run,
      authScopes: JOBS,
      description:
        'Cancels a queued or running run. A running export stops within 2 seconds. A complete manifest never lists a partly written file.',
      args: { id: t.arg.id({ required: true, description: 'Id of a run.' }) },
      errors: {
        types: [NotFoundError, ConflictError],
        union: { name: 'CancelRunResult', description: 'Canceled run, or the reason why it was not canceled.' },
      },
      resolve: (_, { id }, context) => cancelRun(context.services, accountOf(context), parseGlobalId('Run', id)),
    }),
  }));
}

function addSubscription(builder: Builder, refs: Refs): void {
  builder.subscriptionField('runUpdated', (t) =>
    t.field({
      type: refs.run,
      authScopes: READ,
      description:
        'Sends the state of runs, first the current one and then each change. With `runId`: that run, until it has ended. With `jobId` or neither: first the QUEUED and RUNNING runs of the job or account, then each change. `runId` and `jobId` exclude each other. If a run changes faster than the client reads, only its newest state is sent. Up to 100 subscriptions per API key and server (`MAX_SUBSCRIPTIONS_PER_KEY`). A subscription fails with UNAUTHENTICATED if the key is revoked, and with UNAVAILABLE if the server shuts down: subscribe again.',
      args: {
        runId: t.arg.id({ description: 'Id of the run to follow.' }),
        jobId: t.arg.id({ description: 'Id of the job whose runs to follow.' }),
      },
      subscribe: (_, args, context) => subscribeToRuns(args, context),
      resolve: (run) => run,
    }),
  );
}

async function subscribeToRuns(
  { runId, jobId }: { runId?: string | null | undefined; jobId?: string | null | undefined },
  context: GraphQLContext,
): Promise<AsyncIterable<RunRow>> {
  const { db } = context.services;
  const accountId = accountOf(context);
  if (runId != null && jobId != null)
    throw new BadUserInputError('runId and jobId are both set. Pass only one of them.');
  if (runId == null && jobId == null) return followRuns(context, { accountId });
  if (jobId != null) {
    const job = await context.loaders.jobs.load(parseGlobalId('Job', jobId));
    if (!job) throw notFound('The job does not exist. Check the id.');
    return followRuns(context, { accountId, jobId: job.id });
  }
  const [run] = await loadRuns(db, accountId, [parseGlobalId('Run', runId ?? '')]);
  if (!run) throw notFound('The run does not exist. Check the id.');
  return followRuns(context, { accountId, runId: run.id });
}

const notFound = (message: string): GraphQLError => new GraphQLError(message, { extensions: { code: 'NOT_FOUND' } });
