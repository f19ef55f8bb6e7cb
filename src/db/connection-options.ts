import pg from 'pg';
import type { ConnectionOptions as TlsOptions } from 'node:tls';
import { firstOptions, searchPathOf, type SessionNeeds, startUpOptions } from './session-settings.ts';
import { TLS_PARAMETERS, tlsOptions } from './tls-options.ts';

// What pg is given to open a connection. Every opener of a connection takes its options from here.

/**
 * For every connection that waits long for an answer. Without the delay Linux asks after two hours of silence for the
 * first time, and a peer that is gone without a word is waited for until then.
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
  /** Whether a connection pooler may be in between, which gets no start-up parameter but user, database and application_name. */
  readonly isPooled?: boolean;
}

/** Of pg.ClientConfig, what Sluice sets. */
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
 * For a session whose tables all lie on the coordinator of a distributed database, such as the queue's. Citus would hand each text
 * with a SET LOCAL in it on to the nodes as a whole, also the one that creates the tables. PostgreSQL alone ignores the setting.
 */
export const coordinatorConnection = (url: string, purpose: ConnectionPurpose): ConnectionOptions =>
  withOptions(url, purpose, `${startUpOptions(sessionNeeds(url, purpose))} -c citus.propagate_set_commands=none`);

/** What the transactions of such a connection need: see prelude.ts. */
export const sessionNeeds = (url: string, purpose: ConnectionPurpose): SessionNeeds => ({
  statementTimeoutMs: purpose.statementTimeoutMs ?? 0,
  idleInTransactionMs: purpose.idleInTransactionMs ?? 0,
  searchPath: searchPathOf(optionsOf(url)),
});

/** For a connection whose statements are all in transactions that begin with preludeOf(). */
export const transactionConnection = (url: string, purpose: ConnectionPurpose): ConnectionOptions =>
  withOptions(url, purpose, purpose.isPooled ? null : firstOptions(sessionNeeds(url, purpose)));

/** Never through a pooler. For a connection with statements outside of transactions that Sluice begins, such as LISTEN and those of the queue. */
export const sessionConnection = (url: string, purpose: ConnectionPurpose): ConnectionOptions =>
  withOptions(url, purpose, startUpOptions(sessionNeeds(url, purpose)));

const withOptions = (
  url: string,
  { applicationName, connectMs }: ConnectionPurpose,
  options: string | null,
): ConnectionOptions => {
  const own = optionsOf(url);
  const ssl = tlsOptions(new URL(url).searchParams, () => hostOf(url));
  return {
    connectionString: withoutOwnParameters(url),
    ssl,
    // PostgreSQL takes the last of two.
    ...(options !== null && { options: own === null ? options : `${own} ${options}` }),
    application_name: applicationName,
    connectionTimeoutMillis: connectMs ?? CONNECT_MS,
    ...KEEP_ALIVE,
  };
};

const optionsOf = (url: string): string | null => new URL(url).searchParams.get('options');

/** As pg finds it: a name, an address, or the directory of a socket. */
const hostOf = (url: string): string => new pg.Client({ connectionString: withoutOwnParameters(url) }).host;

/** pg prefers those of the connection string to ours. */
const withoutOwnParameters = (url: string): string => {
  const rest = new URL(url);
  for (const name of ['options', ...TLS_PARAMETERS]) rest.searchParams.delete(name);
  return rest.href;
};
