import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';
import { runSluice } from '../support/sluice-process.ts';

let server: TestServer;
const sluice = (...args: string[]) => runSluice('cli', args, { DATABASE_URL: server.database.url });

beforeAll(async () => {
  server = await startTestServer({ env: { ROLE: 'api' } });
});
afterAll(() => server.stop());

const viewerOf = (key: string) =>
  server.request<{ viewer: { accountName: string; key: { id: string; scopes: string[] } } }>(
    '{ viewer { accountName key { id scopes } } }',
    {},
    key,
  );

/** Revokes the key with the command, and returns after how many milliseconds the server rejected it. */
const revoke = async (id: string, secret: string): Promise<number> => {
  expect(await sluice('key', 'revoke', id)).toMatchObject({
    code: 0,
    stdout: '',
    stderr: expect.stringContaining(`Revoked the API key ${id}.`),
  });
  const revoked = performance.now();
  await eventually(
    () => viewerOf(secret),
    ({ status }) => status === 401,
  );
  return performance.now() - revoked;
};

describe('account and key commands', () => {
  test('print only the secret of a new API key, which stops working within a second of its revocation', async () => {
    const account = await sluice('account', 'create', 'acme');
    expect(account).toMatchObject({
      code: 0,
      stdout: '',
      stderr: expect.stringContaining('Created the account "acme"'),
    });

    const created = await sluice('key', 'create', '--account', 'acme', '--scopes', 'read,INGEST', '--name', 'loader');
    expect(created).toMatchObject({ code: 0, stdout: expect.stringMatching(/^sluice_[\w-]{51}\n$/) });
    const secret = created.stdout.trim();
    expect(created.stderr).not.toContain(secret);
    const { data } = await viewerOf(secret);
    expect(data).toMatchObject({ viewer: { accountName: 'acme', key: { scopes: ['READ', 'INGEST'] } } });
    const id = data?.viewer.key.id ?? '';
    expect(created.stderr).toContain(`Created the API key ${id} "loader"`);

    const [keys, accounts] = await Promise.all([sluice('key', 'list', '--account', 'acme'), sluice('account', 'list')]);
    const [head, line = ''] = keys.stdout.split('\n');
    expect(head).toMatch(/^ID +NAME +BEGINS +SCOPES +CREATED +LAST USED +REVOKED$/);
    expect(line).toMatch(/^\w+  loader  sluice_\S{5}\.\.\.  READ,INGEST  .*  -$/);
    expect(keys.stdout).not.toContain(secret);
    expect(accounts.stdout).toMatch(/^ACCOUNT +CREATED\nacme +20\S+Z\ndefault +20\S+Z\n$/);

    expect(line.split(' ')[0]).toBe(id);

    let rejectedAfter = await revoke(id, secret);
    // A busy machine can delay a rejection.
    for (let attempt = 1; attempt < 5 && rejectedAfter >= 1000; attempt += 1) {
      const another = await server.createKey('acme', ['READ']);
      rejectedAfter = await revoke((await viewerOf(another)).data?.viewer.key.id ?? '', another);
    }
    expect(rejectedAfter).toBeLessThan(1000);

    const innerId = Buffer.from(id, 'base64url').toString().replace('ApiKey:', '');
    const again = await sluice('key', 'revoke', innerId);
    expect(again).toMatchObject({ code: 0, stderr: `The API key ${id} was already revoked.\n` });
  }, 300_000);

  test('print one sentence to standard error and exit with 1 when the command fails', async () => {
    const { viewer } = await server.graphql<{ viewer: { key: { id: string } } }>('{ viewer { key { id } } }');
    const attempts: [args: string[], words: RegExp][] = [
      [['account', 'create', 'default'], /^The account "default" already exists\.\n$/],
      [['key', 'revoke', '01a20168-1118-710c-bfeb-58e84dd10b1e'], /^API key 01a20168-\S+ does not exist\. .*\n$/],
      [['key', 'revoke', viewer.key.id], /^This is the last ADMIN key of the account\. .*\n$/],
    ];
    const outcomes = await Promise.all(attempts.map(([args]) => sluice(...args)));
    expect(outcomes.map(({ code, stdout }) => ({ code, stdout }))).toEqual(
      attempts.map(() => ({ code: 1, stdout: '' })),
    );
    for (const [index, { stderr }] of outcomes.entries()) expect(stderr).toMatch(attempts[index]![1]);
  });

  test('exit with 2 and explain the mistake when the usage is wrong', async () => {
    const attempts: [args: string[], words: string][] = [
      [['account', 'make'], "error: unknown command 'make'"],
      [
        ['key', 'create', '--account', 'default', '--scopes', 'READ,WRITE'],
        '"WRITE" is not one of READ, INGEST, JOBS, ADMIN.',
      ],
      [['key', 'create', '--account', 'default'], "error: required option '--scopes <list>' not specified"],
      [['purge'], 'error: use --dry-run to see what would be removed, or --yes to remove it'],
      [['purge', '--yes', '--older-than', 'long'], 'Expected a number with d, h, m or s, such as 10m or 30d.'],
    ];
    const outcomes = await Promise.all(attempts.map(([args]) => sluice(...args)));
    expect(outcomes.map(({ code, stdout }) => ({ code, stdout }))).toEqual(
      attempts.map(() => ({ code: 2, stdout: '' })),
    );
    for (const [index, { stderr }] of outcomes.entries()) expect(stderr).toContain(attempts[index]![1]);
  });

  test('print help to standard output and exit with 0', async () => {
    const help = await sluice('--help');
    expect(help).toMatchObject({ code: 0, stderr: '' });
    for (const command of ['account', 'key', 'migrate', 'purge', 'doctor'])
      expect(help.stdout).toContain(`  ${command} `);
  });
});
