import pg from 'pg';
import type { ConnectionOptions as TlsOptions } from 'node:tls';
import {
  buildTransactionOptions,
  parseSearchPath,
  type SessionNeeds,
  buildSessionOptions,
} from './session-settings.ts';
import { TLS_PARAMETERS, buildTlsOptions } from './tls-options.ts';

// The options of pg for every connection of Sluice.

/**
 * Detects a peer that disappeared while a connection waits for a result. Without the delay Linux sends the first keep-alive probe
 * after two hours.
 */
const KEEP_ALIVE = { keepAlive: true, keepAliveInitialDelayMillis: 10_000 } as const;
const CONNECT_MS = 10_000;

export interface ConnectionPurpose {
  /** Shown in pg_stat_activity. */
  readonly applicationName: string;
  /** Milliseconds; no limit if absent or 0. */
  readonly statementTimeoutMs?: number;
  /** Milliseconds; no limit if absent or 0. */
  readonly idleInTransactionMs?: number;
  /** Milliseconds that connecting may take; defaults to 10,000. */
  readonly connectMs?: number;
  /** Whether `url` may lead to a connection pooler. If so, user, database and application_name are the only start-up parameters. */
  readonly isPooled?: boolean;
}

/** The options of pg.ClientConfig that Sluice sets. */
export interface ConnectionOptions {
  readonly connectionString: string;
  readonly options?: string;
  readonly application_name: string;
  readonly connectionTimeoutMillis: number;
  readonly keepAlive: true;
  readonly keepAliveInitialDelayMillis: number;
  readonly ssl: TlsOptions | false;
}

/**
 * For a session whose tables are all on the coordinator of a distributed database, such as the queue's. Citus would forward each text
 * that contains SET LOCAL to the nodes as a whole, including the text that creates the tables. PostgreSQL without Citus ignores the
 * setting.
 */
export function buildCoordinatorConnection(url: string, purpose: ConnectionPurpose): ConnectionOptions {
  return withOptions(
    url,
    purpose,
    `${buildSessionOptions(buildSessionNeeds(url, purpose))} -c citus.propagate_set_commands=none`,
  );
}

/** Returns the settings that the transactions of the connection need: see prelude.ts. */
export function buildSessionNeeds(url: string, purpose: ConnectionPurpose): SessionNeeds {
  return {
    statementTimeoutMs: purpose.statementTimeoutMs ?? 0,
    idleInTransactionMs: purpose.idleInTransactionMs ?? 0,
    searchPath: parseSearchPath(readOptions(url)),
  };
}

/** For a connection whose statements are all in transactions that begin with loadPrelude(). */
export function buildTransactionConnection(url: string, purpose: ConnectionPurpose): ConnectionOptions {
  return withOptions(url, purpose, purpose.isPooled ? null : buildTransactionOptions(buildSessionNeeds(url, purpose)));
}

/** For a connection to PostgreSQL itself with statements outside of transactions that Sluice begins, such as LISTEN. */
export function buildSessionConnection(url: string, purpose: ConnectionPurpose): ConnectionOptions {
  return withOptions(url, purpose, buildSessionOptions(buildSessionNeeds(url, purpose)));
}

function withOptions(
  url: string,
  { applicationName, connectMs }: ConnectionPurpose,
  options: string | null,
): ConnectionOptions {
  const own = readOptions(url);
  const ssl = buildTlsOptions(new URL(url).searchParams, () => parseHost(url));
  return {
    connectionString: withoutOwnParameters(url),
    ssl,
    // If an option occurs twice, PostgreSQL uses the last one.
    ...(options !== null && { options: own === null ? options : `${own} ${options}` }),
    application_name: applicationName,
    connectionTimeoutMillis: connectMs ?? CONNECT_MS,
    ...KEEP_ALIVE,
  };
}

const readOptions = (url: string): string | null => new URL(url).searchParams.get('options');

/** Returns the host as pg reads it: a name, an IP address, or the directory of a socket. */
const parseHost = (url: string): string => new pg.Client({ connectionString: withoutOwnParameters(url) }).host;

/** Removes the parameters that Sluice sets itself: pg would prefer those of the connection string. */
function withoutOwnParameters(url: string): string {
  const rest = new URL(url);
  for (const name of ['options', ...TLS_PARAMETERS]) rest.searchParams.delete(name);
  return rest.href;
}
