import { withClient } from './postgres-admin.ts';

// Defaults that an operator or another program may have set on a database. Each of them changed results or made them slow
// when Sluice relied on the defaults of PostgreSQL.

const PLANNER_SWITCHES =
  'bitmapscan hashagg hashjoin incremental_sort indexonlyscan indexscan material memoize mergejoin nestloop seqscan sort tidscan';

const SETTINGS: Readonly<Record<string, string>> = {
  jit: 'on',
  jit_above_cost: '0',
  jit_inline_above_cost: '0',
  jit_optimize_above_cost: '0',
  timezone: 'Asia/Kathmandu',
  datestyle: 'German, DMY',
  intervalstyle: 'iso_8601',
  bytea_output: 'escape',
  extra_float_digits: '-15',
  standard_conforming_strings: 'off',
  escape_string_warning: 'off',
  array_nulls: 'off',
  transform_null_equals: 'on',
  row_security: 'off',
  client_encoding: 'LATIN1',
  synchronous_commit: 'off',
  default_transaction_read_only: 'on',
  default_transaction_deferrable: 'on',
  statement_timeout: '1',
  lock_timeout: '1',
  idle_in_transaction_session_timeout: '1',
  idle_session_timeout: '1',
  work_mem: '64kB',
  plan_cache_mode: 'force_generic_plan',
  join_collapse_limit: '1',
  from_collapse_limit: '1',
  exit_on_error: 'on',
  ...Object.fromEntries(PLANNER_SWITCHES.split(' ').map((name) => [`enable_${name}`, 'off'])),
};

/** Locales that not every machine has. */
const LANGUAGES = ['de_DE.utf8', 'fr_FR.utf8', 'ja_JP.utf8'];

export type HostileLevel = 'repeatable read' | 'serializable';

/** Changes the defaults of the database for all later connections. */
export function makeHostile(adminUrl: string, database: string, level: HostileLevel): Promise<void> {
  return withClient(adminUrl, async (admin) => {
    const set = (name: string, value: string) => admin.query(`ALTER DATABASE ${database} SET ${name} = '${value}'`);
    for (const [name, value] of Object.entries(SETTINGS)) await set(name, value);
    await set('default_transaction_isolation', level);
    // PostgreSQL 17 and later have this setting. A busy machine takes some time even for the statement that removes it.
    await set('transaction_timeout', '1000').catch(() => undefined);
    // The schema comes before pg_catalog, which is otherwise searched first.
    await admin.query(`ALTER DATABASE ${database} SET search_path = elsewhere, pg_catalog, public`);
    for (const language of LANGUAGES) {
      const isThere = await set('lc_messages', language).then(
        () => true,
        () => false,
      );
      if (isThere) break;
    }
  });
}

/** Adds tables and functions of another program with the names of those of Sluice and PostgreSQL. */
export function addForeignSchema(url: string): Promise<void> {
  return withClient(url, async (client) => {
    await client.query('CREATE SCHEMA elsewhere');
    await client.query('GRANT USAGE ON SCHEMA elsewhere TO PUBLIC');
    await client.query(`DO $$ DECLARE name text; BEGIN
      FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
        EXECUTE format('CREATE TABLE elsewhere.%I (LIKE public.%I)', name, name);
        EXECUTE format('GRANT ALL ON elsewhere.%I TO PUBLIC', name);
      END LOOP; END $$`);
    await client.query('CREATE VIEW elsewhere.pg_settings AS SELECT 1 AS nothing');
    for (const [name, result] of [
      ['clock_timestamp()', 'timestamptz'],
      ['pg_current_xact_id()', 'xid8'],
      ['hashtextextended(text, bigint)', 'bigint'],
      ['lower(text)', 'text'],
    ]) {
      await client.query(`CREATE FUNCTION elsewhere.${name} RETURNS ${result} LANGUAGE plpgsql
        AS $$ BEGIN RAISE 'a function of another program was called'; END $$`);
    }
  });
}
