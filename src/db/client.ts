import { drizzle, type NodePgDatabase } from 'drizzle-orm/node-postgres';
import pg from 'pg';
import { ACCOUNT_SETTING, ALL_ACCOUNTS_SETTING } from './policies.ts';
import { ScopedPool } from './scoped-pool.ts';
import * as tables from './tables.ts';

export type Db = NodePgDatabase<typeof tables>;
export type Transaction = Parameters<Parameters<Db['transaction']>[0]>[0];
/** What a statement can be run on: the pool, or the transaction in scope and only that. */
export type Executor = Db | Transaction;

/**
 * Runs statements in one transaction and one round trip: COMMIT leaves with them. `begin` has to begin them all at once, and
 * not to await one of them before another. Where one fails, none of them counts.
 */
export const inOneGo = async <Answers>(db: Db, begin: (tx: Transaction) => Promise<Answers>): Promise<Answers> => {
  // In an object, or the transaction would wait for them before its COMMIT.
  const { answers } = await db.transaction((tx) => {
    const begun = begin(tx);
    begun.catch(() => undefined);
    return Promise.resolve({ answers: begun });
  });
  return answers;
};

/**
 * For every connection that waits long for an answer. Without the delay Linux asks after two hours of silence for the
 * first time, and a peer that is gone without a word is waited for until then.
 */
export const KEEP_ALIVE = { keepAlive: true, keepAliveInitialDelayMillis: 10_000 } as const;

export interface Database {
  /** Sees and writes what belongs to the account, and nothing else, whatever a statement forgets. */
  forAccount(accountId: bigint): Db;
  /** For what concerns all accounts: the schedule, workers, the operator's commands, the look-up of a key. */
  readonly acrossAccounts: Db;
  /** Says for no account: no row of any can be seen. */
  readonly pool: pg.Pool;
  readonly url: string;
  close(): Promise<void>;
}

export interface DatabaseOptions {
  readonly url: string;
  readonly poolSize: number;
  /** Shown in pg_stat_activity. */
  readonly applicationName: string;
  /** Milliseconds; a statement of a request that runs longer is ended by the server. */
  readonly statementTimeoutMs: number;
  /** Told of connections that broke; the pool replaces them by itself. */
  readonly onConnectionError: (error: Error) => void;
}

/** Accounts whose Db is kept for the next request: making one costs more than a small statement. */
const MAX_REMEMBERED = 1000;

/** Opens a pool. Nothing is connected yet: the first query does that, so an absent database is told there. */
export const openDatabase = (options: DatabaseOptions): Database => {
  const pool = new pg.Pool({
    connectionString: options.url,
    max: options.poolSize,
    pipeline: true,
    application_name: options.applicationName,
    statement_timeout: options.statementTimeoutMs,
    // A client that went away inside a transaction, without a word or because it was stopped, must not hold its locks for
    // long: a worker's are on its run, and others are to take that over when its lease (30 s) ends.
    idle_in_transaction_session_timeout: 20_000,
    connectionTimeoutMillis: 10_000,
    idleTimeoutMillis: 30_000,
    ...KEEP_ALIVE,
  });
  // Both are needed: an idle client reports to the pool, one that is checked out only to itself, and an 'error'
  // event that nobody hears ends the process (a backend terminated in a transaction does that).
  pool.on('error', options.onConnectionError);
  pool.on('connect', (client) => {
    client.on('error', options.onConnectionError);
  });
  const scoped = (setting: string, prepares = false): Db =>
    // The part of a pool that drizzle uses.
    drizzle({ client: new ScopedPool(pool, setting, prepares) as unknown as pg.Pool, schema: tables });
  const accounts = new Map<bigint, Db>();
  let closing: Promise<void> | undefined;
  return {
    forAccount: (accountId) => {
      let db = accounts.get(accountId);
      if (!db) {
        if (accounts.size >= MAX_REMEMBERED) accounts.clear();
        accounts.set(accountId, (db = scoped(`${ACCOUNT_SETTING} = '${accountId}'`)));
      }
      return db;
    },
    acrossAccounts: scoped(`${ALL_ACCOUNTS_SETTING} = 'on'`, true),
    pool,
    url: options.url,
    close: () => (closing ??= pool.end()),
  };
};
