import pg from 'pg';
import { TLS_PARAMETERS } from './tls-options.ts';

/** The parts of a database address that may be logged: without user and password. */
export interface DatabaseAddress {
  /** A name, an IP address, or the directory of a socket. */
  readonly host: string;
  readonly port: number;
  readonly database: string;
  /** Whether the address or PGPASSWORD contains a password. */
  readonly hasPassword: boolean;
}

/** Returns where pg would connect to, with its defaults for parts that the address omits. Does not connect. */
export function redactDatabaseUrl(databaseUrl: string): DatabaseAddress {
  const url = new URL(databaseUrl);
  // pg would read the files that they name.
  for (const name of TLS_PARAMETERS) url.searchParams.delete(name);
  const client = new pg.Client({ connectionString: url.href });
  const { host, port, database = '' } = client;
  return { host, port, database, hasPassword: Boolean(client.password) };
}
