import { drizzle } from 'drizzle-orm/node-postgres';
import { sql } from 'drizzle-orm';
import { GraphQLEnumType, GraphQLInt } from 'graphql';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { isUnavailable, sqlState } from '../../src/db/failures.ts';
import { scrubError } from '../../src/lib/scrub-error.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';

const SECRET = 'acme-corporation-used-17';

let database: TestDatabase;
let client: pg.Client;
beforeAll(async () => {
  database = await createTestDatabase();
  client = new pg.Client({ connectionString: database.url, options: '-c sluice.all_accounts=on' });
  await client.connect();
});
afterAll(async () => {
  await client.end();
  await database.drop();
});

const statuses = new GraphQLEnumType({ name: 'Status', values: { QUEUED: {} } });

const failureOf = async (work: PromiseLike<unknown>): Promise<unknown> => {
  try {
    await work;
  } catch (error) {
    return error;
  }
  throw new Error('It did not fail.');
};

test.each([
  ['an invalid number', sql`SELECT ${SECRET}::numeric`, '22P02'],
  ['an invalid timestamp', sql`SELECT ${SECRET}::timestamptz`, '22007'],
  ['an invalid JSON value', sql`SELECT ${`{"${SECRET}`}::jsonb`, '22P02'],
  ['a character that text cannot contain', sql`SELECT ${`${SECRET}\u0000`}::text`, '22021'],
  ['a number too large', sql`SELECT ${`${'9'.repeat(30)}`}::bigint, ${SECRET}::text`, '22003'],
  ['a duplicate key', sql`INSERT INTO accounts (name) VALUES (${SECRET}), (${SECRET})`, '23505'],
  ['a row that breaks a rule', sql`INSERT INTO api_keys (id, name) VALUES (gen_random_uuid(), ${SECRET})`, '23502'],
  ['a missing table', sql`SELECT ${SECRET}::text FROM nothing`, '42P01'],
  ['a division by zero', sql`SELECT 1 / 0, ${SECRET}::text`, '22012'],
])(
  'scrubError > keeps the code and message of the server, and removes SQL and values: %s',
  async (_name, query, code) => {
    const error = await failureOf(drizzle({ client }).execute(query));
    expect(sqlState(error)).toBe(code);
    expect(isUnavailable(error)).toBe(false);
    const scrubbed = scrubError(error);
    expect(scrubbed).toMatchObject({ type: 'DrizzleQueryError', message: 'a query failed', cause: { code } });
    expect(scrubbed.cause?.message.length).toBeGreaterThan(8);
    expect(scrubbed.stack).toMatch(/^ {4}at /);
    expect(JSON.stringify(scrubbed)).not.toContain('acme');
    expect(JSON.stringify(scrubbed)).not.toMatch(/\bSELECT\b|\bINSERT\b|\$1/);
    // The original error contains the secret.
    expect(String(error)).toContain('acme');
  },
);

test('scrubError > removes lines of a message that look like a stack', () => {
  const error = new Error(`of the store:\n    at ${SECRET}\n    at ${SECRET}`);
  expect(scrubError(error).stack).not.toContain('acme');
  expect(scrubError(error).stack).toContain('    at ');
});

test.each([
  ['invalid JSON', () => JSON.parse(`[${SECRET}`) as unknown],
  ['an invalid number', () => BigInt(SECRET)],
  ['a value that the enum does not have', () => statuses.serialize(SECRET)],
  ['a value that a scalar cannot show', () => GraphQLInt.serialize(SECRET)],
])('scrubError > removes the value: %s', (_name, work) => {
  expect(work).toThrow('acme');
  try {
    work();
  } catch (error) {
    const scrubbed = scrubError(new Error('outside', { cause: error }));
    expect(JSON.stringify(scrubbed)).not.toContain('acme');
    expect(scrubbed.cause?.message.length).toBeGreaterThan(8);
  }
});

test('scrubError > returns only the type of a value that is not an Error', () => {
  expect(scrubError({ secret: SECRET })).toEqual({ type: 'object', message: 'not an Error' });
  expect(scrubError(SECRET)).toEqual({ type: 'string', message: 'not an Error' });
});
