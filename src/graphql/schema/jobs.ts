import { BadUserInputError } from '../../errors/errors.ts';
import { countJobs, listJobs, loadJobs, upcomingSlots } from '../../jobs/jobs.ts';
import { countRuns, listRuns } from '../../runs/runs.ts';
import type { Builder } from './builder.ts';
import { bothWaysArgs, forwardArgs, toConnection } from './connections.ts';
import { accountOf, paged } from './context.ts';
import { encodeId, idOf } from '../../db/public-ids.ts';
import { SLOTS } from './field-costs.ts';
import type { JobEnums } from './job-inputs.ts';
import { addJobMutations, type HasSettings } from './job-mutations.ts';
import type { Refs } from './refs.ts';

const READ = { anyOf: ['READ'] } as const;

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
        ...SLOTS,
        description: 'The next times at which it is due; empty where it is disabled or has no schedule left.',
        args: {
          first: t.arg.int({ required: true, defaultValue: 5, description: 'How many: 0 to 100 (a setting).' }),
        },
        resolve: (job, { first }, { services }) => {
          const { maxPage } = services.limits;
          if (first < 0 || first > maxPage)
            throw new BadUserInputError(`first is 0 to ${maxPage}; ${first} was asked for.`);
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
        resolve: async (job, args, context) => {
          const { db } = context.services;
          const selection = { ...paged(context, args), jobId: job.id };
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
  addJobMutations(builder, refs, enums, config);
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

/** The settings of a job. Drafts and jobs both carry them under `settings`. */
const addJobConfig = (builder: Builder, refs: Refs, enums: JobEnums) =>
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
      bucketOwner: t.string({
        nullable: true,
        description: 'The AWS account that the bucket must belong to; null: whosever it is.',
        resolve: ({ settings }) => settings.bucketOwner ?? null,
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
          await listJobs(db, account, paged(context, args)),
          (row) => [row.createdAt.toISOString(), row.id],
          () => countJobs(db, account, args),
        );
      },
    }),
  }));
};
