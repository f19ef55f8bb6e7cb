import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { startPostgres } from '../../src/local/postgres/postgres.ts';
import { type SluiceServer, startServer } from './server-process.ts';

// The environment of a measurement: a PostgreSQL with durable writes (fsync and synchronous_commit are on), an object store,
// and servers that are started as users start them.

const MEMORY = {
  // Settings for a machine of this size. The baselines use the same settings.
  shared_buffers: '4GB',
  max_wal_size: '16GB',
  checkpoint_timeout: '30min',
  max_connections: '200',
};

export interface StoredObject {
  readonly key: string;
  readonly bytes: number;
}

export interface Stage {
  readonly databaseUrl: string;
  /** Folder for temporary files, removed with the stage. */
  readonly directory: string;
  /** Objects that the store received, in order. */
  readonly stored: readonly StoredObject[];
  server(env?: Readonly<Record<string, string>>): Promise<SluiceServer>;
  /** Opens a connection that sees all accounts. Closed with the stage. */
  connect(): Promise<pg.Client>;
  close(): Promise<void>;
}

export async function openStage(): Promise<Stage> {
  const directory = await mkdtemp(join(process.env['BENCH_DIR'] ?? tmpdir(), 'sluice-bench-'));
  const log = { debug: () => undefined, info: () => undefined, warn: console.error, error: console.error };
  const postgresDirectory = join(directory, 'postgres');
  const postgres = await startPostgres({ directory: postgresDirectory, log, settings: MEMORY });
  const store = fork(join(import.meta.dirname, 'store.ts'));
  const stored: StoredObject[] = [];
  const port = await portOf(store);
  store.on('message', (message) => stored.push(message as StoredObject));
  const clients: pg.Client[] = [];
  const servers: SluiceServer[] = [];
  return {
    databaseUrl: postgres.url,
    directory,
    stored,
    server: async (env = {}) => {
      const server = await startServer({
        DATABASE_URL: postgres.url,
        AWS_ENDPOINT_URL_S3: `http://127.0.0.1:${port}`,
        AWS_ACCESS_KEY_ID: 'bench',
        AWS_SECRET_ACCESS_KEY: 'bench',
        S3_FORCE_PATH_STYLE: 'true',
        ...env,
      });
      servers.push(server);
      return server;
    },
    connect: async () => {
      const client = new pg.Client({ connectionString: postgres.url });
      await client.connect();
      await client.query(`SET sluice.all_accounts = 'on'`);
      clients.push(client);
      return client;
    },
    close: async () => {
      for (const server of servers) await server.stop();
      for (const client of clients) await client.end().catch(() => undefined);
      store.disconnect();
      await postgres.stop();
      // If root runs the benchmark, PostgreSQL's data are in another folder behind a link: gigabytes per measurement.
      await rm(await realpath(postgresDirectory), { recursive: true, force: true });
      await rm(directory, { recursive: true, force: true });
    },
  };
}

async function portOf(store: ChildProcess): Promise<number> {
  const [message] = await once(store, 'message');
  return (message as { port: number }).port;
}
