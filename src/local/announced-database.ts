import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

// The database of local mode listens on another port at each start. While a server runs, its address is in a file
// of the DATA_DIR, so that the operator's commands find it without the lock, which the server holds.

const FILE = 'database-url';

/** Readable by its owner alone: the address holds the password. The file appears whole. */
export async function announceDatabase(dataDirectory: string, url: string): Promise<void> {
  const unfinished = join(dataDirectory, `${FILE}.new`);
  await rm(unfinished, { force: true });
  await writeFile(unfinished, `${url}\n`, { mode: 0o600, flag: 'wx' });
  await rename(unfinished, join(dataDirectory, FILE));
}

/** By the holder of the directory: when it stops, and when it starts after one that was killed. */
export function withdrawDatabase(dataDirectory: string): Promise<void> {
  return rm(join(dataDirectory, FILE), { force: true });
}

/** Returns null if no server has written the file. */
export async function announcedDatabase(dataDirectory: string): Promise<string | null> {
  const text = await readFile(join(dataDirectory, FILE), 'utf8').catch(() => '');
  return text.trim() || null;
}
