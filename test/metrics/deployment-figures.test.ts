import { drizzle } from 'drizzle-orm/node-postgres';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Db } from '../../src/db/client.ts';
import { ALL_ACCOUNTS_SETTING } from '../../src/db/policies.ts';
import * as tables from '../../src/db/tables.ts';
import { type DeploymentFigures, readDeploymentFigures } from '../../src/runs/deployment-figures.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';
import { scopedTo } from '../support/scoped.ts';
import { eventually } from '../support/server.ts';

// 5,000 jobs and 100,000 runs that ended. There is no server, because its statements would be counted too.
const JOBS = 5000;
const RUNS = 100_000;

let database: TestDatabase;
let pool: pg.Pool;
let db: Db;
beforeAll(async () => {
  database = await createTestDatabase();
  pool = new pg.Pool({ connectionString: database.url, max: 2, pipeline: true });
  db = drizzle({
    client: scopedTo(pool, `${ALL_ACCOUNTS_SETTING} = 'on'`) as unknown as pg.Pool,
    schema: tables,
  });
  await everything(`
    INSERT INTO accounts (name) VALUES ('default');
    INSERT INTO jobs (id, account_id, name, enabled, settings, destination, next_run_at, created_at, updated_at)
    SELECT gen_random_uuid(), a.id, 'job ' || i, true, '{}', 'bucket/' || i, now() + interval '1 day', now(), now()
    FROM accounts a, generate_series(1, ${JOBS}) i;
    INSERT INTO runs (id, account_id, job_id, trigger, status, scheduled_for, window_start, window_end, settings, bucket, manifest_key, created_at, finished_at)
    SELECT gen_random_uuid(), j.account_id, j.id, 'MANUAL', 'SUCCEEDED', now(), now(), now(), '{}', 'bucket', 'a/' || j.id,
      now() - interval '2 days', now() - interval '1 day' - i * interval '1 second'
    FROM jobs j, generate_series(1, ${RUNS / JOBS}) i;`);
  await everything('ANALYZE runs, jobs');
});
afterAll(async () => {
  await pool.end();
  await database.drop();
});

const everything = async (statement: string): Promise<pg.QueryResult> => {
  const client = await pool.connect();
  try {
    await client.query(`SET ${ALL_ACCOUNTS_SETTING} = 'on'`);
    return await client.query(statement);
  } finally {
    await client.query(`RESET ${ALL_ACCOUNTS_SETTING}`);
    client.release();
  }
};

const addRun = async (status: string, values: Readonly<Record<string, string>> = {}): Promise<void> => {
  const more = Object.entries(values);
  await everything(`
    INSERT INTO runs (id, account_id, job_id, trigger, status, scheduled_for, window_start, window_end, settings, bucket, manifest_key, created_at
      ${more.map(([name]) => `, ${name}`).join('')})
    SELECT gen_random_uuid(), account_id, id, 'MANUAL', '${status}', now(), now(), now(), '{}', 'bucket', 'b', now() - interval '100 seconds'
      ${more.map(([, value]) => `, ${value}`).join('')}
    FROM jobs ORDER BY id LIMIT 1`);
};
const read = (endedSince: string | null): Promise<DeploymentFigures> =>
  readDeploymentFigures(db, { endedSince, limitMs: 10_000 });

test('deployment figures > count waiting, paused and running runs, and have the age of the oldest waiting run', async () => {
  expect(await read(null)).toMatchObject({
    waiting: 0,
    paused: 0,
    running: 0,
    oldestWaitingSeconds: 0,
    slotLagSeconds: 0,
  });
  await addRun('QUEUED');
  // The age of a retry counts from the end of its pause.
  await addRun('QUEUED', { not_before: `now() - interval '20 seconds'` });
  await addRun('QUEUED', { not_before: `now() + interval '1 hour'` });
  await addRun('RUNNING');
  const figures = await read(null);
  expect(figures).toMatchObject({ waiting: 2, paused: 1, running: 1 });
  expect(figures.oldestWaitingSeconds).toBeGreaterThanOrEqual(100);
  expect(figures.oldestWaitingSeconds).toBeLessThan(160);
});

test('deployment figures > have the lag of a due slot that has no run yet', async () => {
  await everything(`UPDATE jobs SET next_run_at = now() - interval '300 seconds' WHERE name = 'job 1'`);
  const { slotLagSeconds } = await read(null);
  expect(slotLagSeconds).toBeGreaterThanOrEqual(300);
  expect(slotLagSeconds).toBeLessThan(360);
});

test('deployment figures > count each ended run once, for any cause, when ten seconds have passed since its end', async () => {
  const { endedUntil: start, ended } = await read(null);
  expect(ended).toEqual([]);
  const ago = (seconds: number): string => `now() - interval '${seconds} seconds'`;
  // A reading covers runs up to 10 s ago. The runs end after the previous reading, which is moved into the past.
  const since = (await pool.query<{ at: string }>(`SELECT ('${start}'::timestamptz - interval '1 minute')::text AS at`))
    .rows[0]!.at;
  await addRun('SUCCEEDED', { finished_at: ago(30) });
  await addRun('FAILED', { finished_at: ago(30), error: `'{"code": "ACCESS_DENIED"}'` });
  await addRun('CANCELED', { finished_at: ago(30) });
  await addRun('CANCELED', { finished_at: ago(30), error: `'{"code": "MISSED"}'` });
  await addRun('SUCCEEDED', { finished_at: ago(0) });
  const first = await read(since);
  expect(first.ended.toSorted((a, b) => `${a.status}${a.reason}`.localeCompare(`${b.status}${b.reason}`))).toEqual([
    { status: 'CANCELED', reason: 'MISSED', runs: 1 },
    { status: 'CANCELED', reason: null, runs: 1 },
    { status: 'FAILED', reason: null, runs: 1 },
    { status: 'SUCCEEDED', reason: null, runs: 1 },
  ]);
  expect((await read(first.endedUntil)).ended).toEqual([]);
  // The run that has just ended is counted when ten seconds have passed.
  await everything(`UPDATE runs SET finished_at = finished_at - interval '9 seconds' WHERE finished_at > ${ago(5)}`);
  const last = await eventually(
    () => read(first.endedUntil),
    (seen) => seen.ended.length > 0,
  );
  expect(last.ended).toEqual([{ status: 'SUCCEEDED', reason: null, runs: 1 }]);
});

test('deployment figures > read no table sequentially when 100,000 runs have ended', async () => {
  const scans = async (): Promise<{ relname: string; seq_scan: string; idx: string }[]> => {
    const client = await pool.connect();
    try {
      await client.query('SELECT pg_stat_force_next_flush()');
      await client.query('SELECT pg_stat_clear_snapshot()');
      const { rows } = await client.query<{ relname: string; seq_scan: string; idx: string }>(
        `SELECT relname, seq_scan, idx_tup_fetch AS idx FROM pg_stat_user_tables WHERE relname IN ('jobs', 'runs') ORDER BY 1`,
      );
      return rows;
    } finally {
      client.release();
    }
  };
  const before = await scans();
  await read(new Date(Date.now() - 60_000).toISOString());
  const after = await eventually(scans, (now) => now.every(({ idx }, index) => idx !== before[index]!.idx), 45_000);
  expect(after.map(({ relname, seq_scan }) => [relname, seq_scan])).toEqual(
    before.map(({ relname, seq_scan }) => [relname, seq_scan]),
  );
  for (const [index, { idx }] of after.entries()) expect(Number(idx) - Number(before[index]!.idx)).toBeLessThan(100);
});
