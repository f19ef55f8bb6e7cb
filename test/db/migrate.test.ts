import { randomUUID } from 'node:crypto';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { drizzle } from 'drizzle-orm/node-postgres';
import { migrate as applyMigrations } from 'drizzle-orm/node-postgres/migrator';
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
    'backfills',
    'bucket_claims',
    'corrections',
    'deliveries',
    'filters',
    'jobs',
    'ledger_cursors',
    'ledger_moments',
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
    const deadline = performance.now() + 60_000;
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

/** Applies the migrations of an earlier version: those before the one with this name. */
async function migrateBefore(tag: string): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-migrations-'));
  try {
    await cp(new URL('../../src/db/migrations', import.meta.url), folder, { recursive: true });
    const file = join(folder, 'meta', '_journal.json');
    const journal = JSON.parse(await readFile(file, 'utf8')) as { entries: { tag: string }[] };
    const entries = journal.entries.slice(
      0,
      journal.entries.findIndex((entry) => entry.tag === tag),
    );
    await writeFile(file, JSON.stringify({ ...journal, entries }));
    await withClient(url, (client) => applyMigrations(drizzle({ client }), { migrationsFolder: folder }));
  } finally {
    await rm(folder, { recursive: true });
  }
}

test('migration > does not restate the windows of jobs that exist', async () => {
  await migrateBefore('0015_operation-bounds');
  await withClient(url, async (client) => {
    await client.query("INSERT INTO accounts (name) VALUES ('acme')");
    await client.query(
      `INSERT INTO jobs (id, account_id, name, enabled, settings, destination, created_at, updated_at)
        SELECT gen_random_uuid(), id, name, true, '{"jobName": "Daily", "cron": "0 1 * * *"}', 'exports/daily', now(), now() FROM accounts`,
    );
  });
  await migrate(url);
  const { rows } = await withClient(url, (client) =>
    client.query('SELECT settings, restates_since, settle_seconds FROM jobs'),
  );
  expect(rows).toEqual([
    {
      settings: { jobName: 'Daily', cron: '0 1 * * *', restatement: 'NONE' },
      restates_since: null,
      settle_seconds: 3600,
    },
  ]);
});
