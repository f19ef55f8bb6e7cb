import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chown, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { unprivilegedAccount } from '../../src/local/postgres-account.ts';
import { eventually } from '../support/server.ts';
import { freePort } from './local-server.ts';

/** Debian puts it where the PATH of an ordinary user does not lead. */
const PATH = [process.env['PATH'], '/usr/sbin'].join(':');

/** The program of Debian's package; null if it is not installed. */
export const findPgBouncer = async (): Promise<string | null> => {
  try {
    const { stdout } = await promisify(execFile)('sh', ['-c', 'command -v pgbouncer'], {
      env: { ...process.env, PATH },
    });
    return stdout.trim();
  } catch {
    return null;
  }
};

export interface PgBouncer {
  /** The same database, user and password, through the pooler. */
  urlOf(direct: string): string;
  stop(): Promise<void>;
}

export interface PgBouncerOptions {
  readonly mode: 'session' | 'transaction';
  /** Connections to PostgreSQL. */
  readonly poolSize: number;
  /** Further lines of its file. */
  readonly lines?: readonly string[];
}

/**
 * Starts PgBouncer in front of the server at `url`, in a temporary folder, with its defaults but for the options. It refuses
 * to run as root, so root starts it as an unprivileged account.
 */
export const startPgBouncer = async (program: string, url: string, options: PgBouncerOptions): Promise<PgBouncer> => {
  const { hostname, port: serverPort, username, password } = new URL(url);
  const account = process.getuid?.() === 0 ? await unprivilegedAccount() : undefined;
  const folder = await mkdtemp(join(tmpdir(), 'sluice-pgbouncer-'));
  const port = await freePort();
  const files = {
    'users.txt': `"${username}" "${password}"\n`,
    'pgbouncer.ini': `[databases]
* = host=${hostname} port=${serverPort}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = plain
auth_file = ${folder}/users.txt
pool_mode = ${options.mode}
default_pool_size = ${options.poolSize}
${(options.lines ?? []).join('\n')}
`,
  };
  for (const [name, text] of Object.entries(files)) {
    await writeFile(join(folder, name), text);
    if (account) await chown(join(folder, name), account.uid, account.gid);
  }
  if (account) await chown(folder, account.uid, account.gid);
  const child = spawn(program, [join(folder, 'pgbouncer.ini')], { ...account, cwd: folder, stdio: 'ignore' });
  const exited = once(child, 'exit');
  const urlOf = (direct: string): string => {
    const pooled = new URL(direct);
    pooled.host = `127.0.0.1:${port}`;
    return pooled.href;
  };
  const stop = async (): Promise<void> => {
    // SIGTERM ends it at once.
    child.kill('SIGTERM');
    await exited;
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await eventually(
      () => answers(urlOf(url)),
      (isThere) => isThere || child.exitCode !== null,
      10_000,
    );
    if (child.exitCode !== null) throw new Error('PgBouncer did not start.');
    return { urlOf, stop };
  } catch (error) {
    await stop();
    throw error;
  }
};

/** Whether a client that sends no start-up parameters gets through. */
const answers = async (url: string): Promise<boolean> => {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  try {
    await client.connect();
    await client.query('SELECT 1');
    return true;
  } catch {
    return false;
  } finally {
    await client.end().catch(() => undefined);
  }
};
