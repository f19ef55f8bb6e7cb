import type { JobSettings } from '../db/json-columns.ts';
import { BadUserInputError, ConflictError, NotFoundError, ValidationError } from '../errors.ts';
import { checkJob, type JobCheck } from '../exports/check.ts';
import { countJobs, listJobs, loadJobs, upcomingSlots } from '../jobs/jobs.ts';
import { createJob, deleteJob, updateJob } from '../runs/job-changes.ts';
import { countRuns, listRuns } from '../runs/runs.ts';
import type { Builder } from './builder.ts';
import { bothWaysArgs, forwardArgs, toConnection } from './connections.ts';
import { accountOf } from './context.ts';
import { encodeId, idOf } from './ids.ts';
import { addJobInputs } from './job-inputs.ts';

import type { Refs } from './refs.ts';

const READ = { anyOf: ['READ'] } as const;
const JOBS = { anyOf: ['JOBS'] } as const;

const MAX_NEXT_RUNS = 100;

/** What both a stored job and a draft have: their settings. */
interface HasSettings {
  readonly settings: JobSettings;
}

export const addJobs = (builder: Builder, refs: Refs): void => {
  const enums = addEnums(builder);
  const config = addJobConfig(builder, refs, enums);
  builder.objectType(refs.job, {
    description: 'An export job: what it exports, where to and when.',
    interfaces: [refs.node, config],
    isTypeOf: (value) => typeof value === 'object' && value !== null && 'destination' in value,
    authScopes: READ,
    fields: (t) => ({
      id: t.id({ description: 'Opaque, stable, safe in a URL.', resolve: (job) => encodeId('Job', job.id) }),
      version: t.exposeInt('version', {
        description:
          '1 at first; grows by one at each update. Pass it to updateJob so that no concurrent edit is lost.',
      }),
      createdAt: t.field({ type: 'DateTime', description: 'When it was created.', resolve: (job) => job.createdAt }),
      updatedAt: t.field({
        type: 'DateTime',
        description: 'When it was last changed.',
        resolve: (job) => job.updatedAt,
      }),
      nextRuns: t.field({
        type: ['DateTime'],
        description: 'The next times at which it is due; empty where it is disabled or has no schedule left.',
        args: {
          first: t.arg.int({ required: true, defaultValue: 5, description: `How many: 0 to ${MAX_NEXT_RUNS}.` }),
        },
        resolve: (job, { first }, { services }) => {
          if (first < 0 || first > MAX_NEXT_RUNS)
            throw new BadUserInputError(`first is 0 to ${MAX_NEXT_RUNS}; ${first} was asked for.`);
          return upcomingSlots(job.settings, services.clock.now(), first);
        },
      }),
      runs: t.field({
        type: refs.runConnection,
        description: 'Its runs, newest first.',
        args: {
          ...forwardArgs(t.arg),
          status: t.arg({ type: [refs.runStatus], description: 'Only runs in one of these.' }),
        },
        resolve: async (job, args, { services: { db } }) => {
          const selection = { ...args, jobId: job.id };
          return toConnection(
            await listRuns(db, job.accountId, selection),
            (row) => [row.createdAt.toISOString(), row.id],
            () => countRuns(db, job.accountId, selection),
          );
        },
      }),
    }),
  });
  addQueries(builder, refs);
  addMutations(builder, refs, enums, config);
};

const addEnums = (builder: Builder) => ({
  format: builder.enumType('ExportFormat', {
    description: 'The form of the files.',
    values: {
      JSON: { description: 'One array, compact.' },
      CSV: { description: 'RFC 4180 quoting, a header row, LF.' },
      NDJSON: { description: 'One JSON object a line.' },
    } as const,
  }),
  compression: builder.enumType('Compression', {
    description: 'How the files are compressed.',
    values: {
      NONE: { description: 'Not at all.' },
      GZIP: { description: 'gzip; the keys end in .gz, and there is no Content-Encoding.' },
    } as const,
  }),
});

type Enums = ReturnType<typeof addEnums>;

/** The settings of a job. Drafts and jobs both carry them under `settings`. */
const addJobConfig = (builder: Builder, refs: Refs, enums: Enums) =>
  builder.interfaceRef<HasSettings>('JobConfig').implement({
    description: 'The settings of an export job, all defaults filled in.',
    fields: (t) => ({
      jobName: t.string({
        description: 'Unique in the account; its slug is part of the object keys.',
        resolve: ({ settings }) => settings.jobName,
      }),
      description: t.string({
        nullable: true,
        description: 'For people.',
        resolve: ({ settings }) => settings.description,
      }),
      enabled: t.boolean({
        description: 'False keeps the job and starts nothing on schedule; runJob works all the same.',
        resolve: ({ settings }) => settings.enabled,
      }),
      email: t.field({
        type: 'EmailAddress',
        nullable: true,
        description: 'Hears of every run that ended, not of attempts that will be retried.',
        resolve: ({ settings }) => settings.email,
      }),
      s3Url: t.string({
        description: 'Bucket with optional path, as it was given.',
        resolve: ({ settings }) => settings.s3Url,
      }),
      format: t.field({
        type: enums.format,
        description: 'The form of the files.',
        resolve: ({ settings }) => settings.format,
      }),
      compression: t.field({
        type: enums.compression,
        description: 'How the files are compressed.',
        resolve: ({ settings }) => settings.compression,
      }),
      aggregationBucket: t.field({
        type: refs.aggregationBucket,
        description: 'What usage is summed by.',
        resolve: ({ settings }) => settings.aggregationBucket,
      }),
      timeZone: t.field({
        type: 'TimeZone',
        description: 'Of the buckets, the window and the cron.',
        resolve: ({ settings }) => settings.timeZone,
      }),
      range: t.field({
        type: 'AgoDuration',
        description: 'How far before its slot a run begins to read.',
        resolve: ({ settings }) => settings.range,
      }),
      endTimeOffset: t.field({
        type: 'AgoDuration',
        nullable: true,
        description: 'How far before its slot a run stops to read; null: at the slot.',
        resolve: ({ settings }) => settings.endTimeOffset,
      }),
      cron: t.field({
        type: 'CronExpression',
        nullable: true,
        description: 'The schedule, in the time zone of the job.',
        resolve: ({ settings }) => settings.cron,
      }),
      scheduledTimeInSeconds: t.field({
        type: 'SafeInt',
        nullable: true,
        description: 'Unix epoch seconds of its one run.',
        resolve: ({ settings }) => settings.scheduledTimeInSeconds,
      }),
      meterApiNames: t.stringList({
        nullable: true,
        description: 'Names of streams; null: every stream, also those made later.',
        resolve: ({ settings }) => copied(settings.meterApiNames),
      }),
      groupBy: t.stringList({
        nullable: true,
        description: 'Dimensions, and `element`: the columns of the export, in this order.',
        resolve: ({ settings }) => copied(settings.groupBy),
      }),
      filter: t.field({
        type: [refs.dimensionFilter],
        nullable: true,
        description: 'A record passes where, for each dimension named, one of its values is allowed.',
        resolve: ({ settings }) => copied(settings.filter),
      }),
      sparse: t.boolean({
        description: 'False fills every bucket of the window with 0 for each group that occurs in it.',
        resolve: ({ settings }) => settings.sparse,
      }),
      minimizeFresh: t.boolean({
        description: 'True ends the window at a bucket boundary, so that only whole buckets leave.',
        resolve: ({ settings }) => settings.minimizeFresh,
      }),
      rescaleFunction: t.field({
        type: refs.rescale,
        nullable: true,
        description: 'Applied to the sums.',
        resolve: ({ settings }) => settings.rescaleFunction,
      }),
    }),
  });

type ConfigRef = ReturnType<typeof addJobConfig>;

const copied = <Item>(items: readonly Item[] | null): Item[] | null => items && [...items];

const addQueries = (builder: Builder, refs: Refs): void => {
  builder.queryFields((t) => ({
    job: t.field({
      type: refs.job,
      nullable: true,
      authScopes: READ,
      description: 'The job with this id, or null.',
      args: { id: t.arg.id({ required: true, description: 'The id of a job.' }) },
      resolve: async (_, { id }, context) =>
        (await loadJobs(context.services.db, accountOf(context), [idOf('Job', id)]))[0] ?? null,
    }),
    jobs: t.field({
      type: refs.jobConnection,
      authScopes: READ,
      description: 'Jobs, newest first; deleted ones are not among them.',
      args: {
        ...bothWaysArgs(t.arg),
        enabled: t.arg.boolean({ description: 'Only enabled ones, or only disabled ones.' }),
        search: t.arg.string({ description: 'Only names that contain this text, in any case.' }),
      },
      resolve: async (_, args, context) => {
        const { db } = context.services;
        const account = accountOf(context);
        return toConnection(
          await listJobs(db, account, args),
          (row) => [row.createdAt.toISOString(), row.id],
          () => countJobs(db, account, args),
        );
      },
    }),
  }));
};

const addMutations = (builder: Builder, refs: Refs, enums: Enums, config: ConfigRef): void => {
  const inputs = addJobInputs(builder, refs, enums);
  const deletedJob = builder.objectRef<{ readonly id: string }>('DeletedJob').implement({
    description: 'A job that was just deleted. Its runs stay.',
    fields: (t) => ({ id: t.exposeID('id', { description: 'The id it had.' }) }),
  });
  const check = addJobCheck(builder, refs, config);
  builder.mutationFields((t) => ({
    createJob: t.field({
      type: refs.job,
      authScopes: JOBS,
      description: 'Stores a job. An enabled one with neither cron nor scheduledTimeInSeconds runs once at once.',
      args: { input: t.arg({ type: inputs.create, required: true, description: 'Its settings.' }) },
      errors: {
        types: [ValidationError, ConflictError],
        union: { name: 'CreateJobResult', description: 'The job, or why it was not stored.' },
      },
      resolve: (_, { input }, context) => createJob(context.services, accountOf(context), input),
    }),
    updateJob: t.field({
      type: refs.job,
      authScopes: JOBS,
      description: 'Changes the fields given; takes effect for slots not yet queued. Never starts a run.',
      args: { input: t.arg({ type: inputs.update, required: true, description: 'The id, and what to change.' }) },
      errors: {
        types: [ValidationError, NotFoundError, ConflictError],
        union: { name: 'UpdateJobResult', description: 'The job as it is now, or why it was not changed.' },
      },
      resolve: (_, { input: { id, version, ...patch } }, context) =>
        updateJob(context.services, accountOf(context), idOf('Job', id), version ?? null, patch),
    }),
    deleteJob: t.field({
      type: deletedJob,
      authScopes: JOBS,
      description: 'Deletes a job: cancels what waits and runs, and keeps the history.',
      args: { id: t.arg.id({ required: true, description: 'The id of a job.' }) },
      errors: {
        types: [NotFoundError],
        union: { name: 'DeleteJobResult', description: 'What was deleted, or that it is not there.' },
      },
      resolve: async (_, { id }, context) => {
        await deleteJob(context.services, accountOf(context), idOf('Job', id));
        return { id };
      },
    }),
    checkJob: t.field({
      type: check,
      authScopes: JOBS,
      description:
        'Validates as createJob would and shows what a run now would do. Stores nothing. With an id: as updateJob of that job to these settings would be checked.',
      args: {
        input: t.arg({ type: inputs.create, required: true, description: 'The settings.' }),
        id: t.arg.id({ description: 'The job that is to be changed to these settings.' }),
      },
      errors: {
        types: [ValidationError, NotFoundError, ConflictError],
        union: { name: 'CheckJobResult', description: 'What was found, or why the job would be refused.' },
      },
      resolve: (_, { input, id }, context) => {
        const { db, clock, limits, canMail } = context.services;
        const existing = id == null ? null : idOf('Job', id);
        return checkJob(
          { db, clock, maxFilledRows: limits.maxFilledRows, canMail },
          accountOf(context),
          input,
          existing,
        );
      },
    }),
  }));
};

const addJobCheck = (builder: Builder, refs: Refs, config: ConfigRef) => {
  const draft = builder.objectRef<HasSettings>('JobDraft').implement({
    description: 'A job that checkJob validated and did not store.',
    interfaces: [config],
    isTypeOf: (value) => typeof value === 'object' && value !== null && !('destination' in value),
    authScopes: READ,
  });
  const query = builder.objectRef<JobCheck['query']>('ExportQuery').implement({
    description: 'What a run now would read.',
    authScopes: READ,
    fields: (t) => ({
      windowStart: t.field({
        type: 'DateTime',
        description: 'Where the window begins.',
        resolve: (one) => one.windowStart,
      }),
      windowEnd: t.field({
        type: 'DateTime',
        description: 'Where it ends, not included.',
        resolve: (one) => one.windowEnd,
      }),
      aggregationBucket: t.field({
        type: refs.aggregationBucket,
        description: 'What usage is summed by.',
        resolve: (one) => one.aggregationBucket,
      }),
      meterApiNames: t.stringList({
        description: 'The streams that are there now.',
        resolve: (one) => [...one.meterApiNames],
      }),
      groupBy: t.stringList({
        description: 'The group columns: g1, g2 and so on in the SELECT.',
        resolve: (one) => [...one.groupBy],
      }),
      filter: t.field({
        type: [refs.dimensionFilter],
        description: 'What records must pass.',
        resolve: (one) => [...one.filter],
      }),
      sql: t.exposeString('sql', { description: 'The bare SELECT that Postgres would run.' }),
      parameters: t.field({
        type: ['String'],
        nullable: { list: false, items: true },
        description: 'Its parameters in order, in Postgres text form.',
        resolve: (one) => [...one.parameters],
      }),
    }),
  });
  return builder.objectRef<JobCheck>('JobCheck').implement({
    description: 'What checkJob found: nothing is stored, and nothing runs.',
    authScopes: READ,
    fields: (t) => ({
      job: t.field({
        type: draft,
        description: 'The job, its defaults filled in.',
        resolve: (one) => ({ settings: one.job }),
      }),
      query: t.field({ type: query, description: 'What a run now would read.', resolve: (one) => one.query }),
      nextRuns: t.field({
        type: ['DateTime'],
        description: 'The first slots of the schedule.',
        resolve: (one) => [...one.nextRuns],
      }),
      objectKeys: t.stringList({
        description: 'The object keys that a run now would write, were it one part; the manifest last.',
        resolve: (one) => [...one.objectKeys],
      }),
      sample: t.stringList({
        description:
          'The first rows that a run now would write, as the lines of the file without header or brackets: at most 10.',
        resolve: (one) => [...one.sample],
      }),
      warnings: t.stringList({
        description: 'What would work but probably is not meant, e.g. a dimension that no stream has.',
        resolve: (one) => [...one.warnings],
      }),
    }),
  });
};
