import type pg from 'pg';
import { SessionClient } from '../../src/db/session-client.ts';
import { buildSessionOptions } from '../../src/db/session-settings.ts';

/** Overrides the defaults that a test may have set on its database. */
const OWN_SETTINGS = `-c sluice.all_accounts=on ${buildSessionOptions({ statementTimeoutMs: 0, idleInTransactionMs: 0, searchPath: 'public' })}`;

/** Opens a connection to the database at `url` that sees the rows of all accounts. The caller ends it. */
export async function openClient(url: string): Promise<pg.Client> {
  const client = new SessionClient({ connectionString: url, application_name: 'sluice-tests', options: OWN_SETTINGS });
  await client.connect();
  return client;
}

/** Runs `work` on such a connection. */
export async function withClient<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = await openClient(url);
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

/** Returns a URL of the same server and database with another role. */
export function urlOfRole(url: string, role: string, password: string): string {
  const changed = new URL(url);
  changed.username = role;
  changed.password = password;
  return changed.href;
}

/** Returns a URL of the same server with another database. */
export function urlOfDatabase(url: string, database: string): string {
  const changed = new URL(url);
  changed.pathname = `/${database}`;
  return changed.href;
}

/** Returns the role in a connection string. */
export function ownerOf(url: string): string {
  return new URL(url).username;
}
