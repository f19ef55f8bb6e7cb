import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Readable, Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { LocalLog } from '../log.ts';
import type { PostgresAccount } from './postgres-account.ts';

/**
 * Becomes PostgreSQL, and leaves a watcher that reads from the pipe on descriptor 3. The kernel
 * closes the pipe when this process ends, however it ends: the watcher then asks for a fast
 * shutdown. A line in the pipe says instead that PostgreSQL is gone and the watcher may go too.
 * The second fork keeps the watcher from being a child of PostgreSQL, which knows all of its own.
 */
const WATCHED = '( ( read -r _ <&3 || kill -INT $$ ) >/dev/null 2>&1 & ); exec "$@" 3<&-';

/** Shutdown writes all dirty pages first; after this time it is forced, and the next start repairs the data. */
const FAST_SHUTDOWN_MS = 30_000;

/** Between picking a free port and its use another process may take it. */
const PORT_ATTEMPTS = 5;

export interface ServerOptions {
  /** The program `postgres`. */
  program: string;
  data: string;
  /** Null: the account of this process. */
  account: PostgresAccount | null;
  clusterName: string;
  settings: Record<string, string>;
  log: LocalLog;
}

export interface Server {
  port: number;
  /** Resolves with the last lines of its log if the server ends unexpectedly; otherwise never. */
  died: Promise<string>;
  /** Resolves when every process of the server has ended. May be called twice. */
  stop(): Promise<void>;
}

/**
 * Starts PostgreSQL on a free port of 127.0.0.1 and resolves when it takes connections, after a
 * crash when it has repaired its data.
 *
 * Throws an error with the last lines of its log if it ends before that.
 */
export async function launchServer(options: ServerOptions): Promise<Server> {
  for (let attempt = 1; ; attempt += 1) {
    const port = await freePort();
    const outcome = await launch(options, port);
    if (!('failure' in outcome)) return outcome;
    if (attempt < PORT_ATTEMPTS && outcome.failure.includes('could not bind')) continue;
    throw new Error(`PostgreSQL did not start on ${options.data}:\n${outcome.failure}`);
  }
}

async function launch(
  { program, data, account, clusterName, settings, log }: ServerOptions,
  port: number,
): Promise<Server | { failure: string }> {
  const effective = {
    timezone: 'UTC',
    log_timezone: 'UTC',
    log_line_prefix: '',
    // Neither statements nor the values in a DETAIL line belong into a log.
    log_min_error_statement: 'panic',
    log_error_verbosity: 'terse',
    ...settings,
    port: String(port),
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
  };
  const parameters = Object.entries(effective).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const child = spawn(
    '/bin/sh',
    // The cluster name stands first: postgres-orphans.ts finds the server by it.
    ['-c', WATCHED, 'sh', program, '-c', `cluster_name=${clusterName}`, '-D', data, ...parameters],
    {
      ...account,
      cwd: '/',
      env: { LC_ALL: 'C' },
      // A session of its own: the terminal's Ctrl-C must not reach PostgreSQL while we use it.
      detached: true,
      stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
    },
  );
  const ended = once(child, 'exit');
  const [, , stderr, life] = child.stdio;
  if (!(stderr instanceof Readable && life instanceof Writable)) throw new Error('no pipes');
  // The watcher may be gone before the line that dismisses it.
  life.on('error', () => undefined);

  const tail: string[] = [];
  createInterface({ input: stderr }).on('line', (line) => {
    tail.push(line);
    if (tail.length > 20) tail.shift();
    if (line.startsWith('PANIC')) log.error(`postgres: ${line}`);
    else if (line.startsWith('WARNING')) log.warn(`postgres: ${line}`);
    else log.debug(`postgres: ${line}`);
  });

  let ready = false;
  let stopping: Promise<void> | null = null;
  const death = Promise.withResolvers<string>();
  const gone = ended.then(() => {
    life.end('gone\n');
    if (ready && !stopping) death.resolve(tail.join('\n'));
  });

  const running = () => child.exitCode === null && child.signalCode === null;
  while (running() && !ready) {
    await Promise.race([gone, delay(10)]);
    ready = await isReady(data, child.pid);
  }
  if (!ready) {
    await gone;
    return { failure: tail.join('\n') };
  }

  const shutDown = async () => {
    child.kill('SIGINT');
    const impatience = setTimeout(() => child.kill('SIGQUIT'), FAST_SHUTDOWN_MS);
    await gone;
    clearTimeout(impatience);
  };
  return { port, died: death.promise, stop: () => (stopping ??= shutDown()) };
}

/** The way pg_ctl asks: line 1 of postmaster.pid is the pid, line 8 the state. */
async function isReady(data: string, pid: number | undefined): Promise<boolean> {
  const text = await readFile(join(data, 'postmaster.pid'), 'utf8').catch(() => '');
  const lines = text.split('\n');
  return lines[0] === String(pid) && lines[7]?.trim() === 'ready';
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const address = probe.address();
  probe.close();
  await once(probe, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
