import type { GraphQLClient } from '../../api-client/graphql-client.ts';
import type { WindowSettings } from '../../jobs/schedule/window.ts';
import { formatTimestamp, parseTimestamp } from '../../lib/timestamps.ts';
import { DAY } from '../../lib/zoned-time.ts';
import { replaceControlCharacters } from '../../terminal/terminal.ts';
import type { ClientContext } from '../command-context.ts';
import { CommandError } from '../command-error.ts';
import { confirmDeletion } from '../confirm.ts';
import type { ClientFlags, ListFlags } from '../endpoint-options.ts';
import { fetchList } from '../fetch-list.ts';
import { findJob, findJobId, unknownJob } from '../find-job.ts';
import {
  formatJob,
  formatSchedule,
  formatTimes,
  JOB_FIELDS,
  type ReturnedJob,
  type ShownJob,
  toShownJob,
} from '../job-view.ts';
import { type Column, printList } from '../output/print-list.ts';
import { printQueuedRun, QUEUED_RUN_FIELDS, type QueuedRun } from '../output/queued-run.ts';
import { findSlotOfDate } from '../slot-of-date.ts';
import { requireTime } from '../time-range.ts';
import { type Refusal, requireResult, USER_ERRORS } from '../user-errors.ts';
import { withClient } from '../with-client.ts';
import { followRun } from './run-watch.ts';

export interface JobListFlags extends ListFlags {
  readonly search?: string;
  readonly enabled?: boolean;
}

export interface JobRunFlags extends ClientFlags {
  readonly for?: string;
  readonly watch?: boolean;
}

export interface JobDeleteFlags extends ClientFlags {
  readonly force?: boolean;
}

const COLUMNS: readonly Column<ShownJob>[] = [
  { title: 'JOB', cell: ({ jobName }) => jobName },
  { title: 'SCHEDULE', cell: formatSchedule },
  { title: 'NEXT RUN', cell: ({ nextRuns, timeZone }) => formatTimes(nextRuns.slice(0, 1), timeZone) || '-' },
  { title: 'LAST RUN', cell: ({ lastRun }) => lastRun?.status ?? '-' },
  { title: 'DESTINATION', cell: ({ s3Url }) => s3Url },
];

export function listJobsCommand(context: ClientContext, flags: JobListFlags): Promise<void> {
  return withClient(context, flags, async (client) => {
    const { items, hasMore } = await fetchList<ReturnedJob>(client, {
      field: 'jobs',
      types: { search: 'String', enabled: 'Boolean' },
      values: { search: flags.search ?? null, enabled: flags.enabled ?? null },
      selection: JOB_FIELDS,
      limit: flags.limit,
    });
    printList(
      context.terminal,
      { items: items.map(toShownJob), hasMore },
      {
        columns: COLUMNS,
        json: flags.json ?? false,
        noun: 'jobs',
        advice: 'Create one: npm run -s sluice -- job create',
      },
    );
  });
}

/** Returns the job with this name or id. Throws CommandError if it does not exist. */
export async function fetchJob(client: GraphQLClient, nameOrId: string): Promise<ShownJob> {
  const { job } = await client.request<{ job: ReturnedJob | null }>(
    `query ($id: ID!) { job(id: $id) { ${JOB_FIELDS} } }`,
    { id: await findJobId(client, nameOrId) },
  );
  if (!job) throw unknownJob(nameOrId);
  return toShownJob(job);
}

export function showJobCommand(context: ClientContext, nameOrId: string, flags: ClientFlags): Promise<void> {
  const { terminal } = context;
  return withClient(context, flags, async (client) => {
    const job = await fetchJob(client, nameOrId);
    terminal.print(flags.json ? `${JSON.stringify(job)}\n` : formatJob(job));
    if (flags.json) return;
    for (const warning of job.warnings) terminal.message(`Warning: ${replaceControlCharacters(warning)}`);
  });
}

/** Queues a run; with `watch` follows it and calls `onBroken` if it did not succeed. */
export async function runJobCommand(context: ClientContext, nameOrId: string, flags: JobRunFlags): Promise<void> {
  // Whether the text is valid does not depend on the time zone of the job, which is not known yet.
  if (flags.for !== undefined) requireTime(flags.for, '--for', 'UTC');
  await withClient(context, flags, async (client, signal) => {
    const job = await fetchJob(client, nameOrId);
    const { runJob } = await client.request<{ runJob: QueuedRun | Refusal }>(
      `mutation ($input: RunJobInput!) {
        runJob(input: $input) {
          ... on Run { ${QUEUED_RUN_FIELDS} }
          ${USER_ERRORS}
        }
      }`,
      {
        input: {
          jobId: job.id,
          scheduledFor: flags.for === undefined ? null : findSlot(job, flags.for, context.clock.now()),
        },
      },
    );
    const run = requireResult(runJob);
    if (flags.watch !== true) printQueuedRun(context.terminal, run, flags);
    else await followRun(context, client, run.id, flags, signal);
  });
}

/** A date is the slot whose window contains it; a time is the slot. */
function findSlot(job: ShownJob, text: string, now: Date): string {
  const date = /^\d{4}-\d\d-\d\d$/.test(text) ? parseTimestamp(`${text}T00:00:00Z`) : null;
  if (date === null) return requireTime(text, '--for', job.timeZone).toISOString();
  const slot = findSlotOfDate(job as ShownJob & WindowSettings, date);
  if (slot && slot.getTime() > now.getTime() + DAY) {
    throw new CommandError(
      `The first scheduled window that contains all of ${text} (${job.timeZone}) belongs to the slot ${formatTimestamp(slot)}, which is more than 24 hours in the future. Run the job without --for, or give an earlier time.`,
    );
  }
  if (slot) return slot.toISOString();
  throw new CommandError(
    `No scheduled window of the job contains all of ${text} (${job.timeZone}). Give the time of a slot, such as --for ${text}T06:00:00Z.`,
  );
}

export function deleteJobCommand(context: ClientContext, nameOrId: string, flags: JobDeleteFlags): Promise<void> {
  const { terminal } = context;
  return withClient(context, flags, async (client, signal) => {
    const { id, jobName } = await findJob(client, nameOrId);
    if (flags.force !== true) {
      await confirmDeletion(
        context,
        `Deleting the job "${jobName}" cancels its active runs and backfills. Its runs stay in the history, and its files in the bucket.`,
        signal,
      );
    }
    const { deleteJob } = await client.request<{ deleteJob: { readonly deletedId: string } | Refusal }>(
      'mutation ($id: ID!) { deleteJob(id: $id) { ... on DeletedJob { deletedId } ... on UserError { message } } }',
      { id },
    );
    const deleted = requireResult(deleteJob);
    terminal.print(flags.json ? `${JSON.stringify(deleted)}\n` : `Deleted the job "${jobName}".\n`);
  });
}
