import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chmod,
  chown,
  mkdtemp,
  readdir,
  readFile,
  realpath,
  rename,
  rm,
  rmdir,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { LocalLog } from '../log.ts';
import { makeDirectory } from '../make-directory.ts';
import { canEnter, unprivilegedAccount } from './postgres-account.ts';
import type { PostgresAccount } from './postgres-account.ts';

const run = promisify(execFile);

/** The superuser of an embedded cluster. */
export const SUPERUSER = 'sluice';

/** The directory of a cluster and the account that runs it. */
export interface PostgresHome {
  /** Absolute, without links. Holds `data`, `password`, and `server-<version>` where copied. */
  path: string;
  /** Null: the account of this process. For root the owner of the directory, never root. */
  account: PostgresAccount | null;
}

/**
 * Makes the directory and sees that the account that will run PostgreSQL can use it.
 *
 * @param shelter where the cluster goes, with a link at `directory`, when root's own directory is
 * closed to every other account
 */
export async function openHome(directory: string, shelter: string, log: LocalLog): Promise<PostgresHome> {
  await makeDirectory(directory, 0o700);
  const path = await realpath(directory);
  if (process.getuid?.() !== 0) return { path, account: null };

  const { uid, gid } = await stat(path);
  const account = uid === 0 ? await unprivilegedAccount() : { uid, gid };
  await give(path, account);
  if (await canEnter(account, path)) return { path, account };

  if ((await readdir(path)).length > 0) {
    throw new Error(`PostgreSQL runs as uid ${account.uid}, who cannot pass to ${path}.`);
  }
  await makeDirectory(shelter, 0o711);
  const sheltered = await mkdtemp(join(await realpath(shelter), 'postgres-'));
  await give(sheltered, account);
  if (!(await canEnter(account, sheltered))) {
    await rmdir(sheltered);
    throw new Error(`PostgreSQL runs as uid ${account.uid}, who can pass to neither ${path} nor ${shelter}.`);
  }
  await rmdir(path);
  await symlink(sheltered, path);
  log.warn(`${path} is closed to the account that runs PostgreSQL: the data lie in ${sheltered}`);
  return { path: sheltered, account };
}

async function give(directory: string, account: PostgresAccount): Promise<void> {
  await chown(directory, account.uid, account.gid);
  await chmod(directory, 0o700);
}

/**
 * The directory of the cluster and its password, both made by the first start.
 *
 * @param initdb the program
 * @param durable false: leaves out the flush to disk, for data that may be lost
 * Throws an error with the output of initdb if it fails.
 */
export async function openCluster(
  { path, account }: PostgresHome,
  initdb: string,
  durable: boolean,
): Promise<{ data: string; password: string }> {
  const data = join(path, 'data');
  const passwordFile = join(path, 'password');
  if (await stat(data).catch(() => null)) {
    return { data, password: (await readFile(passwordFile, 'utf8')).trim() };
  }

  const password = randomBytes(24).toString('base64url');
  await writeFile(passwordFile, `${password}\n`, { mode: 0o600 });
  if (account) await chown(passwordFile, account.uid, account.gid);
  // Made beside its place and renamed: a start that was killed leaves no half of a cluster.
  // The name is new each time, because the initdb of that start may still be at work.
  for (const name of await readdir(path)) {
    if (name.startsWith('initdb-')) await rm(join(path, name), { recursive: true, force: true });
  }
  const unfinished = join(path, `initdb-${randomBytes(4).toString('hex')}`);
  try {
    await run(
      initdb,
      [
        `--pgdata=${unfinished}`,
        `--username=${SUPERUSER}`,
        `--pwfile=${passwordFile}`,
        '--auth=scram-sha-256',
        '--encoding=UTF8',
        // PostgreSQL's own tables: the same order of strings on every machine.
        '--locale-provider=builtin',
        '--builtin-locale=C.UTF-8',
        '--locale=C',
        '--no-instructions',
        ...(durable ? [] : ['--no-sync']),
      ],
      { ...account, cwd: '/', env: { LC_ALL: 'C' } },
    );
  } catch (cause) {
    const words = cause instanceof Error && 'stderr' in cause ? String(cause.stderr).trim() : '';
    throw new Error(`initdb failed in ${path}: ${words || String(cause)}`, { cause });
  }
  await rename(unfinished, data);
  return { data, password };
}
