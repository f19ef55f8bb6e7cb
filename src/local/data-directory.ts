import { readFile, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { lockDirectory } from './directory-lock.ts';
import { makeDirectory } from './make-directory.ts';

/** The directory of local mode, held by this process until `close`. */
export interface DataDirectory {
  /** Absolute. */
  path: string;
  /** Lets the next start in. May be called twice. */
  close(): Promise<void>;
}

/** Another process holds the DATA_DIR. The message is shown in the terminal. */
export class DataDirectoryHeldError extends Error {
  readonly path: string;
  /** Null if the holder has not written it yet. */
  readonly holderPid: number | null;

  constructor(path: string, holderPid: number | null) {
    const holder = holderPid === null ? 'Another process' : `Process ${holderPid}`;
    super(`${holder} already runs Sluice on DATA_DIR ${path}. Stop it, or set another DATA_DIR.`);
    this.name = 'DataDirectoryHeldError';
    this.path = path;
    this.holderPid = holderPid;
  }
}

/** The DATA_DIR cannot be made or written to. The message is shown in the terminal. */
class DataDirectoryUnusableError extends Error {
  constructor(path: string, cause: unknown) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
    super(
      `DATA_DIR ${path} cannot be used (${REASONS[code] ?? (code || String(cause))}). ` +
        'Set DATA_DIR to a directory that this account can write to.',
      { cause },
    );
    this.name = 'DataDirectoryUnusableError';
  }
}

const REASONS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EROFS: 'the file system is read-only',
  ENOTDIR: 'a part of the path is not a directory',
  EEXIST: 'it is not a directory',
  ENOENT: 'the directory cannot be created there',
  ENOSPC: 'no space is left on the device',
  // The code if the lock, an SQLite file, cannot be opened.
  ERR_SQLITE_ERROR: 'its file "lock" cannot be opened',
};

/** Returns the default of DATA_DIR. For root it is a directory that the account of PostgreSQL can enter. */
export const defaultDataDirectory = (): string => (process.getuid?.() === 0 ? '/var/lib/sluice' : '.sluice');

/**
 * Makes the DATA_DIR where it is missing, and takes it for this process. A directory held by a
 * process that was killed is free.
 *
 * Errors: DataDirectoryHeldError while another process holds it, DataDirectoryUnusableError.
 */
export async function openDataDirectory(directory: string): Promise<DataDirectory> {
  const path = resolve(directory);
  const pidFile = join(path, 'pid');
  const lock = await takeLock(path);
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

async function takeLock(path: string): Promise<ReturnType<typeof lockDirectory>> {
  // 0711 for root: PostgreSQL runs as another account and must pass to its own folder below, which
  // is closed to other accounts. An existing directory keeps the mode its owner chose.
  const mode = process.getuid?.() === 0 ? 0o711 : 0o700;
  try {
    await makeDirectory(path, mode);
    return lockDirectory(path);
  } catch (error) {
    throw new DataDirectoryUnusableError(path, error);
  }
}

async function readPid(file: string): Promise<number | null> {
  const pid = Number.parseInt(await readFile(file, 'utf8').catch(() => ''), 10);
  return Number.isNaN(pid) ? null : pid;
}
