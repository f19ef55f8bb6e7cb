import { execFile } from 'node:child_process';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { urlOfDatabase, urlOfRole, withClient } from '../support/postgres-admin.ts';
import { startTestPostgres, type TestPostgres } from '../support/postgres-server.ts';
import { startTestServer } from '../support/server.ts';
import { ROOT } from '../support/source-files.ts';
import { findPrograms } from './postgres-programs.ts';

const programs = await findPrograms();
/** A password with characters that are special in the shell and in SQL. */
const PASSWORD = `it's "quoted" $HOME \\ 1`;

describe.skipIf(programs === null)('deploy/postgres/role.sh', () => {
  let postgres: TestPostgres;
  let role = '';
  beforeAll(async () => {
    const bin = programs ?? '';
    postgres = await startTestPostgres(bin);
    const { hostname, port, username, password } = new URL(postgres.url);
    await promisify(execFile)('sh', [join(ROOT, 'deploy/postgres/role.sh')], {
      // In the image, psql finds its server without these variables.
      env: {
        PATH: [bin, dirname('/bin/sh'), '/usr/bin'].join(':'),
        PGHOST: hostname,
        PGPORT: port,
        PGPASSWORD: password,
        PGDATABASE: 'postgres',
        POSTGRES_USER: username,
        POSTGRES_PASSWORD: PASSWORD,
      },
    });
    role = urlOfRole(urlOfDatabase(postgres.url, 'sluice'), 'sluice', encodeURIComponent(PASSWORD));
  });
  afterAll(() => postgres.stop());

  test('creates a role that owns its database and does not bypass row-level security', async () => {
    const found = await withClient(role, (client) =>
      client.query(`
        SELECT current_user AS name, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication,
          pg_get_userbyid(datdba) AS owner
        FROM pg_roles, pg_database WHERE rolname = current_user AND datname = current_database()`),
    );
    expect(found.rows).toEqual([
      {
        name: 'sluice',
        rolsuper: false,
        rolbypassrls: false,
        rolcreaterole: false,
        rolcreatedb: false,
        rolreplication: false,
        owner: 'sluice',
      },
    ]);
  });

  test('creates a role with which Sluice starts', async () => {
    const server = await startTestServer({ database: { url: role, drop: () => Promise.resolve() } });
    try {
      expect(await server.graphql('{ viewer { accountName } }')).toEqual({ viewer: { accountName: 'default' } });
    } finally {
      await server.stop();
    }
  });
});
