import pg from 'pg';
import { TLS_PARAMETERS } from './tls-options.ts';

/** What may be said of an address: never its user or password. */
export interface DatabaseAddress {
  /** A name, an address, or the directory of a socket. */
  readonly host: string;
  readonly port: number;
  readonly database: string;
  /** Whether the address, or PGPASSWORD, has a password. */
  readonly hasPassword: boolean;
}

/** Where the driver would connect to, with its own defaults for what the address leaves out. Connects to nothing. */
export const redactDatabaseUrl = (databaseUrl: string): DatabaseAddress => {
  const url = new URL(databaseUrl);
  // Their files would be read.
  for (const name of TLS_PARAMETERS) url.searchParams.delete(name);
  const client = new pg.Client({ connectionString: url.href });
  const { host, port, database = '' } = client;
  return { host, port, database, hasPassword: Boolean(client.password) };
};
