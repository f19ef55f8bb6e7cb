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

/** The embedded parts, running. */
export interface LocalMode {
  readonly databaseUrl: string;
  readonly store: ObjectStore;
  /** The setting API_KEY, or a generated secret that stays the same from start to start. */
  readonly apiKey: string;
  /** The file with the generated secret, readable by its owner alone; null if API_KEY is set. */
  readonly keyFile: string | null;
  /** Absolute. */
  readonly dataDirectory: string;
  /** Below it lies a folder for each bucket, with its objects as plain files. */
  readonly filesDirectory: string;
  /** Resolves when the database ended although nobody had stopped it: then nothing can go on. Else never. */
  readonly failed: Promise<EmbeddedDatabaseError>;
  /** Tells the operator's commands where the database is; called when its tables are up to date. */
  announce(): Promise<void>;
  /** May be called twice. */
  stop(): Promise<void>;
}

/** The embedded PostgreSQL is gone. Its message is meant for the person who started Sluice. */
export class EmbeddedDatabaseError extends Error {}

/**
 * A database and an S3 of its own below DATA_DIR. Errors: DataDirectoryHeldError, DataDirectoryUnusableError, or what
 * PostgreSQL said.
 */
export const startLocal = async (config: Config, log: Logger): Promise<LocalMode> => {
  const directory = await openDataDirectory(config.dataDir ?? defaultDataDirectory());
  const stops: (() => Promise<void>)[] = [() => directory.close()];
  const stopAll = async (): Promise<void> => {
    for (const stopOne of stops.toReversed()) await stopOne();
  };
  let stopped: Promise<void> | undefined;
  const stop = (): Promise<void> => (stopped ??= stopAll());
  try {
    // Of a server that was killed.
    await withdrawDatabase(directory.path);
    const postgres = await startPostgres({ directory: join(directory.path, 'postgres'), log });
    stops.push(() => postgres.stop());
    // Loading it takes a quarter of a second, which server mode need not spend.
    const { startS3 } = await import('../local/s3/s3.ts');
    const credentials = {
      accessKeyId: 'sluice-local',
      secretAccessKey: await keptSecret(join(directory.path, 's3-secret'), () => randomBytes(24).toString('base64url')),
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
        // Buckets are made as they are named.
        put: async (object) => {
          await s3.createBucket(object.bucket);
          await store.put(object);
        },
        close: () => store.close(),
      },
      apiKey: keyFile === null ? (config.apiKey ?? '') : await keptSecret(keyFile, newSecret),
      keyFile,
      dataDirectory: directory.path,
      filesDirectory,
      failed: postgres.died.then(
        (words) =>
          new EmbeddedDatabaseError(
            `The embedded PostgreSQL ended by itself, so Sluice ends too. The next start repairs its data. It said last:\n${words}`,
          ),
      ),
      announce: () => announceDatabase(directory.path, postgres.url),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
};

/** The secret in the file; made and stored, readable by its owner alone, where there is none yet. */
const keptSecret = async (file: string, make: () => string): Promise<string> => {
  const kept = await readFile(file, 'utf8').catch(() => '');
  if (kept.trim() !== '') {
    // A restored copy may have any mode. Only the owner of the file can change it.
    await chmod(file, 0o600).catch(() => undefined);
    return kept.trim();
  }
  const secret = make();
  await writeFile(file, `${secret}\n`, { mode: 0o600 });
  return secret;
};
