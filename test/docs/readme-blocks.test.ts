import { execFile, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { type LocalServer, startLocalServer } from '../clients/local-server.ts';
import { showsText } from '../clients/page-session.ts';
import { freePort } from '../support/free-port.ts';
import { createGraphQLClient } from '../support/graphql-client.ts';
import { withClient } from '../support/postgres-admin.ts';
import { eventually } from '../support/server.ts';
import { sluiceEnvironment } from '../support/sluice-process.ts';
import { ROOT } from '../support/source-files.ts';
import { triedBlock } from './pages.ts';

// The blocks of README.md and docs/deployment.md that a reader types. Each test continues from the one before it, as a reader does.

let server: LocalServer;
let env: NodeJS.ProcessEnv;
beforeAll(async () => {
  server = await startLocalServer();
  env = sluiceEnvironment({ DATA_DIR: server.dataDir, PORT: new URL(server.url).port, LOG_LEVEL: 'silent' });
});
afterAll(() => server?.stop());

const runIn = (cwd: string, script: string, settings: NodeJS.ProcessEnv = env) =>
  promisify(execFile)('bash', ['-c', script], { cwd, env: settings }).then(
    (outcome) => ({ code: 0, ...outcome }),
    (error: Error & { code: number; stdout: string; stderr: string }) => error,
  );

const viewerOf = async (url: string, key: string) => {
  const { data, errors } = await createGraphQLClient(url, key).request<{ viewer: { accountName: string } }>(
    '{ viewer { accountName } }',
  );
  return data?.viewer.accountName ?? errors?.[0]?.extensions?.['code'];
};

describe('README > ten lines of curl', () => {
  test('print the exported file as the page shows it, also when they are run again', { timeout: 120_000 }, async () => {
    const session = await triedBlock('README.md', 'ten lines');
    expect(session.split('\n').filter((line) => line !== '').length).toBeLessThanOrEqual(10);
    // Usage of other streams, such as the demo's, must not appear in the file.
    await createGraphQLClient(server.url, server.key).graphql(
      `mutation ($at: DateTime!) { allocationSum(input: { stream: "of-others", records: [
      { timestamp: $at, granularity: DAILY, elementName: "acme", value: 7 }] }) { __typename } }`,
      { at: new Date().toISOString() },
    );
    const shown = await triedBlock('README.md', 'output of the ten lines');
    for (const value of ['1200.5', '2401']) {
      const { stdout } = await runIn(ROOT, session);
      expect(showsText(shown.replace('1200.5', value), stdout), stdout).toBe(true);
      const lines = stdout.trim().split('\n');
      expect(lines.slice(0, 2)).toEqual([
        '{"data":{"allocationSum":{"__typename":"AllocationReceipt"}}}',
        '{"data":{"createJob":{"__typename":"Job"}}}',
      ]);
      expect(lines[2]).toBe('meterApiName,bucketStart,bucketEnd,region,element,value');
      expect(lines[3]).toMatch(/^api-calls,\d{4}-\d\d-\d\dT00:00:00Z,\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ,eu,hooli,[\d.]+$/);
      expect(lines[3]?.split(',').at(-1)).toBe(value);
      expect(lines).toHaveLength(4);
    }
  });

  test('report a conflict when a job has the same name', async () => {
    const session = await triedBlock('README.md', 'ten lines');
    const sameName = `date() { case "$2" in *T%TZ) command date "$@";; *) echo again;; esac; }\n${session}`;
    expect((await runIn(ROOT, sameName)).stdout).toContain('{"createJob":{"__typename":"Job"}}');
    expect((await runIn(ROOT, sameName)).stdout).toContain(
      '"code":"CONFLICT","message":"Another job of the account has the name ',
    );
  });

  test('report the missing files when they are run in another directory', async () => {
    const session = await triedBlock('README.md', 'ten lines');
    const { DATA_DIR: _, ...elsewhere } = env;
    const folder = join(server.dataDir, 'elsewhere');
    await mkdir(folder, { recursive: true });
    const lost = await runIn(folder, `sleep() { :; }\n${session}`, elsewhere);
    expect(lost.stdout).toContain('UNAUTHENTICATED');
    expect(lost.stderr).toMatch(/\.sluice\/api-key.*\n[\s\S]*\.sluice\/s3\/customer-bucket\/usage\/usage-/);
  });
});

test('docs/deployment.md > operator commands do what their comments say', { timeout: 600_000 }, async () => {
  const block = await triedBlock('docs/deployment.md', 'commands of the operator');
  const commands = block.split('\n').filter((line) => line !== '');
  let id = '';
  let secret = '';
  const open = async (): Promise<unknown> => viewerOf(server.url, secret);
  /** The expected output of each command, by its first words. */
  const expected: Readonly<Record<string, (said: { stdout: string; stderr: string }) => unknown>> = {
    'account create': ({ stderr }) => expect(stderr).toMatch(/^Created the account "acme"\./),
    'account list': ({ stdout }) => expect(stdout).toMatch(/^acme +\d{4}-/m),
    'key create': ({ stdout }) => {
      expect(stdout).toMatch(/^\S{20,}\n$/);
      secret = stdout.trim();
    },
    'key list': async ({ stdout }) => {
      const [, key = ''] = stdout.split('\n');
      expect(key).toMatch(new RegExp(`^\\S+ .* ${secret.slice(0, 4)}\\S*\\.\\.\\. +INGEST,JOBS `));
      [id = ''] = key.split(' ');
      expect(await open()).toBe('acme');
    },
    'key revoke': async ({ stderr }) => {
      expect(stderr).toMatch(new RegExp(`^Revoked the API key ${id}\\.`));
      await eventually(open, (answer) => answer === 'UNAUTHENTICATED');
    },
    // The ten lines of curl wrote to this bucket.
    'bucket list': ({ stdout }) => expect(stdout).toMatch(/^customer-bucket +default +\d{4}-/m),
    'bucket move': ({ stderr }) =>
      expect(stderr).toMatch(/^The bucket customer-bucket now belongs to the account "acme"\./),
    'bucket release': ({ stderr }) => expect(stderr).toMatch(/^The bucket customer-bucket has no owner now\./),
    migrate: ({ stderr, stdout }) => expect(`${stdout}${stderr}`).toBe('The database is up to date.\n'),
    'purge --dry-run': ({ stderr, stdout }) => expect(`${stdout}${stderr}`).toMatch(/^nothing to remove: /),
    doctor: ({ stdout }) =>
      expect(stdout.split('\n').map((line) => line.split(' ', 1)[0])).toEqual(
        expect.arrayContaining(['database', 'clock', 'schedule', 's3', 'mail']),
      ),
    'scale-out check': ({ stdout }) => expect(stdout).toMatch(/^citus +ok +the database is not distributed/),
  };
  const tried: string[] = [];
  for (const command of commands) {
    const outcome = await runIn(ROOT, command.replace(/\bID\b/, id));
    expect({ command, code: outcome.code, stderr: outcome.stderr }).toMatchObject({ command, code: 0 });
    const name =
      Object.keys(expected).find((begins) => `${command} `.startsWith(`npm run -s sluice -- ${begins} `)) ?? '';
    await expected[name]?.(outcome);
    tried.push(name);
  }
  expect(tried).toEqual(Object.keys(expected));
});

/** Runs the script in a terminal of its own and ends it as Ctrl-C does. Calls `work` with the standard output so far when the server is ready. */
const whileItRuns = async (
  script: string,
  settings: NodeJS.ProcessEnv,
  work: (url: string, shown: string) => Promise<void>,
): Promise<void> => {
  const shell = spawn('bash', ['-c', script], {
    cwd: ROOT,
    env: settings,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const said = { out: '', err: '' };
  shell.stdout.setEncoding('utf8').on('data', (text: string) => (said.out += text));
  shell.stderr.setEncoding('utf8').on('data', (text: string) => (said.err += text));
  const ended = once(shell, 'close');
  const url = `http://127.0.0.1:${settings['PORT']}`;
  const isReady = async (): Promise<boolean> => {
    if (shell.exitCode !== null) throw new Error(`The script ended: ${said.err}`);
    return fetch(`${url}/readyz`).then(
      ({ ok }) => ok,
      () => false,
    );
  };
  try {
    await eventually(isReady, Boolean, 100_000);
    await work(url, said.out);
  } finally {
    if (shell.exitCode === null) process.kill(-(shell.pid ?? 0), 'SIGINT');
    await ended;
  }
};

test('README > production lines start a server whose key stays the same when it restarts', async () => {
  // All tests share the roles and databases of one PostgreSQL, so this one uses names of its own.
  const name = `sluice_readme_${randomUUID().replaceAll('-', '')}`;
  const admin = inject('postgresAdminUrl');
  const block = (await triedBlock('README.md', 'a start in production')).replace(
    'sluice:secret@db.example.com/sluice',
    `${name}:secret@${new URL(admin).host}/${name}`,
  );
  const statements = await triedBlock('README.md', 'role and database');
  const before = statements.trim().replaceAll('sluice', name).split('\n');
  const settings = sluiceEnvironment({ PORT: String(await freePort()), LOG_LEVEL: 'silent' });
  const keysOf = async (url: string, key: string) => {
    const { apiKeys } = await createGraphQLClient(url, key).graphql<{ apiKeys: { edges: { node: object }[] } }>(
      '{ apiKeys { edges { node { id scopes } } } }',
    );
    return apiKeys.edges.map(({ node }) => node);
  };
  await withClient(admin, async (client) => {
    for (const statement of before) {
      await client.query(statement);
      // The role of the tests may not be a superuser, and creates a database that another role owns.
      await client.query(`GRANT ${name} TO CURRENT_USER`);
    }
    try {
      let key = '';
      let keys: object[] = [];
      await whileItRuns(block, settings, async (url, shown) => {
        // npm prints the command that it runs after the key.
        [key = ''] = shown.split('\n');
        expect(key).toMatch(/^[0-9a-f]{48}$/);
        expect(await viewerOf(url, key)).toBe('default');
        expect(await viewerOf(url, 'f'.repeat(48))).toBe('UNAUTHENTICATED');
        keys = await keysOf(url, key);
        expect(keys).toEqual([{ id: expect.any(String), scopes: ['ADMIN'] }]);
      });
      // A restart with the same key adds no other key.
      const start = block.trim().split('\n').at(-1) ?? '';
      await whileItRuns(start, { ...settings, API_KEY: key }, async (url) => {
        expect(await keysOf(url, key)).toEqual(keys);
      });
    } finally {
      await client.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
      await client.query(`DROP ROLE IF EXISTS ${name}`);
    }
  });
}, 300_000);

test('docs/deployment.md > first start has the same lines as the README', async () => {
  expect(await triedBlock('docs/deployment.md', 'role and database')).toBe(
    await triedBlock('README.md', 'role and database'),
  );
  expect(await triedBlock('docs/deployment.md', 'a start in production')).toBe(
    await triedBlock('README.md', 'a start in production'),
  );
});
