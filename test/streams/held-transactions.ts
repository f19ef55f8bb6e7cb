import { sql } from 'drizzle-orm';
import type { Db, Transaction } from '../../src/db/client.ts';
import { createStreamCache } from '../../src/streams/stream-cache.ts';
import { createStreamQueue } from '../../src/streams/stream-queue.ts';
import type { IngestContext } from '../../src/streams/ingest-request.ts';
import { findAccount } from '../../src/accounts/accounts.ts';
import { eventually, type TestServer } from '../support/server.ts';

// Writes by the real functions in a transaction that the test holds open, and requests that wait for it.

/** Context of the writing functions. In a transaction that is held open, their own transaction is a savepoint. */
export const within = (server: TestServer, db: Db | Transaction): IngestContext => ({
  db,
  clock: server.resources.clock,
  limits: { maxFutureMs: 0 },
  streamCache: createStreamCache(),
  streamQueue: createStreamQueue({ waitMs: 60_000, onBusy: () => undefined }),
  onWritten: () => undefined,
});

/** Resolves when at least `count` of the server's sessions wait for a lock. */
export const untilWaiting = (server: TestServer, count: number): Promise<number> =>
  eventually(
    async () =>
      (
        await server.resources.database.acrossAccounts.execute(
          sql`SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
        )
      ).rowCount ?? 0,
    (waiting) => waiting >= count,
  );

export const accountIdOf = async (server: TestServer, name: string): Promise<bigint> => {
  const account = await findAccount(server.resources.database.acrossAccounts, name);
  if (!account) throw new Error(`There is no account ${name}.`);
  return account.id;
};
