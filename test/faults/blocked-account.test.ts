import { afterAll, beforeAll, expect, test } from 'vitest';
import { startBlockingAccount } from '../support/blocking-account.ts';
import { createJob, endedRun, runJob } from '../support/job-steps.ts';
import { runSluice } from '../support/sluice-process.ts';
import { type Deployment, type ServerProcess, startDeployment } from './deployment.ts';

// The same as test/streams/blocked-account.test.ts, on servers in processes of their own, with limits of time.

let deployment: Deployment;
beforeAll(async () => {
  deployment = await startDeployment();
});
afterAll(() => deployment.close());

const SENDERS = 4;
const ROUNDS = 25;
const SLOWEST_MS = 2000;
const MEDIAN_MS = 250;
const EXPORT_MS = 30_000;
/** On a slow machine, times what the same writes take without the account that waits. */
const MOST_TIMES = 4;

const body = JSON.stringify({
  records: [{ timestamp: '2026-01-25T00:00:00Z', granularity: 'DAILY', 'element-name': 'hooli', value: '1' }],
});

/** Milliseconds until a write was answered with 200. */
const timed = async ({ url, key }: ServerProcess, verb: 'sum' | 'replace'): Promise<number> => {
  const begun = performance.now();
  const response = await fetch(`${url}/unit-cost/v1/telemetry/allocation/usage/${verb}`, {
    method: 'POST',
    headers: { 'x-api-key': key, 'content-type': 'application/json' },
    body,
  });
  if (response.status !== 200) throw new Error(`${response.status}: ${await response.text()}`);
  await response.arrayBuffer();
  return performance.now() - begun;
};

/** Milliseconds of the writes of several clients of each server. */
const measureWrites = async (servers: readonly ServerProcess[]): Promise<{ median: number; slowest: number }> => {
  const sending = async (server: ServerProcess): Promise<number[]> => {
    const times: number[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      times.push(await timed(server, round % 5 === 0 ? 'replace' : 'sum'));
    }
    return times;
  };
  const all = await Promise.all(servers.flatMap((server) => Array.from({ length: SENDERS }, () => sending(server))));
  const times = all.flat().toSorted((a, b) => a - b);
  return { median: times[Math.floor(times.length / 2)] ?? Infinity, slowest: times.at(-1) ?? Infinity };
};

test('an account whose writes wait for twelve streams > does not slow down the requests and exports of another one', async () => {
  const servers = [await deployment.startServer(), await deployment.startServer()] as const;
  const [first, second] = servers;
  await timed(first, 'sum');
  const job = await createJob(first, { s3Url: 'exports/blocked', meterApiNames: ['usage'] });
  const created = await runSluice('cli', ['account', 'create', 'blocker'], {
    DATABASE_URL: deployment.database.serverUrl,
  });
  expect(created.code).toBe(0);
  const made = await runSluice('cli', ['key', 'create', '--account', 'blocker', '--scopes', 'INGEST'], {
    DATABASE_URL: deployment.database.serverUrl,
  });
  expect(made.code, made.stderr).toBe(0);
  const key = made.stdout.trim();
  const usual = await measureWrites(servers);
  const blocker = await startBlockingAccount(deployment.database.url, servers, key);
  try {
    const begun = performance.now();
    const run = await endedRun(second, await runJob(first, job, '2026-01-28T02:00:00Z'));
    expect(`${run.status} in ${run.attempt}`).toBe('SUCCEEDED in 1');
    expect(performance.now() - begun).toBeLessThan(EXPORT_MS);
    const { median, slowest } = await measureWrites(servers);
    expect(slowest).toBeLessThan(Math.max(SLOWEST_MS, MOST_TIMES * usual.slowest));
    expect(median).toBeLessThan(Math.max(MEDIAN_MS, MOST_TIMES * usual.median));
  } finally {
    await blocker.release();
  }
});
