import { drizzle } from 'drizzle-orm/node-postgres';
import { readMigrationFiles } from 'drizzle-orm/migrator';
import { migrate as applyMigrations } from 'drizzle-orm/node-postgres/migrator';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { ALL_ACCOUNTS_SETTING } from './policies.ts';
import { installQueue } from './queue.ts';
import { repairTransactionIds } from './transaction-ids.ts';

const MIGRATIONS = fileURLToPath(new URL('./migrations', import.meta.url));
/** Any fixed number: the session lock that makes simultaneous starts wait for one another. */
const MIGRATION_LOCK = 5_714_023_911;
const CONNECT_MS = 10_000;

/** The migrations of this version against those of the database. */
export interface MigrationState {
  /** Migrations that the database has not had yet. */
  readonly pending: number;
  /** Migrations of the database that this version does not know: a newer one was here. */
  readonly unknown: number;
}

export interface MigrationOutcome {
  /** How many migrations were applied; 0 where the database was up to date. */
  readonly applied: number;
  /** Whether the database had been restored from a copy: see transaction-ids.ts. */
  readonly repaired: boolean;
}

/**
 * Brings the database up to this version's tables and queue. Safe to call from any number of servers at once:
 * drizzle's migrator takes no lock (two of three simultaneous starts crashed), so one is held around it,
 * on a connection of its own.
 */
export const migrate = async (databaseUrl: string): Promise<MigrationOutcome> => {
  const client = new pg.Client({
    connectionString: databaseUrl,
    application_name: 'sluice-migrate',
    connectionTimeoutMillis: CONNECT_MS,
  });
  // Without a listener a connection that breaks here would end the process instead of failing the query.
  client.on('error', () => undefined);
  await client.connect();
  try {
    // What a migration changes in rows, it changes in those of all accounts.
    await client.query(`SET ${ALL_ACCOUNTS_SETTING} = 'on'`);
    await client.query('SELECT pg_advisory_lock($1)', [MIGRATION_LOCK]);
    const { pending } = await migrationState(client);
    await applyMigrations(drizzle({ client }), { migrationsFolder: MIGRATIONS });
    await installQueue(databaseUrl);
    return { applied: pending, repaired: await repairTransactionIds(client) };
  } finally {
    await client.end();
  }
};

/** Changes nothing. */
export const migrationState = async (client: pg.ClientBase | pg.Pool): Promise<MigrationState> => {
  const known = readMigrationFiles({ migrationsFolder: MIGRATIONS }).map((migration) => migration.folderMillis);
  const table = await client.query<{ found: boolean }>(
    `SELECT to_regclass('drizzle.__drizzle_migrations') IS NOT NULL AS found`,
  );
  const { rows } = table.rows[0]?.found
    ? await client.query<{ at: string }>('SELECT created_at AS at FROM drizzle.__drizzle_migrations')
    : { rows: [] };
  // drizzle's migrator goes by the newest alone.
  const newest = Math.max(-1, ...rows.map((row) => Number(row.at)));
  return {
    pending: known.filter((at) => at > newest).length,
    unknown: rows.filter((row) => !known.includes(Number(row.at))).length,
  };
};
