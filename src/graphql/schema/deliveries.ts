import { BadUserInputError, ConflictError, NotFoundError } from '../../errors/errors.ts';
import {
  type DeliveryRow,
  findCoverageProblem,
  findState,
  MAX_COVERAGE_DAYS,
  type TimeSpan,
} from '../../deliveries/delivery.ts';
import { readPendingOperations } from '../../deliveries/read-corrections.ts';
import { type Coverage, listDeliveries, readCoverage } from '../../deliveries/read-deliveries.ts';
import { redeliver } from '../../jobs/commands.ts';
import { hashOutput } from '../../jobs/export-fingerprint.ts';
import { encodeGlobalId, parseGlobalId } from '../../lib/global-ids.ts';
import { countRuns, listRuns } from '../../runs/runs.ts';
import type { OperationRow } from '../../streams/stream-rows.ts';
import type { Builder } from './builder.ts';
import { addChanges } from './changes.ts';
import { defineForwardArgs, toConnection } from './connections.ts';
import { accountOf, limitPage } from './context.ts';
import { GLOBAL_ID } from './descriptions.ts';
import type { Refs } from './refs.ts';
import { readInstant } from './timestamp-arguments.ts';

const READ = { anyOf: ['READ'] } as const;
const JOBS = { anyOf: ['JOBS'] } as const;
const MAX_PENDING = 100;
const STATE_FILTER = 'States of the deliveries. All deliveries if omitted or null.';

const keyOf = (row: DeliveryRow): string[] => [row.windowEnd.toISOString(), row.id];

export function addDeliveries(builder: Builder, refs: Refs): void {
  const state = refs.deliveryState;
  builder.objectType(refs.delivery, {
    description: 'One window of a job at one place in the S3 bucket, written any number of times.',
    interfaces: [refs.node],
    isTypeOf: (value) => typeof value === 'object' && value !== null && 'owedUntil' in value,
    authScopes: READ,
    fields: (t) => ({
      id: t.id({ description: GLOBAL_ID, resolve: (delivery) => encodeGlobalId('Delivery', delivery.id) }),
      job: t.field({
        type: refs.job,
        nullable: true,
        description: 'Job of the delivery. Null if the job is deleted.',
        resolve: (delivery, _, { loaders }) => loaders.jobs.load(delivery.jobId),
      }),
      windowStart: t.expose('windowStart', { type: 'DateTime', description: 'Start of the window, inclusive.' }),
      windowEnd: t.expose('windowEnd', { type: 'DateTime', description: 'End of the window, exclusive.' }),
      state: t.field({
        type: state,
        description: 'State of the delivery: the first that applies.',
        resolve: async (delivery, _, { loaders }) => {
          const job = await loaders.jobs.load(delivery.jobId);
          return findState(delivery, job && hashOutput(job.settings));
        },
      }),
      deliveredAt: t.expose('deliveredAt', {
        type: 'DateTime',
        nullable: true,
        description: 'Time at which the window was delivered last. Null while MISSING.',
      }),
      staleSince: t.expose('staleSince', {
        type: 'DateTime',
        nullable: true,
        description:
          'Time at which the oldest correction was found that makes the rows differ from the ledger. Null if no check found a difference.',
      }),
      pendingOperations: t.field({
        type: [refs.operation],
        description: `Operations that touched the window and are not in the delivered revision, newest first. Maximum ${MAX_PENDING}.`,
        resolve: async (delivery, _, { services, loaders }) => {
          const job = await loaders.jobs.load(delivery.jobId);
          const ids = job ? await readPendingOperations(services.db, delivery, job, MAX_PENDING) : [];
          const found = await loaders.operations.loadMany(ids);
          return found.filter((one) => one !== null && !(one instanceof Error)) as OperationRow[];
        },
      }),
      manifestKey: t.exposeString('manifestKey', { description: 'Object key of the manifest.' }),
      owedUntil: t.expose('owedUntil', {
        type: 'DateTime',
        description:
          'End of the buckets for which the delivery is responsible. Later buckets belong to newer deliveries.',
      }),
      revision: t.exposeInt('revision', {
        description: 'Revision in the S3 bucket. 0 while MISSING. Revisions grow and may have gaps.',
      }),
      complete: t.exposeBoolean('complete', {
        nullable: true,
        description:
          'Whether the streams were declared complete for the window when it was delivered, as Run.complete of `currentRun`. Null if none counts, and while MISSING.',
      }),
      currentRun: t.field({
        type: refs.run,
        nullable: true,
        description: 'Run that wrote the revision. Null while MISSING.',
        resolve: (delivery, _, { loaders }) => (delivery.runId === null ? null : loaders.runs.load(delivery.runId)),
      }),
      runs: t.field({
        type: refs.runConnection,
        description: 'Runs of the window, newest first.',
        args: defineForwardArgs(t.arg),
        resolve: async (delivery, args, context) => {
          const { db } = context.services;
          const { jobId, bucket, manifestKey } = delivery;
          const selection = { ...limitPage(context, args), jobId, bucket, manifestKey };
          return toConnection(
            await listRuns(db, delivery.accountId, selection),
            (row) => [row.createdAt.toISOString(), row.id],
            () => countRuns(db, delivery.accountId, selection),
          );
        },
      }),
    }),
  });
  const span = builder.objectRef<TimeSpan>('TimeSpan').implement({
    description: 'Span of time, half-open.',
    authScopes: READ,
    fields: (t) => ({
      from: t.expose('from', { type: 'DateTime', description: 'Start of the span, inclusive.' }),
      to: t.expose('to', { type: 'DateTime', description: 'End of the span, exclusive.' }),
    }),
  });
  const coverage = builder.objectRef<Coverage>('DeliveryCoverage').implement({
    description: 'Parts of a span that the S3 bucket has for the current output of a job.',
    authScopes: READ,
    fields: (t) => ({
      from: t.expose('from', { type: 'DateTime', description: 'Start of the span, inclusive.' }),
      to: t.expose('to', {
        type: 'DateTime',
        description: 'End of the span, exclusive: at most the end of the window of the last due slot.',
      }),
      delivered: t.expose('delivered', {
        type: [span],
        description: 'Parts that a delivered window contains, merged.',
      }),
      stale: t.expose('stale', {
        type: [span],
        description: 'Parts for which STALE and TOUCHED deliveries are responsible, merged.',
      }),
      gaps: t.expose('gaps', { type: [span], description: 'Parts that no delivered window contains, merged.' }),
    }),
  });
  builder.objectFields(refs.job, (t) => ({
    deliveries: t.field({
      type: refs.deliveryConnection,
      description: 'Deliveries of the job whose windows overlap the span, by the end of the window, newest first.',
      args: {
        ...defineForwardArgs(t.arg),
        from: t.arg({ type: 'DateTime', description: 'Start of the span, inclusive. Unbounded if omitted or null.' }),
        to: t.arg({ type: 'DateTime', description: 'End of the span, exclusive. Unbounded if omitted or null.' }),
        state: t.arg({ type: [state], description: STATE_FILTER }),
      },
      resolve: async (job, { from, to, ...args }, context) =>
        toConnection(
          await listDeliveries(context.services.db, job.accountId, {
            ...limitPage(context, args),
            jobId: job.id,
            from: readInstant('from', from),
            to: readInstant('to', to),
          }),
          keyOf,
        ),
    }),
    coverage: t.field({
      type: coverage,
      description: `Parts of a span that the S3 bucket has for the current output of the job. Maximum ${MAX_COVERAGE_DAYS.toLocaleString('en')} days.`,
      args: {
        from: t.arg({ type: 'DateTime', required: true, description: 'Start of the span, inclusive.' }),
        to: t.arg({ type: 'DateTime', required: true, description: 'End of the span, exclusive.' }),
      },
      resolve: (job, args, { services }) => {
        const [from, to] = [readInstant('from', args.from), readInstant('to', args.to)] as [Date, Date];
        const problem = findCoverageProblem(from.getTime(), to.getTime());
        if (problem) throw new BadUserInputError(`to: ${problem.message}`);
        return readCoverage(services.db, job, { from, to }, services.clock.now());
      },
    }),
  }));
  builder.objectFields(refs.run, (t) => ({
    delivery: t.field({
      type: refs.delivery,
      nullable: true,
      description: 'Delivery of the window. Null for windows that were delivered before there were deliveries.',
      resolve: (run, _, { loaders }) => loaders.deliveriesOfRuns.load(run),
    }),
    revision: t.exposeInt('revision', {
      nullable: true,
      description: 'Revision of the delivery that the run writes. Null before it starts.',
    }),
    changes: t.expose('changes', {
      type: addChanges(builder),
      nullable: true,
      description:
        'Differences from the revision that the run superseded. Null for the first revision, before the run ends, and if they cannot be computed: the output differs, the window ends in a bucket, or the history was purged or restored.',
    }),
  }));
  builder.queryFields((t) => ({
    deliveries: t.field({
      type: refs.deliveryConnection,
      authScopes: READ,
      description: 'Deliveries of all jobs, by the end of the window, newest first.',
      args: {
        ...defineForwardArgs(t.arg),
        state: t.arg({ type: [state], description: STATE_FILTER }),
        jobId: t.arg.id({ description: 'Id of a job. Deliveries of every job if omitted or null.' }),
      },
      resolve: async (_, { jobId, ...args }, context) =>
        toConnection(
          await listDeliveries(context.services.db, accountOf(context), {
            ...limitPage(context, args),
            jobId: jobId == null ? null : parseGlobalId('Job', jobId),
          }),
          keyOf,
        ),
    }),
  }));
  builder.mutationFields((t) => ({
    redeliver: t.field({
      type: refs.run,
      authScopes: JOBS,
      description:
        'Queues a MANUAL run that delivers the window again, as the next revision. Possible in every state except RETIRED.',
      args: { deliveryId: t.arg.id({ required: true, description: 'Id of the delivery to write again.' }) },
      errors: {
        types: [NotFoundError, ConflictError],
        union: { name: 'RedeliverResult', description: 'Queued run, or the reason why none was queued.' },
      },
      resolve: (_, { deliveryId }, context) =>
        redeliver(context.services, accountOf(context), parseGlobalId('Delivery', deliveryId)),
    }),
  }));
}
