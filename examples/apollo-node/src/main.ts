import { setTimeout as delay } from 'node:timers/promises';
import { filter, firstValueFrom } from 'rxjs';
import { hasEnded } from './cache.ts';
import { connect } from './client.ts';
import { CREATE_JOB, FIND_JOBS, NODES, RUN, RUN_JOB, RUN_UPDATED, RUNS, type RunState } from './documents.ts';

const RUNS_TO_START = 5;
const PAGE = 2;
const JOB = {
  jobName: 'Apollo example',
  s3Url: 's3://customer-bucket/apollo',
  format: 'CSV',
  aggregationBucket: 'DAY',
  range: 'ago(7d)',
  cron: '0 2 * * *',
} as const;

const url = process.env['SLUICE_URL'] ?? 'http://127.0.0.1:4000';
const key = process.env['SLUICE_KEY'];
if (key === undefined) throw new Error('SLUICE_KEY is not set: the secret of a key with the scope JOBS.');

/** Runs of this program that have not ended, as they are in the cache. */
const open = new Map<string, RunState>();
const { client, connected, close } = connect({ url, key, onReconnected: () => void refresh() });

/** Fetches the state of open runs, which may have changed without an event. The response updates the cache by id. */
const refresh = async (): Promise<void> => {
  if (open.size > 0)
    await client.query({ query: NODES, variables: { ids: [...open.keys()] }, fetchPolicy: 'network-only' });
};

/** Creates the job, or finds the one of an earlier start. */
const takeJob = async (): Promise<string> => {
  const { data } = await client.mutate({ mutation: CREATE_JOB, variables: { input: JOB } });
  const answer = data?.createJob;
  switch (answer?.__typename) {
    case 'Job':
      return answer.id;
    case 'ConflictError': {
      const found = await client.query({ query: FIND_JOBS, variables: { search: JOB.jobName } });
      const job = found.data?.jobs.edges.find(({ node }) => node.jobName === JOB.jobName);
      if (job) return job.node.id;
      throw new Error(answer.message);
    }
    case 'ValidationError':
      throw new Error(answer.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('\n'));
    case undefined:
      throw new Error('The response has no data.');
  }
};

const startRun = async (jobId: string): Promise<string> => {
  const { data } = await client.mutate({ mutation: RUN_JOB, variables: { jobId } });
  const answer = data?.runJob;
  if (answer?.__typename !== 'Run') throw new Error(answer?.message ?? 'The response has no data.');
  open.set(answer.id, answer);
  return answer.id;
};

await connected;
const jobId = await takeJob();
let events = 0;
const { promise: broken, reject } = Promise.withResolvers<never>();
// Subscribe before the first run starts. Events update the cache by id, and are not used otherwise.
const subscription = client
  .subscribe({ query: RUN_UPDATED, variables: { jobId } })
  .subscribe({ next: () => (events += 1), error: reject });

const started: string[] = [];
for (let count = 0; count < RUNS_TO_START; count += 1) started.push(await startRun(jobId));

// Fetch the list page by page. fetchMore appends each page to the list that keyArgs in cache.ts identify.
const runs = client.watchQuery({ query: RUNS, variables: { jobId, first: PAGE } });
const { promise: allEnded, resolve } = Promise.withResolvers<void>();
const watching = runs.subscribe(({ data, dataState }) => {
  if (dataState !== 'complete') return;
  for (const { node } of data.runs.edges) {
    const before = open.get(node.id);
    if (!before) continue;
    if (before.status !== node.status) console.log(`${node.id.slice(-6)} ${before.status} -> ${node.status}`);
    if (hasEnded(node.status)) open.delete(node.id);
    else open.set(node.id, node);
  }
  if (open.size === 0) resolve();
});
let { pageInfo } = (await firstValueFrom(runs.pipe(filter((result) => result.dataState === 'complete')))).data.runs;
let pages = 1;
while (pageInfo.hasNextPage && pages * PAGE < RUNS_TO_START) {
  const { data } = await runs.fetchMore({ variables: { after: pageInfo.endCursor } });
  if (!data) break;
  ({ pageInfo } = data.runs);
  pages += 1;
}
const listed = client.readQuery({ query: RUNS, variables: { jobId, first: PAGE } })?.runs.edges.length;
console.log(`${listed} runs in ${pages} pages`);

const polling = setInterval(() => void refresh(), 30_000);
const timeout = delay(120_000, undefined, { ref: false }).then(() =>
  Promise.reject(new Error('The runs have not ended.')),
);
await Promise.race([allEnded, broken, timeout]);
clearInterval(polling);

// Read each run by its id from the cache, without a fetch.
for (const id of started) {
  const { data } = await client.query({ query: RUN, variables: { id } });
  console.log(`${id.slice(-6)} ${data?.run?.status}, ${data?.run?.rowsWritten} rows, ${data?.run?.manifestKey}`);
}
console.log(events > 0 ? 'Updated by events, read from the cache' : 'No event was received');
watching.unsubscribe();
subscription.unsubscribe();
client.stop();
await close();
