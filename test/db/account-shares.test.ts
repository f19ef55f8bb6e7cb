import { sql } from 'drizzle-orm';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { type Database, type Db, openDatabase, OWN_CONNECTIONS } from '../../src/db/client.ts';
import { AccountBusyError } from '../../src/errors/errors.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';
import { eventually } from '../support/server.ts';

let testDatabase: TestDatabase;
beforeAll(async () => {
  testDatabase = await createTestDatabase();
});
afterAll(() => testDatabase.drop());

const open = (connectMs: number): Database =>
  openDatabase({
    url: testDatabase.url,
    poolSize: 4,
    accountConnections: 2,
    connectMs,
    applicationName: 'sluice-shares',
    statementTimeoutMs: 30_000,
    onConnectionError: () => undefined,
  });

const askedOf = async (db: Db): Promise<number> =>
  (await db.execute<{ answer: number }>(sql`SELECT 1 AS answer`)).rows[0]?.answer ?? 0;

/** Opens a transaction that holds its connection until the returned function is called. */
const hold = async (db: Db): Promise<() => Promise<void>> => {
  const begun = Promise.withResolvers<void>();
  const ending = Promise.withResolvers<void>();
  const held = db.transaction(async (tx) => {
    await tx.execute(sql`SELECT 1`);
    begun.resolve();
    await ending.promise;
  });
  held.catch(begun.reject);
  await begun.promise;
  return async () => {
    ending.resolve();
    await held;
  };
};

let database: Database;
let held: (() => Promise<void>)[];
beforeEach(() => {
  held = [];
});
afterEach(async () => {
  await Promise.all(held.map((end) => end()));
  await database.close();
});

test('an account with open transactions > leaves the rest of the pool to other accounts and serves its own in order', async () => {
  database = open(30_000);
  const busy = database.forAccount(1n);
  held = [await hold(busy), await hold(busy)];
  const order: number[] = [];
  const waiting = [1, 2, 3].map(async (number) => {
    await askedOf(busy);
    order.push(number);
  });
  await eventually(
    () => Promise.resolve(database.waitingForShare),
    (count) => count === 3,
  );
  expect(await askedOf(database.forAccount(2n))).toBe(1);
  // Waiting requests of the account are not in the queue of the pool.
  expect(database.pool.waitingCount).toBe(0);
  await held.shift()?.();
  await Promise.all(waiting);
  expect(order).toEqual([1, 2, 3]);
  expect(database.waitingForShare).toBe(0);
});

test('a request > gets AccountBusyError when its account uses its share for too long, and others are not affected', async () => {
  database = open(1500);
  const busy = database.forAccount(1n);
  held = [await hold(busy), await hold(busy)];
  await expect(busy.transaction(() => Promise.resolve())).rejects.toThrow(AccountBusyError);
  expect(await askedOf(database.forAccount(2n))).toBe(1);
  await held.pop()?.();
  expect(await askedOf(busy)).toBe(1);
});

test('a connection that breaks > is returned to the share', async () => {
  database = open(5000);
  const busy = database.forAccount(1n);
  for (let round = 0; round < 3; round += 1) {
    await expect(busy.execute(sql`SELECT pg_terminate_backend(pg_backend_pid())`)).rejects.toThrow('Failed query');
  }
  expect(await Promise.all([askedOf(busy), askedOf(busy), askedOf(busy)])).toEqual([1, 1, 1]);
});

test('keys, leases, runs and the schedule > are served when requests hold the whole pool', async () => {
  database = open(1500);
  held = await Promise.all([1n, 1n, 2n, 2n].map((account) => hold(database.forAccount(account))));
  await expect(database.forAccount(3n).transaction(() => Promise.resolve())).rejects.toThrow('timeout exceeded');
  const purposes = Object.keys(OWN_CONNECTIONS) as (keyof typeof OWN_CONNECTIONS)[];
  const answers = await Promise.all([
    ...purposes.map((purpose) => askedOf(database[purpose])),
    askedOf(database.forRunOf(1n)),
  ]);
  expect(answers).toEqual([...purposes, 'a run'].map(() => 1));
});
