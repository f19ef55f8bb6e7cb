import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chown, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import pg from 'pg';
import { type PostgresAccount, unprivilegedAccount } from '../../src/local/postgres/postgres-account.ts';
import { pgBinaries, reachableBinaries } from '../../src/local/postgres/postgres-binaries.ts';
import { freePort } from './free-port.ts';

/** A PostgreSQL server that the tests started. */
export interface TestPostgres {
  /** Connection string of the superuser to the database `postgres`. */
  readonly url: string;
  readonly stop: () => Promise<void>;
}

/** A server that can be stopped and started again, like after a crash of its machine. */
export interface RestartablePostgres extends TestPostgres {
  /** Shuts down in immediate mode (SIGQUIT): all sessions are cut off, and the next start recovers from the WAL. */
  readonly goAway: () => Promise<void>;
  /** Starts the server again on the same port. Resolves when it accepts connections. */
  readonly comeBack: () => Promise<void>;
}

/** A server that can be copied while it runs. */
export interface CopiedPostgres extends RestartablePostgres {
  /** Starts a hot standby with a directory and a port of its own. It must be stopped separately. */
  readonly startStandby: () => Promise<RestartablePostgres>;
  /** Ends the server and starts a cluster that pg_upgrade made of it on the same port. It must be stopped separately. Needs the programs of Debian. */
  readonly upgrade: () => Promise<CopiedPostgres>;
}

const START_DEADLINE_MS = 60_000;
const PASSWORD = 'sluice-tests';

/** No durability, since the data of most tests need not survive a crash. */
const FORGETFUL = { fsync: 'off', full_page_writes: 'off', synchronous_commit: 'off' };
/** The defaults of PostgreSQL, which production uses. */
const DURABLE = { fsync: 'on', full_page_writes: 'on', synchronous_commit: 'on' };

const SETTINGS = {
  shared_buffers: '64MB',
  // Several test files run concurrently, each with the pools, queues and listeners of up to two servers.
  max_connections: '500',
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
};

/**
 * Runs until its standard input closes, which happens even if this process is killed. Then it shuts down the server in
 * immediate mode (SIGQUIT), since its data is not kept, and removes the directory. Until then each line on standard input
 * stops the running server or starts the stopped one, and is acknowledged by a line when that is done.
 */
const KEEPER = `
  directory=$1; shift
  "$@" </dev/null >&2 & server=$!
  while read -r _; do
    if [ -n "$server" ]; then kill -QUIT $server; wait $server; server=; else "$@" </dev/null >&2 & server=$!; fi
    echo done
  done
  if [ -n "$server" ]; then kill -QUIT $server; wait $server; fi
  rm -rf "$directory"`;

async function untilAnswering(url: string, keeper: ChildProcess, log: readonly string[]): Promise<void> {
  const deadline = performance.now() + START_DEADLINE_MS;
  for (;;) {
    const client = new pg.Client({ connectionString: url });
    try {
      await client.connect();
      await client.end();
      return;
    } catch (cause) {
      if (keeper.exitCode !== null || performance.now() > deadline) {
        throw new Error(`PostgreSQL did not start:\n${log.join('')}`, { cause });
      }
      await delay(25);
    }
  }
}

async function embeddedPrograms(account: PostgresAccount | undefined, directory: string): Promise<string> {
  const { bin } = account === undefined ? await pgBinaries() : await reachableBinaries(account, directory);
  return bin;
}

/** Creates a temporary directory. PostgreSQL does not run as root, so for root it belongs to an unprivileged account. */
async function openPlace(bin: string | undefined): Promise<Place> {
  const account = process.getuid?.() === 0 ? await unprivilegedAccount() : undefined;
  const directory = await mkdtemp(join(tmpdir(), 'sluice-test-postgres-'));
  if (account !== undefined) await chown(directory, account.uid, account.gid);
  return {
    account,
    directory,
    data: join(directory, 'data'),
    bin: bin ?? (await embeddedPrograms(account, directory)),
  };
}

interface Place {
  readonly account: PostgresAccount | undefined;
  readonly directory: string;
  readonly data: string;
  /** Directory of the programs. */
  readonly bin: string;
}

/**
 * Starts an empty PostgreSQL.
 *
 * @param bin directory of the programs `initdb` and `postgres`; without it, the embedded ones
 * @param durability whether committed data survives goAway()
 */
export async function startTestPostgres(
  bin: string | undefined,
  durability: 'forgetful' | 'durable' = 'forgetful',
): Promise<CopiedPostgres> {
  const place = await openPlace(bin);
  await initialize(place);
  return startCopied(place, durability === 'durable' ? DURABLE : FORGETFUL, bin);
}

async function initialize({ account, directory, data, bin }: Place): Promise<void> {
  const passwordFile = join(directory, 'password');
  await writeFile(passwordFile, PASSWORD, { mode: 0o600 });
  if (account !== undefined) await chown(passwordFile, account.uid, account.gid);
  await promisify(execFile)(
    join(bin, 'initdb'),
    [
      `--pgdata=${data}`,
      '--username=postgres',
      `--pwfile=${passwordFile}`,
      '--auth=password',
      '--encoding=UTF8',
      '--no-locale',
      '--no-sync',
    ],
    { ...account, cwd: directory },
  );
}

async function startCopied(
  place: Place,
  settings: Readonly<Record<string, string>>,
  bin: string | undefined,
  port?: number,
): Promise<CopiedPostgres> {
  const server = await launch(place, settings, port);
  return {
    ...server,
    startStandby: () => startStandby(server.url, place.data, bin),
    upgrade: async () => {
      await server.goAway();
      const next = await openPlace(bin);
      await initialize(next);
      const { account, directory } = next;
      const options = { ...account, cwd: directory, env: { ...process.env, PGPASSWORD: PASSWORD } };
      // Recovers after goAway() and shuts down cleanly, which pg_upgrade requires.
      const single = execFile(join(place.bin, 'postgres'), ['--single', '-D', place.data, 'postgres'], options);
      single.stdin?.end();
      await once(single, 'exit');
      const binaries = ['-b', place.bin, '-B', next.bin, '-d', place.data, '-D', next.data, '-U', 'postgres'];
      await promisify(execFile)(join(next.bin, 'pg_upgrade'), [...binaries, '-s', directory], options);
      return startCopied(next, settings, bin, Number(new URL(server.url).port));
    },
  };
}

/** Starts a hot standby that streams from the server. Its files are copied by the documented low-level base backup API. */
async function startStandby(
  primaryUrl: string,
  primaryData: string,
  bin: string | undefined,
): Promise<RestartablePostgres> {
  const place = await openPlace(bin);
  const { account, data } = place;
  const client = new pg.Client({ connectionString: primaryUrl });
  await client.connect();
  try {
    await client.query(`SELECT pg_backup_start('standby', true)`);
    await promisify(execFile)('cp', ['-Rp', primaryData, data], { ...account, cwd: '/' });
    const { rows } = await client.query<{ labelfile: string }>('SELECT labelfile FROM pg_backup_stop(false)');
    await rm(join(data, 'postmaster.pid'));
    for (const [name, text] of [
      ['backup_label', rows[0]?.labelfile ?? ''],
      ['standby.signal', ''],
    ] as const) {
      await writeFile(join(data, name), text);
      if (account !== undefined) await chown(join(data, name), account.uid, account.gid);
    }
  } finally {
    await client.end();
  }
  const { hostname, port } = new URL(primaryUrl);
  return launch(place, {
    ...FORGETFUL,
    primary_conninfo: `host=${hostname} port=${port} user=postgres password=${PASSWORD}`,
    hot_standby_feedback: 'on',
    wal_retrieve_retry_interval: '100ms',
  });
}

async function launch(
  { account, directory, data, bin }: Place,
  ofItsOwn: Readonly<Record<string, string>>,
  fixedPort?: number,
): Promise<RestartablePostgres> {
  const port = fixedPort ?? (await freePort());
  const settings = Object.entries({ ...SETTINGS, ...ofItsOwn, port }).flatMap(([name, value]) => [
    '-c',
    `${name}=${value}`,
  ]);
  const command = [join(bin, 'postgres'), '-D', data, ...settings];
  const keeper = spawn('/bin/sh', ['-c', KEEPER, 'sh', directory, ...command], {
    ...account,
    cwd: directory,
    stdio: ['pipe', 'pipe', 'pipe'],
    // Without this a Ctrl-C at the terminal would end the server before the tests have closed their connections.
    detached: true,
  });
  const log: string[] = [];
  keeper.stderr.setEncoding('utf8').on('data', (text: string) => {
    log.push(text);
    if (log.length > 200) log.shift();
  });

  const stop = async (): Promise<void> => {
    if (keeper.exitCode !== null || keeper.signalCode !== null) return;
    const exited = once(keeper, 'exit');
    keeper.stdin.end();
    await exited;
  };
  let isUp = true;
  const toggle = async (up: boolean): Promise<void> => {
    if (isUp === up) return;
    isUp = up;
    const done = once(keeper.stdout, 'data');
    keeper.stdin.write('\n');
    await done;
  };
  const url = `postgres://postgres:${PASSWORD}@127.0.0.1:${port}/postgres`;
  try {
    await untilAnswering(url, keeper, log);
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    url,
    stop,
    goAway: () => toggle(false),
    comeBack: async () => {
      await toggle(true);
      await untilAnswering(url, keeper, log);
    },
  };
}
