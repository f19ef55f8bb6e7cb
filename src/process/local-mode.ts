import { randomBytes } from 'node:crypto';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { newSecret } from '../accounts/secrets.ts';
import type { Config } from '../config/config.ts';
import type { ObjectStore } from '../exports/object-store.ts';
import { announceDatabase, withdrawDatabase } from '../local/announced-database.ts';
import { defaultDataDirectory, openDataDirectory } from '../local/data-directory.ts';
import { startPostgres } from '../local/postgres/postgres.ts';
import { openStore } from './open-resources.ts';

/** The embedded parts while they run. */
export interface LocalMode {
  readonly databaseUrl: string;
  readonly store: ObjectStore;
  /** The setting API_KEY, or a generated secret that stays the same from start to start. */
  readonly apiKey: string;
  /** The file with the generated secret, readable by its owner alone; null if API_KEY is set. */
  readonly keyFile: string | null;
  /** Absolute. */
  readonly dataDirectory: string;
  /** Contains a folder for each bucket, with its objects as plain files. */
  readonly filesDirectory: string;
  /** Resolves if the database ends unexpectedly, after which Sluice cannot continue. Otherwise it never resolves. */
  readonly failed: Promise<EmbeddedDatabaseError>;
  /** Publishes the address of the database for the operator's commands. Called when the tables are up to date. */
  announce(): Promise<void>;
  /** May be called twice. */
  stop(): Promise<void>;
}

/** The embedded PostgreSQL ended unexpectedly. The message is shown in the terminal. */
export class EmbeddedDatabaseError extends Error {}

/**
 * Starts a database and an S3 below DATA_DIR. Throws DataDirectoryHeldError, DataDirectoryUnusableError, or the error of
 * PostgreSQL.
 */
export async function startLocal(config: Config, log: Logger): Promise<LocalMode> {
  const directory = await openDataDirectory(config.dataDir ?? defaultDataDirectory());
  const stops: (() => Promise<void>)[] = [() => directory.close()];
  const stopAll = async (): Promise<void> => {
    for (const stopOne of stops.toReversed()) await stopOne();
  };
  let stopped: Promise<void> | undefined;
  const stop = (): Promise<void> => (stopped ??= stopAll());
  try {
    // A server that was killed may have left its address.
    await withdrawDatabase(directory.path);
    const postgres = await startPostgres({ directory: join(directory.path, 'postgres'), log });
    stops.push(() => postgres.stop());
    // Imported here, because it takes 250 ms to load and server mode does not need it.
    const { startS3 } = await import('../local/s3/s3.ts');
    const credentials = {
      accessKeyId: 'sluice-local',
      secretAccessKey: await loadOrCreateSecret(join(directory.path, 's3-secret'), () =>
        randomBytes(24).toString('base64url'),
      ),
    };
    const filesDirectory = join(directory.path, 's3');
    const s3 = await startS3({ directory: filesDirectory, ...credentials, log });
    stops.push(() => s3.stop());
    const store = openStore(config, { endpoint: s3.endpoint, credentials, forcePathStyle: true });
    stops.push(() => withdrawDatabase(directory.path));
    const keyFile = config.apiKey === null ? join(directory.path, 'api-key') : null;
    return {
      databaseUrl: postgres.url,
      store: {
        // Buckets are created on first use.
        put: async (object) => {
          await s3.createBucket(object.bucket);
          await store.put(object);
        },
        close: () => store.close(),
      },
      apiKey: keyFile === null ? (config.apiKey ?? '') : await loadOrCreateSecret(keyFile, newSecret),
      keyFile,
      dataDirectory: directory.path,
      filesDirectory,
      failed: postgres.died.then(
        (words) =>
          new EmbeddedDatabaseError(
            `The embedded PostgreSQL ended unexpectedly, so Sluice ends too. The next start repairs its data. Its last output:\n${words}`,
          ),
      ),
      announce: () => announceDatabase(directory.path, postgres.url),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Returns the secret in the file. If there is none, generates one and stores it, readable only by its owner. */
async function loadOrCreateSecret(file: string, make: () => string): Promise<string> {
  const kept = await readFile(file, 'utf8').catch(() => '');
  if (kept.trim() !== '') {
    // A restored copy may have any mode, which only the owner of the file can change.
    await chmod(file, 0o600).catch(() => undefined);
    return kept.trim();
  }
  const secret = make();
  await writeFile(file, `${secret}\n`, { mode: 0o600 });
  return secret;
}
