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

    const revoked = await sluice('key', 'revoke', id);
    expect(revoked).toMatchObject({
      code: 0,
      stdout: '',
      stderr: expect.stringContaining(`Revoked the API key ${id}.`),
    });
    const { status } = await eventually(
      () => viewerOf(secret),
      (answer) => answer.status === 401,
      1000,
    );
    expect(status).toBe(401);

    const innerId = Buffer.from(id, 'base64url').toString().replace('ApiKey:', '');
    const again = await sluice('key', 'revoke', innerId);
    expect(again).toMatchObject({ code: 0, stderr: `The API key ${id} was already revoked.\n` });
  });

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
