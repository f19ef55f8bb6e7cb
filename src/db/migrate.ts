import { sql } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/node-postgres';
import { readMigrationFiles } from 'drizzle-orm/migrator';
import { migrate as applyMigrations } from 'drizzle-orm/node-postgres/migrator';
import { fileURLToPath } from 'node:url';
import type pg from 'pg';
import { repairLedgers } from './as-of.ts';
import type { Db } from './client.ts';
import { sessionNeeds } from './connection-options.ts';
import { connectDirectly } from './direct-connection.ts';
import { ALL_ACCOUNTS_SETTING } from './policies.ts';
import { installQueue } from './queue.ts';
import { ScopedPool } from './scoped-pool.ts';
import * as tables from './tables.ts';

const MIGRATIONS = fileURLToPath(new URL('./migrations', import.meta.url));
/** Any fixed number: the session lock that makes simultaneous starts wait for one another. */
const MIGRATION_LOCK = 5_714_023_911;
const PURPOSE = { applicationName: 'sluice-migrate' };

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
  /** How many accounts had transaction ids of another cluster: see as-of.ts. */
  readonly repaired: number;
}

/**
 * Brings the database up to this version's tables and queue. Safe to call from any number of servers at once:
 * drizzle's migrator takes no lock (two of three simultaneous starts crashed), so one is held around it,
 * on a connection of its own.
 *
 * @param databaseUrl of PostgreSQL itself, not of a connection pooler; throws PoolerError if it is one
 */
export const migrate = async (databaseUrl: string): Promise<MigrationOutcome> => {
  const client = await connectDirectly(databaseUrl, PURPOSE);
  try {
    await client.query('SELECT pg_advisory_lock($1)', [MIGRATION_LOCK]);
    const db = onOneConnection(client, databaseUrl);
    const { pending } = await migrationState(db);
    await applyMigrations(db, { migrationsFolder: MIGRATIONS });
    await installQueue(databaseUrl);
    return { applied: pending, repaired: await repairLedgers(db) };
  } finally {
    await client.end();
  }
};

/** For all accounts, since what a migration changes in rows, it changes in those of all accounts. */
const onOneConnection = (client: pg.Client, url: string): Db => {
  const lent = Object.assign(client, { release: () => undefined });
  const pool = new ScopedPool(
    { connect: () => Promise.resolve(lent) },
    { setting: `${ALL_ACCOUNTS_SETTING} = 'on'`, needs: sessionNeeds(url, PURPOSE) },
  );
  return drizzle({ client: pool as unknown as pg.Pool, schema: tables });
};

/** Changes nothing. */
export const migrationState = async (db: Db): Promise<MigrationState> => {
  const known = readMigrationFiles({ migrationsFolder: MIGRATIONS }).map((migration) => migration.folderMillis);
  const table = await db.execute<{ found: boolean }>(
    sql`SELECT to_regclass('drizzle.__drizzle_migrations') IS NOT NULL AS found`,
  );
  const { rows } = table.rows[0]?.found
    ? await db.execute<{ at: string }>(sql`SELECT created_at AS at FROM drizzle.__drizzle_migrations`)
    : { rows: [] };
  // drizzle's migrator goes by the newest alone.
  const newest = Math.max(-1, ...rows.map((row) => Number(row.at)));
  return {
    pending: known.filter((at) => at > newest).length,
    unknown: rows.filter((row) => !known.includes(Number(row.at))).length,
  };
};
