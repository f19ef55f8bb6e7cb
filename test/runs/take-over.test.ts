import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { brokenPromises } from '../support/bucket-check.ts';
import { createFaults, type Faults } from '../support/faults.ts';
import {
  addRecords,
  createJob,
  endedRun,
  innerId,
  multiplyRecords,
  querySql,
  runJob,
  runThat,
} from '../support/job-steps.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';
import { startWorkerProcess } from '../support/worker-process.ts';

const SLOT = '2026-01-28T02:00:00Z';
/** Heartbeats as in production, and the shortest lease. */
const WORKER_ENV = { RUN_LEASE_SECONDS: '2', RUN_HEARTBEAT_MS: '500', EXPORT_PART_BYTES: '2048' };

let server: TestServer;
let faults: Faults;
beforeAll(async () => {
  server = await startTestServer({ env: { ...WORKER_ENV, ROLE: 'api' } });
  faults = createFaults(server.s3);
  await addRecords(server, 's', 'DAILY', [{ timestamp: '2026-01-25T00:00:00Z', elementName: 'customer', value: '1' }]);
  await multiplyRecords(server, 's', 99);
});
afterAll(async () => {
  try {
    expect(brokenPromises(server.s3.puts)).toEqual([]);
  } finally {
    await server.stop();
  }
});

const startWorker = (): Promise<TestServer> =>
  startTestServer({ database: server.database, s3: server.s3, env: { ...WORKER_ENV, ROLE: 'worker' } });

/** The row and objects of a run. */
const storedStateOf = async (id: string): Promise<unknown> => [
  await querySql(server, 'SELECT * FROM runs WHERE id = $1', [innerId(id)]),
  await querySql(server, 'SELECT * FROM run_objects WHERE run_id = $1 ORDER BY key', [innerId(id)]),
];

const settings = (jobName: string) => ({ jobName, s3Url: 'exports/leases', groupBy: ['element'] });

describe('server', () => {
  test('writes nothing when it resumes after its lease expired, and its run is taken over when it is killed', async () => {
    const folder = 'leases/woken/';
    const worker = await startWorkerProcess(server, { ...WORKER_ENV, SHUTDOWN_GRACE_SECONDS: '1' });
    let second: TestServer | undefined;
    try {
      let asked = 0;
      // Suspends the worker while it waits for the response to its second part, which the store sends meanwhile.
      faults.on(folder, ({ key }) => {
        if (!key.includes('-00002') || (asked += 1) > 1) return undefined;
        worker.kill('SIGSTOP');
        return { hold: Promise.resolve() };
      });
      const jobId = await createJob(server, settings('woken'));
      const id = await runJob(server, jobId, SLOT);
      await expect.poll(() => asked, { timeout: 30_000 }).toBe(1);
      second = await startWorker();
      const taken = await runThat(server, id, ({ status }) => status === 'SUCCEEDED');
      expect(taken).toMatchObject({ attempt: 2, error: null, rowsWritten: 100 });
      // The window is written again with other data.
      await addRecords(server, 's', 'DAILY', [{ timestamp: '2026-01-25T00:00:00Z', elementName: 'new', value: '1' }]);
      const again = await endedRun(server, await runJob(server, jobId, SLOT));
      expect(again).toMatchObject({ status: 'SUCCEEDED', rowsWritten: 101 });

      const [puts, state] = [server.s3.puts.length, await storedStateOf(id)];
      worker.kill('SIGCONT');
      await eventually(
        () => Promise.resolve(worker.messages),
        // The worker may first detect that the put took too long, or that the lease expired.
        (messages) => messages.some((message) => /^(run released|attempt ended)/.test(message)),
      );
      expect(server.s3.puts.length).toBe(puts);
      expect(await storedStateOf(id)).toEqual(state);

      // The worker resumes. When it is killed during a run, the other server takes over the run.
      await second.stop();
      second = undefined;
      asked = 0;
      faults.on('leases/killed/', ({ key }) => (key.includes('-00002') && (asked += 1) === 1 ? 'hang' : undefined));
      const killed = await runJob(server, await createJob(server, settings('killed')), SLOT);
      await expect.poll(() => asked, { timeout: 30_000 }).toBe(1);
      await worker.end();
      second = await startWorker();
      expect(await endedRun(server, killed)).toMatchObject({ status: 'SUCCEEDED', attempt: 2, rowsWritten: 101 });
    } finally {
      worker.kill('SIGCONT');
      await worker.end();
      await second?.stop();
    }
  });
});
