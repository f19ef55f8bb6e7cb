import type { GraphQLClient } from '../../api-client/graphql-client.ts';
import { followSubscription } from '../../api-client/retry.ts';
import type { ClientContext } from '../command-context.ts';
import { CommandError, UsageError } from '../command-error.ts';
import type { ClientFlags } from '../endpoint-options.ts';
import { findJob } from '../find-job.ts';
import { createRunProgress, hasEnded, type WatchedRun } from '../output/run-progress.ts';
import { withClient } from '../with-client.ts';
import { unknownRun } from './run.ts';

export interface WatchFlags extends ClientFlags {
  readonly job?: string;
  readonly next?: boolean;
}

const RUN_FIELDS = `id jobName status attempt rowsWritten bytesWritten manifestKey scheduledFor waitsUntil nextAttemptAt startedAt
  finishedAt windowStart windowEnd objects { key } warnings error { code message } job { id s3Url }`;

/** Follows a run until it ends, across lost connections. Calls `onBroken` if the run did not succeed. */
export async function watchRunCommand(
  context: ClientContext,
  id: string | undefined,
  flags: WatchFlags,
): Promise<void> {
  const { job, next = false } = flags;
  if ((id === undefined) === (job === undefined)) {
    throw new UsageError('Specify a run: its id, or --job with the name or id of its job.');
  }
  await withClient(context, flags, async (client, signal) => {
    const runId = id ?? (await findRun(context, client, job ?? '', next, signal));
    await followRun(context, client, runId, flags, signal);
  });
}

const REDRAW_MS = 120;

/** Follows the run with this id. Calls `onBroken` if it did not succeed. With `json` only its end is printed. */
export async function followRun(
  { terminal, clock, onBroken }: ClientContext,
  client: GraphQLClient,
  id: string,
  { json = false }: ClientFlags,
  signal: AbortSignal,
): Promise<void> {
  const { run: first } = await client.request<{ run: WatchedRun | null }>(
    `query ($id: ID!) { run(id: $id) { ${RUN_FIELDS} } }`,
    { id },
  );
  if (!first) throw unknownRun(id);
  const expectedRows = first.job && !hasEnded(first) ? await findLastRowCount(client, first.job.id) : null;
  const shown = json ? { ...terminal, isInteractive: false, print: () => undefined } : terminal;
  const progress = createRunProgress({ terminal: shown, expectedRows, now: () => clock.now().getTime() });
  const timer = setInterval(progress.redraw, REDRAW_MS);
  try {
    progress.show(first);
    const run = hasEnded(first)
      ? first
      : await followSubscription(client, {
          query: `subscription ($id: ID!) { runUpdated(runId: $id) { ${RUN_FIELDS} } }`,
          variables: { id },
          signal,
          onData: ({ runUpdated }: { runUpdated: WatchedRun }) => {
            progress.show(runUpdated);
            return hasEnded(runUpdated) ? runUpdated : undefined;
          },
          onReconnect: progress.showReconnect,
        });
    progress.showEnd(run);
    if (json) terminal.print(`${JSON.stringify(run)}\n`);
    if (run.status !== 'SUCCEEDED') onBroken();
  } catch (error) {
    if (signal.aborted) {
      progress.clear();
      terminal.message(`The run continues. Watch it again: npm run -s sluice -- run watch ${id}`);
    }
    throw error;
  } finally {
    clearInterval(timer);
    progress.clear();
  }
}

/** Returns the rows of the job's last successful run, null if there is none. */
async function findLastRowCount(client: GraphQLClient, jobId: string): Promise<number | null> {
  const { runs } = await client.request<{ runs: { edges: { node: { rowsWritten: number } }[] } }>(
    'query ($jobId: ID!) { runs(jobId: $jobId, status: [SUCCEEDED], first: 1) { edges { node { rowsWritten } } } }',
    { jobId },
  );
  return runs.edges[0]?.node.rowsWritten || null;
}

/** Returns the id of the job's newest run; with `next` that of the active run, or of the next one that starts. */
async function findRun(
  { terminal }: ClientContext,
  client: GraphQLClient,
  nameOrId: string,
  next: boolean,
  signal: AbortSignal,
): Promise<string> {
  const job = await findJob(client, nameOrId);
  if (!next) {
    const { runs } = await client.request<{ runs: { edges: { node: { id: string } }[] } }>(
      'query ($jobId: ID!) { runs(jobId: $jobId, first: 1) { edges { node { id } } } }',
      { jobId: job.id },
    );
    const [newest] = runs.edges;
    if (newest) return newest.node.id;
    throw new CommandError(`Job "${job.jobName}" has no run yet. Use --next to wait for one.`);
  }
  const [slot] = job.nextRuns;
  terminal.message(`Waiting for a run; ${slot === undefined ? 'none is scheduled.' : `the next is due at ${slot}.`}`);
  try {
    return await followSubscription(client, {
      query: 'subscription ($jobId: ID!) { runUpdated(jobId: $jobId) { id } }',
      variables: { jobId: job.id },
      signal,
      onData: ({ runUpdated }: { runUpdated: { id: string } }) => runUpdated.id,
      onReconnect: () => terminal.message('Connection lost. Reconnecting ...'),
    });
  } catch (error) {
    if (signal.aborted) terminal.message('Stopped waiting.');
    throw error;
  }
}
