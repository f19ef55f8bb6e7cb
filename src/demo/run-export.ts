import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { createInterface } from 'node:readline';
import prettyBytes from 'pretty-bytes';
import type { GraphQLClient } from '../api-client/graphql-client.ts';
import { pluralize } from '../lib/format-amounts.ts';
import { CUSTOMERS, GENERATED_STREAMS } from './generated-usage.ts';
import type { Screen } from './screen.ts';

const JOB_NAME = 'Demo usage by customer';
const BUCKET = 'sluice-demo';
const DAYS = 90;
const SHOWN_LINES = 5;

const JOB = {
  jobName: JOB_NAME,
  description: 'Created by the demo.',
  s3Url: `s3://${BUCKET}/usage`,
  format: 'CSV',
  aggregationBucket: 'DAY',
  range: `ago(${DAYS}d)`,
  // Monthly, so that a demo that is started again after weeks has few slots to catch up with.
  cron: '0 6 1 * *',
  meterApiNames: GENERATED_STREAMS.map((stream) => stream.name),
  groupBy: ['element', 'region'],
};

interface JobFields {
  readonly id: string;
  readonly jobName: string;
  readonly s3Url: string;
  readonly range: string;
  readonly nextRuns: readonly string[];
}

export interface RunFields {
  readonly id: string;
  readonly status: 'QUEUED' | 'RUNNING' | 'SUCCEEDED' | 'FAILED' | 'CANCELED';
  readonly rowsWritten: number;
  readonly bytesWritten: number;
  readonly manifestKey: string | null;
  readonly objects: readonly { readonly key: string; readonly rows: number; readonly bytes: number }[];
  readonly error: { readonly message: string } | null;
}

const JOB_FIELDS = 'id jobName s3Url range nextRuns(first: 1)';

/** Creates the job, or finds that of an earlier demo. */
export async function ensureJob(client: GraphQLClient, screen: Screen): Promise<string> {
  const { createJob } = await client.request<{ createJob: JobFields & { message?: string; __typename: string } }>(
    `mutation ($input: CreateJobInput!) {
      createJob(input: $input) { __typename ... on Job { ${JOB_FIELDS} } ... on UserError { message } }
    }`,
    { input: JOB },
  );
  const created = createJob.__typename === 'Job';
  const job = created ? createJob : await findJob(client);
  if (!job) throw new Error(createJob.message);
  screen.line(`"${job.jobName}" ${created ? 'created' : 'exists from an earlier demo'}`);
  screen.line(`daily usage of ${job.range} by customer and region, as CSV to ${job.s3Url}`);
  const [next] = job.nextRuns;
  if (next !== undefined) {
    screen.line(`next scheduled run: ${next.slice(0, 16).replace('T', ' ')} UTC; started manually now:`);
  }
  return job.id;
}

async function findJob(client: GraphQLClient): Promise<JobFields | undefined> {
  const { jobs } = await client.request<{ jobs: { edges: { node: JobFields }[] } }>(
    `query ($search: String) { jobs(first: 100, search: $search) { edges { node { ${JOB_FIELDS} } } } }`,
    { search: JOB_NAME },
  );
  return jobs.edges.map(({ node }) => node).find((job) => job.jobName === JOB_NAME);
}

/** Starts a run of the job and returns its id. */
export async function startRun(client: GraphQLClient, jobId: string): Promise<string> {
  const { runJob } = await client.request<{ runJob: { id?: string; message?: string } }>(
    `mutation ($input: RunJobInput!) { runJob(input: $input) { ... on Run { id } ... on UserError { message } } }`,
    { input: { jobId } },
  );
  if (runJob.id === undefined) throw new Error(runJob.message);
  return runJob.id;
}

/** Follows a run with a subscription until it ends. */
export async function followRun(client: GraphQLClient, screen: Screen, runId: string): Promise<RunFields> {
  const expectedRows = GENERATED_STREAMS.length * CUSTOMERS.length * DAYS;
  const bar = screen.startBar('export'.padEnd(18));
  let last: RunFields | undefined;
  const updates = client.subscribe<{ runUpdated: RunFields }>(
    `subscription ($runId: ID!) {
      runUpdated(runId: $runId) {
        id status rowsWritten bytesWritten manifestKey objects { key rows bytes } error { message }
      }
    }`,
    { runId },
  );
  for await (const { runUpdated: run } of updates) {
    last = run;
    bar.show(run.rowsWritten, expectedRows, `${run.status} ${formatAmount(run)}`);
  }
  bar.end(last ? `${last.status} ${formatAmount(last)}` : 'the server ended the subscription');
  if (last?.status !== 'SUCCEEDED') throw new Error(last?.error?.message ?? 'The run did not succeed.');
  return last;
}

function formatAmount({ rowsWritten, bytesWritten }: Pick<RunFields, 'rowsWritten' | 'bytesWritten'>): string {
  return `${pluralize(rowsWritten, 'row')}, ${prettyBytes(bytesWritten)}`;
}

interface DemoManifest {
  readonly state: string;
  readonly revision: number;
  readonly supersedes: { readonly revision: number } | null;
  /** Null if they cannot be computed. */
  readonly changes?: {
    readonly rowsChanged: number;
    readonly meters: readonly { readonly meterApiName: string; readonly difference: number }[];
  } | null;
}

export async function readManifest(run: RunFields, filesDirectory: string): Promise<DemoManifest> {
  if (run.manifestKey === null) throw new Error('The run wrote no manifest.');
  return JSON.parse(await readFile(toFile(filesDirectory, run.manifestKey), 'utf8')) as DemoManifest;
}

const toFile = (filesDirectory: string, key: string): string => join(filesDirectory, BUCKET, ...key.split('/'));

/** Prints the first lines of the file, and the paths of file and manifest on this machine. */
export async function showFile(screen: Screen, run: RunFields, filesDirectory: string): Promise<void> {
  const toPath = (key: string): string => toFile(filesDirectory, key);
  const [object] = run.objects;
  if (!object || run.manifestKey === null) throw new Error('The run wrote no file.');
  for (const line of await readFirstLines(toPath(object.key), SHOWN_LINES)) screen.line(line);
  screen.dim(`... ${pluralize(object.rows - SHOWN_LINES + 1, 'more row')}`);
  screen.line();
  const manifest = await readManifest(run, filesDirectory);
  screen.line(`File      ${quotePath(toPath(object.key))}`);
  screen.line(`Manifest  ${basename(run.manifestKey)} in the same directory, state ${manifest.state}`);
}

/** Quotes a path for a shell if it has spaces or other special characters. */
function quotePath(path: string): string {
  return /^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`;
}

async function readFirstLines(file: string, count: number): Promise<string[]> {
  const lines: string[] = [];
  const input = createReadStream(file);
  for await (const line of createInterface({ input })) {
    lines.push(line);
    if (lines.length === count) break;
  }
  input.destroy();
  return lines;
}
