import { Socket } from 'node:net';
import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type Database, openDatabase } from '../../src/db/client.ts';
import { openRowReader } from '../support/row-reader.ts';
import { startRunFeed } from '../../src/runs/run-feed.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';

let database: TestDatabase;
let opened: Database;
beforeAll(async () => {
  database = await createTestDatabase();
  opened = openDatabase({
    url: database.url,
    poolSize: 1,
    applicationName: 'test',
    statementTimeoutMs: 10_000,
    onConnectionError: () => undefined,
  });
});
afterAll(async () => {
  await opened.close();
  await database.drop();
});

const CONNECTIONS: readonly [name: string, connect: () => Promise<void>][] = [
  ['the pool', async () => void (await opened.acrossAccounts.execute(sql`SELECT 1`))],
  ['an export', async () => (await openRowReader(database.url, 1n, new AbortController().signal)).close()],
  [
    'the listener',
    async () => {
      const { acrossAccounts: db, url } = opened;
      const feed = startRunFeed({
        db,
        dbOf: () => db,
        url,
        applicationName: 'test',
        resyncMs: 5000,
        onInterrupted: () => undefined,
        onResumed: () => undefined,
        onError: () => undefined,
      });
      await feed.started;
      await feed.stop();
    },
  ],
];

test.each(CONNECTIONS)(
  'an idle connection of %s > sends TCP keep-alive probes after ten seconds',
  async (_, connect) => {
    const setKeepAlive = vi.spyOn(Socket.prototype, 'setKeepAlive');
    try {
      await connect();
      expect(setKeepAlive.mock.calls).toEqual([[true, 10_000]]);
    } finally {
      setKeepAlive.mockRestore();
    }
  },
);
