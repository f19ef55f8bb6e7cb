import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { brokenPromises } from '../support/bucket-check.ts';
import { createFaults, type Faults } from '../support/faults.ts';
import {
  addRecords,
  cancelRun,
  createJob,
  endedRun,
  exportOnce,
  multiplyRecords,
  querySql,
  readRun,
  runJob,
} from '../support/job-steps.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';

const SLOT = '2026-01-28T02:00:00Z';
/** About 17 MB of CSV: more than the sockets between the database and the server buffer (7 MB fitted on an idle machine). */
const ROWS = 100_000;

let server: TestServer;
let faults: Faults;
beforeAll(async () => {
  server = await startTestServer({
    env: { DATABASE_POOL: '1', EXPORT_PART_BYTES: '524288', MAX_FILLED_ROWS: '600000' },
  });
  faults = createFaults(server.s3);
  await addRecords(server, 'many', 'DAILY', [
    { timestamp: '2026-01-25T00:00:00Z', elementName: 'customer '.padEnd(100, '-'), value: '1' },
  ]);
  await multiplyRecords(server, 'many', ROWS - 1);
});
afterAll(async () => {
  try {
    expect(brokenPromises(server.s3.puts)).toEqual([]);
  } finally {
    await server.stop();
  }
});

const settings = (jobName: string) => ({ jobName, s3Url: 'exports/rows', groupBy: ['element'] });

/** Sessions of the server in a transaction or a statement. */
const busySessions = async (): Promise<string[]> =>
  (
    await querySql<{ session: string }>(
      server,
      `SELECT application_name || ': ' || state || ': ' || left(query, 60) AS session FROM pg_stat_activity
       WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'
         AND (state <> 'active' OR query LIKE 'COPY%')`,
    )
  ).map(({ session }) => session);

describe('exports with DATABASE_POOL=1', () => {
  test('all finish when they run concurrently, and requests are served meanwhile', async () => {
    const exports = await Promise.all(
      ['one', 'two', 'three', 'four'].map((name) => exportOnce(server, settings(name), SLOT)),
    );
    for (const { run, bodies } of exports) {
      expect(run).toMatchObject({ status: 'SUCCEEDED', attempt: 1, rowsWritten: ROWS });
      expect(bodies.reduce((rows, body) => rows + body.toString().split('\n').length - 2, 0)).toBe(ROWS);
    }
  });

  test('leave no statement or transaction after a failure during the rows', async () => {
    faults.on('rows/fails', ({ key }) => (key.includes('-00002') ? { status: 403, code: 'AccessDenied' } : undefined));
    const id = await runJob(server, await createJob(server, settings('fails')), SLOT);
    expect(await endedRun(server, id)).toMatchObject({
      status: 'FAILED',
      attempt: 1,
      error: { code: 'ACCESS_DENIED' },
    });
    expect(await eventually(busySessions, (sessions) => sessions.length === 0, 30_000)).toEqual([]);
  });

  test('leave no statement or transaction after a cancellation during the rows', async () => {
    let asked = 0;
    faults.on('rows/canceled', ({ key }) => {
      if (!key.includes('-00002')) return undefined;
      asked += 1;
      return 'hang';
    });
    const id = await runJob(server, await createJob(server, settings('canceled')), SLOT);
    await expect.poll(() => asked, { timeout: 30_000 }).toBe(1);
    expect((await busySessions()).some((session) => session.includes('COPY'))).toBe(true);
    await cancelRun(server, id);
    // A put ends after 30 s.
    expect(await eventually(busySessions, (sessions) => sessions.length === 0, 20_000)).toEqual([]);
    expect(await readRun(server, id)).toMatchObject({ status: 'CANCELED', manifestKey: null });
    const { run } = await exportOnce(server, settings('after them'), SLOT);
    expect(run.rowsWritten).toBe(ROWS);
  });

  test('retry the attempt when their backend is terminated during the rows', async () => {
    let asked = 0;
    faults.on('rows/killed', ({ key }) => {
      if (!key.includes('-00001') || asked > 0) return undefined;
      asked += 1;
      return {
        hold: querySql(
          server,
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'COPY%' AND pid <> pg_backend_pid()`,
        ),
      };
    });
    const id = await runJob(server, await createJob(server, settings('killed')), SLOT);
    const { error } = await eventually(
      () => readRun(server, id),
      ({ attempt, status }) => attempt === 1 && status === 'QUEUED',
    );
    expect(error).toMatchObject({ code: 'DATABASE_UNAVAILABLE', retryable: true });
    expect(await endedRun(server, id)).toMatchObject({ status: 'SUCCEEDED', attempt: 2, rowsWritten: ROWS });
  });

  test('fail before anything is written if sparse false would make too many rows', async () => {
    const filled = { ...settings('filled'), sparse: false };
    const id = await runJob(server, await createJob(server, filled), SLOT);
    const run = await endedRun(server, id);
    expect(run).toMatchObject({ status: 'FAILED', attempt: 1, error: { code: 'LIMIT_EXCEEDED', retryable: false } });
    // Seven rows for each customer, one per day.
    expect(run.error?.message).toContain('700000 rows, but the maximum is 600000');
    expect(server.s3.puts.filter(({ key }) => key.startsWith('rows/filled'))).toEqual([]);
  });
});
