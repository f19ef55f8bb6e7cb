import pg from 'pg';
import { unprivilegedAccount } from '../../src/local/postgres/postgres-account.ts';
import { findProgram, startProgram } from './debian-program.ts';

export const findPgBouncer = (): Promise<string | null> => findProgram('pgbouncer');

export interface PgBouncer {
  /** Returns the address of the same database through PgBouncer. */
  urlOf(direct: string): string;
  stop(): Promise<void>;
}

export interface PgBouncerOptions {
  readonly mode: 'session' | 'transaction';
  /** Maximum connections to PostgreSQL. */
  readonly poolSize: number;
  /** Additional lines of its configuration. */
  readonly lines?: readonly string[];
}

/**
 * Starts PgBouncer in front of the server at `url`, with its defaults except for the options. PgBouncer does not run as root, so
 * root starts it as an unprivileged user.
 */
export const startPgBouncer = async (program: string, url: string, options: PgBouncerOptions): Promise<PgBouncer> => {
  const { hostname, port: serverPort, username, password } = new URL(url);
  const pooledUrl = (direct: string, at: number): string => {
    const pooled = new URL(direct);
    pooled.host = `127.0.0.1:${at}`;
    return pooled.href;
  };
  const { port, stop } = await startProgram({
    program,
    account: process.getuid?.() === 0 ? await unprivilegedAccount() : undefined,
    args: (folder) => [`${folder}/pgbouncer.ini`],
    files: (folder, at) => ({
      'users.txt': `"${username}" "${password}"\n`,
      'pgbouncer.ini': `[databases]
* = host=${hostname} port=${serverPort}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${at}
unix_socket_dir =
auth_type = plain
auth_file = ${folder}/users.txt
pool_mode = ${options.mode}
default_pool_size = ${options.poolSize}
${(options.lines ?? []).join('\n')}
`,
    }),
    isReady: (at) => answers(pooledUrl(url, at)),
  });
  return { urlOf: (direct) => pooledUrl(direct, port), stop };
};

/** Whether a client without start-up parameters can connect. */
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
