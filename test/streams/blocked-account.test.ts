import { afterAll, beforeAll, expect, test } from 'vitest';
import { startBlockingAccount } from '../support/blocking-account.ts';
import { createJob, endedRun, runJob } from '../support/job-steps.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';
import { startTestServer, type TestServer } from '../support/server.ts';
import { startStrictS3, type StrictS3 } from '../support/strict-s3.ts';
import { allocationPath, ask, send } from '../rest/requests.ts';

// Two servers with the default sizes of their pools, and two accounts.

let database: TestDatabase;
let s3: StrictS3;
let servers: readonly [TestServer, TestServer];
beforeAll(async () => {
  database = await createTestDatabase();
  s3 = await startStrictS3({ buckets: ['exports'] });
  servers = [await startTestServer({ database, s3 }), await startTestServer({ database, s3 })];
});
afterAll(async () => {
  for (const server of servers) await server.stop();
  await s3.close();
  await database.drop();
});

const line = JSON.stringify({
  timestamp: '2026-01-25T00:00:00Z',
  granularity: 'DAILY',
  'element-name': 'hooli',
  value: '1',
});

/** Sends the requests of an account, and returns the statuses of the responses. */
const useAll = async (server: TestServer): Promise<number[]> => {
  const stream = 'usage';
  const answers = [
    await send(server, 'JSON', [stream, 'sum'], [line]),
    await send(server, 'NDJSON', [stream, 'sum'], [line]),
    await send(server, 'JSON', [stream, 'replace'], [line]),
    await send(server, 'NDJSON', [stream, 'replace'], [line]),
    await ask(server, `GET /unit-cost/v1/telemetry/${stream}/records`),
    await ask(server, 'GET /jobs'),
    await ask(server, `POST ${allocationPath(stream, 'delete')}`, {
      body: { records: [{ timestamp: '2026-01-25T00:00:00Z', granularity: 'DAILY', 'element-name': 'nobody' }] },
    }),
    await server.request('{ streams { totalCount } viewer { accountName } }'),
    await ask(server, 'GET /readyz'),
  ];
  return answers.map(({ status }) => status);
};

test('account whose writes wait for twelve streams > delays no request and no export of other accounts', async () => {
  const [first, second] = servers;
  await send(first, 'JSON', ['usage', 'sum'], [line]);
  const jobs = await Promise.all(
    servers.map((server, index) =>
      createJob(server, { jobName: `Blocked ${index}`, s3Url: `exports/${index}`, meterApiNames: ['usage'] }),
    ),
  );
  const blocker = await startBlockingAccount(
    database.url,
    [first, second],
    await first.createKey('blocker', ['INGEST']),
  );
  try {
    const statuses = await Promise.all([0, 1, 2].flatMap(() => servers.map(useAll)));
    expect(statuses.flat().filter((status) => status !== 200 && status !== 201)).toEqual([]);
    const runs = await Promise.all(
      jobs.flatMap((job) => ['2026-01-28T02:00:00Z', '2026-01-29T02:00:00Z'].map((slot) => runJob(first, job, slot))),
    );
    const ended = await Promise.all(runs.map((run) => endedRun(second, run)));
    expect(ended.map(({ status, attempt }) => `${status} in ${attempt}`)).toEqual(runs.map(() => 'SUCCEEDED in 1'));
  } finally {
    const outcomes = await blocker.release();
    // The blocking account gets either results or errors that ask it to retry.
    expect(Object.keys(outcomes).filter((word) => !/^(?:ok|503 (?:STREAM_BUSY|UNAVAILABLE))$/.test(word))).toEqual([]);
    expect(outcomes['ok']).toBeGreaterThan(0);
  }
});
