import type { IntakeDay, NextSlot, StatusCount } from '../../runs/overview.ts';
import { INTAKE_DAYS, MAX_NEXT_SLOTS } from '../../runs/overview.ts';
import { MAX_LISTED, type Overview, readOverview } from '../../runs/read-overview.ts';
import type { Builder } from './builder.ts';
import { accountOf } from './context.ts';
import { AGGREGATION, listOf } from './field-costs.ts';
import type { Refs } from './refs.ts';

const READ = { anyOf: ['READ'] } as const;

export function addOverview(builder: Builder, refs: Refs): void {
  const statusCount = builder.objectRef<StatusCount>('RunStatusCount').implement({
    description: 'Number of runs with a status.',
    authScopes: READ,
    fields: (t) => ({
      status: t.expose('status', { type: refs.runStatus, description: 'Current status of the runs.' }),
      count: t.expose('count', { type: 'SafeInt', description: 'Number of runs.' }),
    }),
  });
  const intakeDay = builder.objectRef<IntakeDay>('IntakeDay').implement({
    description: 'Operations of a UTC day, by `receivedAt`, on all streams of the account.',
    authScopes: READ,
    fields: (t) => ({
      date: t.expose('date', { type: 'DateTime', description: 'Start of the day, in UTC.' }),
      operations: t.expose('operations', { type: 'SafeInt', description: 'Number of operations of any kind.' }),
      insertedRecords: t.expose('insertedRecords', {
        type: 'SafeInt',
        description: 'Number of records that the operations inserted.',
      }),
      hiddenRecords: t.expose('hiddenRecords', {
        type: 'SafeInt',
        description: 'Number of records that the operations hid.',
      }),
    }),
  });
  const nextSlot = builder.objectRef<NextSlot>('NextSlot').implement({
    description: 'Future slot of a job.',
    authScopes: READ,
    fields: (t) => ({
      job: t.expose('job', { type: refs.job, description: 'Job of the slot.' }),
      scheduledFor: t.expose('scheduledFor', { type: 'DateTime', description: 'Time of the slot.' }),
      windowStart: t.expose('windowStart', {
        type: 'DateTime',
        description: 'Start of the window that the slot exports, inclusive.',
      }),
      windowEnd: t.expose('windowEnd', {
        type: 'DateTime',
        description: 'End of the window that the slot exports, exclusive.',
      }),
    }),
  });
  const overview = builder.objectRef<Overview>('Overview').implement({
    description: 'State of an account at one time. Deleted jobs and their deliveries are left out.',
    authScopes: READ,
    fields: (t) => ({
      at: t.expose('at', { type: 'DateTime', description: 'Time at which the overview was read.' }),
      failingRuns: t.expose('failingRuns', {
        type: [refs.run],
        ...listOf(MAX_LISTED),
        description: `Newest ended run of each job whose newest ended run FAILED, the last to end first. Maximum ${MAX_LISTED}.`,
      }),
      failingJobCount: t.expose('failingJobCount', {
        type: 'SafeInt',
        description: 'Number of jobs whose newest ended run FAILED.',
      }),
      jobsWithWarnings: t.expose('jobsWithWarnings', {
        type: [refs.job],
        ...listOf(MAX_LISTED),
        description: `Jobs with warnings, sorted by name. Maximum ${MAX_LISTED}.`,
      }),
      jobWithWarningsCount: t.expose('jobWithWarningsCount', {
        type: 'SafeInt',
        description: 'Number of jobs with warnings.',
      }),
      attentionDeliveries: t.expose('attentionDeliveries', {
        type: [refs.delivery],
        ...listOf(MAX_LISTED),
        description: `STALE and MISSING deliveries by the end of their windows, newest first. Maximum ${MAX_LISTED}.`,
      }),
      staleDeliveryCount: t.expose('staleDeliveryCount', {
        type: 'SafeInt',
        description: 'Number of STALE deliveries.',
      }),
      missingDeliveryCount: t.expose('missingDeliveryCount', {
        type: 'SafeInt',
        description: 'Number of MISSING deliveries.',
      }),
      queueLagSeconds: t.expose('queueLagSeconds', {
        type: 'SafeInt',
        description:
          'Age in seconds of the oldest QUEUED run that is due. A run that waits for completeness, or for its next attempt, is not. 0 if there is none.',
      }),
      runsLast24Hours: t.expose('runsLast24Hours', {
        type: [statusCount],
        description:
          'Runs that were created in the last 24 hours, by each status. Statuses without runs have the count 0.',
      }),
      intake: t.expose('intake', {
        type: [intakeDay],
        ...listOf(INTAKE_DAYS),
        description: `Each of the last ${INTAKE_DAYS} UTC days, oldest first; the last one is today. Days without operations have zeros.`,
      }),
      nextSlots: t.expose('nextSlots', {
        type: [nextSlot],
        ...listOf(MAX_NEXT_SLOTS),
        description: `Next slots of all enabled jobs, earliest first. Maximum ${MAX_NEXT_SLOTS}.`,
      }),
    }),
  });
  builder.queryField('overview', (t) =>
    t.field({
      type: overview,
      authScopes: READ,
      ...AGGREGATION,
      description:
        'Failures, warnings and deliveries of the account that need attention, its recent runs and intake, and its next slots.',
      resolve: (_, __, context) => {
        const { db, clock, intakeCache } = context.services;
        return readOverview(db, accountOf(context), clock.now(), intakeCache);
      },
    }),
  );
}
