import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { createGraphQLClient, type GraphQLClient } from '../../src/api-client/graphql-client.ts';
import { startApp } from '../../src/app/app.ts';
import { loadConfig } from '../../src/config/config.ts';
import { correctUsage, redeliver } from '../../src/demo/correction.ts';
import { addDays, formatDate } from '../../src/demo/generated-usage.ts';
import { ensureJob, followRun, startRun } from '../../src/demo/run-export.ts';
import type { Screen } from '../../src/demo/screen.ts';
import { sendUsage } from '../../src/demo/send-usage.ts';
import { startPostgres } from '../../src/local/postgres/postgres.ts';
import { createLogger, openResources, openStore } from '../../src/process/open-resources.ts';
import { startStrictS3 } from '../../test/support/strict-s3.ts';
import type { PicturedIds } from './list.ts';

// A server with the demo's data, a daily job that is behind its schedule, and a job that may not write to its bucket.

const FORBIDDEN = 'acme-billing';
const DAYS = 90;
const BACKFILLED = 45;
const POLL_MS = 250;

export interface PicturedServer {
  readonly url: string;
  readonly key: string;
  readonly ids: PicturedIds;
  stop(): Promise<void>;
}

export async function startPicturedServer(): Promise<PicturedServer> {
  const stops: (() => unknown)[] = [];
  const stop = async (): Promise<void> => {
    for (const one of stops.toReversed()) await one();
  };
  try {
    const directory = await mkdtemp(join(tmpdir(), 'sluice-pictures-'));
    // If other users could not enter the directory, root's PostgreSQL would use another one.
    await chmod(directory, 0o711);
    stops.push(async () => {
      const data = await realpath(join(directory, 'postgres')).catch(() => directory);
      for (const path of [data, directory]) await rm(path, { recursive: true, force: true });
    });
    const log = { debug: () => undefined, info: () => undefined, warn: console.error, error: console.error };
    const postgres = await startPostgres({ directory: join(directory, 'postgres'), log, settings: { fsync: 'off' } });
    stops.push(() => postgres.stop());
    const s3 = await startStrictS3({
      buckets: ['sluice-demo', 'finance-exports', FORBIDDEN],
      fault: ({ bucket }) => (bucket === FORBIDDEN ? { status: 403, code: 'AccessDenied' } : undefined),
    });
    stops.push(() => s3.close());
    const key = randomBytes(24).toString('hex');
    const config = loadConfig({
      DATABASE_URL: postgres.url,
      API_KEY: key,
      AWS_REGION: s3.region,
      PORT: '0',
      LOG_LEVEL: 'silent',
      PRINCIPAL_ARN: 'arn:aws:iam::123456789012:role/sluice',
    });
    const store = openStore(config, { endpoint: s3.endpoint, credentials: s3.credentials, forcePathStyle: true });
    const resources = await openResources({ config, databaseUrl: postgres.url, log: createLogger(config), store });
    stops.push(() => resources.close());
    const app = await startApp({ ...resources, idleMs: 0 });
    stops.push(() => app.stop());
    const client = createGraphQLClient({ url: app.url, key, signal: new AbortController().signal });
    return { url: app.url, key, ids: await fillAccount(client), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

const silent: Screen = {
  heading: () => undefined,
  line: () => undefined,
  dim: () => undefined,
  startBar: () => ({ show: () => undefined, end: () => undefined }),
};

async function fillAccount(client: GraphQLClient): Promise<PicturedIds> {
  const now = new Date();
  const today = formatDate(now);
  await sendUsage(client, silent, { from: addDays(today, -DAYS), to: today }, now);
  await createKey(client, 'usage collector', ['INGEST']);
  await createKey(client, 'finance', ['READ']);

  const demo = await ensureJob(client, silent);
  const run = await followRun(client, silent, await startRun(client, demo));
  await correctUsage(client, silent, run, addDays(today, -1));
  await followRun(client, silent, await redeliver(client, run));

  const job = await createJob(client, { jobName: 'Daily usage by region', s3Url: 's3://finance-exports/usage' });
  await backfill(client, job, addDays(today, -BACKFILLED), addDays(today, -3));
  await correctUsage(client, silent, { id: await findRun(client, job, addDays(today, -9)) }, addDays(today, -9));

  const failedJob = await createJob(client, { jobName: 'Usage for Acme', s3Url: `s3://${FORBIDDEN}/usage` });
  const failedRun = await startRun(client, failedJob);
  await followRun(client, silent, failedRun).catch(() => undefined);
  return { job, failedJob, failedRun };
}

async function createKey(client: GraphQLClient, name: string, scopes: readonly string[]): Promise<void> {
  await client.request('mutation ($input: CreateApiKeyInput!) { createApiKey(input: $input) { __typename } }', {
    input: { name, scopes },
  });
}

async function createJob(client: GraphQLClient, input: object): Promise<string> {
  const { createJob: created } = await client.request<{ createJob: { id?: string; message?: string } }>(
    'mutation ($input: CreateJobInput!) { createJob(input: $input) { ... on Job { id } ... on UserError { message } } }',
    {
      input: {
        format: 'CSV',
        aggregationBucket: 'DAY',
        range: 'ago(1d)',
        cron: '15 6 * * *',
        timeZone: 'Europe/Berlin',
        groupBy: ['region'],
        ...input,
      },
    },
  );
  if (created.id === undefined) throw new Error(created.message);
  return created.id;
}

/** Delivers the windows of a span and waits until they are delivered. */
async function backfill(client: GraphQLClient, jobId: string, from: string, to: string): Promise<void> {
  const { createBackfill } = await client.request<{ createBackfill: { id?: string; message?: string } }>(
    `mutation ($input: BackfillInput!) {
      createBackfill(input: $input) { ... on Backfill { id } ... on UserError { message } }
    }`,
    { input: { jobId, from: `${from}T00:00:00Z`, to: `${to}T00:00:00Z` } },
  );
  if (createBackfill.id === undefined) throw new Error(createBackfill.message);
  for (;;) {
    const { node } = await client.request<{ node: { finishedAt: string | null } }>(
      'query ($id: ID!) { node(id: $id) { ... on Backfill { finishedAt } } }',
      { id: createBackfill.id },
    );
    if (node.finishedAt !== null) return;
    await delay(POLL_MS);
  }
}

/** Returns the run that delivered the date. */
async function findRun(client: GraphQLClient, jobId: string, date: string): Promise<string> {
  const { deliveries } = await client.request<{
    deliveries: {
      edges: { node: { windowStart: string; windowEnd: string; currentRun: { id: string } | null } }[];
    };
  }>(
    `query ($jobId: ID!) {
      deliveries(jobId: $jobId, first: 100) { edges { node { windowStart windowEnd currentRun { id } } } }
    }`,
    { jobId },
  );
  const start = `${date}T00:00:00Z`;
  const found = deliveries.edges.find(({ node }) => node.windowStart <= start && start < node.windowEnd);
  if (!found?.node.currentRun) throw new Error(`No run delivered ${date}.`);
  return found.node.currentRun.id;
}
