import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { sqlState } from '../../src/db/failures.ts';
import { BYPASSES_RLS_SQL } from '../../src/db/policies.ts';
import { addRecords, createJob, endedRun, querySql, runJob } from '../support/job-steps.ts';
import { startTestServer, type TestServer } from '../support/server.ts';
import { accountIdOf } from '../streams/held-transactions.ts';

// Row-level security is the second protection: it limits statements that do not filter by account.

let server: TestServer;
let accountId: bigint;
let otherId: bigint;
let tables: string[];
beforeAll(async () => {
  server = await startTestServer();
  accountId = await accountIdOf(server, 'default');
  const otherKey = await server.createKey('other', ['ADMIN']);
  otherId = await accountIdOf(server, 'other');
  for (const key of [server.key, otherKey]) {
    const as: TestServer = { ...server, graphql: (query, variables) => server.graphql(query, variables, key) };
    await addRecords(as, 'calls', 'DAILY', [{ timestamp: '2026-01-25T00:00:00Z', elementName: 'hooli', value: '1' }]);
    const s3Url = key === otherKey ? 's3://exports/theirs' : 's3://other-exports/ours';
    await endedRun(as, await runJob(as, await createJob(as, { meterApiNames: ['calls'], s3Url })));
  }
  // A batch of a request whose body is still being received.
  await querySql(
    server,
    `INSERT INTO staged_batches SELECT id, gen_random_uuid(), 0, now(), 0, '{}', '{}', '{}', '{}', '{}', '{}' FROM accounts`,
  );
  // Rows that a backfill, and the scan of a ledger with corrections, leave behind.
  await querySql(
    server,
    `INSERT INTO backfills (id, account_id, job_id, status, span_start, span_end, newest_first, reprocess, settings, windows, created_at)
     SELECT gen_random_uuid(), account_id, id, 'CANCELED', now(), now(), false, 'ALL', settings, 1, now() FROM jobs`,
  );
  await querySql(
    server,
    `INSERT INTO corrections (account_id, stream_id, operation_id, xid, found_at) SELECT account_id, id, 1, '3', now() FROM streams`,
  );
  await querySql(
    server,
    `INSERT INTO ledger_moments (account_id, at, snapshot, epoch) SELECT id, now(), '3:3:', 'none' FROM accounts`,
  );
  const found = await querySql<{ name: string }>(
    server,
    `SELECT relname AS name FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') ORDER BY 1`,
  );
  tables = found.map(({ name }) => name);
});
afterAll(() => server.stop());

/** Query for the accounts whose rows the table shows. */
const accountsIn = (table: string) =>
  sql.raw(
    table === 'accounts'
      ? 'SELECT DISTINCT id AS account FROM accounts ORDER BY 1'
      : table === 'run_objects'
        ? 'SELECT DISTINCT r.account_id AS account FROM run_objects o JOIN runs r ON r.id = o.run_id ORDER BY 1'
        : `SELECT DISTINCT account_id AS account FROM ${table} ORDER BY 1`,
  );

const both = () => [String(accountId), String(otherId)];

describe('row-level security for a query without WHERE', () => {
  test('shows the rows of both accounts in every table when the query runs across accounts', async () => {
    expect(tables.length).toBeGreaterThan(9);
    const { rows } = await server.resources.database.pool.query<{ passes: boolean }>(BYPASSES_RLS_SQL);
    expect(rows).toEqual([{ passes: false }]);
    for (const table of tables) {
      const shown = await server.resources.database.acrossAccounts.execute<{ account: string }>(accountsIn(table));
      expect([table, shown.rows.map((row) => row.account)]).toEqual([table, both()]);
    }
  });

  test('shows only the rows of the account of the transaction', async () => {
    const db = server.resources.database.forAccount(accountId);
    for (const table of tables) {
      const alone = await db.execute<{ account: string }>(accountsIn(table));
      const within = await db.transaction((tx) => tx.execute<{ account: string }>(accountsIn(table)));
      const count = await db.execute<{ count: string }>(sql.raw(`SELECT count(*) FROM ${table}`));
      const all = await querySql<{ count: string }>(server, `SELECT count(*) FROM ${table}`);
      expect([table, alone.rows, within.rows]).toEqual([table, [{ account: both()[0] }], [{ account: both()[0] }]]);
      expect(Number(count.rows[0]?.count)).toBeLessThan(Number(all[0]?.count));
    }
  });

  test('shows nothing on a connection without an account, even after a transaction of an account', async () => {
    for (const table of tables) {
      await server.resources.database.forAccount(accountId).execute(accountsIn(table));
      const { rows } = await server.resources.database.pool.query(`SELECT * FROM ${table}`);
      expect([table, rows]).toEqual([table, []]);
    }
  });

  test('neither updates nor deletes rows of other accounts', async () => {
    const db = server.resources.database.forAccount(accountId);
    const before = await querySql(server, 'SELECT * FROM streams WHERE account_id = $1', [String(otherId)]);
    await db.execute(sql`UPDATE streams SET name = name || '!'`);
    await db.execute(sql`DELETE FROM staged_batches`);
    expect(await querySql(server, 'SELECT * FROM streams WHERE account_id = $1', [String(otherId)])).toEqual(before);
    expect(await querySql(server, 'SELECT account_id FROM staged_batches')).toEqual([{ account_id: String(otherId) }]);
    await db.execute(sql`UPDATE streams SET name = trim(trailing '!' from name)`);
  });

  test('rejects a row for another account', async () => {
    const failure = await server.resources.database
      .forAccount(accountId)
      .execute(sql`UPDATE streams SET account_id = ${otherId}, name = 'moved'`)
      .then(
        () => null,
        (error: unknown) => sqlState(error),
      );
    // insufficient_privilege: the row would violate the policy.
    expect(failure).toBe('42501');
  });
});

test('row-level security > applies to requests, which see nothing when the policy shows no rows', async () => {
  const document = `{
    streams { edges { node { name } } } stream(name: "calls") { id } operations: stream(name: "calls") { id }
    jobs { edges { node { jobName } } } runs { edges { node { id } } }
    usage(input: { from: "2026-01-01T00:00:00Z", to: "2026-02-01T00:00:00Z", aggregationBucket: MONTH }) {
      ... on Usage { series { total } }
    }
  }`;
  const seen = await server.graphql<Record<string, object>>(document);
  expect(JSON.stringify(seen)).toContain('calls');
  const names = tables.filter((table) => !['accounts', 'api_keys', 'ledgers'].includes(table));
  for (const table of names) await querySql(server, `ALTER POLICY own_account ON ${table} USING (false)`);
  expect(await server.graphql(document)).toEqual({
    streams: { edges: [] },
    stream: null,
    operations: null,
    jobs: { edges: [] },
    runs: { edges: [] },
    usage: { series: [] },
  });
  const rest = await fetch(`${server.url}/jobs`, { headers: { 'x-api-key': server.key } });
  expect(JSON.stringify(await rest.json())).not.toContain('calls');

  // Without its ledger the account has no watermark to read as of: usage returns an error, not an empty result.
  await querySql(server, 'ALTER POLICY own_account ON ledgers USING (false)');
  const { errors } = await server.request(document);
  expect(errors).toMatchObject([{ path: ['usage'], extensions: { code: 'INTERNAL' } }]);
});
