import { z } from 'zod';
import { ConflictError, NotFoundError, ValidationError } from '../../errors/errors.ts';
import { checkJob, type JobCheck } from '../../jobs/check.ts';
import { createJob, deleteJob, updateJob } from '../../jobs/commands.ts';
import { type JobPatch, jobSettings } from '../../jobs/settings.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Builder } from './builder.ts';
import { accountOf } from './context.ts';
import { parseGlobalId } from '../../lib/global-ids.ts';
import { AGGREGATION } from './field-costs.ts';
import type { HasSettings, JobSettingsTypes } from './job-settings.ts';
import type { Refs } from './refs.ts';

const READ = { anyOf: ['READ'] } as const;
const JOBS = { anyOf: ['JOBS'] } as const;

export const addJobMutations = (builder: Builder, refs: Refs, settings: JobSettingsTypes, clock: Clock): void => {
  const deletedJob = builder.objectRef<{ readonly deletedId: string }>('DeletedJob').implement({
    description: 'A job that was just deleted. Its runs stay.',
    // A global id under the name `id` would make normalized caches store this object over the Job.
    fields: (t) => ({ deletedId: t.exposeID('deletedId', { description: 'The id of the deleted job.' }) }),
  });
  const check = addJobCheck(builder, refs, settings.config);
  builder.mutationFields((t) => ({
    createJob: t.field({
      type: refs.job,
      authScopes: JOBS,
      description: 'Stores a job. An enabled one with neither cron nor scheduledTimeInSeconds runs once at once.',
      args: {
        input: t
          .arg({ type: settings.create, required: true, description: 'Settings of the job.' })
          .validate(jobSettings({ clock })),
      },
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
      args: { input: t.arg({ type: settings.update, required: true, description: 'The id, and what to change.' }) },
      errors: {
        types: [ValidationError, NotFoundError, ConflictError],
        union: { name: 'UpdateJobResult', description: 'The job as it is now, or why it was not changed.' },
      },
      resolve: (_, { input: { id, version, ...patch } }, context) =>
        updateJob(context.services, accountOf(context), parseGlobalId('Job', id), version ?? null, patch as JobPatch),
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
        await deleteJob(context.services, accountOf(context), parseGlobalId('Job', id));
        return { deletedId: id };
      },
    }),
    checkJob: t.field({
      type: check,
      authScopes: JOBS,
      ...AGGREGATION,
      description:
        'Validates as createJob would and shows what a run now would do. Stores nothing. With an id: as updateJob of that job to these settings would be checked.',
      args: t.validate(
        {
          input: t.arg({ type: settings.create, required: true, description: 'Settings to check.' }),
          id: t.arg.id({ description: 'Id of a job: checks a change of that job to these settings.' }),
        },
        checkJobArguments(clock),
      ),
      errors: {
        types: [ValidationError, NotFoundError, ConflictError],
        union: { name: 'CheckJobResult', description: 'What was found, or why the job would be refused.' },
      },
      resolve: (_, { input, id }, context) => {
        const { db, clock, limits, canMail } = context.services;
        const existing = id == null ? null : parseGlobalId('Job', id);
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

/** An existing job may keep a one-off time that has passed; whether it has this one is checked when the job is read. */
const checkJobArguments = (clock: Clock) => {
  const created = jobSettings({ clock });
  const edited = jobSettings({ clock, mayHavePassed: () => true });
  return z.object({ id: z.string().nullish(), input: z.unknown() }).transform(({ id, input }, context) => {
    const parsed = (id == null ? created : edited).safeParse(input);
    if (parsed.success) return { id, input: parsed.data };
    const issues = parsed.error.issues.map((issue) => ({ ...issue, path: ['input', ...issue.path], input }));
    context.issues.push(...(issues as z.core.$ZodRawIssue[]));
    return z.NEVER;
  });
};

const addJobCheck = (builder: Builder, refs: Refs, config: JobSettingsTypes['config']) => {
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
