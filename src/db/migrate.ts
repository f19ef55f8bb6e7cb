import { sql } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/node-postgres';
import { readMigrationFiles } from 'drizzle-orm/migrator';
import { migrate as applyMigrations } from 'drizzle-orm/node-postgres/migrator';
import { fileURLToPath } from 'node:url';
import type pg from 'pg';
import { repairLedgers } from './as-of.ts';
import type { Db } from './client.ts';
import { buildSessionNeeds } from './connection-options.ts';
import { connectDirectly } from './direct-connection.ts';
import { ALL_ACCOUNTS_SETTING } from './policies.ts';
import { installQueue } from './queue.ts';
import { ScopedPool } from './scoped-pool.ts';
import * as tables from './tables.ts';

const MIGRATIONS = fileURLToPath(new URL('./migrations', import.meta.url));
/** Key of the advisory lock that concurrent starts wait for; an arbitrary number. */
const MIGRATION_LOCK = 5_714_023_911;
const PURPOSE = { applicationName: 'sluice-migrate' };

/** Compares the migrations of this version with those of the database. */
export interface MigrationState {
  /** Number of migrations that have not been applied. */
  readonly pending: number;
  /** Number of applied migrations that this version does not contain: a newer version applied them. */
  readonly unknown: number;
}

export interface MigrationOutcome {
  /** Number of migrations that were applied; 0 if the database was up to date. */
  readonly applied: number;
  /** Number of accounts that had transaction ids of another cluster: see as-of.ts. */
  readonly repaired: number;
}

/**
 * Migrates the tables and the queue to this version. Several servers can call it concurrently: drizzle's migrator takes no lock
 * (two of three concurrent starts crashed), so an advisory lock is held around it, on a separate connection.
 *
 * @param databaseUrl address of PostgreSQL itself; throws PoolerError if it leads to a connection pooler
 */
export async function migrate(databaseUrl: string): Promise<MigrationOutcome> {
  const client = await connectDirectly(databaseUrl, PURPOSE);
  try {
    await client.query('SELECT pg_advisory_lock($1)', [MIGRATION_LOCK]);
    const db = openOnConnection(client, databaseUrl);
    const { pending } = await readMigrationState(db);
    await applyMigrations(db, { migrationsFolder: MIGRATIONS });
    await installQueue(databaseUrl);
    return { applied: pending, repaired: await repairLedgers(db) };
  } finally {
    await client.end();
  }
}

/** Opens the database on one connection with access to the rows of all accounts, because migrations may change them. */
function openOnConnection(client: pg.Client, url: string): Db {
  const lent = Object.assign(client, { release: () => undefined });
  const pool = new ScopedPool(
    { connect: () => Promise.resolve(lent) },
    { setting: `${ALL_ACCOUNTS_SETTING} = 'on'`, needs: buildSessionNeeds(url, PURPOSE) },
  );
  return drizzle({ client: pool as unknown as pg.Pool, schema: tables });
}

/** Reads which migrations are applied. */
export async function readMigrationState(db: Db): Promise<MigrationState> {
  const known = readMigrationFiles({ migrationsFolder: MIGRATIONS }).map((migration) => migration.folderMillis);
  const table = await db.execute<{ found: boolean }>(
    sql`SELECT to_regclass('drizzle.__drizzle_migrations') IS NOT NULL AS found`,
  );
  const { rows } = table.rows[0]?.found
    ? await db.execute<{ at: string }>(sql`SELECT created_at AS at FROM drizzle.__drizzle_migrations`)
    : { rows: [] };
  // drizzle's migrator compares with the newest migration alone.
  const newest = Math.max(-1, ...rows.map((row) => Number(row.at)));
  return {
    pending: known.filter((at) => at > newest).length,
    unknown: rows.filter((row) => !known.includes(Number(row.at))).length,
  };
}
