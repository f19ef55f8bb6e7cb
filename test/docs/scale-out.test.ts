import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openClient } from '../support/postgres-admin.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';
import { DISTRIBUTED, LOCAL, REFERENCE } from '../../src/db/table-distribution.ts';
import { triedBlock } from './pages.ts';

/**
 * Replaces the functions of Citus, which the tests of this file do not have: each rejects tables that Citus rejects, and records
 * its arguments.
 */
const STAND_INS = `
CREATE TABLE asked (kind text, name text, colocated text);
CREATE FUNCTION check_citus_table(wanted regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM pg_policies WHERE tablename = wanted::text AND (qual ILIKE '%select%' OR with_check ILIKE '%select%')) THEN
    RAISE 'subqueries are not supported in policies: %', wanted;
  END IF;
  IF (SELECT relrowsecurity FROM pg_class WHERE oid = wanted) THEN
    RAISE 'rows cannot be copied under row-level security: %', wanted;
  END IF;
  IF EXISTS (SELECT FROM pg_trigger WHERE tgrelid = wanted AND NOT tgisinternal) THEN
    RAISE 'triggers are not supported: %', wanted;
  END IF;
  IF EXISTS (SELECT FROM pg_constraint WHERE contype = 'f' AND wanted IN (conrelid, confrelid)
      AND NOT EXISTS (SELECT FROM asked WHERE kind = 'reference' AND asked.name = confrelid::regclass::text)
      AND conrelid <> confrelid AND confrelid <> wanted) THEN
    RAISE 'a foreign key to a table that is not a reference table: %', wanted;
  END IF;
  IF EXISTS (SELECT FROM pg_constraint WHERE contype = 'f' AND confrelid = wanted AND conrelid::regclass::text <> 'api_keys') THEN
    RAISE 'a foreign key from a local table: %', wanted;
  END IF;
END $$;
CREATE FUNCTION create_reference_table(name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM check_citus_table(name::regclass);
  INSERT INTO asked VALUES ('reference', name, NULL);
END $$;
CREATE FUNCTION create_distributed_table(name text, by_column text, colocate_with text DEFAULT 'default') RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM check_citus_table(name::regclass);
  IF EXISTS (SELECT FROM pg_index WHERE indrelid = name::regclass AND indisunique AND pg_get_indexdef(indexrelid, 1, true) <> by_column) THEN
    RAISE 'a unique key without %: %', by_column, name;
  END IF;
  IF colocate_with <> 'default' AND NOT EXISTS (SELECT FROM asked WHERE kind = 'distributed' AND asked.name = colocate_with) THEN
    RAISE 'colocated with what is not distributed: %', name;
  END IF;
  INSERT INTO asked VALUES ('distributed', name, colocate_with);
END $$;
CREATE FUNCTION truncate_local_data_after_distributing_table(wanted regclass) RETURNS void LANGUAGE sql
  AS $$ INSERT INTO asked VALUES ('truncated', wanted::text, NULL) $$;`;

let page: string;
let database: TestDatabase;
let client: pg.Client;

beforeAll(async () => {
  page = await readFile(join(import.meta.dirname, '../../docs/scale-out.md'), 'utf8');
  database = await createTestDatabase();
  client = await openClient(database.url);
  await client.query(`INSERT INTO accounts (name) VALUES ('one'), ('two')`);
  await client.query(`INSERT INTO streams (account_id, name, granularity, dimensions, created_at, created_xid)
    SELECT id, 'usage', 'DAILY', '{}', now(), pg_current_xact_id() FROM accounts WHERE name IN ('one', 'two')`);
  await client.query(STAND_INS);
});
afterAll(async () => {
  await client.end();
  await database.drop();
});

describe('docs/scale-out.md', () => {
  test('lists the distribution of each table and of no other', () => {
    const [, list = ''] = page.split('### Table distribution');
    const [table = ''] = list.split('\n#');
    const rows = table
      .split('\n')
      .filter((line) => line.startsWith('|'))
      .slice(2)
      .map((line) => line.split('|')[2] ?? '');
    const listed = rows.map((cell) => [...cell.matchAll(/`(\w+)`/g)].map(([, table]) => table));
    expect(listed).toEqual([DISTRIBUTED, REFERENCE, LOCAL]);
  });

  test('has commands that distribute each table and keep row-level security', async () => {
    const secured = `SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relrowsecurity AND relforcerowsecurity ORDER BY 1`;
    const before = await client.query(secured);
    // A reader who pastes the commands has no setting that shows the rows of all accounts.
    const owner = new pg.Client({ connectionString: database.url });
    await owner.connect();
    try {
      await owner.query(await triedBlock('docs/scale-out.md', 'places of the tables'));
    } finally {
      await owner.end();
    }
    const { rows } = await client.query<{ kind: string; name: string; colocated: string | null }>(
      'SELECT * FROM asked',
    );
    expect(rows.filter(({ kind }) => kind === 'reference').map(({ name }) => name)).toEqual(REFERENCE);
    const distributed = rows.filter(({ kind }) => kind === 'distributed');
    expect(distributed.map(({ name }) => name)).toEqual(DISTRIBUTED);
    expect(distributed.map(({ colocated }) => colocated)).toEqual([
      'default',
      ...DISTRIBUTED.slice(1).map(() => 'streams'),
    ]);
    const unlogged = `SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relpersistence <> 'p'`;
    expect((await client.query(unlogged)).rows).toEqual([]);
    expect((await client.query(secured)).rows).toEqual(before.rows);
    expect(before.rows.length).toBeGreaterThan(DISTRIBUTED.length);
  });

  test('removes the local rows of each table that is distributed or copied, and of no other', async () => {
    await client.query(await triedBlock('docs/scale-out.md', 'local rows'));
    const { rows } = await client.query<{ name: string }>(`SELECT name FROM asked WHERE kind = 'truncated'`);
    expect(rows.map(({ name }) => name).toSorted()).toEqual([...DISTRIBUTED, ...REFERENCE].toSorted());
  });

  test('removes FORCE from each distributed table for moves without blocked writes, and restores it', async () => {
    const forced = async (): Promise<string[]> => {
      const { rows } = await client.query<{ relname: string }>(
        `SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relforcerowsecurity`,
      );
      return rows.map(({ relname }) => relname).toSorted();
    };
    const all = await forced();
    await client.query(await triedBlock('docs/scale-out.md', 'before moves without blocked writes'));
    expect(await forced()).toEqual(all.filter((name) => !DISTRIBUTED.includes(name)));
    await client.query(await triedBlock('docs/scale-out.md', 'after moves without blocked writes'));
    expect(await forced()).toEqual(all);
  });

  test('has commands after which accounts are isolated as before', async () => {
    const seen = async (settings: string): Promise<string[]> => {
      await client.query(`BEGIN; SET LOCAL sluice.all_accounts = 'off'; ${settings}`);
      const { rows } = await client.query<{ name: string }>(
        'SELECT a.name FROM accounts a JOIN streams s ON s.account_id = a.id ORDER BY 1',
      );
      await client.query('COMMIT');
      return rows.map(({ name }) => name);
    };
    const { rows } = await client.query<{ id: string }>(`SELECT id FROM accounts WHERE name = 'two'`);
    expect(await seen('')).toEqual([]);
    expect(await seen(`SET LOCAL sluice.account_id = '${rows[0]?.id}'`)).toEqual(['two']);
    expect(await seen(`SET LOCAL sluice.all_accounts = 'on'`)).toEqual(['one', 'two']);
  });
});
