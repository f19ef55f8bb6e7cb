import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { RUN_QUEUE } from '../../src/db/queue.ts';
import { brokenPromises } from '../support/bucket-check.ts';
import { createFaults, createGate, type Faults } from '../support/faults.ts';
import {
  addRecords,
  cancelRun,
  createJob,
  deleteJob,
  endedRun,
  innerId,
  multiplyRecords,
  querySql,
  readRun,
  runJob,
  tryCancelRun,
} from '../support/job-steps.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';

const SLOT = '2026-01-28T02:00:00Z';
/** Lease and heartbeat as in production: no test here waits for a lease to expire. */
const WORKER_ENV = { RUN_LEASE_SECONDS: '', RUN_HEARTBEAT_MS: '', EXPORT_PART_BYTES: '2048' };

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

const startWorker = (env: Record<string, string> = {}): Promise<TestServer> =>
  startTestServer({ database: server.database, s3: server.s3, env: { ...WORKER_ENV, ROLE: 'worker', ...env } });

const leaseOf = async (id: string): Promise<string | null> => {
  const [row] = await querySql<{ lease_token: string | null }>(server, 'SELECT lease_token FROM runs WHERE id = $1', [
    innerId(id),
  ]);
  return row?.lease_token ?? null;
};

/** The row and objects of a run without its heartbeats. */
const storedStateOf = async (id: string): Promise<unknown> => [
  await querySql(server, 'SELECT status, attempt, error, rows_written, lease_token FROM runs WHERE id = $1', [
    innerId(id),
  ]),
  await querySql(server, 'SELECT * FROM run_objects WHERE run_id = $1 ORDER BY key', [innerId(id)]),
];

const putsBelow = (folder: string): string[] =>
  server.s3.puts.filter(({ key }) => key.startsWith(folder)).map(({ key }) => key);

const settings = (jobName: string) => ({ jobName, s3Url: 'exports/leases', groupBy: ['element'] });

describe('run worker', () => {
  let worker: TestServer;
  beforeAll(async () => {
    worker = await startWorker({ EXPORT_CONCURRENCY: '8' });
  });
  afterAll(() => worker.stop());

  describe.concurrent('with a lease', () => {
    test('releases a run within 2 s when it is canceled while the store hangs, and the next run of the job starts', async () => {
      const folder = 'leases/canceled/';
      const jobId = await createJob(server, settings('canceled'));
      let releasedAfter = Infinity;
      // A busy machine can delay a release. A put ends after 30 s.
      for (const day of ['28', '27', '26']) {
        if (releasedAfter < 2000) break;
        let asked = 0;
        faults.on(folder, ({ key }) => (key.includes('-00002') && (asked += 1) === 1 ? 'hang' : undefined));
        const id = await runJob(server, jobId, `2026-01-${day}T02:00:00Z`);
        await eventually(
          () => Promise.resolve(asked),
          (count) => count === 1,
        );
        const next = await runJob(server, jobId, '2026-01-29T02:00:00Z');

        const canceledAt = performance.now();
        const canceled = await cancelRun(server, id);
        expect(canceled).toMatchObject({ status: 'CANCELED', finishedAt: expect.any(String), manifestKey: null });
        await eventually(
          () => leaseOf(id),
          (token) => token === null,
          20_000,
        );
        releasedAfter = performance.now() - canceledAt;
        expect(await endedRun(server, next)).toMatchObject({ status: 'SUCCEEDED', attempt: 1, rowsWritten: 100 });
        expect(await readRun(server, id)).toMatchObject({ status: 'CANCELED', attempt: 1, error: null });
        const puts = putsBelow(folder).filter((key) => key.includes(`_202601${day}T000000Z`));
        expect(puts).toEqual([expect.stringMatching(/-00001\.csv$/)]);
        expect(await tryCancelRun(server, id)).toMatchObject({ __typename: 'ConflictError', code: 'CONFLICT' });
      }
      expect(releasedAfter).toBeLessThan(2000);
    });

    test('releases a run when its job is deleted', async () => {
      const folder = 'leases/deleted/';
      let asked = 0;
      faults.on(folder, () => ((asked += 1) === 1 ? 'hang' : undefined));
      const jobId = await createJob(server, settings('deleted'));
      const id = await runJob(server, jobId, SLOT);
      const waiting = await runJob(server, jobId, '2026-01-29T02:00:00Z');
      await eventually(
        () => Promise.resolve(asked),
        (count) => count === 1,
      );
      await deleteJob(server, jobId);
      for (const run of [id, waiting])
        expect(await readRun(server, run)).toMatchObject({ status: 'CANCELED', job: null, jobName: 'deleted' });
      await eventually(
        () => leaseOf(id),
        (token) => token === null,
        20_000,
      );
      expect(putsBelow(folder)).toEqual([]);
    });

    test('starts a run only when the worker of the job that had the destination before has stopped', async () => {
      const folder = 'leases/same-place/';
      let asked = 0;
      faults.on(folder, () => ((asked += 1) === 1 ? 'hang' : undefined));
      const jobId = await createJob(server, settings('same place'));
      const id = await runJob(server, jobId, SLOT);
      await eventually(
        () => Promise.resolve(asked),
        (count) => count === 1,
      );
      await deleteJob(server, jobId);
      // The worker does not release the run: it was suspended, and its server is about to be considered dead.
      await eventually(
        () => leaseOf(id),
        (token) => token === null,
        20_000,
      );
      const [lease] = await querySql<{ end: string }>(
        server,
        `UPDATE runs SET lease_token = gen_random_uuid(), lease_until = clock_timestamp() + interval '4 s' WHERE id = $1
         RETURNING lease_until::text AS "end"`,
        [innerId(id)],
      );
      const again = await createJob(server, settings('Same Place'));
      const [sameWindow, otherWindow] = [
        await runJob(server, again, SLOT),
        await runJob(server, again, '2026-01-29T02:00:00Z'),
      ];
      const run = await endedRun(server, sameWindow);
      expect(run).toMatchObject({ status: 'SUCCEEDED', attempt: 1, rowsWritten: 100 });
      expect(await leaseOf(id)).toBeNull();
      const [row] = await querySql<{ waited: boolean }>(
        server,
        'SELECT started_at >= $2::timestamptz AS waited FROM runs WHERE id = $1',
        [innerId(sameWindow), lease?.end],
      );
      expect(row?.waited).toBe(true);
      expect((await endedRun(server, otherWindow)).status).toBe('SUCCEEDED');
    });

    test('starts a run whose message was lost after 30 s, and ignores superfluous messages', async () => {
      const jobId = await createJob(server, settings('forgotten'));
      const id = await runJob(server, jobId, SLOT);
      await endedRun(server, id);
      for (let i = 0; i < 3; i += 1) await worker.resources.queue.send(RUN_QUEUE, { jobId: innerId(jobId) });
      const next = await runJob(server, jobId, '2026-01-29T02:00:00Z');
      expect(await endedRun(server, next)).toMatchObject({ attempt: 1 });
      // A run whose message was lost and that has waited for 30 s.
      await querySql(
        server,
        `INSERT INTO runs (id, account_id, job_id, trigger, status, scheduled_for, window_start, window_end, settings, bucket, manifest_key, created_at)
         SELECT gen_random_uuid(), account_id, job_id, trigger, 'QUEUED', scheduled_for, window_start, window_end, settings, bucket, manifest_key, now() - interval '31 s'
         FROM runs WHERE id = $1`,
        [innerId(id)],
      );
      await eventually(
        () => querySql<{ status: string }>(server, 'SELECT status FROM runs WHERE job_id = $1', [innerId(jobId)]),
        (rows) => rows.length === 3 && rows.every(({ status }) => status === 'SUCCEEDED'),
        25_000,
      );
    });
  });
});

describe.concurrent('run worker that was suspended', () => {
  let worker: TestServer;
  beforeAll(async () => {
    // No heartbeat detects that the lease was lost: only the statements with which the worker writes do.
    worker = await startWorker({ RUN_HEARTBEAT_MS: '10000' });
  });
  afterAll(() => worker.stop());

  test.each<[string, string, string[]]>([
    // The worker would continue with the third part, or with the first part of a window that it rewrites.
    ['in the middle', '-00002.csv', ['-00001.csv', '-00002.csv']],
    ['at the beginning', '.manifest.json', ['.manifest.json']],
  ])('writes nothing more to the bucket or the database if its run was taken over %s', async (name, held, puts) => {
    const jobId = await createJob(server, settings(`stolen ${name}`));
    const folder = `leases/stolen-${name.replaceAll(' ', '-')}/`;
    if (held === '.manifest.json') await endedRun(server, await runJob(server, jobId, SLOT));
    const earlier = putsBelow(folder).length;
    const gate = createGate();
    let asked = 0;
    // Stored, and the response sent, when the gate opens.
    faults.on(folder, ({ key }) => (key.endsWith(held) && (asked += 1) === 1 ? { hold: gate.opened } : undefined));
    const id = await runJob(server, jobId, SLOT);
    await eventually(
      () => Promise.resolve(asked),
      (count) => count === 1,
    );
    const [lease] = await querySql<{ thief: string }>(
      server,
      `UPDATE runs SET lease_token = gen_random_uuid(), lease_until = clock_timestamp() + interval '4 s' WHERE id = $1
       RETURNING lease_token::text AS thief`,
      [innerId(id)],
    );
    const stolen = await storedStateOf(id);
    gate.open();
    // The new owner does nothing, so nothing changes until its lease expires and another worker starts again.
    await eventually(
      async () => {
        const state = await storedStateOf(id);
        const stillHeld = (await leaseOf(id)) === lease?.thief;
        if (stillHeld) expect(state).toEqual(stolen);
        return stillHeld;
      },
      (stillHeld) => !stillHeld,
    );
    expect(await endedRun(server, id)).toMatchObject({
      status: 'SUCCEEDED',
      attempt: 2,
      error: null,
      rowsWritten: 100,
    });
    const all = ['.manifest.json', '-00001.csv', '-00002.csv', '-00003.csv', '.manifest.json'];
    expect(
      putsBelow(folder)
        .slice(earlier)
        .map((key) => key.slice(key.lastIndexOf('_') + '_20260128T000000Z'.length)),
    ).toEqual([...puts, ...all]);
  });
});

test('server shutdown > requeues the run immediately and does not count the attempt', async () => {
  const folder = 'leases/handed-over/';
  let asked = 0;
  faults.on(folder, ({ key }) => (key.includes('-00002') && (asked += 1) === 1 ? 'hang' : undefined));
  const first = await startWorker({ SHUTDOWN_GRACE_SECONDS: '0' });
  let second: TestServer | undefined;
  try {
    const id = await runJob(server, await createJob(server, settings('handed over')), SLOT);
    await eventually(
      () => Promise.resolve(asked),
      (count) => count === 1,
    );
    second = await startWorker();
    await first.stop();
    const run = await endedRun(server, id, 25_000);
    // The attempt is not counted, but the next one writes a "rewriting" manifest first, because objects may exist.
    expect(run).toMatchObject({ status: 'SUCCEEDED', attempt: 1, error: null, rowsWritten: 100 });
    expect(putsBelow(folder).map((key) => key.slice(key.lastIndexOf('_') + '_20260128T000000Z'.length))).toEqual([
      '-00001.csv',
      '.manifest.json',
      '-00001.csv',
      '-00002.csv',
      '-00003.csv',
      '.manifest.json',
    ]);
  } finally {
    await first.stop();
    await second?.stop();
  }
});
