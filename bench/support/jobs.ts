import { setTimeout as sleep } from 'node:timers/promises';
import { ask } from './senders.ts';

/** The fields of CreateJobInput that measurements use. */
export interface JobInput {
  readonly jobName: string;
  readonly s3Url?: string;
  readonly meterApiNames?: readonly string[];
  readonly format?: 'CSV' | 'JSON' | 'NDJSON' | 'PARQUET';
  readonly compression?: 'NONE' | 'GZIP' | 'ZSTD';
  readonly groupBy?: readonly string[];
  readonly aggregationBucket?: 'DAY';
  readonly range?: string;
  readonly restatement?: 'AUTOMATIC' | 'NONE';
  readonly enabled?: boolean;
  readonly cron?: string;
}

function withDefaults(input: JobInput) {
  return {
    s3Url: 'bench-bucket/exports',
    format: 'CSV',
    aggregationBucket: 'DAY',
    range: 'ago(32d)',
    enabled: false,
    ...input,
  };
}

/** Creates a job and returns its id. */
export async function createJob(url: string, input: JobInput): Promise<string> {
  const { createJob: created } = await ask<{ createJob: { id?: string; message?: string } }>(
    url,
    'mutation ($input: CreateJobInput!) { createJob(input: $input) { ... on Job { id } ... on UserError { message } } }',
    { input: withDefaults(input) },
  );
  if (created.id === undefined) throw new Error(created.message);
  return created.id;
}

/** Creates jobs with a few concurrent requests, and returns their ids. */
export async function createJobs(url: string, count: number, inputOf: (number: number) => JobInput): Promise<string[]> {
  const ids: string[] = [];
  let number = 0;
  const one = async (): Promise<void> => {
    while (number < count) {
      number += 1;
      ids.push(await createJob(url, inputOf(number)));
    }
  };
  await Promise.all(Array.from({ length: 8 }, one));
  return ids;
}

/** Returns the SELECT of a job from checkJob, with its parameters inserted, on one line. */
export async function selectOf(url: string, input: JobInput): Promise<string> {
  const { checkJob } = await ask<{ checkJob: { query: { sql: string; parameters: (string | null)[] } } }>(
    url,
    'mutation ($input: CreateJobInput!) { checkJob(input: $input) { ... on JobCheck { query { sql parameters } } } }',
    { input: withDefaults(input) },
  );
  const { sql, parameters } = checkJob.query;
  return sql
    .replace(/\$(\d+)/g, (_, number: string) => `'${(parameters[Number(number) - 1] ?? '').replaceAll("'", "''")}'`)
    .replaceAll('\n', ' ');
}

export interface EndedRun {
  readonly id: string;
  readonly status: string;
  readonly rowsWritten: number;
  readonly bytesWritten: number;
  readonly error: { readonly message: string } | null;
}

/** Runs a job and waits for its end. Returns the seconds from the request to the response with the final state. */
export async function runJob(
  url: string,
  jobId: string,
  pollMs = 20,
): Promise<EndedRun & { readonly seconds: number }> {
  const begun = performance.now();
  const { runJob: run } = await ask<{ runJob: { id: string } }>(
    url,
    'mutation ($jobId: ID!) { runJob(input: { jobId: $jobId }) { ... on Run { id } } }',
    { jobId },
  );
  for (;;) {
    const { node } = await ask<{ node: EndedRun }>(
      url,
      'query ($id: ID!) { node(id: $id) { ... on Run { id status rowsWritten bytesWritten error { message } } } }',
      { id: run.id },
    );
    if (node.status === 'SUCCEEDED') return { ...node, seconds: (performance.now() - begun) / 1000 };
    if (node.status !== 'QUEUED' && node.status !== 'RUNNING') throw new Error(JSON.stringify(node));
    await sleep(pollMs);
  }
}
