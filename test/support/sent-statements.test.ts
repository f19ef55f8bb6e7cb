import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { buildCoordinatorConnection, buildSessionConnection } from '../../src/db/connection-options.ts';
import { QueueClient } from '../../src/db/queue-client.ts';
import { createTestDatabase, type TestDatabase } from './postgres.ts';
import { hearStatements, type SentStatement } from './sent-statements.ts';

let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

const APPLICATION = { applicationName: 'sluice-heard' };

/** Returns the statements that a client sends, in order. */
async function heardOf(
  work: (client: pg.Client) => Promise<unknown>,
  client = new pg.Client(buildSessionConnection(database.url, APPLICATION)),
): Promise<readonly SentStatement[]> {
  await client.connect();
  const hearing = hearStatements();
  try {
    await work(client);
  } finally {
    hearing.stop();
    await client.end();
  }
  return hearing.heard.filter(({ applicationName }) => applicationName === APPLICATION.applicationName);
}

const READING = 'SELECT 1 FROM records';

/** Returns the scope of each statement that reads records. */
async function scopesOf(...texts: readonly string[]): Promise<SentStatement['scope'][]> {
  const heard = await heardOf(async (client) => {
    for (const text of texts) await client.query(text);
  });
  return heard.filter(({ text }) => text.startsWith(READING)).map(({ scope }) => scope);
}

test('recorded statements > have no scope from a setting of the session, which the nodes of a cluster do not see', async () => {
  expect(await scopesOf(`SET sluice.all_accounts = 'on'`, READING)).toEqual([null]);
  expect(await scopesOf(`SET LOCAL sluice.all_accounts = 'on'`, READING)).toEqual([null]);
  expect(await scopesOf(`begin; SET LOCAL sluice.account_id = '17'`, READING, 'rollback')).toEqual([null]);
});

test('recorded statements > have the scope of SET LOCAL until the transaction ends', async () => {
  expect(await scopesOf('BEGIN', `SET LOCAL sluice.all_accounts = 'on'`, READING, 'COMMIT')).toEqual(['all_accounts']);
  const own = ['BEGIN', `SET LOCAL sluice.account_id = '17'`];
  expect(await scopesOf(...own, `${READING} LIMIT 1; COMMIT`, `${READING} LIMIT 2`)).toEqual(['account_id', null]);
  expect(await scopesOf(...own, 'ROLLBACK', 'BEGIN', READING, 'COMMIT')).toEqual([null]);
  const savepoint = ['SAVEPOINT before', 'ROLLBACK TO SAVEPOINT before'];
  expect(await scopesOf(...own, ...savepoint, READING, 'COMMIT')).toEqual(['account_id']);
});

test('recorded statements > include each execution of a prepared statement', async () => {
  const client = new pg.Client(buildSessionConnection(database.url, APPLICATION));
  await client.connect();
  const named = { name: 'one', text: 'SELECT $1::int AS a', values: [1] };
  await client.query(named);
  const hearing = hearStatements();
  await client.query(named);
  await client.query('SELECT $1::int AS b -- not of the comment', [1]);
  hearing.stop();
  await client.end();
  const texts = hearing.heard
    .filter(({ applicationName }) => applicationName === 'sluice-heard')
    .map(({ text }) => text);
  expect(texts).toEqual(['SELECT $1::int AS a', 'SELECT $1::int AS b']);
});

test('recorded statements > include those of the queue, and whether its settings stay on the coordinator', async () => {
  const client = new QueueClient(buildCoordinatorConnection(database.url, APPLICATION));
  const heard = await heardOf(async () => {
    await client.query('BEGIN');
    await client.query('ROLLBACK');
  }, client);
  expect(heard.map(({ text, keepsSettings }) => [text, keepsSettings])).toEqual([
    ['BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE', true],
    ['ROLLBACK', true],
  ]);
  expect(await heardOf((one) => one.query('SELECT 1'))).toMatchObject([{ keepsSettings: false }]);
});
