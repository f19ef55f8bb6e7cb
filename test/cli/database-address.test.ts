import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { loadConfig } from '../../src/config/config.ts';
import { withClient } from '../support/postgres-admin.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';
import { runSluice } from '../support/sluice-process.ts';

const ROLE = `sluice_address_${randomUUID().slice(0, 8)}`;
const PASSWORD = 'sec@ret-5417';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
  await withClient(inject('postgresAdminUrl'), (admin) =>
    admin.query(`CREATE ROLE ${ROLE} LOGIN SUPERUSER PASSWORD '${PASSWORD}'`),
  );
});
afterAll(async () => {
  await database.drop();
  await withClient(inject('postgresAdminUrl'), (admin) => admin.query(`DROP ROLE ${ROLE}`));
});

/** The address with this text as user and password. */
const address = (credentials: string): string => {
  const { host, pathname } = new URL(database.url);
  return `postgres://${credentials}@${host}${pathname}`;
};
const list = (url: string, env: Readonly<Record<string, string>> = {}) =>
  runSluice('cli', ['account', 'list'], { DATABASE_URL: url, ...env });

describe('password with characters that have a meaning in URLs', () => {
  test.each([
    ['a hash', '5417#rest'],
    ['a slash', '5417/rest'],
    ['a question mark', '5417?rest'],
    ['a question mark and an equals sign', '5417?a=rest'],
    ['a slash, a question mark and an equals sign', '5417/begin?a=rest'],
    ['a hash after letters', 'begin#rest'],
    ['a slash after an @', 'begin@5417/rest'],
    ['a percent sign', 'begin%rest'],
  ])('is reported in one line that does not show it when it contains %s, unescaped', async (_, password) => {
    const settings = { DATABASE_URL: address(`somebody:${password}`), PORT: '0' };
    for (const [entry, args] of [
      ['main', []],
      ['cli', ['account', 'list']],
    ] as const) {
      const { code, stdout, stderr } = await runSluice(entry, args, settings);
      expect([code, stdout]).not.toEqual([0, expect.anything()]);
      expect(stderr.trim().split('\n')).toEqual([
        'Sluice cannot start: a setting is wrong.',
        expect.stringMatching(/^ {2}DATABASE_URL has characters .* write @ as %40, # as %23/),
      ]);
      expect(stderr).not.toMatch(/5417|rest|begin|somebody/);
    }
  });

  test('may contain an @, escaped or not', async () => {
    for (const password of [PASSWORD, encodeURIComponent(PASSWORD)])
      expect(await list(address(`${ROLE}:${password}`))).toMatchObject({ code: 0, stderr: '' });
  });

  test('may be combined with an @, a slash or a question mark in other parts of the address', () => {
    for (const url of [
      'postgres://host:5432/db?user=me@example.com&password=x',
      'postgres://host:5432/db?user=me@example.com&sslrootcert=/etc/ca.crt',
      'postgres://host:5432/db?sslrootcert=/etc/me@example.com/ca.crt',
      'postgres:///db?host=/run/postgresql&user=me',
      'postgresql://me@host/db?sslmode=require',
      'postgres://me:p%40%2F%23@host/db?options=-c%20search_path%3Da',
    ])
      expect(loadConfig({ DATABASE_URL: url }).databaseUrl).toBe(url);
  });
});

describe('address without a password', () => {
  test('is explained in one line if the server asks for one', async () => {
    const { code, stderr } = await list(address(ROLE));
    expect([code, stderr]).toEqual([
      1,
      'The database asks for a password, and DATABASE_URL has none: add it there, or set PGPASSWORD or a .pgpass file.\n',
    ]);
  });

  test('is complete with PGPASSWORD or a .pgpass file', async () => {
    expect(await list(address(ROLE), { PGPASSWORD: PASSWORD })).toMatchObject({ code: 0 });
    const folder = await mkdtemp(join(tmpdir(), 'sluice-pgpass-'));
    const file = join(folder, 'pgpass');
    await writeFile(file, `*:*:*:${ROLE}:${PASSWORD}\n`, { mode: 0o600 });
    expect(await list(address(ROLE), { PGPASSFILE: file })).toMatchObject({ code: 0 });
    await rm(folder, { recursive: true });
  });

  test('shows neither user nor password when the password is wrong', async () => {
    const { stderr } = await list(address(`${ROLE}:wrong-5417`));
    expect(stderr).toBe('The database rejects the password in DATABASE_URL.\n');
  });
});
