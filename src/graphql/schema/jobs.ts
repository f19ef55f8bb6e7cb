import { BadUserInputError } from '../../errors/errors.ts';
import { countJobs, listJobs, loadJobs, upcomingSlots } from '../../jobs/jobs.ts';
import type { Clock } from '../../lib/clock.ts';
import { countRuns, listRuns } from '../../runs/runs.ts';
import type { Builder } from './builder.ts';
import { bothWaysArgs, forwardArgs, toConnection } from './connections.ts';
import { accountOf, paged } from './context.ts';
import { encodeGlobalId, parseGlobalId } from '../../lib/global-ids.ts';
import { SLOTS } from './field-costs.ts';
import { addJobMutations } from './job-mutations.ts';
import { addJobSettings } from './job-settings.ts';
import type { Refs } from './refs.ts';

const READ = { anyOf: ['READ'] } as const;

export const addJobs = (builder: Builder, refs: Refs, clock: Clock): void => {
  const settings = addJobSettings(builder, refs);
  builder.objectType(refs.job, {
    description: 'An export job: what it exports, where to and when.',
    interfaces: [refs.node, settings.config],
    isTypeOf: (value) => typeof value === 'object' && value !== null && 'destination' in value,
    authScopes: READ,
    fields: (t) => ({
      id: t.id({ description: 'Opaque, stable, safe in a URL.', resolve: (job) => encodeGlobalId('Job', job.id) }),
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
  addJobMutations(builder, refs, settings, clock);
};

const addQueries = (builder: Builder, refs: Refs): void => {
  builder.queryFields((t) => ({
    job: t.field({
      type: refs.job,
      nullable: true,
      authScopes: READ,
      description: 'The job with this id, or null.',
      args: { id: t.arg.id({ required: true, description: 'The id of a job.' }) },
      resolve: async (_, { id }, context) =>
        (await loadJobs(context.services.db, accountOf(context), [parseGlobalId('Job', id)]))[0] ?? null,
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
