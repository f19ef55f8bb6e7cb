import { GraphQLError } from 'graphql';
import type { RunFailure } from '../../db/json-columns.ts';
import { BadUserInputError, ConflictError, NotFoundError, ValidationError } from '../../errors/errors.ts';
import { cancelRun, runJob } from '../../jobs/commands.ts';
import { countRuns, listRuns, loadRuns, type RunObjectRow, type RunRow } from '../../runs/runs.ts';
import type { Builder } from './builder.ts';
import { bothWaysArgs, toConnection } from './connections.ts';
import { accountOf, type GraphQLContext, paged } from './context.ts';
import { ONE_STATEMENT } from './field-costs.ts';
import { encodeId, idOf } from '../../db/public-ids.ts';
import type { Refs } from './refs.ts';
import { followRuns } from './subscriptions.ts';

const READ = { anyOf: ['READ'] } as const;
const JOBS = { anyOf: ['JOBS'] } as const;

export const addRuns = (builder: Builder, refs: Refs): void => {
  const trigger = builder.enumType('RunTrigger', {
    description: 'Why a run was made.',
    values: {
      CRON: { description: 'A slot of the cron.' },
      ONE_OFF: { description: 'scheduledTimeInSeconds came.' },
      IMMEDIATE: { description: 'The job was created without a schedule.' },
      MANUAL: { description: 'runJob.' },
    } as const,
  });
  const object = builder.objectRef<RunObjectRow>('ExportObject').implement({
    description: 'A file that a run wrote.',
    authScopes: READ,
    fields: (t) => ({
      key: t.exposeString('key', { description: 'Its key in the bucket.' }),
      rows: t.field({ type: 'SafeInt', description: 'Rows in it, a header not counted.', resolve: (one) => one.rows }),
      bytes: t.field({
        type: 'SafeInt',
        description: 'Its size in bytes, compressed where it is.',
        resolve: (one) => one.bytes,
      }),
      sha256: t.exposeString('sha256', { description: 'SHA-256 of its bytes, hexadecimal.' }),
    }),
  });
  const error = builder.objectRef<RunFailure>('RunError').implement({
    description: 'Why an attempt or a run ended badly.',
    authScopes: READ,
    fields: (t) => ({
      code: t.exposeString('code', {
        description: 'For programs, e.g. ACCESS_DENIED, NO_SUCH_BUCKET, S3_TIMEOUT, MISSED.',
      }),
      message: t.exposeString('message', { description: 'What happened and what to change.' }),
      retryable: t.exposeBoolean('retryable', {
        description: 'Whether the same may pass later without anybody changing anything.',
      }),
    }),
  });
  builder.objectType(refs.run, {
    description: 'One execution of a job, for one slot.',
    interfaces: [refs.node],
    isTypeOf: (value) => typeof value === 'object' && value !== null && 'leaseToken' in value,
    authScopes: READ,
    fields: (t) => ({
      id: t.id({ description: 'Opaque, stable, safe in a URL.', resolve: (run) => encodeId('Run', run.id) }),
      job: t.field({
        type: refs.job,
        nullable: true,
        description: 'Null once the job is deleted; the run stays.',
        resolve: (run, _, { loaders }) => loaders.jobs.load(run.jobId),
      }),
      jobName: t.string({
        description: 'The name that the job had when the run was queued.',
        resolve: (run) => run.settings.jobName,
      }),
      trigger: t.field({ type: trigger, description: 'Why it was made.', resolve: (run) => run.trigger }),
      status: t.field({ type: refs.runStatus, description: 'Where it stands.', resolve: (run) => run.status }),
      scheduledFor: t.field({
        type: 'DateTime',
        description: 'The slot. Windows are reckoned from it, however late the run starts.',
        resolve: (run) => run.scheduledFor,
      }),
      windowStart: t.field({
        type: 'DateTime',
        description: 'Where the window begins.',
        resolve: (run) => run.windowStart,
      }),
      windowEnd: t.field({
        type: 'DateTime',
        description: 'Where it ends, not included.',
        resolve: (run) => run.windowEnd,
      }),
      startedAt: t.field({
        type: 'DateTime',
        nullable: true,
        description: 'When its first attempt began.',
        resolve: (run) => run.startedAt,
      }),
      finishedAt: t.field({
        type: 'DateTime',
        nullable: true,
        description: 'When it ended.',
        resolve: (run) => run.finishedAt,
      }),
      attempt: t.exposeInt('attempt', {
        description:
          '0 before the first start, 5 at most. A take-over from a server that died counts; one that stops in order hands its run over and gives the attempt back.',
      }),
      rowsWritten: t.field({
        type: 'SafeInt',
        description: 'Rows of this attempt so far; advances at least once a second while it writes.',
        resolve: (run) => run.rowsWritten,
      }),
      bytesWritten: t.field({
        type: 'SafeInt',
        description:
          'Bytes of this attempt so far, compressed where they are; advances at least once a second while it writes.',
        resolve: (run) => run.bytesWritten,
      }),
      objects: t.field({
        type: [object],
        ...ONE_STATEMENT,
        description: 'What it has written, in the order of the parts. Trust them when the status is SUCCEEDED.',
        resolve: async (run, _, { loaders }) => [...(await loaders.runObjects.load(run.id))],
      }),
      manifestKey: t.string({
        nullable: true,
        description: 'The key of the manifest: written last, so where it stands the export is whole. Null until then.',
        resolve: (run) => (run.status === 'SUCCEEDED' ? run.manifestKey : null),
      }),
      error: t.field({
        type: error,
        nullable: true,
        description: 'Of the last attempt that failed, or why it was not run.',
        resolve: (run) => run.error,
      }),
    }),
  });
  addQueries(builder, refs);
  addMutations(builder, refs);
  addSubscription(builder, refs);
};

const addQueries = (builder: Builder, refs: Refs): void => {
  builder.queryFields((t) => ({
    run: t.field({
      type: refs.run,
      nullable: true,
      authScopes: READ,
      description: 'The run with this id, or null.',
      args: { id: t.arg.id({ required: true, description: 'The id of a run.' }) },
      resolve: async (_, { id }, context) =>
        (await loadRuns(context.services.db, accountOf(context), [idOf('Run', id)]))[0] ?? null,
    }),
    runs: t.field({
      type: refs.runConnection,
      authScopes: READ,
      description: 'Runs of all jobs, deleted ones too, newest first.',
      args: {
        ...bothWaysArgs(t.arg),
        status: t.arg({ type: [refs.runStatus], description: 'Only runs in one of these.' }),
        jobId: t.arg.id({ description: 'Only runs of this job.' }),
      },
      resolve: async (_, { jobId, ...args }, context) => {
        const { db } = context.services;
        const account = accountOf(context);
        const selection = { ...paged(context, args), jobId: jobId == null ? null : idOf('Job', jobId) };
        return toConnection(
          await listRuns(db, account, selection),
          (row) => [row.createdAt.toISOString(), row.id],
          () => countRuns(db, account, selection),
        );
      },
    }),
  }));
};

const addMutations = (builder: Builder, refs: Refs): void => {
  const input = builder.inputType('RunJobInput', {
    description: 'Which job to run, for which slot.',
    fields: (t) => ({
      jobId: t.id({ required: true, description: 'The id of a job.' }),
      scheduledFor: t.field({
        type: 'DateTime',
        description: 'The slot to run for; now where left out. The window is reckoned from it. At most 24 hours ahead.',
      }),
    }),
  });
  builder.mutationFields((t) => ({
    runJob: t.field({
      type: refs.run,
      authScopes: JOBS,
      description: 'Makes a MANUAL run, also of a disabled job and for a slot that has run.',
      args: { input: t.arg({ type: input, required: true, description: 'Which job, and for when.' }) },
      errors: {
        // ConflictError: the bucket belongs to another account.
        types: [ValidationError, NotFoundError, ConflictError],
        union: { name: 'RunJobResult', description: 'The run, or why there is none.' },
      },
      resolve: (_, { input: { jobId, scheduledFor } }, context) =>
        runJob(context.services, accountOf(context), idOf('Job', jobId), scheduledFor ?? null),
    }),
    cancelRun: t.field({
      type: refs.run,
      authScopes: JOBS,
      description:
        'Cancels a run that waits or runs. A running export stops within two seconds, and nothing half-written is named by a complete manifest.',
      args: { id: t.arg.id({ required: true, description: 'The id of a run.' }) },
      errors: {
        types: [NotFoundError, ConflictError],
        union: { name: 'CancelRunResult', description: 'The run, CANCELED, or why it was not.' },
      },
      resolve: (_, { id }, context) => cancelRun(context.services, accountOf(context), idOf('Run', id)),
    }),
  }));
};

const addSubscription = (builder: Builder, refs: Refs): void => {
  builder.subscriptionField('runUpdated', (t) =>
    t.field({
      type: refs.run,
      authScopes: READ,
      description:
        'With runId that run, as it stands and then at each change, until it has ended. With jobId, or neither, the runs of the job or account: first those QUEUED and RUNNING, then each change. Not both. Of states that follow each other faster than they are read only the newest is sent. 100 at a time for a key on one server (a setting); they end when the key is revoked (UNAUTHENTICATED) or the server stops (UNAVAILABLE: subscribe again).',
      args: {
        runId: t.arg.id({ description: 'Follow this run.' }),
        jobId: t.arg.id({ description: 'Follow the runs of this job.' }),
      },
      subscribe: (_, args, context) => subscribeToRuns(args, context),
      resolve: (run) => run,
    }),
  );
};

const subscribeToRuns = async (
  { runId, jobId }: { runId?: string | null | undefined; jobId?: string | null | undefined },
  context: GraphQLContext,
): Promise<AsyncIterable<RunRow>> => {
  const { db } = context.services;
  const accountId = accountOf(context);
  if (runId != null && jobId != null) throw new BadUserInputError('Give runId or jobId, not both.');
  if (runId == null && jobId == null) return followRuns(context, { accountId });
  if (jobId != null) {
    const job = await context.loaders.jobs.load(idOf('Job', jobId));
    if (!job) throw notFound('There is no such job.');
    return followRuns(context, { accountId, jobId: job.id });
  }
  const [run] = await loadRuns(db, accountId, [idOf('Run', runId ?? '')]);
  if (!run) throw notFound('There is no such run.');
  return followRuns(context, { accountId, runId: run.id });
};

const notFound = (message: string): GraphQLError => new GraphQLError(message, { extensions: { code: 'NOT_FOUND' } });
