import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ensureServerRole } from '../../db/server-role.ts';
import { lockDirectory } from '../directory-lock.ts';
import type { LocalLog } from '../log.ts';
import { pgBinaries, reachableBinaries } from './postgres-binaries.ts';
import { openCluster, openHome, SUPERUSER } from './postgres-home.ts';
import { endOrphanedServer } from './postgres-orphans.ts';
import { launchServer } from './postgres-server.ts';

export interface PostgresOptions {
  /** Made where missing and wholly PostgreSQL's; started by root, it is given to another account. */
  directory: string;
  log: LocalLog;
  /** Settings of postgresql.conf, such as `{ fsync: 'off' }` for data that may be lost. */
  settings?: Record<string, string>;
  /** Directory of the cluster if root's `directory` is closed to other accounts. Defaults to /var/lib/sluice. */
  shelter?: string;
}

export interface RunningPostgres {
  /** Connection string of the role that owns the database, with its password, on 127.0.0.1; the port changes with each start. */
  url: string;
  /** Directory of the cluster: `directory` without links. */
  directory: string;
  /** Resolves with the last lines of its log if PostgreSQL ends unexpectedly; otherwise never. */
  died: Promise<string>;
  /** A fast shutdown: open transactions are rolled back. May be called twice. */
  stop(): Promise<void>;
}

/**
 * Starts a real PostgreSQL on `directory` and resolves when it takes connections. Strings are
 * UTF-8 and ordered by code point. When this process ends, however it ends, PostgreSQL ends too.
 *
 * The first start takes 1.3 s longer, for initdb (seen on 2 cores).
 *
 * Throws if another start holds the directory, or with the output of PostgreSQL.
 */
export async function startPostgres(options: PostgresOptions): Promise<RunningPostgres> {
  const { directory, log, settings = {}, shelter = '/var/lib/sluice' } = options;
  // Before anything is made on the disk.
  await pgBinaries();
  const home = await openHome(directory, shelter, log);
  const lock = lockDirectory(home.path);
  if (!lock) throw new Error(`Another process runs PostgreSQL on ${directory}.`);
  try {
    const { bin } = home.account ? await reachableBinaries(home.account, home.path) : await pgBinaries();
    const durable = settings['fsync'] !== 'off';
    const { data, password } = await openCluster(home, join(bin, 'initdb'), durable);

    // Unique among the live directories of this machine, in any container; a copy of the directory gets
    // another name.
    const { dev, ino } = await stat(data);
    const clusterName = `sluice-${dev.toString(36)}-${ino.toString(36)}`;
    await endOrphanedServer(clusterName, data, log);

    const program = join(bin, 'postgres');
    const { account } = home;
    const server = await launchServer({ program, data, account, clusterName, settings, log });
    const superuserUrl = `postgres://${SUPERUSER}:${password}@127.0.0.1:${server.port}/postgres`;
    const url = await ensureServerRole(superuserUrl).catch(async (error: unknown) => {
      await server.stop();
      throw error;
    });
    return {
      url,
      directory: home.path,
      died: server.died,
      async stop() {
        await server.stop();
        lock.release();
      },
    };
  } catch (error) {
    lock.release();
    throw error;
  }
}
