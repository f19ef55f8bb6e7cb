import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { buildSessionConnection } from '../../src/db/connection-options.ts';
import { migrate } from '../../src/db/migrate.ts';
import { SessionClient } from '../../src/db/session-client.ts';
import { openRowReader } from '../support/row-reader.ts';
import { makeHostile } from '../support/hostile-defaults.ts';
import { withClient } from '../support/postgres-admin.ts';
import { createTestDatabase, makeDatabasesHostile, type TestDatabase } from '../support/postgres.ts';
import { hearStatements } from '../support/sent-statements.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

const SETTINGS = `
  SELECT lower(name) AS name, setting FROM pg_settings
  WHERE lower(name) IN ('transaction_isolation', 'jit', 'timezone', 'datestyle', 'intervalstyle', 'bytea_output', 'extra_float_digits',
      'standard_conforming_strings', 'array_nulls', 'transform_null_equals', 'row_security', 'client_encoding', 'synchronous_commit',
      'transaction_read_only', 'lock_timeout', 'idle_session_timeout', 'work_mem', 'plan_cache_mode', 'search_path', 'join_collapse_limit',
      'exit_on_error')
    OR name LIKE 'enable_%' AND boot_val = 'on' AND setting = 'off'
    OR name = 'transaction_timeout' AND setting <> '0'`;

const SOUND = {
  transaction_isolation: 'read committed',
  jit: 'off',
  timezone: 'UTC',
  datestyle: 'ISO, MDY',
  intervalstyle: 'postgres',
  bytea_output: 'hex',
  extra_float_digits: '1',
  standard_conforming_strings: 'on',
  array_nulls: 'on',
  transform_null_equals: 'off',
  row_security: 'on',
  client_encoding: 'UTF8',
  synchronous_commit: 'on',
  transaction_read_only: 'off',
  lock_timeout: '0',
  idle_session_timeout: '0',
  work_mem: '4096',
  plan_cache_mode: 'auto',
  search_path: 'public',
  join_collapse_limit: '8',
  exit_on_error: 'off',
};

type Row = Record<'name' | 'setting', string>;
const asObject = (rows: readonly Row[]) => Object.fromEntries(rows.map(({ name, setting }) => [name, setting]));

describe.each(['repeatable read', 'serializable'] as const)('database with hostile defaults, %s', (level) => {
  let database: TestDatabase;
  let server: TestServer;
  beforeAll(async () => {
    makeDatabasesHostile(level);
    database = await createTestDatabase();
    server = await startTestServer({ database, env: { ROLE: 'api' } });
  });
  afterAll(async () => {
    makeDatabasesHostile(null);
    await server.stop();
    await database.drop();
  });

  test('runs statements of requests with the settings that Sluice needs', async () => {
    const { forAccount, acrossAccounts } = server.resources.database;
    for (const db of [forAccount(1n), acrossAccounts]) {
      const alone = await db.execute<Row>(sql.raw(SETTINGS));
      expect(asObject(alone.rows)).toEqual(SOUND);
      const within = await db.transaction((tx) => tx.execute<Row>(sql.raw(SETTINGS)));
      expect(asObject(within.rows)).toEqual(SOUND);
    }
  });

  test('runs exports with the same settings, read-only', async () => {
    const reader = await openRowReader(database.url, 1n, new AbortController().signal);
    try {
      const { rows } = await reader.db.execute<Row>(sql.raw(SETTINGS));
      expect(asObject(rows)).toEqual({ ...SOUND, transaction_read_only: 'on' });
    } finally {
      reader.close();
    }
  });

  test('sets them at the start of connections that run statements outside of transactions', async () => {
    const client = new SessionClient(buildSessionConnection(database.url, { applicationName: 'sluice-tests' }));
    await client.connect();
    try {
      const { rows } = await client.query<Row>(SETTINGS);
      // The queue sorts nothing.
      expect(asObject(rows)).toEqual({ ...SOUND, work_mem: '64' });
    } finally {
      await client.end();
    }
  });
});

test('migrations of an empty database > create the tables in the schema public, regardless of its defaults', async () => {
  const database = await createTestDatabase();
  try {
    const name = new URL(database.url).pathname.slice(1);
    await withClient(database.url, async (client) => {
      await client.query('DROP SCHEMA public CASCADE; DROP SCHEMA drizzle CASCADE; DROP SCHEMA pgboss CASCADE');
      await client.query('CREATE SCHEMA public; CREATE SCHEMA elsewhere');
    });
    await makeHostile(inject('postgresAdminUrl'), name, 'repeatable read');
    expect((await migrate(database.url)).applied).toBeGreaterThan(5);
    expect((await migrate(database.url)).applied).toBe(0);
    await withClient(database.url, async (client) => {
      const { rows } = await client.query(`SELECT to_regclass('public.records') IS NOT NULL AS ours,
        (SELECT count(*)::int FROM pg_class WHERE relnamespace = 'elsewhere'::regnamespace) AS theirs`);
      expect(rows).toEqual([{ ours: true, theirs: 0 }]);
    });
  } finally {
    await database.drop();
  }
});

test('database with the defaults of PostgreSQL > a transaction sets only jit and its account', async () => {
  const database = await createTestDatabase();
  const server = await startTestServer({ database, env: { ROLE: 'api' } });
  try {
    await server.graphql('{ streams { totalCount } }');
    const hearing = hearStatements();
    await server.graphql('{ streams { totalCount } }');
    hearing.stop();
    // Look-ups of API keys use connections of their own.
    const ofRequests = hearing.heard.filter(({ applicationName }) => applicationName === 'sluice');
    const settings = ofRequests.map(({ text }) => text).filter((text) => /^(begin|set)\b/i.test(text));
    // The test servers run without durability.
    expect(settings.filter((text) => text !== "SET LOCAL synchronous_commit = 'on'")).toEqual([
      'BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE',
      "SET LOCAL jit = 'off'",
      expect.stringMatching(/^SET LOCAL sluice\.account_id = '\d+'$/),
    ]);
  } finally {
    await server.stop();
    await database.drop();
  }
});
