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

/** Those of the runs started here that have not ended, as the cache has them. */
const open = new Map<string, RunState>();
const { client, connected, close } = connect({ url, key, onReconnected: () => void refresh() });

/** Asks for what may have been missed. The answer goes into the cache by id, and from there to whoever reads it. */
const refresh = async (): Promise<void> => {
  if (open.size > 0)
    await client.query({ query: NODES, variables: { ids: [...open.keys()] }, fetchPolicy: 'network-only' });
};

/** The job of this example: made here, or at an earlier start. */
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
      throw new Error('There is no answer.');
  }
};

const startRun = async (jobId: string): Promise<string> => {
  const { data } = await client.mutate({ mutation: RUN_JOB, variables: { jobId } });
  const answer = data?.runJob;
  if (answer?.__typename !== 'Run') throw new Error(answer?.message ?? 'There is no answer.');
  open.set(answer.id, answer);
  return answer.id;
};

await connected;
const jobId = await takeJob();
let events = 0;
const { promise: broken, reject } = Promise.withResolvers<never>();
// Before any run is started: what it tells is written into the cache by id, and nothing else is done with it.
const subscription = client
  .subscribe({ query: RUN_UPDATED, variables: { jobId } })
  .subscribe({ next: () => (events += 1), error: reject });

const started: string[] = [];
for (let count = 0; count < RUNS_TO_START; count += 1) started.push(await startRun(jobId));

// The list, page by page. fetchMore merges each page behind what is there; keyArgs in cache.ts say what belongs together.
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

const unheard = setInterval(() => void refresh(), 30_000);
const tooLate = delay(120_000, undefined, { ref: false }).then(() =>
  Promise.reject(new Error('The runs have not ended.')),
);
await Promise.race([allEnded, broken, tooLate]);
clearInterval(unheard);

// Each by its id, and none of them is fetched: the list brought them, and the events their state.
for (const id of started) {
  const { data } = await client.query({ query: RUN, variables: { id } });
  console.log(`${id.slice(-6)} ${data?.run?.status}, ${data?.run?.rowsWritten} rows, ${data?.run?.manifestKey}`);
}
console.log(events > 0 ? 'Told by events, read from the cache' : 'No event came');
watching.unsubscribe();
subscription.unsubscribe();
client.stop();
await close();
