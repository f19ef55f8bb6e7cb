import pg from 'pg';

/** What may be said of an address: never its user or password. */
export interface DatabasePlace {
  /** A name, an address, or the directory of a socket. */
  readonly host: string;
  readonly port: number;
  readonly database: string;
}

/** Where the driver would connect to, with its own defaults for what the address leaves out. Connects to nothing. */
export const placeOf = (databaseUrl: string): DatabasePlace => {
  const url = new URL(databaseUrl);
  // Their files would be read.
  for (const name of ['sslcert', 'sslkey', 'sslrootcert']) url.searchParams.delete(name);
  const { host, port, database = '' } = new pg.Client({ connectionString: url.href });
  return { host, port, database };
};
