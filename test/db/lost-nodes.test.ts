import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { isUnavailable } from '../../src/db/failures.ts';
import { openClient } from '../support/postgres-admin.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';

// When a worker node crashes, a Citus coordinator sends these messages with the SQLSTATE of an internal error.
let database: TestDatabase;
let client: pg.Client;
beforeAll(async () => {
  database = await createTestDatabase();
  client = await openClient(database.url);
});
afterAll(async () => {
  await client.end();
  await database.drop();
});

const errorOf = (message: string): Promise<unknown> =>
  client.query(`DO $$ BEGIN RAISE EXCEPTION '${message}' USING ERRCODE = 'XX000'; END $$`).then(
    () => undefined,
    (error: unknown) => error,
  );

test.each([
  'server closed the connection unexpectedly',
  'SSL SYSCALL error: EOF detected',
  'connection not open',
  'could not commit transaction for shard 102185 on at least one active node',
  'failure on connection marked as essential: 127.0.0.1:5432',
])('an internal error > is UNAVAILABLE when its message is "%s"', async (message) => {
  expect(isUnavailable(await errorOf(message))).toBe(true);
});

test('an internal error > stays internal when its message does not name a lost node', async () => {
  const error = await errorOf('cache lookup failed for relation 102185');
  expect(error).toMatchObject({ code: 'XX000' });
  expect(isUnavailable(error)).toBe(false);
});
