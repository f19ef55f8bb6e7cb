import { drizzle, type NodePgDatabase } from 'drizzle-orm/node-postgres';
import { LRUCache } from 'lru-cache';
import type pg from 'pg';
import { createAccountShares } from './account-shares.ts';
import { buildSessionNeeds } from './connection-options.ts';
import { ACCOUNT_SETTING, ALL_ACCOUNTS_SETTING } from './policies.ts';
import { openPool } from './pool.ts';
import { ScopedPool } from './scoped-pool.ts';
import * as tables from './tables.ts';

export type Db = NodePgDatabase<typeof tables>;
export type Transaction = Parameters<Parameters<Db['transaction']>[0]>[0];
/** Runs a statement: the pool, or inside a transaction only that transaction. */
export type Executor = Db | Transaction;

/**
 * Runs statements in one transaction and one round trip, pipelined with COMMIT. `begin` must start all of them without awaiting
 * one before the next. If one fails, all are rolled back.
 */
export async function pipelineTransaction<Answers>(
  db: Db,
  begin: (tx: Transaction) => Promise<Answers>,
): Promise<Answers> {
  // Returned in an object: drizzle awaits a returned promise before it sends COMMIT.
  const { answers } = await db.transaction((tx) => {
    const begun = begin(tx);
    begun.catch(() => undefined);
    return Promise.resolve({ answers: begun });
  });
  return answers;
}

/**
 * Sends a statement in the order of the calls. A query builder in a list of pipelined statements would be sent after the calls of async
 * functions behind it, and its execute() before those in front of it.
 */
export function send<Result>(statement: PromiseLike<Result>): Promise<Result> {
  return Promise.resolve(statement);
}

/**
 * Awaits pipelined statements and returns their results. Throws the error of the first one that failed: those behind it fail too,
 * because the transaction is aborted, and Promise.all would throw the error that arrives through the fewest async functions.
 */
export async function inOrder<const Sent extends readonly unknown[]>(
  sent: Sent,
): Promise<{ -readonly [Index in keyof Sent]: Awaited<Sent[Index]> }> {
  const settled = await Promise.allSettled(sent);
  const failed = settled.find((one) => one.status === 'rejected');
  if (failed) throw failed.reason;
  return settled.map((one) => (one as PromiseFulfilledResult<unknown>).value) as never;
}

/**
 * Connections that a server opens beside DATABASE_POOL, in a small pool for each purpose, when they are first needed. They
 * are separate so that requests of one account that wait for locks cannot delay keys, leases and the schedule of all accounts.
 */
export const OWN_CONNECTIONS = {
  /** Look-ups of API keys: up to two of unknown keys at the same time, so that two are left for valid ones. */
  keys: 4,
  /** Renewals of leases: one that waits for the lock of a run does not delay the others. */
  leases: 2,
  /** The statements that claim a run, plan it, record its objects and end it. */
  runs: 4,
  /** The scheduler and the reaper. */
  schedule: 2,
  /** The scans of ledgers and the checks of deliveries, which may read for minutes. */
  corrections: 3,
  /** All other statements that concern several accounts: the feed of runs, metrics, readiness, mail, merges of totals. */
  acrossAccounts: 3,
} as const;

type Purpose = keyof typeof OWN_CONNECTIONS;

export interface Database extends Readonly<Record<Purpose, Db>> {
  /**
   * For requests of the account: sees and writes only what belongs to the account, even if a statement
   * omits the account. The account uses at most `accountConnections` of the pool; throws AccountBusyError after a wait.
   */
  forAccount(accountId: bigint): Db;
  /** For a run of the account: sees the same rows as forAccount(), on the connections of runs. */
  forRunOf(accountId: bigint): Db;
  /** The pool for requests. Statements that it runs directly have no transaction with the settings that Sluice needs. */
  readonly pool: pg.Pool;
  /** Requests that wait because their account uses its share of the pool. */
  readonly waitingForShare: number;
  /** Address of the connection pooler, if there is one, else of PostgreSQL. */
  readonly url: string;
  /** Address of PostgreSQL itself. */
  readonly directUrl: string;
  /** Whether `url` is that of a connection pooler: its connections keep nothing between transactions. */
  readonly isPooled: boolean;
  close(): Promise<void>;
}

export interface DatabaseOptions {
  readonly url: string;
  /** If `url` is that of a connection pooler: the address of PostgreSQL itself. */
  readonly directUrl?: string | null;
  readonly poolSize: number;
  /** Connections of the pool that the requests of one account may use together; no limit if omitted. */
  readonly accountConnections?: number;
  /** How long a request waits for a connection, and before that for its account's share. Defaults to 10 seconds. */
  readonly connectMs?: number;
  /** Shown in pg_stat_activity, followed by the purpose of the connection: sluice-keys, sluice-runs. */
  readonly applicationName: string;
  /** Milliseconds; a statement of a request that runs longer is ended by the server. */
  readonly statementTimeoutMs: number;
  /** Called when a connection breaks. The pool replaces it. */
  readonly onConnectionError: (error: Error) => void;
}

/** Size of the LRU cache of the accounts' Dbs: to create one costs more than a small statement. */
const MAX_CACHED_ACCOUNTS = 1000;

/** Opens the pools. Nothing is connected yet: the first query connects, and fails if the database is absent. */
export function openDatabase(options: DatabaseOptions): Database {
  const { applicationName, onConnectionError, connectMs = 10_000, directUrl = null } = options;
  const limits = {
    statementTimeoutMs: options.statementTimeoutMs,
    // A client that disappears inside a transaction must not hold its locks for long: those of a worker are on its run,
    // which other workers take over when its lease of 30 s expires.
    idleInTransactionMs: 20_000,
  };
  const isPooled = directUrl !== null;
  const needs = buildSessionNeeds(options.url, { ...limits, applicationName });
  const shared = { ...limits, connectMs, isPooled, idleMs: 30_000, onConnectionError };
  const pool = openPool(options.url, { ...shared, applicationName, max: options.poolSize });
  const ownPools = mapPurposes((purpose) => {
    const name = purpose === 'acrossAccounts' ? applicationName : `${applicationName}-${purpose}`;
    return openPool(options.url, { ...shared, applicationName: name, max: OWN_CONNECTIONS[purpose] });
  });
  const scoped = (from: Pick<pg.Pool, 'connect'>, setting: string, prepares = false): Db =>
    // The part of a pool that drizzle uses.
    drizzle({
      client: new ScopedPool(from, { setting, needs, prepares: prepares && !isPooled }) as unknown as pg.Pool,
      schema: tables,
    });
  const forAccounts = (from: (accountId: bigint) => Pick<pg.Pool, 'connect'>, prepares = false) => {
    const accounts = new LRUCache<bigint, Db>({ max: MAX_CACHED_ACCOUNTS });
    return (accountId: bigint): Db => {
      let db = accounts.get(accountId);
      if (!db) accounts.set(accountId, (db = scoped(from(accountId), `${ACCOUNT_SETTING} = '${accountId}'`, prepares)));
      return db;
    };
  };
  const shares = createAccountShares(pool, options.accountConnections ?? options.poolSize, connectMs);
  let closing: Promise<unknown> | undefined;
  return {
    forAccount: forAccounts((accountId) => shares.of(accountId)),
    forRunOf: forAccounts(() => ownPools.runs, true),
    ...mapPurposes((purpose) => scoped(ownPools[purpose], `${ALL_ACCOUNTS_SETTING} = 'on'`, true)),
    pool,
    get waitingForShare() {
      return shares.waiting;
    },
    url: options.url,
    directUrl: directUrl ?? options.url,
    isPooled,
    close: async () => {
      await (closing ??= Promise.all([pool, ...Object.values(ownPools)].map((one) => one.end())));
    },
  };
}

function mapPurposes<Value>(make: (purpose: Purpose) => Value): Record<Purpose, Value> {
  return Object.fromEntries(
    (Object.keys(OWN_CONNECTIONS) as Purpose[]).map((purpose) => [purpose, make(purpose)]),
  ) as Record<Purpose, Value>;
}
