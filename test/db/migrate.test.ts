import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, expect, inject, test } from 'vitest';
import { migrate } from '../../src/db/migrate.ts';
import { urlOfDatabase, withClient } from '../support/postgres-admin.ts';

let name = '';
let url = '';
beforeEach(async () => {
  name = `sluice_empty_${randomUUID().replaceAll('-', '')}`;
  url = urlOfDatabase(inject('postgresAdminUrl'), name);
  await withClient(inject('postgresAdminUrl'), (admin) => admin.query(`CREATE DATABASE ${name}`));
});
afterEach(() => withClient(inject('postgresAdminUrl'), (admin) => admin.query(`DROP DATABASE ${name} WITH (FORCE)`)));

const tables = (): Promise<string[]> =>
  withClient(url, async (client) => {
    const { rows } = await client.query<{ name: string }>(
      `SELECT relname AS name FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 1`,
    );
    return rows.map((row) => row.name);
  });

test('migrations > succeed for three servers that start concurrently on an empty database, and run once', async () => {
  const outcomes = await Promise.all([migrate(url), migrate(url), migrate(url)]);
  const applied = outcomes.map((outcome) => outcome.applied).toSorted((a, b) => a - b);
  expect(applied.slice(0, 2)).toEqual([0, 0]);
  expect(applied[2]).toBeGreaterThan(0);
  expect(await tables()).toEqual([
    'accounts',
    'api_keys',
    'bucket_claims',
    'filters',
    'jobs',
    'ledgers',
    'operations',
    'records',
    'run_objects',
    'runs',
    'staged_batches',
    'streams',
    'totals',
  ]);
});

test('migrations > change nothing when the connection is lost, so that the next start succeeds', async () => {
  const blocked = await withClient(url, async (blocker) => {
    // The migration waits for the name of this table, and loses its connection before it is free.
    await blocker.query('BEGIN; CREATE TABLE streams (blocks text)');
    const failed = migrate(url).then(
      () => 'succeeded',
      (error: unknown) => error,
    );
    const deadline = performance.now() + 10_000;
    let ended = 0;
    while (ended === 0 && performance.now() < deadline) {
      // Within a transaction PostgreSQL keeps the activity of the first read until the snapshot is cleared.
      await blocker.query('SELECT pg_stat_clear_snapshot()');
      const { rowCount } = await blocker.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
          WHERE application_name = 'sluice-migrate' AND datname = current_database() AND wait_event_type = 'Lock'`,
      );
      ended = rowCount ?? 0;
    }
    return failed;
  });
  expect(blocked).toBeInstanceOf(Error);
  expect((await migrate(url)).applied).toBeGreaterThan(0);
  expect(await tables()).toContain('records');
});
