import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { DISTRIBUTED, REFERENCE } from '../../src/db/table-distribution.ts';
import { urlOfDatabase, withClient } from '../support/postgres-admin.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';
import { runSluice } from '../support/sluice-process.ts';

/** Catalogs and functions of Citus, for a cluster whose only node is this PostgreSQL. test/citus uses a real cluster. */
const STAND_INS = `
  INSERT INTO pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion)
    VALUES (90000, 'citus', 10, 11, false, '13.2-1');
  CREATE TABLE pg_dist_local_group AS SELECT 0 AS groupid;
  CREATE TABLE pg_dist_node AS SELECT 1 AS nodeid, 0 AS groupid, 'one' AS nodename, 5432 AS nodeport, true AS isactive,
    true AS shouldhaveshards, 'primary' AS noderole;
  CREATE TABLE pg_dist_partition AS
    SELECT oid::regclass AS logicalrelid, CASE WHEN relname = ANY ('{${DISTRIBUTED.join()}}') THEN 'h' ELSE 'n' END AS partmethod,
      CASE WHEN relname = ANY ('{${DISTRIBUTED.join()}}') THEN 's' ELSE 't' END AS repmodel, 'account_id' AS partkey, 1 AS colocationid
    FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname = ANY ('{${[...DISTRIBUTED, ...REFERENCE].join()}}');
  CREATE FUNCTION citus_version() RETURNS text LANGUAGE sql AS $$ SELECT 'Citus 13.2.2 on this platform' $$;
  CREATE FUNCTION column_to_column_name(regclass, key text) RETURNS text LANGUAGE sql AS $$ SELECT key $$;
  CREATE FUNCTION citus_check_cluster_node_health(OUT from_nodename text, OUT from_nodeport int, OUT to_nodename text,
    OUT to_nodeport int, OUT result bool) RETURNS SETOF record LANGUAGE sql AS $$ SELECT 'one', 5432, 'one', 5432, true $$;
  CREATE FUNCTION run_command_on_all_nodes(command text, OUT nodeid int, OUT success bool, OUT result text)
    RETURNS SETOF record LANGUAGE plpgsql AS $$
    BEGIN nodeid := 1; success := true; EXECUTE command INTO result; RETURN NEXT; END $$;
  GRANT SELECT ON pg_dist_local_group, pg_dist_node, pg_dist_partition TO PUBLIC`;

let database: TestDatabase;
let settings: { DATABASE_URL: string };

beforeAll(async () => {
  database = await createTestDatabase();
  settings = { DATABASE_URL: database.url };
});
afterAll(() => database.drop());

/** As a superuser. */
const onServer = (statements: string) =>
  withClient(urlOfDatabase(inject('postgresAdminUrl'), name()), (client) => client.query(statements));

const name = (): string => new URL(database.url).pathname.slice(1);

const checkOf = async (...command: string[]) => {
  const { code, stdout, stderr } = await runSluice('cli', command, settings);
  const lines = stdout.trimEnd().split('\n');
  return { code, stderr, lines, verdicts: lines.map((line) => line.split(/ +/, 2).join(' ')) };
};

describe('scale-out check', () => {
  test('reports in one line that the database is not distributed', async () => {
    const { code, stderr, lines } = await checkOf('scale-out', 'check');
    expect({ code, stderr, lines }).toEqual({
      code: 0,
      stderr: '',
      lines: [expect.stringMatching(/^citus       ok       the database is not distributed: .* docs\/scale-out\.md /)],
    });
  });

  test('is broken when the database cannot be reached', async () => {
    const away = await runSluice('cli', ['scale-out', 'check'], {
      DATABASE_URL: 'postgres://u:hidden@127.0.0.1:9/none',
    });
    expect(away).toEqual({
      code: 1,
      stdout:
        'citus       broken   The database none on 127.0.0.1:9 cannot be reached (ECONNREFUSED). Is DATABASE_URL right?\n',
      stderr: '',
    });
  });

  test('prints one line per check and exits with 1 when one is broken, and doctor prints the same lines', async () => {
    await onServer(STAND_INS);
    const before = await checkOf('scale-out', 'check');
    expect(before.verdicts).toEqual([
      'citus ok',
      'nodes ok',
      'tables ok',
      // Those that the SQL of docs/scale-out.md removes.
      'references warn',
      'policies broken',
      'session broken',
      'commits broken',
      'moves warn',
      'limits ok',
      'ledger ok',
    ]);
    expect(before.code).toBe(1);

    const doctor = await checkOf('doctor');
    const lines = doctor.lines.slice(doctor.verdicts.indexOf('citus ok'), doctor.verdicts.indexOf('limits ok') + 1);
    expect(lines).toEqual(before.lines.slice(0, -1));
    expect(doctor.code).toBe(1);

    const [own, ofDoctor] = await Promise.all([checkOf('scale-out', 'check', '--help'), checkOf('doctor', '--help')]);
    const help = own.lines.join(' ');
    expect(before.verdicts.map((line) => line.split(' ')[0] ?? '').filter((name) => !help.includes(name))).toEqual([]);
    expect(ofDoctor.lines.join(' ')).toContain('scale-out');
  });

  test('reports corrected problems as ok, and the remaining ones', async () => {
    await onServer(`
      ALTER DATABASE ${name()} SET citus.propagate_set_commands = 'local';
      ALTER TABLE jobs DROP CONSTRAINT jobs_account_id_accounts_id_fk;
      ALTER TABLE runs DROP CONSTRAINT runs_account_id_accounts_id_fk;
      ALTER TABLE bucket_claims DROP CONSTRAINT bucket_claims_account_id_accounts_id_fk;
      ALTER TABLE staged_batches SET LOGGED;`);
    const { lines, verdicts } = await checkOf('scale-out', 'check');
    expect(verdicts).toEqual(expect.arrayContaining(['references ok', 'session ok']));
    expect(lines).toContainEqual(expect.stringMatching(/^moves +warn +\S.*: set wal_level = logical on one:5432$/));
  });
});
