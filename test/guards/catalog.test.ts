import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { SEQUENCE_DEFAULTS } from '../support/distributed-rules.ts';
import { IMMUTABLE_FUNCTIONS, PLAIN_TYPES } from '../support/immutable-expressions.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';
import { DISTRIBUTED, LOCAL, REFERENCE } from '../../src/db/table-distribution.ts';

let database: TestDatabase;
let client: pg.Client;

beforeAll(async () => {
  database = await createTestDatabase();
  client = new pg.Client({ connectionString: database.url });
  await client.connect();
});

afterAll(async () => {
  await client.end();
  await database.drop();
});

/** `$1` is the list of distributed tables. */
const rows = async <Row extends pg.QueryResultRow>(sql: string): Promise<Row[]> => {
  const result = await client.query<Row>(sql, [DISTRIBUTED]);
  return result.rows;
};

describe('the tables can be distributed by account_id as they are', () => {
  test('each table is listed as distributed, reference or local', async () => {
    const found = await client.query<{ name: string }>(
      `SELECT relname AS name FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition`,
    );
    expect(found.rows.map((row) => row.name).toSorted()).toEqual([...DISTRIBUTED, ...REFERENCE, ...LOCAL].toSorted());
  });

  test('every distributed table has an account_id that is never null', async () => {
    const found = await rows<{ name: string }>(
      `SELECT attrelid::regclass::text AS name FROM pg_attribute
        WHERE attrelid = ANY ($1::text[]::regclass[]) AND attname = 'account_id' AND attnotnull`,
    );
    expect(found.map((row) => row.name).toSorted()).toEqual(DISTRIBUTED.toSorted());
  });

  test('every primary and unique key and every index begins with account_id', async () => {
    const keys = await rows<{ name: string; first: string }>(
      `SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid, 1, true) AS first FROM pg_index
        WHERE indrelid = ANY ($1::text[]::regclass[])`,
    );
    expect(keys.filter((key) => key.first !== 'account_id')).toEqual([]);
    expect(keys.length).toBeGreaterThan(6);
  });

  test('foreign keys begin with account_id and never set a column to null', async () => {
    const wrong = await rows(
      `SELECT conname FROM pg_constraint c
         LEFT JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
        WHERE contype = 'f' AND (conrelid = ANY ($1::text[]::regclass[]) OR confrelid = ANY ($1::text[]::regclass[]))
          AND (a.attname <> 'account_id' OR confdeltype IN ('n', 'd') OR confupdtype IN ('n', 'd'))`,
    );
    expect(wrong).toEqual([]);
  });

  test('records has no foreign keys, which would make an insert three times as slow', async () => {
    const found = await client.query(
      `SELECT conname FROM pg_constraint WHERE contype = 'f' AND 'records'::regclass IN (conrelid, confrelid)`,
    );
    expect(found.rows).toEqual([]);
  });

  test('records can be replicated: its replica identity is a primary key or the whole row', async () => {
    const found = await client.query<{ replicable: boolean }>(
      `SELECT relreplident = 'f' OR EXISTS (SELECT FROM pg_index WHERE indrelid = c.oid AND indisprimary) AS replicable
         FROM pg_class c WHERE oid = 'records'::regclass`,
    );
    expect(found.rows).toEqual([{ replicable: true }]);
  });

  test('there are no triggers', async () => {
    const found = await client.query(
      `SELECT tgname FROM pg_trigger JOIN pg_class c ON c.oid = tgrelid
        WHERE NOT tgisinternal AND relnamespace = 'public'::regnamespace`,
    );
    expect(found.rows).toEqual([]);
  });

  test('there are no identity columns', async () => {
    const found = await client.query(
      `SELECT attrelid::regclass::text, attname FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
        WHERE attidentity <> '' AND relnamespace = 'public'::regnamespace`,
    );
    expect(found.rows).toEqual([]);
  });

  test('the guard on statements knows each column that a sequence fills', async () => {
    const found = await rows<{ name: string; column: string }>(
      `SELECT adrelid::regclass::text AS name, attname AS column FROM pg_attrdef
         JOIN pg_attribute ON attrelid = adrelid AND attnum = adnum
        WHERE adrelid = ANY ($1::text[]::regclass[]) AND pg_get_expr(adbin, adrelid) LIKE '%nextval%'`,
    );
    expect(Object.fromEntries(found.map(({ name, column }) => [name, column]))).toEqual(SEQUENCE_DEFAULTS);
  });

  test('the functions that the guard on statements lists as immutable are immutable', async () => {
    const functions = await client.query<{ name: string; immutable: boolean }>(
      `SELECT proname AS name, bool_and(provolatile = 'i') AS immutable FROM pg_proc
        WHERE pronamespace = 'pg_catalog'::regnamespace AND proname = ANY ($1) GROUP BY proname ORDER BY proname`,
      [IMMUTABLE_FUNCTIONS],
    );
    expect(functions.rows).toEqual(IMMUTABLE_FUNCTIONS.toSorted().map((name) => ({ name, immutable: true })));
    const types = await client.query<{ name: string; immutable: boolean }>(
      `SELECT format_type(t.oid, NULL) AS name, o.provolatile = 'i' AND i.provolatile = 'i' AS immutable
         FROM pg_type t JOIN pg_proc o ON o.oid = t.typoutput JOIN pg_proc i ON i.oid = t.typinput
        WHERE t.oid = ANY ($1::text[]::regtype[]) ORDER BY 1`,
      [PLAIN_TYPES],
    );
    expect(types.rows).toEqual(PLAIN_TYPES.toSorted().map((name) => ({ name, immutable: true })));
  });
});
