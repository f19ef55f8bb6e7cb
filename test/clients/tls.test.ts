import { execFile } from 'node:child_process';
import { chown, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { unprivilegedAccount } from '../../src/local/postgres/postgres-account.ts';
import { withClient } from '../support/postgres-admin.ts';
import { startTestPostgres, type TestPostgres } from '../support/postgres-server.ts';
import { eventually } from '../support/server.ts';
import { type Outcome, runSluice, startSluice } from '../support/sluice-process.ts';

// sslmode and sslrootcert of DATABASE_URL with a PostgreSQL whose certificate is signed by an authority of the test for the
// host name localhost only.

const run = promisify(execFile);
const hasOpenssl = await run('openssl', ['version']).then(
  () => true,
  () => false,
);

describe.skipIf(!hasOpenssl)('PostgreSQL with a certificate for localhost', () => {
  let folder: string;
  let postgres: TestPostgres;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sluice-tls-'));
    const openssl = (...args: string[]) => run('openssl', args, { cwd: folder });
    const made = (name: string, subject: string) => [
      'req',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-keyout',
      `${name}.key`,
      '-subj',
      subject,
    ];
    await openssl(...made('ca', '/CN=An authority'), '-x509', '-days', '2', '-out', 'ca.crt');
    await openssl(...made('other', '/CN=Another authority'), '-x509', '-days', '2', '-out', 'other.crt');
    await openssl(...made('server', '/CN=localhost'), '-addext', 'subjectAltName=DNS:localhost', '-out', 'server.csr');
    await openssl(
      'x509',
      '-req',
      '-in',
      'server.csr',
      '-CA',
      'ca.crt',
      '-CAkey',
      'ca.key',
      '-CAcreateserial',
      '-days',
      '2',
      '-copy_extensions',
      'copy',
      '-out',
      'server.crt',
    );
    if (process.getuid?.() === 0) {
      const { uid, gid } = await unprivilegedAccount();
      for (const name of ['.', ...(await readdir(folder))]) await chown(join(folder, name), uid, gid);
    }
    postgres = await startTestPostgres(process.env['TEST_POSTGRES_BIN'] || undefined);
    await withClient(postgres.url, async (admin) => {
      await admin.query(`ALTER SYSTEM SET ssl_cert_file = '${folder}/server.crt'`);
      await admin.query(`ALTER SYSTEM SET ssl_key_file = '${folder}/server.key'`);
      await admin.query('ALTER SYSTEM SET ssl = on');
      await admin.query('SELECT pg_reload_conf()');
    });
    // Creates the tables for all tests.
    expect(await attempt('127.0.0.1', '', ['migrate'])).toMatchObject({ code: 0 });
  });
  afterAll(async () => {
    await postgres?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  /** Runs a command with the host and the parameters of its DATABASE_URL. */
  const attempt = (
    host: string,
    parameters: string,
    args: readonly string[] = ['account', 'list'],
    variables: Readonly<Record<string, string>> = {},
  ): Promise<Outcome> => {
    const url = new URL(postgres.url);
    url.hostname = host;
    return runSluice('cli', args, { ...variables, DATABASE_URL: `${url.href}?${parameters}` });
  };

  test.each([
    ['localhost', ''],
    ['127.0.0.1', 'sslmode=disable'],
    ['127.0.0.1', 'sslmode=prefer'],
    ['127.0.0.1', 'sslmode=require'],
    ['localhost', 'sslmode=require&sslrootcert=ca.crt'],
    ['127.0.0.1', 'sslmode=verify-ca&sslrootcert=ca.crt'],
    ['localhost', 'sslmode=verify-full&sslrootcert=ca.crt'],
  ])('accepts a connection to %s with "%s"', async (host, parameters) => {
    expect(await attempt(host, parameters.replace('ca.crt', `${folder}/ca.crt`))).toMatchObject({
      code: 0,
      stderr: '',
    });
  });

  test.each([
    ['localhost', 'sslmode=verify-full', /self-signed, or of an authority that is not known here: set sslrootcert=/],
    ['127.0.0.1', 'sslmode=verify-full&sslrootcert=ca.crt', /for another host: .*sslmode=verify-ca/],
    ['localhost', 'sslmode=verify-ca&sslrootcert=other.crt', /self-signed, or of an authority .*set sslrootcert=/],
    ['localhost', 'sslmode=require&sslrootcert=other.crt', /self-signed, or of an authority .*set sslrootcert=/],
    ['localhost', 'sslmode=verify-ca', /sslmode=verify-ca needs the certificate of the authority: set sslrootcert=/],
    [
      'localhost',
      'sslmode=verify-full&sslrootcert=missing.crt',
      /The file of sslrootcert .* cannot be read: .*missing\.crt/,
    ],
    ['localhost', 'sslmode=require&sslrootcert=system', /sslrootcert=system needs sslmode=verify-full/],
    ['localhost', 'sslmode=verify', /sslmode must be one of disable, allow, prefer, require, verify-ca, verify-full/],
  ])('rejects a connection to %s with "%s" with one line that says what to set', async (host, parameters, words) => {
    const placed = parameters.replace(/sslrootcert=(\w+\.crt)/, `sslrootcert=${folder}/$1`);
    const { code, stdout, stderr } = await attempt(host, placed);
    expect([code, stdout, stderr.trim().split('\n')]).toEqual([1, '', [expect.stringMatching(words)]]);
    expect(stderr).not.toContain(new URL(postgres.url).password);
  });

  test('uses PGSSLMODE and PGSSLROOTCERT when the address does not have the parameters', async () => {
    const withVariables = (host: string, parameters: string, mode: string, authority: string) =>
      attempt(host, parameters, ['account', 'list'], { PGSSLMODE: mode, PGSSLROOTCERT: `${folder}/${authority}` });
    expect(await attempt('127.0.0.1', '', ['account', 'list'], { PGSSLMODE: 'require' })).toMatchObject({ code: 0 });
    expect(await withVariables('localhost', '', 'verify-full', 'ca.crt')).toMatchObject({ code: 0 });
    expect(await withVariables('localhost', '', 'require', 'other.crt')).toMatchObject({ code: 1 });
    expect(await withVariables('127.0.0.1', 'sslmode=verify-ca', 'verify-full', 'ca.crt')).toMatchObject({ code: 0 });
  });

  test('has only encrypted connections of a server, and an error that names sslmode when TLS is required', async () => {
    await withClient(postgres.url, async (admin) => {
      const { rows } = await admin.query<{ file: string }>("SELECT current_setting('hba_file') AS file");
      await admin.query(`COPY (SELECT 'hostssl all all 127.0.0.1/32 password') TO '${rows[0]?.file}'`);
      await admin.query('SELECT pg_reload_conf()');
    });
    expect(await attempt('127.0.0.1', 'sslmode=require')).toMatchObject({ code: 0, stderr: '' });
    const url = new URL(postgres.url);
    url.hostname = 'localhost';
    const server = startSluice({
      DATABASE_URL: `${url.href}?sslmode=verify-full&sslrootcert=${folder}/ca.crt`,
      API_KEY: 'a key of this test that is long enough',
      PORT: '0',
      LOG_FORMAT: 'json',
      AWS_ACCESS_KEY_ID: 'none',
      AWS_SECRET_ACCESS_KEY: 'none',
    });
    try {
      await server.said('server started');
      const { searchParams } = url;
      searchParams.set('sslmode', 'no-verify');
      await withClient(url.href, async (admin) => {
        const query = `SELECT DISTINCT application_name AS name, ssl FROM pg_stat_activity JOIN pg_stat_ssl USING (pid) WHERE application_name LIKE 'sluice%'`;
        const connections = async () => (await admin.query<{ name: string; ssl: boolean }>(query)).rows;
        // The server connects to its feed and its queue in the background.
        const names = ['sluice', 'sluice-feed', 'sluice-queue'];
        const rows = await eventually(connections, (all) =>
          names.every((known) => all.some(({ name }) => name === known)),
        );
        expect(rows.filter(({ ssl }) => !ssl)).toEqual([]);
      });
    } finally {
      await server.destroy();
    }
    const refused = await attempt('127.0.0.1', 'sslmode=disable');
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringMatching(/^[^\n]*sslmode=require[^\n]*\n$/)]);
  });
});

test('PostgreSQL without TLS > is reported when sslmode requires TLS', async () => {
  const postgres = await startTestPostgres(process.env['TEST_POSTGRES_BIN'] || undefined);
  try {
    const { code, stderr } = await runSluice('cli', ['account', 'list'], {
      DATABASE_URL: `${postgres.url}?sslmode=require`,
    });
    expect([code, stderr]).toEqual([1, expect.stringMatching(/^The database server does not support TLS: [^\n]*\n$/)]);
  } finally {
    await postgres.stop();
  }
});
