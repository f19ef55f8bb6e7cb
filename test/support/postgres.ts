import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { inject } from 'vitest';
import { addForeignSchema, type HostileLevel, makeHostile } from './hostile-defaults.ts';
import { ownerOf, urlOfDatabase, withClient } from './postgres-admin.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** Connection string of the server's maintenance database, for a role that may create databases. */
    postgresAdminUrl: string;
    /** The same for the plain role that owns the test databases: a superuser would bypass row-level security. */
    postgresOwnerUrl: string;
    /** Name of the migrated database from which every test database is copied. */
    postgresTemplate: string;
  }
}

/** A migrated, empty database for one test file. */
export interface TestDatabase {
  readonly url: string;
  /**
   * Drops the database. Throws after the drop if the code under test left sessions open in it. The error lists their
   * application names and last statements.
   */
  readonly drop: () => Promise<void>;
}

// PostgreSQL lists the backends of an ended pool for some more milliseconds, or longer on a slow machine.
const LEAK_DEADLINE_MS = 30_000;

const open = new Map<string, TestDatabase>();

let hostileLevel: HostileLevel | null = null;

/** Sets hostile defaults with this isolation level on all databases created from now on; null stops that. */
export function makeDatabasesHostile(level: HostileLevel | null): void {
  hostileLevel = level;
}

async function leakedSessions(admin: pg.Client, database: string): Promise<string[]> {
  const { rows } = await admin.query<{ session: string }>(
    `SELECT format('%s [%s] %s', coalesce(nullif(application_name, ''), '(no application_name)'),
                   coalesce(state, '?'), left(regexp_replace(query, '\\s+', ' ', 'g'), 200)) AS session
       FROM pg_stat_activity
      WHERE datname = $1 AND backend_type = 'client backend'
      ORDER BY backend_start`,
    [database],
  );
  return rows.map((row) => row.session);
}

async function sessionsAfterDeadline(admin: pg.Client, database: string): Promise<string[]> {
  const deadline = performance.now() + LEAK_DEADLINE_MS;
  for (;;) {
    const sessions = await leakedSessions(admin, database);
    if (sessions.length === 0 || performance.now() > deadline) return sessions;
    await delay(20);
  }
}

/**
 * Copies the migrated template. Call it in `beforeAll`, and `drop` in `afterAll` after everything that uses the database
 * was stopped. A file that does not drop its database fails.
 */
export async function createTestDatabase(): Promise<TestDatabase> {
  const adminUrl = inject('postgresAdminUrl');
  const ownerUrl = inject('postgresOwnerUrl');
  const database = `sluice_test_${randomUUID().replaceAll('-', '')}`;
  await withClient(adminUrl, (admin) =>
    admin.query(`CREATE DATABASE ${database} TEMPLATE ${inject('postgresTemplate')} OWNER ${ownerOf(ownerUrl)}`),
  );
  if (hostileLevel !== null) {
    await addForeignSchema(urlOfDatabase(adminUrl, database));
    await makeHostile(adminUrl, database, hostileLevel);
  }
  const created: TestDatabase = {
    url: urlOfDatabase(ownerUrl, database),
    drop: async () => {
      if (!open.delete(database)) return;
      const leaked = await withClient(adminUrl, async (admin) => {
        const sessions = await sessionsAfterDeadline(admin, database);
        await admin.query(`DROP DATABASE ${database} WITH (FORCE)`);
        return sessions;
      });
      if (leaked.length > 0) {
        throw new Error(`${leaked.length} leaked database sessions:\n  ${leaked.join('\n  ')}`);
      }
    },
  };
  open.set(database, created);
  return created;
}

/** Drops databases that a test file did not drop, and fails the file. */
export async function dropForgottenDatabases(): Promise<void> {
  const forgotten = [...open.values()];
  const results = await Promise.allSettled(forgotten.map((database) => database.drop()));
  if (forgotten.length === 0) return;
  const reasons = results.flatMap((result) => (result.status === 'rejected' ? [String(result.reason)] : []));
  throw new Error([`${forgotten.length} test databases were not dropped by their file`, ...reasons].join('\n'));
}
