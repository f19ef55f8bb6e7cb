import { drizzle } from 'drizzle-orm/node-postgres';
import { migrate as applyMigrations } from 'drizzle-orm/node-postgres/migrator';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { installQueue } from './queue.ts';

const MIGRATIONS = fileURLToPath(new URL('./migrations', import.meta.url));
/** Any fixed number: the session lock that makes simultaneous starts wait for one another. */
const MIGRATION_LOCK = 5_714_023_911;

/**
 * Brings the database up to this version's tables and queue. Safe to call from any number of servers at once:
 * drizzle's migrator takes no lock (two of three simultaneous starts crashed), so one is held around it,
 * on a connection of its own.
 */
export const migrate = async (databaseUrl: string): Promise<void> => {
  const client = new pg.Client({ connectionString: databaseUrl, application_name: 'sluice-migrate' });
  // Without a listener a connection that breaks here would end the process instead of failing the query.
  client.on('error', () => undefined);
  await client.connect();
  try {
    await client.query('SELECT pg_advisory_lock($1)', [MIGRATION_LOCK]);
    await applyMigrations(drizzle({ client }), { migrationsFolder: MIGRATIONS });
    await installQueue(databaseUrl);
  } finally {
    await client.end();
  }
};
