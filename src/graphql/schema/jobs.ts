import { BadUserInputError } from '../../errors/errors.ts';
import { countJobs, listJobs, loadJobs } from '../../jobs/jobs.ts';
import { upcomingSlots } from '../../jobs/schedule/upcoming-slots.ts';
import type { JobRules } from '../../jobs/settings-schema.ts';
import { countRuns, listRuns } from '../../runs/runs.ts';
import type { Builder } from './builder.ts';
import { definePageArgs, defineForwardArgs, toConnection } from './connections.ts';
import { accountOf, limitPage } from './context.ts';
import { encodeGlobalId, parseGlobalId } from '../../lib/global-ids.ts';
import { GLOBAL_ID, RUN_STATUS_FILTER, SEARCH } from './descriptions.ts';
import { SLOTS } from './field-costs.ts';
import { addJobMutations } from './job-mutations.ts';
import { addJobSettings } from './job-settings.ts';
import type { Refs } from './refs.ts';

const READ = { anyOf: ['READ'] } as const;

export function addJobs(builder: Builder, refs: Refs, rules: JobRules): void {
  const settings = addJobSettings(builder, refs);
  builder.objectType(refs.job, {
    description: 'Export job: its settings, its schedule and its runs.',
    interfaces: [refs.node, settings.config],
    // A JobDraft of checkJob has no destination.
    isTypeOf: (value) => typeof value === 'object' && value !== null && 'destination' in value,
    authScopes: READ,
    fields: (t) => ({
      id: t.id({ description: GLOBAL_ID, resolve: (job) => encodeGlobalId('Job', job.id) }),
      version: t.exposeInt('version', {
        description:
          'Version of the job: 1 when created, then one more after each update. Pass it to updateJob to detect a concurrent edit.',
      }),
      warnings: t.exposeStringList('warnings', {
        description: 'Settings that are valid but probably not intended, as of the last create or update.',
      }),
      createdAt: t.expose('createdAt', { type: 'DateTime', description: 'Time at which the job was created.' }),
      updatedAt: t.expose('updatedAt', { type: 'DateTime', description: 'Time of the last change of the job.' }),
      nextRuns: t.field({
        type: ['DateTime'],
        ...SLOTS,
        description: 'Next slots of the schedule. Empty if the job is disabled or has no slot left.',
        args: {
          first: t.arg.int({
            required: true,
            defaultValue: 5,
            description: 'Maximum number of slots: 0 to 100 (`MAX_PAGE_SIZE`).',
          }),
        },
        resolve: (job, { first }, { services }) => {
          const { maxPage } = services.limits;
          if (first < 0 || first > maxPage) {
            throw new BadUserInputError(`first must be from 0 to ${maxPage}, not ${first}.`);
          }
          return upcomingSlots(job.settings, services.clock.now(), first);
        },
      }),
      runs: t.field({
        type: refs.runConnection,
        description: 'Runs of the job, newest first.',
        args: {
          ...defineForwardArgs(t.arg),
          status: t.arg({ type: [refs.runStatus], description: RUN_STATUS_FILTER }),
        },
        resolve: async (job, args, context) => {
          const { db } = context.services;
          const selection = { ...limitPage(context, args), jobId: job.id };
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
  addJobMutations(builder, refs, settings, rules);
}

function addQueries(builder: Builder, refs: Refs): void {
  builder.queryFields((t) => ({
    job: t.field({
      type: refs.job,
      nullable: true,
      authScopes: READ,
      description: 'Job with this id. Null if the account has none.',
      args: { id: t.arg.id({ required: true, description: 'Id of a job.' }) },
      resolve: async (_, { id }, context) =>
        (await loadJobs(context.services.db, accountOf(context), [parseGlobalId('Job', id)]))[0] ?? null,
    }),
    jobs: t.field({
      type: refs.jobConnection,
      authScopes: READ,
      description: 'Jobs that were not deleted, newest first.',
      args: {
        ...definePageArgs(t.arg),
        enabled: t.arg.boolean({ description: 'Whether the jobs are enabled. All jobs if omitted or null.' }),
        search: t.arg.string({ description: SEARCH }),
      },
      resolve: async (_, args, context) => {
        const { db } = context.services;
        const account = accountOf(context);
        return toConnection(
          await listJobs(db, account, limitPage(context, args)),
          (row) => [row.createdAt.toISOString(), row.id],
          () => countJobs(db, account, args),
        );
      },
    }),
  }));
}
