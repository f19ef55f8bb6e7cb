import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { lockDirectory } from './directory-lock.ts';

/** The directory of local mode, held by this process until `close`. */
export interface DataDirectory {
  /** Absolute. */
  path: string;
  /** Lets the next start in. May be called twice. */
  close(): Promise<void>;
}

/** Another process holds the DATA_DIR. Its message is meant for the person who started this one. */
export class DataDirectoryHeldError extends Error {
  readonly path: string;
  /** Null in the moment before the holder has written it down. */
  readonly holderPid: number | null;

  constructor(path: string, holderPid: number | null) {
    const holder = holderPid === null ? 'Another process' : `Process ${holderPid}`;
    super(`${holder} already runs Sluice on DATA_DIR ${path}. Stop it, or set another DATA_DIR.`);
    this.name = 'DataDirectoryHeldError';
    this.path = path;
    this.holderPid = holderPid;
  }
}

/**
 * Makes the DATA_DIR where it is missing, and takes it for this process. A directory held by a
 * process that was killed is free.
 *
 * Errors: DataDirectoryHeldError while another process holds it.
 */
export async function openDataDirectory(directory: string): Promise<DataDirectory> {
  const path = resolve(directory);
  // 0711 for root: PostgreSQL runs as another account and must pass to its own folder below, which
  // is closed to everybody else. A directory that is there already keeps the mode its owner chose.
  const mode = process.getuid?.() === 0 ? 0o711 : 0o700;
  await mkdir(path, { recursive: true, mode });

  const lock = lockDirectory(path);
  const pidFile = join(path, 'pid');
  if (!lock) throw new DataDirectoryHeldError(path, await readPid(pidFile));
  // Says who holds the directory; whether it is held, the lock alone decides.
  await writeFile(pidFile, `${process.pid}\n`, { mode: 0o600 });

  let closed = false;
  return {
    path,
    async close() {
      if (closed) return;
      closed = true;
      await rm(pidFile, { force: true });
      lock.release();
    },
  };
}

async function readPid(file: string): Promise<number | null> {
  const pid = Number.parseInt(await readFile(file, 'utf8').catch(() => ''), 10);
  return Number.isNaN(pid) ? null : pid;
}
