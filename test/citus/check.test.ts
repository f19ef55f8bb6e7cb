import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { addRecords } from '../support/job-steps.ts';
import { startTestServer, type TestServer } from '../support/server.ts';
import { runSluice } from '../support/sluice-process.ts';
import { openAccounts, type PlacedAccount } from './accounts.ts';
import { type Cluster, createCluster, hasCluster } from './cluster.ts';

const NAMES = ['citus', 'nodes', 'tables', 'references', 'policies', 'session', 'commits', 'moves', 'limits', 'ledger'];

describe.skipIf(!hasCluster)('checks of a cluster', () => {
  let cluster: Cluster;
  let server: TestServer;
  let accounts: readonly PlacedAccount[];
  beforeAll(async () => {
    cluster = await createCluster();
    server = await startTestServer({ database: cluster.database });
    accounts = await openAccounts(cluster, server, 'checked');
    for (const { key } of accounts) {
      const record = { timestamp: '2026-01-25T00:00:00Z', elementName: 'e', value: '1' };
      await addRecords(server, 'checked', 'DAILY', [record], key);
    }
  });
  afterAll(async () => {
    await server?.stop();
    await cluster?.drop();
  });

  const sluice = async (...command: string[]) => {
    const settings = { DATABASE_URL: cluster.database.url, AWS_ACCESS_KEY_ID: 'none', AWS_SECRET_ACCESS_KEY: 'none' };
    const { code, stdout, stderr } = await runSluice('cli', command, settings);
    return { code, stderr, lines: stdout.trimEnd().split('\n') };
  };
  const check = () => sluice('scale-out', 'check');
  const databaseName = (): string => new URL(cluster.database.url).pathname.slice(1);

  test('scale-out check and doctor > report every line as ok when the cluster was set up as docs/scale-out.md describes', async () => {
    const { code, stderr, lines } = await check();
    expect({ code, stderr, lines }).toEqual({
      code: 0,
      stderr: '',
      lines: NAMES.map((name) => expect.stringMatching(new RegExp(`^${name} +ok `)) as unknown),
    });
    const doctor = await sluice('doctor');
    expect(doctor.code).toBe(0);
    const isOfCluster = (line: string): boolean => NAMES.includes(line.split(' ', 1)[0] ?? '');
    const isLedger = (line: string): boolean => line.startsWith('ledger');
    expect(doctor.lines.filter((line) => isOfCluster(line) && !isLedger(line))).toEqual(
      lines.filter((line) => !isLedger(line)),
    );
    expect(doctor.lines.filter(isLedger)).toEqual([expect.stringMatching(/^ledger +ok /)]);
  });

  test('scale-out check > names an account that was moved and is not repaired yet, and migrate repairs it', async () => {
    const [{ id, name, worker }] = accounts as [PlacedAccount];
    const [to] = cluster.workers.filter((other) => other !== worker);
    if (!to) throw new Error('A cluster with one worker.');
    await cluster.moveAccount(id, to, 'block_writes');
    const { code, lines } = await check();
    expect({ code, line: lines.at(-1) }).toEqual({ code: 0, line: expect.stringMatching(`^ledger +warn .*${name}`) });
    expect((await sluice('migrate')).code).toBe(0);
    expect((await check()).lines.at(-1)).toMatch(/^ledger +ok /);
  });

  test.each([
    [
      'a policy that the owner of the tables bypasses',
      () => ['ALTER TABLE totals NO FORCE ROW LEVEL SECURITY'],
      () => ['ALTER TABLE totals FORCE ROW LEVEL SECURITY'],
      /^policies +broken .*totals/,
    ],
    [
      'a setting that does not reach the nodes',
      () => [`ALTER DATABASE ${databaseName()} RESET citus.propagate_set_commands`],
      () => [`ALTER DATABASE ${databaseName()} SET citus.propagate_set_commands = 'local'`],
      /^session +broken .*citus\.propagate_set_commands/,
    ],
    [
      'a table that is not distributed',
      () => [`SELECT undistribute_table('staged_batches')`],
      () => [`SELECT create_distributed_table('staged_batches', 'account_id', colocate_with => 'streams')`],
      /^tables +broken .*staged_batches is local and should be distributed/,
    ],
    [
      'a table that is distributed apart from the others',
      () => [
        `SELECT undistribute_table('staged_batches')`,
        `SELECT create_distributed_table('staged_batches', 'account_id', colocate_with => 'none')`,
      ],
      () => [
        `SELECT undistribute_table('staged_batches')`,
        `SELECT create_distributed_table('staged_batches', 'account_id', colocate_with => 'streams')`,
      ],
      /^tables +broken .*staged_batches is not colocated with streams/,
    ],
  ])('scale-out check > returns 1 and names it when there is %s', async (_, breaks, repairs, line) => {
    for (const statement of breaks()) await cluster.query(statement);
    const broken = await check();
    expect(broken.code).toBe(1);
    expect(broken.lines).toContainEqual(expect.stringMatching(line));
    expect((await sluice('doctor')).lines).toContainEqual(expect.stringMatching(line));
    for (const statement of repairs()) await cluster.query(statement);
    expect(await check()).toMatchObject({ code: 0 });
  });
});
