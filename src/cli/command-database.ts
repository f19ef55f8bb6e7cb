import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Config } from '../config/config.ts';
import { type Database, openDatabase } from '../db/client.ts';
import { buildSessionConnection } from '../db/connection-options.ts';
import { SessionClient } from '../db/session-client.ts';
import { announcedDatabase } from '../local/announced-database.ts';
import {
  type DataDirectory,
  DataDirectoryHeldError,
  defaultDataDirectory,
  openDataDirectory,
} from '../local/data-directory.ts';
import type { LocalLog } from '../local/log.ts';

/** The database of one command. */
export interface CommandDatabase extends AsyncDisposable {
  readonly url: string;
  /** The address of PostgreSQL itself if `url` is that of a connection pooler. */
  readonly directUrl: string | null;
  /** DATABASE_URL (configured), the database of a running server in local mode, or one that was started for the command. */
  readonly origin: 'configured' | 'running' | 'started';
}

/** A server announces its database about 2 s after it locked the directory, 10 s later if PostgreSQL recovers from a crash. */
const MAX_WAIT_MS = 20_000;
const POLL_MS = 50;

/**
 * Finds the database of the settings. In local mode this is the one that a running server has announced in DATA_DIR; if no server
 * runs, starts the embedded PostgreSQL and migrates it, as a server does. Throws DataDirectoryHeldError if another process holds
 * the directory and announces no database within 20 s.
 */
export async function findDatabase(config: Config, log: LocalLog): Promise<CommandDatabase> {
  if (config.databaseUrl !== null) return keepOpen(config.databaseUrl, config.databaseDirectUrl, 'configured');
  const path = resolve(config.dataDir ?? defaultDataDirectory());
  const deadline = performance.now() + MAX_WAIT_MS;
  for (;;) {
    try {
      return await startDatabase(await openDataDirectory(path), log);
    } catch (error) {
      if (!(error instanceof DataDirectoryHeldError)) throw error;
      const url = await announcedDatabase(path);
      // The announcement may be of a killed server, until the next one withdraws it.
      if (url !== null && (await canConnect(url))) return keepOpen(url, null, 'running');
      if (performance.now() > deadline) throw error;
    }
    await delay(POLL_MS);
  }
}

/** A database that continues to run after the command. */
function keepOpen(url: string, directUrl: string | null, origin: CommandDatabase['origin']): CommandDatabase {
  return { url, directUrl, origin, [Symbol.asyncDispose]: () => Promise.resolve() };
}

async function startDatabase(directory: DataDirectory, log: LocalLog): Promise<CommandDatabase> {
  await using opened = new AsyncDisposableStack();
  opened.defer(() => directory.close());
  const { startPostgres } = await import('../local/postgres/postgres.ts');
  const { migrate } = await import('../db/migrate.ts');
  const postgres = await startPostgres({ directory: join(directory.path, 'postgres'), log });
  opened.defer(() => postgres.stop());
  await migrate(postgres.url);
  const owned = opened.move();
  return { url: postgres.url, directUrl: null, origin: 'started', [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

async function canConnect(url: string): Promise<boolean> {
  const client = new SessionClient(buildSessionConnection(url, { applicationName: 'sluice-cli', connectMs: 5000 }));
  client.on('error', () => undefined);
  try {
    await client.connect();
    return true;
  } catch {
    return false;
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** Two connections suffice for a command. Statements have no time limit, because the operator waits and can press Ctrl-C. */
export function openCommandDatabase(url: string, directUrl: string | null = null): Database {
  return openDatabase({
    url,
    directUrl,
    poolSize: 2,
    applicationName: 'sluice-cli',
    statementTimeoutMs: 0,
    onConnectionError: () => undefined,
  });
}
