import { z } from 'zod';
import { ConflictError, NotFoundError, ValidationError } from '../../errors/errors.ts';
import { checkJob, type JobCheck, type WindowPreview } from '../../jobs/check.ts';
import { createJob, deleteJob, updateJob } from '../../jobs/commands.ts';
import { jobInput, type JobRules } from '../../jobs/settings-schema.ts';
import type { JobPatch } from '../../jobs/settings.ts';
import type { Builder } from './builder.ts';
import { accountOf } from './context.ts';
import { parseGlobalId } from '../../lib/global-ids.ts';
import { AGGREGATION } from './field-costs.ts';
import type { HasSettings, JobSettingsTypes } from './job-settings.ts';
import type { Refs } from './refs.ts';

const READ = { anyOf: ['READ'] } as const;
const JOBS = { anyOf: ['JOBS'] } as const;

export function addJobMutations(builder: Builder, refs: Refs, settings: JobSettingsTypes, rules: JobRules): void {
  const deletedJob = builder.objectRef<{ readonly deletedId: string }>('DeletedJob').implement({
    description: 'Job that was just deleted. Its runs are kept.',
    // A global id under the name `id` would make normalized caches store this object over the Job.
    fields: (t) => ({ deletedId: t.exposeID('deletedId', { description: 'Id of the deleted job.' }) }),
  });
  const check = addJobCheck(builder, refs, settings.config);
  builder.mutationFields((t) => ({
    createJob: t.field({
      type: refs.job,
      authScopes: JOBS,
      description: 'Creates a job. An enabled job without cron and scheduledTimeInSeconds runs once, immediately.',
      args: {
        input: t
          .arg({ type: settings.create, required: true, description: 'Settings of the new job.' })
          .validate(jobInput(rules)),
      },
      errors: {
        types: [ValidationError, ConflictError],
        union: { name: 'CreateJobResult', description: 'Created job, or the reason why none was created.' },
      },
      resolve: (_, { input: { settings: job, strict } }, context) =>
        createJob(context.services, accountOf(context), job, strict),
    }),
    updateJob: t.field({
      type: refs.job,
      authScopes: JOBS,
      description:
        'Changes the fields that are set. The change applies to slots that are not queued yet, and starts no run.',
      args: {
        input: t.arg({
          type: settings.update,
          required: true,
          description: 'Id of the job, and the settings to change.',
        }),
      },
      errors: {
        types: [ValidationError, NotFoundError, ConflictError],
        union: { name: 'UpdateJobResult', description: 'Changed job, or the reason why it was not changed.' },
      },
      resolve: (_, { input: { id, version, strict, ...patch } }, context) =>
        updateJob(context.services, accountOf(context), parseGlobalId('Job', id), {
          patch: patch as JobPatch,
          version: version ?? null,
          strict: strict ?? false,
        }),
    }),
    deleteJob: t.field({
      type: deletedJob,
      authScopes: JOBS,
      description: 'Deletes a job and cancels its queued and running runs. The history of runs is kept.',
      args: { id: t.arg.id({ required: true, description: 'Id of a job.' }) },
      errors: {
        types: [NotFoundError],
        union: { name: 'DeleteJobResult', description: 'Deleted job, or the reason why none was deleted.' },
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
        'Validates settings like createJob, or like updateJob if an id is set, and previews a run. Stores nothing.',
      args: t.validate(
        {
          input: t.arg({ type: settings.create, required: true, description: 'Settings that are checked.' }),
          id: t.arg.id({
            description: 'Id of the job that would be changed to these settings. A new job if omitted or null.',
          }),
        },
        checkJobArguments(rules),
      ),
      errors: {
        types: [ValidationError, NotFoundError, ConflictError],
        union: { name: 'CheckJobResult', description: 'Preview of the job, or the reason why it would be rejected.' },
      },
      resolve: (_, { input, id }, context) =>
        checkJob(
          context.services,
          accountOf(context),
          input.settings,
          id == null ? null : parseGlobalId('Job', id),
          input.strict,
        ),
    }),
  }));
}

/** An existing job may keep a one-off time that has passed; whether it has this one is checked when the job is read. */
function checkJobArguments(rules: JobRules) {
  const created = jobInput(rules);
  const edited = jobInput({ ...rules, mayHavePassed: () => true, mayHaveBraces: () => true });
  return z.object({ id: z.string().nullish(), input: z.unknown() }).transform(({ id, input }, context) => {
    const parsed = (id == null ? created : edited).safeParse(input);
    if (parsed.success) return { id, input: parsed.data };
    const issues = parsed.error.issues.map((issue) => ({ ...issue, path: ['input', ...issue.path], input }));
    context.issues.push(...(issues as z.core.$ZodRawIssue[]));
    return z.NEVER;
  });
}

function addJobCheck(builder: Builder, refs: Refs, config: JobSettingsTypes['config']) {
  const draft = builder.objectRef<HasSettings>('JobDraft').implement({
    description: 'Job that checkJob validated and did not store.',
    interfaces: [config],
    isTypeOf: (value) => typeof value === 'object' && value !== null && !('destination' in value),
    authScopes: READ,
  });
  const query = builder.objectRef<JobCheck['query']>('ExportQuery').implement({
    description: 'Query that a run would execute now.',
    authScopes: READ,
    fields: (t) => ({
      windowStart: t.expose('windowStart', { type: 'DateTime', description: 'Start of the window, inclusive.' }),
      windowEnd: t.expose('windowEnd', { type: 'DateTime', description: 'End of the window, exclusive.' }),
      aggregationBucket: t.expose('aggregationBucket', {
        type: refs.aggregationBucket,
        description: 'Length of the buckets over which usage is summed.',
      }),
      meterApiNames: t.exposeStringList('meterApiNames', { description: 'Names of the streams that exist now.' }),
      groupBy: t.exposeStringList('groupBy', {
        description: 'Group columns, which are named g1, g2 and so on in the SELECT.',
      }),
      filter: t.expose('filter', { type: [refs.dimensionFilter], description: 'Filter that records must match.' }),
      sql: t.exposeString('sql', { description: 'SELECT statement that PostgreSQL would execute.' }),
      parameters: t.expose('parameters', {
        type: ['String'],
        nullable: { list: false, items: true },
        description: 'Parameters of the statement in order, in the text format of PostgreSQL.',
      }),
    }),
  });
  const windowPreview = builder.objectRef<WindowPreview>('WindowPreview').implement({
    description: 'Window that a slot of the schedule will export, and the object keys of its run.',
    authScopes: READ,
    fields: (t) => ({
      scheduledFor: t.expose('scheduledFor', { type: 'DateTime', description: 'Slot of the schedule.' }),
      windowStart: t.expose('windowStart', { type: 'DateTime', description: 'Start of the window, inclusive.' }),
      windowEnd: t.expose('windowEnd', { type: 'DateTime', description: 'End of the window, exclusive.' }),
      objectKeys: t.exposeStringList('objectKeys', {
        description: 'Object keys of the run if it has one part, with all placeholders replaced.',
      }),
      manifestKey: t.exposeString('manifestKey', { description: 'Object key of the manifest.' }),
    }),
  });
  return builder.objectRef<JobCheck>('JobCheck').implement({
    description: 'Preview of a job, returned by checkJob.',
    authScopes: READ,
    fields: (t) => ({
      job: t.field({
        type: draft,
        description: 'Settings of the job, with all defaults.',
        resolve: ({ job }) => ({ settings: job }),
      }),
      query: t.expose('query', { type: query, description: 'Query that a run would execute now.' }),
      nextRuns: t.expose('nextRuns', { type: ['DateTime'], description: 'First slots of the schedule.' }),
      nextWindows: t.expose('nextWindows', {
        type: [windowPreview],
        description:
          'Windows of the next three slots, with their object keys. Empty if the job is disabled or has no slot left.',
      }),
      objectKeys: t.exposeStringList('objectKeys', {
        description: 'Object keys that a run would write now if it had one part, with the manifest last.',
      }),
      sample: t.exposeStringList('sample', {
        description:
          'First rows that a run would write now, as lines of the file without header or brackets; in PARQUET as lines of NDJSON. Maximum 10.',
      }),
      warnings: t.exposeStringList('warnings', {
        description: 'Settings that are valid but probably not intended, such as a dimension that no stream has.',
      }),
    }),
  });
}
