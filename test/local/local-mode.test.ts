import { mkdtemp, readFile, realpath, rm, stat, chmod } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { startPrefixProxy } from '../clients/console/prefix-proxy.ts';
import { eventually } from '../support/server.ts';
import { runSluice, type SluiceProcess, startSluice } from '../support/sluice-process.ts';
import { startInTerminal } from '../support/terminal.ts';
import { processesBelow, until } from './processes.ts';

let temporary = '';
let dataDirectory = '';
const running: SluiceProcess[] = [];

beforeAll(async () => {
  temporary = await realpath(await mkdtemp(join(tmpdir(), 'sluice-local-')));
  await chmod(temporary, 0o711);
  dataDirectory = join(temporary, 'data');
});
// Ends processes that a failed test left behind.
afterEach(async () => {
  for (const one of running.splice(0)) await one.destroy();
});
afterAll(async () => {
  await until('no process is left', nothingRuns);
  await rm(temporary, { recursive: true });
});

const nothingRuns = async () => (await processesBelow(temporary)).length === 0;

/** The only settings: the data directory and any free port. */
const settings = () => ({ DATA_DIR: dataDirectory, PORT: '0' });

const start = (by?: 'npm') => {
  const started = startSluice(settings(), by);
  running.push(started);
  return started;
};

/** Returns the addresses, key and paths of the greeting. */
const greetingOf = async (sluice: SluiceProcess) => {
  const words = await sluice.said('Ctrl-C; the next start');
  const lineOf = (name: string) => new RegExp(`^  ${name} +(\\S+)$`, 'm').exec(words)?.[1] ?? '';
  const keyFile = /^  Key +in (.+)$/m.exec(words)?.[1] ?? '';
  const key = (await readFile(keyFile, 'utf8')).trim();
  return { graphiql: lineOf('GraphiQL'), key, keyFile, data: lineOf('Data'), files: lineOf('Files') };
};

const streamsOf = async (graphql: string, key: string): Promise<string[]> => {
  const response = await fetch(graphql, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-api-key': key },
    body: JSON.stringify({ query: '{ streams { edges { node { name } } } }' }),
  });
  const { data } = (await response.json()) as { data: { streams: { edges: { node: { name: string } }[] } } };
  return data.streams.edges.map(({ node }) => node.name);
};

const addStream = async (graphql: string, key: string, name: string): Promise<void> => {
  const record = `{ timestamp: "2026-01-25T00:00:00Z", granularity: DAILY, elementName: "hooli", value: 1 }`;
  const query = `mutation { allocationSum(input: { stream: "${name}", records: [${record}] }) { __typename } }`;
  const response = await fetch(graphql, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-api-key': key },
    body: JSON.stringify({ query }),
  });
  expect(await response.json()).toEqual({ data: { allocationSum: { __typename: 'AllocationReceipt' } } });
};

describe('local mode', () => {
  let firstKey = '';

  test('greets, serves while commands run, and exits with 0 after Ctrl-C when npm start has no settings', async () => {
    const sluice = start('npm');
    const { graphiql, key, keyFile, data, files } = await greetingOf(sluice);
    expect({ graphiql, keyFile, data, files }).toEqual({
      graphiql: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+\/graphql$/),
      keyFile: join(dataDirectory, 'api-key'),
      data: dataDirectory,
      files: join(dataDirectory, 's3/BUCKET/KEY'),
    });
    firstKey = key;
    await addStream(graphiql, key, 'first');
    for (const secret of ['api-key', 's3-secret', 'database-url']) {
      expect((await stat(join(dataDirectory, secret))).mode & 0o777).toBe(0o600);
    }

    const [created, second] = await Promise.all([
      runSluice('cli', ['key', 'create', '--account', 'default', '--scopes', 'READ'], settings()),
      runSluice('main', [], settings()),
    ]);
    expect(created.code).toBe(0);
    expect(await streamsOf(graphiql, created.stdout.trim())).toEqual(['first']);
    const holder = (await readFile(join(dataDirectory, 'pid'), 'utf8')).trim();
    expect(second).toEqual({
      code: 1,
      stdout: '',
      stderr: `Process ${holder} already runs Sluice on DATA_DIR ${dataDirectory}. Stop it, or set another DATA_DIR.\n`,
    });

    sluice.interrupt();
    expect(await sluice.ended).toBe(0);
    await until('no process is left', nothingRuns);
  });

  test('starts the database for a command when no server runs', async () => {
    const { code, stdout } = await runSluice('cli', ['key', 'list', '--account', 'default'], settings());
    expect({ code, lines: stdout.trimEnd().split('\n').length }).toEqual({ code: 0, lines: 3 });
    await until('no process is left', nothingRuns);
  });

  test('keeps data and key at the next start, even after kill -9', async () => {
    const second = start();
    const { graphiql, key } = await greetingOf(second);
    expect(key).toBe(firstKey);
    expect(await streamsOf(graphiql, key)).toEqual(['first']);
    await addStream(graphiql, key, 'second');
    second.kill('SIGKILL');
    expect(await second.ended).toBeNull();

    const third = start();
    const after = await greetingOf(third);
    expect(after.key).toBe(firstKey);
    expect(await streamsOf(after.graphiql, after.key)).toEqual(['first', 'second']);
    third.kill('SIGTERM');
    expect(await third.ended).toBe(0);
    await until('no process is left', nothingRuns);
  });

  describe('key', () => {
    test('is in no page and no output when a proxy or another local user asks', async () => {
      // Simulates a backup that was restored without its file modes.
      await chmod(join(dataDirectory, 'api-key'), 0o644);
      const sluice = start();
      const { graphiql, key } = await greetingOf(sluice);
      expect(key).toBe(firstKey);
      expect((await stat(join(dataDirectory, 'api-key'))).mode & 0o777).toBe(0o600);
      // A plain nginx sends such headers for a client elsewhere.
      const proxy = await startPrefixProxy(new URL(graphiql).origin, '', {
        host: 'sluice.example',
        'x-forwarded-for': '203.0.113.7',
      });
      for (const base of [graphiql, `${proxy.url}/`]) {
        for (const path of ['graphql', '', 'console/', 'console/jobs', 'docs', 'openapi.json', 'nothing']) {
          const response = await fetch(new URL(path, base), { headers: { accept: 'text/html' } });
          const page = { path, status: response.status, hasKey: (await response.text()).includes(key) };
          expect(page).toEqual({ path, status: path === 'nothing' ? 404 : 200, hasKey: false });
        }
      }
      await proxy.stop();
      sluice.interrupt();
      expect(await sluice.ended).toBe(0);
      expect(sluice.stdout + sluice.stderr).not.toContain(key);
    });

    test.runIf(process.platform === 'linux')(
      'is in the link to the console when a terminal shows the output',
      async () => {
        let isTyped = false;
        const { code, stdout } = await startInTerminal({
          columns: 300,
          settings: { ...settings(), NO_COLOR: '1' },
          onOutput: (all, type) => {
            if (isTyped || !all.includes('Ctrl-C; the next start')) return;
            isTyped = true;
            type('\u0003');
          },
        });
        expect(code).toBe(0);
        expect(stdout).toMatch(new RegExp(`^  Console   http://127\\.0\\.0\\.1:\\d+/#key=${firstKey}$`, 'm'));
        expect(stdout.split(firstKey)).toHaveLength(2);
      },
    );

    test('is named, not shown, when the setting API_KEY defines it', async () => {
      const apiKey = 'k'.repeat(32);
      const sluice = startSluice({ ...settings(), API_KEY: apiKey, CONSOLE: 'false', GRAPHIQL: 'false' });
      running.push(sluice);
      const words = await sluice.said('Ctrl-C; the next start');
      expect(words).toMatch(/^ {2}API {7}http:\/\/127\.0\.0\.1:\d+\/graphql$/m);
      expect(words).toMatch(/^ {2}Key {7}that of the setting API_KEY$/m);
      expect(words).not.toContain(apiKey);
      sluice.interrupt();
      expect(await sluice.ended).toBe(0);
    });
  });

  test('reports it and exits when the embedded PostgreSQL dies', async () => {
    const sluice = start();
    await greetingOf(sluice);
    const data = join(await realpath(join(dataDirectory, 'postgres')), 'data');
    process.kill(Number.parseInt(await readFile(join(data, 'postmaster.pid'), 'utf8'), 10), 'SIGKILL');
    expect(await sluice.ended).toBe(1);
    expect(sluice.stderr).toContain('The embedded PostgreSQL ended unexpectedly, so Sluice ends too.');
    await until('no process is left', nothingRuns);
  });

  test('stops what it started and exits with 0 when it is interrupted during its start', async () => {
    const sluice = start();
    // Sluice locks the directory just before it starts PostgreSQL and prints anything.
    await eventually(
      () => readFile(join(dataDirectory, 'pid'), 'utf8').catch(() => ''),
      (pid) => pid.trim() === String(sluice.pid),
    );
    sluice.interrupt();
    expect(await sluice.ended).toBe(0);
    expect(sluice.stderr).not.toContain('GraphiQL');
    await until('no process is left', nothingRuns);
  });

  test.each([
    ['/dev/null/data', 'a part of the path is not a directory'],
    // The parent exists, but the system reports that it does not: a recursive mkdir of Node 24 never returns.
    ...(process.platform === 'linux' ? [['/proc/sluice/data', 'the directory cannot be created there']] : []),
  ])('exits with one line when DATA_DIR cannot be used: %s', async (path, reason) => {
    const { code, stderr } = await runSluice('main', [], { DATA_DIR: path, PORT: '0' });
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: `DATA_DIR ${path} cannot be used (${reason}). Set DATA_DIR to a directory that this account can write to.\n`,
    });
  });
});
