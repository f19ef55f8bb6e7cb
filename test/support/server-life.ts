// Exercises servers and the operator's commands, so that all of their statements can be recorded.
import { randomUUID } from 'node:crypto';
import type { Command } from 'commander';
import { inject } from 'vitest';
import { createProgram } from '../../src/cli/program.ts';
import { hashStreamKeys } from '../../src/streams/key-hashes/hash-stream-keys.ts';
import { SWEEP_START, mergeSlice, mergeStreams } from '../../src/streams/totals/merge-totals.ts';
import { countPurgeable, findDeletedStreams, findHiddenRecords } from '../../src/streams/purge/find-purgeable.ts';
import { purgeStream } from '../../src/streams/purge/purge.ts';
import { clearAbandoned } from '../../src/streams/staging/staging-table.ts';
import { createStreamQueue } from '../../src/streams/stream-queue.ts';
import { correctInEveryWay } from './every-correction.ts';
import { createFaults, createGate } from './faults.ts';
import {
  addRecords,
  cancelRun,
  createJob,
  deleteJob,
  endedRun,
  endedRunsOf,
  exportOnce,
  filterOf,
  forgetTotals,
  innerId,
  querySql,
  readRun,
  runJob,
  runsOf,
  updateJob,
} from './job-steps.ts';
import { ownerOf, urlOfDatabase, withClient } from './postgres-admin.ts';
import { scrape } from './scrape.ts';
import { eventually, startTestServer, type TestServer } from './server.ts';

const SLOT = '2026-01-28T02:00:00Z';
const DAY = '2026-01-25T00:00:00Z';
const EXPORT = { jobName: 'by day', s3Url: 'exports/a', groupBy: ['region', 'element'] };

const USAGE = `usage(input: { from: "2026-01-20T00:00:00Z", to: "2026-01-28T00:00:00Z", aggregationBucket: DAY, groupBy: ["region"] }) {
  ... on Usage { series { total } } }`;

/** Runs several servers on one database, one after the other, and the commands next to the first. */
export async function liveThrough(): Promise<void> {
  await migrateEmptyDatabase();
  const server = await startTestServer();
  try {
    await write(server);
    await read(server);
    await exportRuns(server);
    await correctInEveryWay(server, {
      timestamp: DAY,
      granularity: 'DAILY',
      elementName: 'acme',
      filter: filterOf({ region: 'eu' }),
    });
    await maintain(server);
    await operate(server);
    await moveToAnotherCluster(server);
    await server.graphql(`{ ${USAGE} }`);
    await moveToAnotherCluster(server);
    await runCommand(server, ['doctor']);
    await runCommand(server, ['migrate']);
    await exportFromReplica(server);
  } finally {
    await server.stop();
  }
}

async function migrateEmptyDatabase(): Promise<void> {
  const adminUrl = inject('postgresAdminUrl');
  const ownerUrl = inject('postgresOwnerUrl');
  const name = `sluice_test_${randomUUID().replaceAll('-', '')}`;
  await withClient(adminUrl, (admin) => admin.query(`CREATE DATABASE ${name} OWNER ${ownerOf(ownerUrl)}`));
  try {
    await runCommand({ database: { url: urlOfDatabase(ownerUrl, name) }, key: '' }, ['migrate']);
  } finally {
    await withClient(adminUrl, (admin) => admin.query(`DROP DATABASE ${name} WITH (FORCE)`));
  }
}

async function write(server: TestServer): Promise<void> {
  const filter = filterOf({ region: 'eu' });
  const record = { timestamp: DAY, granularity: 'DAILY', elementName: 'acme', filter };
  const mutate = (field: string, type: string, input: object) =>
    server.graphql(`mutation ($input: ${type}!) { ${field}(input: $input) { __typename } }`, { input });
  await addRecords(server, 'usage', 'DAILY', [
    { ...record, value: '1' },
    { ...record, elementName: 'hooli', value: '2' },
  ]);
  const repeated = { stream: 'usage', idempotencyKey: 'k', records: [{ ...record, value: '3' }] };
  await mutate('allocationSum', 'AllocationInput', repeated);
  await mutate('allocationSum', 'AllocationInput', repeated);
  await mutate('allocationReplace', 'AllocationInput', { stream: 'usage', records: [{ ...record, value: '4' }] });
  await mutate('allocationDelete', 'AllocationDeleteInput', { stream: 'usage', records: [record] });
  const lines = async (path: string, body: object, key: string): Promise<void> => {
    const answer = await fetch(`${server.url}/unit-cost/v1/telemetry/allocation/${path}`, {
      method: 'POST',
      headers: { 'x-api-key': server.key, 'content-type': 'application/x-ndjson', 'idempotency-key': key },
      body: `${JSON.stringify(body)}\n`,
    });
    if (!answer.ok) throw new Error(`${path} answers ${answer.status}: ${await answer.text()}`);
  };
  const line = { timestamp: DAY, granularity: 'DAILY', 'element-name': 'acme', filter: { region: ['us'] } };
  await lines('usage/sum', { ...line, value: 5 }, 'one');
  await lines('usage/replace', { ...line, value: 6 }, 'two');
  await lines('usage/delete', line, 'three');
  await addRecords(server, 'short-lived', 'HOURLY', [{ timestamp: DAY, elementName: 'acme', value: '1' }]);
  // Rejected, since the stream has records.
  await fetch(`${server.url}/unit-cost/v1/telemetry/short-lived`, {
    method: 'DELETE',
    headers: { 'x-api-key': server.key },
  });
  await server.graphql(`mutation { deleteStream(name: "short-lived") { __typename } }`);
}

async function read(server: TestServer): Promise<void> {
  await server.graphql(`{ streams(first: 5) { totalCount edges { node { id name firstTimestamp operations(first: 2) { edges { node { id } } }
      records(first: 2) { edges { node { value } } } completeThrough lastOperationAt } } }
    ${USAGE} top: ${USAGE.replace('groupBy: [', 'top: 1, sparse: false, groupBy: ["element", ')} viewer { accountName } overview { at } jobs(first: 2) { edges { node { id } } } }`);
  await scrape(server.url);
}

async function exportRuns(server: TestServer): Promise<void> {
  const { jobId } = await exportOnce(server, EXPORT, SLOT);
  await exportOnce(server, { ...EXPORT, jobName: 'filled', sparse: false, compression: 'GZIP' }, SLOT);
  await updateJob(server, jobId, { description: 'changed' });
  await endedRun(server, await runJob(server, jobId, SLOT));
  await server.graphql(`mutation ($input: TestDestinationInput!) { testDestination(input: $input) { __typename } }`, {
    input: { jobId },
  });
  await runsOf(server, jobId);
  await renewLease(server);
  const due = await createJob(server, { jobName: 'due', enabled: true, cron: '* * * * *', s3Url: 'exports/b' });
  await querySql(server, `UPDATE jobs SET next_run_at = date_trunc('minute', now()) WHERE id = $1`, [innerId(due)]);
  await endedRunsOf(server, due, 1);
  const canceled = await runJob(server, due, SLOT);
  if ((await readRun(server, canceled)).status === 'QUEUED') await cancelRun(server, canceled);
  await deleteJob(server, due);
  await waitForCompleteness(server);
  await eventually(
    () => readRun(server, canceled),
    ({ finishedAt }) => finishedAt !== null,
  );
}

/** Delivers a window before and after its stream is declared complete, and lets a run wait for that. */
async function waitForCompleteness(server: TestServer): Promise<void> {
  const waits = { enabled: true, cron: '* * * * *', meterApiNames: ['usage'], completeWithin: 'ago(1d)' };
  const jobId = await createJob(server, { ...waits, jobName: 'waits', s3Url: 'exports/waits' });
  await endedRun(server, await runJob(server, jobId));
  await querySql(server, `UPDATE jobs SET next_run_at = date_trunc('minute', now()) WHERE id = $1`, [innerId(jobId)]);
  await eventually(
    () => runsOf(server, jobId),
    (runs) => runs.length > 1,
  );
  await server.graphql(`mutation ($input: DeclareCompleteInput!) { declareComplete(input: $input) { __typename } }`, {
    input: { stream: 'usage', through: new Date().toISOString() },
  });
  await eventually(
    () => runsOf(server, jobId),
    (runs) => runs.some(({ trigger, status }) => trigger === 'CRON' && status === 'SUCCEEDED'),
  );
  await deleteJob(server, jobId);
}

/** Executes a run that takes longer than a heartbeat. */
async function renewLease(server: TestServer): Promise<void> {
  const stored = createGate();
  const faults = createFaults(server.s3);
  faults.on('held', () => ({ hold: stored.opened }));
  const held = await runJob(
    server,
    await createJob(server, { ...EXPORT, jobName: 'held', s3Url: 'exports/held' }),
    SLOT,
  );
  const leases = new Set<string>();
  try {
    await eventually(
      async () => {
        const [run] = await querySql<{ until: string | null }>(
          server,
          'SELECT lease_until::text AS until FROM runs WHERE id = $1',
          [innerId(held)],
        );
        if (run?.until) leases.add(run.until);
        return leases.size;
      },
      (count) => count > 1,
    );
  } finally {
    stored.open();
  }
  await endedRun(server, held);
  faults.clear('held');
}

/** Runs periodic work of a server, and the parts of commands that need old records. */
async function maintain(server: TestServer): Promise<void> {
  const { acrossAccounts: db } = server.resources.database;
  await forgetTotals(server, 'usage');
  await mergeSlice(db, SWEEP_START, { minOperations: 1 });
  const [stream] = await querySql<{ id: string; account_id: string }>(
    server,
    `SELECT id, account_id FROM streams WHERE name = 'usage'`,
  );
  if (!stream) throw new Error('The stream "usage" was not made.');
  const accountId = BigInt(stream.account_id);
  const id = BigInt(stream.id);
  await mergeStreams(db, accountId, [id], { minOperations: 1 });
  await hashStreamKeys(
    {
      db: server.resources.database.forAccount(accountId),
      streamQueue: createStreamQueue({ waitMs: 5000, onBusy: silent }),
      signal: new AbortController().signal,
      waitMs: 5000,
    },
    { accountId, id, name: 'usage' },
    'LARGE',
  );
  const age = { before: new Date(Date.now() + 60_000), assumedMs: 0 };
  for (const found of [...(await findDeletedStreams(db, age)), ...(await findHiddenRecords(db, age))]) {
    await countPurgeable(db, found, age);
    await purgeStream(db, found, age);
  }
  await clearAbandoned(db, 0);
}

/** Runs the operator's commands, except those that are clients of a server. */
async function operate(server: TestServer): Promise<void> {
  await runCommand(server, ['account', 'create', 'acme']);
  await runCommand(server, ['account', 'list']);
  await runCommand(server, ['key', 'create', '--account', 'acme', '--scopes', 'ADMIN', '--name', 'lasting']);
  await runCommand(server, ['key', 'create', '--account', 'acme', '--scopes', 'ADMIN', '--name', 'revoked']);
  await runCommand(server, ['key', 'list', '--account', 'acme']);
  const [key] = await querySql<{ id: string }>(server, `SELECT id FROM api_keys WHERE name = 'revoked'`);
  await runCommand(server, ['key', 'revoke', key?.id ?? '']);
  await runCommand(server, ['bucket', 'list']);
  await runCommand(server, ['bucket', 'move', 'handed-on', '--account', 'acme']);
  await runCommand(server, ['bucket', 'release', 'handed-on']);
  await runCommand(server, ['migrate']);
  await runCommand(server, ['purge', '--dry-run', '--hidden', '--older-than', '0s']);
  await runCommand(server, ['purge', '--yes', '--hidden']);
  await runCommand(server, ['doctor']);
  await runCommand(server, ['scale-out', 'check']);
}

/** Names of the commands that were run, such as `bucket move`. */
export const commandsRun = new Set<string>();

/** Commands that send nothing to the database. */
const CLIENT_COMMANDS = new Set([
  'completion',
  'usage',
  'stream',
  'job',
  'run',
  'delivery',
  'backfill',
  'ingest',
  'destination',
  'preview',
  'revert',
]);

/** Lists the operator's commands by name. */
export function operatorCommands(): string[] {
  const leaves = (command: Command, path: readonly string[]): string[] =>
    command.commands.length === 0
      ? [path.join(' ')]
      : command.commands.flatMap((child) => leaves(child, [...path, child.name()]));
  return leaves(programOf({}), []).filter((name) => !CLIENT_COMMANDS.has(name.split(' ')[0] ?? ''));
}

function silent() {
  return undefined;
}

function programOf(env: Readonly<Record<string, string>>, onBroken: () => void = silent): Command {
  return createProgram({
    env,
    terminal: { print: silent, message: silent, isInteractive: false, columns: 80, style: (_, text) => text },
    log: { debug: silent, warn: silent, error: silent },
    onBroken,
    onInterrupted: silent,
  });
}

async function runCommand(
  { database: { url }, key }: { readonly database: { readonly url: string }; readonly key: string },
  args: readonly string[],
): Promise<void> {
  const option = args.findIndex((arg) => arg.startsWith('-'));
  const words = option === -1 ? args : args.slice(0, option);
  const name = operatorCommands().find((command) => words.join(' ').startsWith(command));
  if (name === undefined) throw new Error(`There is no command ${args.join(' ')}`);
  commandsRun.add(name);
  // With ROLE=api doctor needs no credentials of S3.
  const env = { DATABASE_URL: url, DATABASE_READ_URL: url, ROLE: 'api', ...(key !== '' && { API_KEY: key }) };
  await programOf(env).parseAsync(args, { from: 'user' });
}

/** Simulates a restore of a dump, or a move to another node: the rows are copied, the counter of transaction ids is not. */
function moveToAnotherCluster(server: TestServer): Promise<void> {
  return withClient(server.database.url, async (client) => {
    const ahead = (column: string) => `(${column}::text::numeric + 1000000000000)::text::xid8`;
    await client.query(`UPDATE operations SET xid = ${ahead('xid')}`);
    await client.query(`UPDATE streams SET created_xid = ${ahead('created_xid')}`);
    await client.query(`UPDATE ledgers SET system_identifier = '1'`);
  });
}

/** Uses the database as a standby of itself, since exports send the same statements to a standby. */
async function exportFromReplica(beside: TestServer): Promise<void> {
  await beside.app.stop();
  const env = { DATABASE_READ_URL: beside.database.url };
  const server = await startTestServer({ env, database: beside.database, s3: beside.s3 });
  try {
    await exportOnce(server, { ...EXPORT, jobName: 'from a standby', s3Url: 'exports/c' }, SLOT);
  } finally {
    await server.stop();
  }
}
