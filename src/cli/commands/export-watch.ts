import { createGraphQLClient, type GraphQLClient } from '../../api-client/graphql-client.ts';
import { followSubscription } from '../../api-client/retry.ts';
import { listenForStopSignals } from '../../process/shutdown-signals.ts';
import { type ApiEndpoint, type EndpointOptions, withEndpoint } from '../api-endpoint.ts';
import type { ClientContext } from '../command-context.ts';
import { CommandError } from '../command-error.ts';
import { findJob } from '../find-job.ts';
import { createRunProgress, hasEnded, type WatchedRun } from '../output/run-progress.ts';

export interface WatchFlags extends EndpointOptions {
  readonly job?: string;
  readonly next?: boolean;
}

const RUN_FIELDS = `id jobName status attempt rowsWritten bytesWritten manifestKey scheduledFor startedAt finishedAt
  windowStart windowEnd objects { key } warnings error { code message } job { id s3Url }`;

/** Follows a run until it ends, across lost connections. Calls `onBroken` if the run did not succeed. */
export async function watchCommand(context: ClientContext, id: string | undefined, flags: WatchFlags): Promise<void> {
  if ((id === undefined) === (flags.job === undefined)) {
    throw new CommandError('Specify a run: its id, or --job with the name of its job.');
  }
  await withEndpoint(flags, context.env, (endpoint) => watchRun(context, id, flags, endpoint));
}

async function watchRun(
  context: ClientContext,
  id: string | undefined,
  { job = '', next = false }: WatchFlags,
  endpoint: ApiEndpoint,
): Promise<void> {
  const { signal } = listenForStopSignals();
  const client = createGraphQLClient({ ...endpoint, signal });
  let runId = id;
  try {
    runId ??= await findRun(context, client, job, next, signal);
    const run = await followRun(context, client, runId, signal);
    if (run.status !== 'SUCCEEDED') context.onBroken();
  } catch (error) {
    if (!signal.aborted) throw error;
    const target = id === undefined ? `--job "${job}"` : id;
    context.terminal.message(
      runId === undefined
        ? 'Stopped waiting.'
        : `The run continues. Watch it again: npm run -s sluice -- export watch ${target}`,
    );
    context.onInterrupted();
  }
}

const REDRAW_MS = 120;

async function followRun(
  { terminal, clock }: ClientContext,
  client: GraphQLClient,
  id: string,
  signal: AbortSignal,
): Promise<WatchedRun> {
  const { run: first } = await client.request<{ run: WatchedRun | null }>(
    `query ($id: ID!) { run(id: $id) { ${RUN_FIELDS} } }`,
    { id },
  );
  if (!first)
    throw new CommandError(`Run ${id} does not exist. The API lists runs: { runs { edges { node { id } } } }`);
  const expectedRows = first.job && !hasEnded(first) ? await findLastRowCount(client, first.job.id) : null;
  const progress = createRunProgress({ terminal, expectedRows, now: () => clock.now().getTime() });
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
    return run;
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
  jobName: string,
  next: boolean,
  signal: AbortSignal,
): Promise<string> {
  const job = await findJob(client, jobName);
  if (!next) {
    const { runs } = await client.request<{ runs: { edges: { node: { id: string } }[] } }>(
      'query ($jobId: ID!) { runs(jobId: $jobId, first: 1) { edges { node { id } } } }',
      { jobId: job.id },
    );
    const [newest] = runs.edges;
    if (newest) return newest.node.id;
    throw new CommandError(`Job "${jobName}" has no run yet. Use --next to wait for one.`);
  }
  const [slot] = job.nextRuns;
  terminal.message(`Waiting for a run; ${slot === undefined ? 'none is scheduled.' : `the next is due at ${slot}.`}`);
  return followSubscription(client, {
    query: 'subscription ($jobId: ID!) { runUpdated(jobId: $jobId) { id } }',
    variables: { jobId: job.id },
    signal,
    onData: ({ runUpdated }: { runUpdated: { id: string } }) => runUpdated.id,
    onReconnect: () => terminal.message('Connection lost. Reconnecting ...'),
  });
}
