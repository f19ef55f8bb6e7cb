import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** The numbers of the account that PostgreSQL runs as. */
export interface PostgresAccount {
  uid: number;
  gid: number;
}

/** On macOS the account is `_postgres`. `nobody` is everywhere; initdb wants an account with a name. */
const ACCOUNT_NAMES = ['postgres', '_postgres', 'nobody'];

/**
 * The account for a new data directory when this process is root, whom PostgreSQL refuses.
 * Takes one that exists: nothing on the system is changed.
 *
 * Throws if the system has none of the accounts.
 */
export async function unprivilegedAccount(): Promise<PostgresAccount> {
  for (const name of ACCOUNT_NAMES) {
    try {
      const [uid, gid] = await Promise.all([run('id', ['-u', name]), run('id', ['-g', name])]);
      return { uid: Number(uid.stdout), gid: Number(gid.stdout) };
    } catch {
      // No such account: try the next.
    }
  }
  throw new Error(
    `PostgreSQL does not run as root, and there is no account ${ACCOUNT_NAMES.join(' or ')}. ` +
      'Start Sluice as an ordinary user, or set DATABASE_URL.',
  );
}

/**
 * Whether the account can pass to a directory, or run a program with its libraries. It is tried, not
 * computed from mode bits, which do not include access lists and mount options.
 */
export async function canEnter(account: PostgresAccount, directory: string): Promise<boolean> {
  return succeeds(account, '/bin/sh', ['-c', 'cd "$1"', 'sh', directory]);
}

export async function canRun(account: PostgresAccount, program: string): Promise<boolean> {
  return succeeds(account, program, ['--version']);
}

async function succeeds(account: PostgresAccount, program: string, parameters: string[]): Promise<boolean> {
  try {
    // The working directory is entered before the account changes, but must not be a closed one.
    await run(program, parameters, { ...account, cwd: '/', env: {} });
    return true;
  } catch {
    return false;
  }
}
