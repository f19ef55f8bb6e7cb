import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { newSecret } from './accounts/secrets.ts';
import type { Config } from './config.ts';
import type { ObjectStore } from './exports/object-store.ts';
import { openDataDirectory } from './local/data-directory.ts';
import { startPostgres } from './local/postgres.ts';
import { openStore } from './resources.ts';

/** The embedded parts, running, and the settings that follow from them. */
export interface LocalMode {
  readonly config: Config;
  readonly databaseUrl: string;
  readonly store: ObjectStore;
  readonly apiKey: string;
  /** Where the objects of a bucket lie as plain files. */
  bucketDirectory(bucket: string): string;
  greet(url: string): void;
  stop(): Promise<void>;
}

/** A database and an S3 of its own below DATA_DIR, and an ADMIN key that stays the same from start to start. */
export const startLocal = async (config: Config, log: Logger): Promise<LocalMode> => {
  const isRoot = process.getuid?.() === 0;
  const directory = await openDataDirectory(config.dataDir ?? (isRoot ? '/var/lib/sluice' : '.sluice'));
  const stops: (() => Promise<void>)[] = [() => directory.close()];
  const stop = async (): Promise<void> => {
    for (const stopOne of stops.toReversed()) await stopOne();
    stops.length = 0;
  };
  try {
    const postgres = await startPostgres({ directory: join(directory.path, 'postgres'), log });
    stops.push(() => postgres.stop());
    // Loading it takes a quarter of a second, which server mode need not spend.
    const { startS3 } = await import('./local/s3.ts');
    const credentials = {
      accessKeyId: 'sluice-local',
      secretAccessKey: await keptSecret(join(directory.path, 's3-secret'), () => randomBytes(24).toString('base64url')),
    };
    const s3 = await startS3({ directory: join(directory.path, 's3'), ...credentials, log });
    stops.push(() => s3.stop());
    const apiKey = config.apiKey ?? (await keptSecret(join(directory.path, 'api-key'), newSecret));
    const store = openStore(config, { endpoint: s3.endpoint, credentials, forcePathStyle: true });
    return {
      config: { ...config, apiKey },
      databaseUrl: postgres.url,
      store: {
        // Buckets are made as they are named.
        put: async (object) => {
          await s3.createBucket(object.bucket);
          await store.put(object);
        },
        close: () => store.close(),
      },
      apiKey,
      bucketDirectory: (bucket) => s3.bucketDirectory(bucket),
      greet: (url) => {
        console.error(
          [
            '',
            `  Sluice runs in local mode: ${url}/graphql (GraphiQL in a browser)`,
            `  Key   ${apiKey}`,
            `  Data  ${directory.path}`,
            `  Files ${join(directory.path, 's3', '<bucket>')}`,
            '  Ctrl-C stops it; the next start finds the same data.',
            '',
          ].join('\n'),
        );
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
};

/** The secret in the file; made and stored, readable by its owner alone, where there is none yet. */
const keptSecret = async (file: string, make: () => string): Promise<string> => {
  const kept = await readFile(file, 'utf8').catch(() => null);
  if (kept !== null) return kept.trim();
  const secret = make();
  await writeFile(file, `${secret}\n`, { mode: 0o600, flag: 'wx' });
  return secret;
};
