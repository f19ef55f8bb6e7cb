import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

/** From sqlite3.h: another process holds the lock. */
const SQLITE_BUSY = 5;

/**
 * Takes the lock of a directory. Returns null if another process holds it.
 *
 * The lock is the exclusive lock of an empty SQLite file: the one lock in Node's own library that
 * the kernel drops with its holder. A pid file would need a guess after `kill -9` and would be
 * blind between containers that share a volume; a socket file leaves a race on its removal.
 *
 * Throws if the file cannot be opened, such as on a read-only file system.
 */
export function lockDirectory(directory: string): { release(): void } | null {
  const file = join(directory, 'lock');
  const database = new DatabaseSync(file, { timeout: 0 });
  try {
    database.exec('BEGIN EXCLUSIVE');
    // A process that can read the file could take a shared lock on it and block this one. By path: closing any
    // descriptor of the file drops the locks that this process has on it.
    chmodSync(file, 0o600);
  } catch (error) {
    database.close();
    if (error instanceof Error && 'errcode' in error && error.errcode === SQLITE_BUSY) return null;
    throw error;
  }
  return {
    release() {
      if (database.isOpen) database.close();
    },
  };
}
