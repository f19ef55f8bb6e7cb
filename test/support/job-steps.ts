import { withClient } from './postgres-admin.ts';
import { eventually, type TestServer } from './server.ts';

// Steps through the public API that tests of jobs, runs and exports share.

/** The part of a server that the steps use. */
export interface StepServer extends Pick<TestServer, 'graphql' | 's3'> {
  readonly database: Pick<TestServer['database'], 'url'>;
}

export type Settings = Readonly<Record<string, unknown>>;

export interface SentRecord {
  readonly timestamp: string;
  readonly filter?: readonly { readonly dimension: string; readonly values: readonly string[] }[];
  readonly elementName: string;
  readonly value: string | number;
}

export interface RunView {
  readonly id: string;
  readonly status: 'QUEUED' | 'RUNNING' | 'SUCCEEDED' | 'FAILED' | 'CANCELED';
  readonly trigger: string;
  readonly jobName: string;
  readonly job: { readonly id: string } | null;
  readonly scheduledFor: string;
  readonly windowStart: string;
  readonly windowEnd: string;
  readonly startedAt: string | null;
  readonly finishedAt: string | null;
  readonly attempt: number;
  readonly rowsWritten: number;
  readonly bytesWritten: number;
  readonly objects: readonly ObjectView[];
  readonly manifestKey: string | null;
  readonly warnings: readonly string[];
  readonly error: { readonly code: string; readonly message: string; readonly retryable: boolean } | null;
}

export interface ObjectView {
  readonly key: string;
  readonly rows: number;
  readonly bytes: number;
  readonly sha256: string;
}

/** A member of a result union: its type and the selected fields. */
export type Result = { readonly __typename: string } & Readonly<Record<string, unknown>>;

const RUN_FIELDS = `id status trigger jobName job { id } scheduledFor windowStart windowEnd startedAt finishedAt attempt
  rowsWritten bytesWritten objects { key rows bytes sha256 } manifestKey warnings error { code message retryable }`;
const FAILURE = '... on UserError { code message }';
const FAILURES = `${FAILURE} ... on ValidationError { issueCount issues { path code message } }`;

/** Returns a filter of records and jobs with one value for each dimension. */
export function filterOf(
  values: Readonly<Record<string, string | readonly string[]>>,
): { dimension: string; values: readonly string[] }[] {
  return Object.entries(values).map(([dimension, value]) => ({
    dimension,
    values: typeof value === 'string' ? [value] : value,
  }));
}

/** Sends records as one sum. Throws if they are rejected. */
export async function addRecords(
  server: StepServer,
  stream: string,
  granularity: 'HOURLY' | 'DAILY' | 'MONTHLY',
  records: readonly SentRecord[],
  key?: string,
): Promise<void> {
  const { allocationSum } = await server.graphql<{ allocationSum: Result }>(
    `mutation ($input: AllocationInput!) { allocationSum(input: $input) { __typename ${FAILURES} } }`,
    { input: { stream, records: records.map((record) => ({ ...record, granularity })) } },
    key,
  );
  if (allocationSum.__typename !== 'AllocationReceipt') throw new Error(JSON.stringify(allocationSum));
}

let jobsMade = 0;

/** Returns settings of a job without a schedule, with a destination of its own. */
export function jobSettings(settings: Settings = {}): Settings {
  jobsMade += 1;
  return {
    jobName: `job ${jobsMade}`,
    s3Url: 's3://exports/here',
    format: 'CSV',
    aggregationBucket: 'DAY',
    range: 'ago(7d)',
    enabled: false,
    ...settings,
  };
}

function mutate(field: string, input: string, selection: string) {
  return async (server: StepServer, value: Settings, key?: string): Promise<Result> => {
    const data = await server.graphql<Record<string, Result>>(
      `mutation ($input: ${input}!) { ${field}(input: $input) { __typename ${selection} ${FAILURES} } }`,
      { input: value },
      key,
    );
    return data[field] as Result;
  };
}

const JOB_FIELDS = `... on Job { id version jobName description enabled email s3Url format compression aggregationBucket
  timeZone range endTimeOffset cron scheduledTimeInSeconds meterApiNames groupBy filter { dimension values } sparse
  minimizeFresh rescaleFunction { function coefficient } restatement restateAfter restateWithin completeWithin createdAt updatedAt
  nextRuns warnings }`;

/** Returns the whole result of createJob or updateJob, including errors. */
export const tryCreateJob = mutate('createJob', 'CreateJobInput', JOB_FIELDS);
export const tryUpdateJob = mutate('updateJob', 'UpdateJobInput', JOB_FIELDS);
export const tryRunJob = mutate('runJob', 'RunJobInput', `... on Run { ${RUN_FIELDS} }`);

function mutateId(field: string, selection: string) {
  return async (server: StepServer, id: string, key?: string): Promise<Result> => {
    const data = await server.graphql<Record<string, Result>>(
      `mutation ($id: ID!) { ${field}(id: $id) { __typename ${selection} ${FAILURE} } }`,
      { id },
      key,
    );
    return data[field] as Result;
  };
}

export const tryDeleteJob = mutateId('deleteJob', '... on DeletedJob { deletedId }');
export const tryCancelRun = mutateId('cancelRun', `... on Run { ${RUN_FIELDS} }`);

function expectType(result: Result, type: string): Result {
  if (result.__typename !== type) throw new Error(JSON.stringify(result));
  return result;
}

/** Creates a job and returns its id. Throws if it is rejected. */
export async function createJob(server: StepServer, settings: Settings = {}, key?: string): Promise<string> {
  return expectType(await tryCreateJob(server, jobSettings(settings), key), 'Job')['id'] as string;
}

export async function updateJob(server: StepServer, id: string, patch: Settings): Promise<Result> {
  return expectType(await tryUpdateJob(server, { id, ...patch }), 'Job');
}

export async function deleteJob(server: StepServer, id: string): Promise<void> {
  expectType(await tryDeleteJob(server, id), 'DeletedJob');
}

/** Starts a MANUAL run and returns its id. */
export async function runJob(server: StepServer, jobId: string, scheduledFor?: string, key?: string): Promise<string> {
  return expectType(await tryRunJob(server, { jobId, scheduledFor }, key), 'Run')['id'] as string;
}

export async function cancelRun(server: StepServer, id: string): Promise<RunView> {
  return expectType(await tryCancelRun(server, id), 'Run') as unknown as RunView;
}

export async function readRun(server: StepServer, id: string): Promise<RunView> {
  const { run } = await server.graphql<{ run: RunView | null }>(`query ($id: ID!) { run(id: $id) { ${RUN_FIELDS} } }`, {
    id,
  });
  if (!run) throw new Error(`There is no run ${id}`);
  return run;
}

/** Returns all runs of a job, oldest slot first. */
export async function runsOf(server: StepServer, jobId: string): Promise<RunView[]> {
  const { runs } = await server.graphql<{ runs: { edges: { node: RunView }[] } }>(
    `query ($jobId: ID!) { runs(jobId: $jobId, first: 100) { edges { node { ${RUN_FIELDS} } } } }`,
    { jobId },
  );
  return runs.edges.map(({ node }) => node).toSorted((a, b) => Date.parse(a.scheduledFor) - Date.parse(b.scheduledFor));
}

/** Long enough for a busy machine. */
const DEADLINE_MS = 40_000;

function isEnded({ status }: RunView): boolean {
  return status !== 'QUEUED' && status !== 'RUNNING';
}

/** Waits until the run meets the condition. */
export function runThat(
  server: StepServer,
  id: string,
  isWanted: (run: RunView) => boolean,
  deadlineMs = DEADLINE_MS,
): Promise<RunView> {
  return eventually(() => readRun(server, id), isWanted, deadlineMs);
}

export function endedRun(server: StepServer, id: string, deadlineMs = DEADLINE_MS): Promise<RunView> {
  return runThat(server, id, isEnded, deadlineMs);
}

/** Waits until the job has `count` runs and all have ended. */
export function endedRunsOf(
  server: StepServer,
  jobId: string,
  count: number,
  deadlineMs = DEADLINE_MS,
): Promise<RunView[]> {
  return eventually(
    () => runsOf(server, jobId),
    (runs) => runs.length >= count && runs.every(isEnded),
    deadlineMs,
  );
}

export interface Manifest {
  readonly version: number;
  readonly state: 'complete' | 'rewriting' | 'moved';
  readonly runId: string;
  readonly jobId: string;
  readonly jobName: string;
  readonly settings: Settings;
  readonly window: { readonly start: string; readonly end: string };
  readonly timeZone: string;
  readonly watermark: { readonly snapshot: string; readonly at: string };
  readonly objects: readonly ObjectView[];
  readonly totals: { readonly objects: number; readonly rows: number; readonly bytes: number };
  readonly warnings: readonly string[];
}

export interface Exported {
  readonly jobId: string;
  readonly run: RunView;
  /** The newest bodies of the objects of the run, in order. */
  readonly bodies: readonly Buffer[];
  /** Text of the first object. */
  readonly text: string;
  readonly manifest: Manifest;
}

/** Reads the objects of a successful run from the bucket. */
export function readExport(server: StepServer, run: RunView, bucket = 'exports'): Omit<Exported, 'jobId' | 'run'> {
  if (run.status !== 'SUCCEEDED') throw new Error(`The run is ${run.status}: ${JSON.stringify(run.error)}`);
  const body = (key: string): Buffer => {
    const put = server.s3.object(bucket, key);
    if (!put) throw new Error(`There is no object ${key}`);
    return put.body;
  };
  const bodies = run.objects.map((object) => body(object.key));
  return {
    bodies,
    text: bodies[0]?.toString() ?? '',
    manifest: JSON.parse(body(run.manifestKey ?? '').toString()) as Manifest,
  };
}

/** Creates a job, runs it for the slot, waits and reads its objects. */
export async function exportOnce(
  server: StepServer,
  settings: Settings,
  scheduledFor: string,
  key?: string,
): Promise<Exported> {
  const jobId = await createJob(server, settings, key);
  return { jobId, ...(await exportAgain(server, jobId, scheduledFor)) };
}

export async function exportAgain(
  server: StepServer,
  jobId: string,
  scheduledFor: string,
): Promise<Omit<Exported, 'jobId'>> {
  const run = await endedRun(server, await runJob(server, jobId, scheduledFor));
  return { run, ...readExport(server, run) };
}

/** Returns path and code of each issue of a ValidationError. Throws on any other result. */
export function issuesOf(result: Result): [path: string, code: string][] {
  expectType(result, 'ValidationError');
  return (result['issues'] as { path: string[]; code: string }[]).map(({ path, code }) => [path.join('.'), code]);
}

/** Returns the id that the database uses, for SQL. */
export function innerId(id: string): string {
  return Buffer.from(id, 'base64url').toString().split(':')[1] ?? '';
}

/** Runs a statement on a connection of the test and returns its rows. */
export async function querySql<Row>(
  server: Pick<StepServer, 'database'>,
  text: string,
  values: readonly unknown[] = [],
): Promise<Row[]> {
  const { rows } = await withClient(server.database.url, (client) => client.query(text, [...values]));
  return rows as Row[];
}

/** Adds `count` records of other elements to a stream directly in the database, since the API accepts 10,000 per request. */
export async function multiplyRecords(server: StepServer, stream: string, count: number): Promise<void> {
  await querySql(
    server,
    `INSERT INTO records (account_id, stream_id, bucket_start, filter_id, element, value, operation_id)
     SELECT r.account_id, r.stream_id, r.bucket_start, r.filter_id, r.element || ' ' || n, r.value, r.operation_id
     FROM records r JOIN streams s ON s.id = r.stream_id, generate_series(1, $2::int) n WHERE s.name = $1`,
    [stream, count],
  );
  await forgetTotals(server, stream);
}

/** Changes the operations of a stream to what a server without totals would have written. */
export async function forgetTotals(server: Pick<StepServer, 'database'>, stream: string): Promise<void> {
  await querySql(server, `DELETE FROM totals USING streams s WHERE s.id = stream_id AND s.name = $1`, [stream]);
  await querySql(
    server,
    `UPDATE operations SET totalled = false FROM streams s WHERE s.id = stream_id AND s.name = $1`,
    [stream],
  );
  await querySql(server, `UPDATE streams SET totals_merged_xid = NULL WHERE name = $1`, [stream]);
}
