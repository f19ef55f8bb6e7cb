import { mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

/**
 * Makes a directory and those above it that are missing, all with this mode; what is there already keeps its own.
 *
 * One level at a time: `mkdir` with `recursive` of Node 24 never settles, at full load, where the parent is there and
 * the system still returns ENOENT, as below /proc.
 *
 * Errors: what the system said of the directory that could not be made.
 */
export async function makeDirectory(path: string, mode = 0o777): Promise<void> {
  try {
    await mkdir(path, { mode });
  } catch (error) {
    if (!isMissing(error)) return expectDirectory(path, error);
    const parent = dirname(path);
    if (parent === path) throw error;
    await makeDirectory(parent, mode);
    // Another start may have made it meanwhile.
    await mkdir(path, { mode }).catch((again: unknown) => expectDirectory(path, again));
  }
}

const isMissing = (error: unknown): boolean => error instanceof Error && 'code' in error && error.code === 'ENOENT';

/** Throws the error if the path is not a directory. */
async function expectDirectory(path: string, error: unknown): Promise<void> {
  const found = await stat(path).catch(() => null);
  if (!found?.isDirectory()) throw error;
}
