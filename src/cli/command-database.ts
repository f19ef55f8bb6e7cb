import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Config } from '../config/config.ts';
import { type Database, openDatabase } from '../db/client.ts';
import { sessionConnection } from '../db/connection-options.ts';
import { SessionClient } from '../db/session-client.ts';
import { announcedDatabase } from '../local/announced-database.ts';
import {
  type DataDirectory,
  DataDirectoryHeldError,
  defaultDataDirectory,
  openDataDirectory,
} from '../local/data-directory.ts';
import type { LocalLog } from '../local/log.ts';

/** A database for the time of one command. */
export interface CommandDatabase {
  readonly url: string;
  /** Of PostgreSQL itself, if `url` is that of a connection pooler. */
  readonly directUrl: string | null;
  /** Where it is: DATABASE_URL, or in local mode that of a server that runs, or one that was started for the command. */
  readonly place: 'configured' | 'running' | 'started';
  close(): Promise<void>;
}

/** A server needs about 2 s from its lock to its announcement, and 10 s more where it has to repair after a crash. */
const PATIENCE_MS = 20_000;
const ASK_EVERY_MS = 50;

/**
 * Finds the database of the settings. In local mode a server that runs on the DATA_DIR has announced where it is; where
 * none runs, the embedded PostgreSQL is started and its tables brought up to date, as a server's start does.
 * Errors: DataDirectoryHeldError where the holder of the directory announces nothing within 20 s.
 */
export const findDatabase = async (config: Config, log: LocalLog): Promise<CommandDatabase> => {
  if (config.databaseUrl !== null) {
    return {
      url: config.databaseUrl,
      directUrl: config.databaseDirectUrl,
      place: 'configured',
      close: () => Promise.resolve(),
    };
  }
  const path = resolve(config.dataDir ?? defaultDataDirectory());
  const deadline = performance.now() + PATIENCE_MS;
  for (;;) {
    try {
      return await startDatabase(await openDataDirectory(path), log);
    } catch (error) {
      if (!(error instanceof DataDirectoryHeldError)) throw error;
      const url = await announcedDatabase(path);
      // What was announced may be of a server that was killed, in the moment before the next one withdraws it.
      if (url !== null && (await answers(url)))
        return { url, directUrl: null, place: 'running', close: () => Promise.resolve() };
      if (performance.now() > deadline) throw error;
    }
    await delay(ASK_EVERY_MS);
  }
};

const startDatabase = async (directory: DataDirectory, log: LocalLog): Promise<CommandDatabase> => {
  try {
    const { startPostgres } = await import('../local/postgres/postgres.ts');
    const { migrate } = await import('../db/migrate.ts');
    const postgres = await startPostgres({ directory: join(directory.path, 'postgres'), log });
    const close = async (): Promise<void> => {
      await postgres.stop();
      await directory.close();
    };
    try {
      await migrate(postgres.url);
    } catch (error) {
      await close();
      throw error;
    }
    return { url: postgres.url, directUrl: null, place: 'started', close };
  } catch (error) {
    await directory.close();
    throw error;
  }
};

const answers = async (url: string): Promise<boolean> => {
  const client = new SessionClient(sessionConnection(url, { applicationName: 'sluice-cli', connectMs: 5000 }));
  client.on('error', () => undefined);
  try {
    await client.connect();
    return true;
  } catch {
    return false;
  } finally {
    await client.end().catch(() => undefined);
  }
};

/** Two connections suffice for commands; no limit of time, since an operator waits and can end it. */
export const openCommandDatabase = (url: string, directUrl: string | null = null): Database =>
  openDatabase({
    url,
    directUrl,
    poolSize: 2,
    applicationName: 'sluice-cli',
    statementTimeoutMs: 0,
    onConnectionError: () => undefined,
  });
