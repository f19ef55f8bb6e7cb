import { createGraphQLClient, type GraphQLClient } from '../../api-client/graphql-client.ts';
import { followSubscription } from '../../api-client/retry.ts';
import { NotFoundError } from '../../errors/errors.ts';
import { listenForStop } from '../../process/shutdown-signals.ts';
import type { ClientContext } from '../command-context.ts';
import { createRunView, hasEnded, type WatchedRun } from '../output/run-progress.ts';
import { type ServerFlags, type ServerPlace, withServer } from '../api-endpoint.ts';

export interface WatchFlags extends ServerFlags {
  readonly job?: string;
  readonly next: boolean;
}

const RUN_FIELDS = `id jobName status attempt rowsWritten bytesWritten manifestKey scheduledFor startedAt finishedAt
  windowStart windowEnd objects { key } error { code message } job { id s3Url }`;

/** Follows one run to its end, however often the connection breaks. Tells by `onBroken` that it did not succeed. */
export const watchCommand = async (
  context: ClientContext,
  id: string | undefined,
  flags: WatchFlags,
): Promise<void> => {
  if ((id === undefined) === (flags.job === undefined)) {
    throw new NotFoundError('Say which run: its id, as the API shows it, or --job with the name of a job.');
  }
  await withServer(flags, context.env, (server) => watchRun(context, id, flags, server));
};

const watchRun = async (
  context: ClientContext,
  id: string | undefined,
  flags: WatchFlags,
  server: ServerPlace,
): Promise<void> => {
  const stop = listenForStop();
  const client = createGraphQLClient({ ...server, signal: stop.signal });
  const { terminal } = context;
  let watched = id;
  try {
    watched ??= await runOf(context, client, flags.job ?? '', flags.next, stop.signal);
    const run = await follow(context, client, watched, stop.signal);
    if (run.status !== 'SUCCEEDED') context.onBroken();
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    terminal.say(
      watched === undefined
        ? 'Nothing is watched any more.'
        : `The run goes on. To watch it again: npm run -s sluice -- export watch ${flags.job === undefined ? watched : `--job "${flags.job}"`}`,
    );
    context.onInterrupted();
  }
};

const REDRAW_MS = 120;

const follow = async (
  { terminal, clock }: ClientContext,
  client: GraphQLClient,
  id: string,
  signal: AbortSignal,
): Promise<WatchedRun> => {
  const { run: begun } = await client.request<{ run: WatchedRun | null }>(
    `query ($id: ID!) { run(id: $id) { ${RUN_FIELDS} } }`,
    { id },
  );
  if (!begun) throw new NotFoundError(`There is no run ${id}. The API lists them: { runs { edges { node { id } } } }`);
  const expectedRows = begun.job && !hasEnded(begun) ? await rowsOfLastSuccess(client, begun.job.id) : null;
  const view = createRunView({ terminal, expectedRows });
  const timer = setInterval(() => view.redraw(clock.now()), REDRAW_MS);
  try {
    view.show(begun, clock.now());
    const run = hasEnded(begun)
      ? begun
      : await followSubscription(client, {
          query: `subscription ($id: ID!) { runUpdated(runId: $id) { ${RUN_FIELDS} } }`,
          variables: { id },
          signal,
          onData: ({ runUpdated }: { runUpdated: WatchedRun }) => {
            view.show(runUpdated, clock.now());
            return hasEnded(runUpdated) ? runUpdated : undefined;
          },
          onReconnect: () => view.lost('Connection lost. Reconnecting ...'),
        });
    view.end(run);
    return run;
  } finally {
    clearInterval(timer);
    view.clear();
  }
};

/** What an export of the job may have again: the bar is reckoned from it. */
const rowsOfLastSuccess = async (client: GraphQLClient, jobId: string): Promise<number | null> => {
  const { runs } = await client.request<{ runs: { edges: { node: { rowsWritten: number } }[] } }>(
    'query ($jobId: ID!) { runs(jobId: $jobId, status: [SUCCEEDED], first: 1) { edges { node { rowsWritten } } } }',
    { jobId },
  );
  return runs.edges[0]?.node.rowsWritten || null;
};

/** The newest run of the job; with `next` the one that is under way, or the next that begins. */
const runOf = async (
  { terminal }: ClientContext,
  client: GraphQLClient,
  name: string,
  next: boolean,
  signal: AbortSignal,
): Promise<string> => {
  const job = await jobNamed(client, name);
  if (!next) {
    const { runs } = await client.request<{ runs: { edges: { node: { id: string } }[] } }>(
      'query ($jobId: ID!) { runs(jobId: $jobId, first: 1) { edges { node { id } } } }',
      { jobId: job.id },
    );
    const [newest] = runs.edges;
    if (newest) return newest.node.id;
    throw new NotFoundError(`The job "${name}" has no run yet. --next waits for it.`);
  }
  const [slot] = job.nextRuns;
  terminal.say(
    slot === undefined ? 'Waiting for a run; none is scheduled.' : `Waiting for a run; the next is due at ${slot}.`,
  );
  return followSubscription(client, {
    query: 'subscription ($jobId: ID!) { runUpdated(jobId: $jobId) { id } }',
    variables: { jobId: job.id },
    signal,
    onData: ({ runUpdated }: { runUpdated: { id: string } }) => runUpdated.id,
    onReconnect: () => terminal.say('Connection lost. Reconnecting ...'),
  });
};

interface NamedJob {
  readonly id: string;
  readonly jobName: string;
  readonly nextRuns: readonly string[];
}

const jobNamed = async (client: GraphQLClient, name: string): Promise<NamedJob> => {
  for (let after: string | null = null; ;) {
    const { jobs }: JobPage = await client.request<JobPage>(
      `query ($search: String, $after: String) {
        jobs(first: 100, search: $search, after: $after) {
          edges { node { id jobName nextRuns(first: 1) } }
          pageInfo { hasNextPage endCursor }
        }
      }`,
      { search: name, after },
    );
    const found = jobs.edges.find(({ node }) => node.jobName === name);
    if (found) return found.node;
    if (!jobs.pageInfo.hasNextPage) throw new NotFoundError(`There is no job "${name}".`);
    after = jobs.pageInfo.endCursor;
  }
};

interface JobPage {
  readonly jobs: {
    readonly edges: readonly { readonly node: NamedJob }[];
    readonly pageInfo: { readonly hasNextPage: boolean; readonly endCursor: string };
  };
}
