import { afterAll, beforeAll, expect, test } from 'vitest';
import { startDeliverySweeper } from '../../src/background/delivery-sweeper.ts';
import { accountIdOf } from '../streams/held-transactions.ts';
import { querySql } from '../support/job-steps.ts';
import { hearStatements } from '../support/sent-statements.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';

let server: TestServer;
beforeAll(async () => {
  // Only these tests sweep.
  server = await startTestServer({ env: { ROLE: 'api' } });
});
afterAll(() => server.stop());

const startSweeper = (onError: (error: unknown) => void) =>
  startDeliverySweeper({ db: server.resources.database.corrections, everyMs: 5, retentionDays: 90, onError });

/** Start of an hour that is older than 7 days. */
const HOUR = `date_trunc('hour', now(), 'UTC') - interval '9 days'`;

/** Creates an account whose ledger is scanned, with snapshots at these seconds after the start of the hour. */
async function addAccount(name: string, seconds: readonly number[]): Promise<bigint> {
  await server.createKey(name, ['ADMIN']);
  const accountId = await accountIdOf(server, name);
  await querySql(
    server,
    `INSERT INTO ledger_cursors (account_id, scanned, scanned_epoch, scanned_at, scan_at)
     VALUES ($1, '1:1:', '', now(), 'infinity') ON CONFLICT DO NOTHING`,
    [accountId],
  );
  await querySql(
    server,
    `INSERT INTO ledger_moments (account_id, at, snapshot, epoch)
     SELECT $1, ${HOUR} + s * interval '1 second', '3:3:', 'one' FROM unnest($2::float8[]) s`,
    [accountId, seconds],
  );
  return accountId;
}

const secondsOf = async (accountId: bigint): Promise<number[]> =>
  (
    await querySql<{ seconds: number }>(
      server,
      `SELECT extract(epoch FROM at - (${HOUR}))::float8 AS seconds FROM ledger_moments WHERE account_id = $1 ORDER BY at`,
      [accountId],
    )
  ).map(({ seconds }) => seconds);

const DAY = 86_400;

test('sweep of snapshots > keeps the last one of each hour of each account when they are older than 7 days', async () => {
  await querySql(
    server,
    `CREATE FUNCTION limit_rows() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
       IF (SELECT count(*) FROM removed) > 1000 THEN RAISE EXCEPTION 'too many rows'; END IF; RETURN NULL; END $$`,
  );
  await querySql(
    server,
    `CREATE TRIGGER limit_rows AFTER DELETE ON ledger_moments REFERENCING OLD TABLE AS removed
     FOR EACH STATEMENT EXECUTE FUNCTION limit_rows()`,
  );
  const fresh = [3 * DAY, 3 * DAY + 1];
  const first = await addAccount('first', [0, 1, 3599.999999, 3600, 3601, 9000, ...fresh]);
  const second = await addAccount('second', [-0.000001, 0, 10, 7200]);
  // More than two batches of 1000.
  const many = await addAccount(
    'many',
    Array.from({ length: 2500 }, (_, index) => index + 0.5),
  );
  const errors: unknown[] = [];
  const sweeper = startSweeper((error) => errors.push(error));
  expect(
    await eventually(
      () => secondsOf(many),
      ({ length }) => length === 1,
    ),
  ).toEqual([2499.5]);
  await sweeper.stop();
  expect(await secondsOf(first)).toEqual([3599.999999, 3601, 9000, ...fresh]);
  expect(await secondsOf(second)).toEqual([-0.000001, 10, 7200]);
  expect(errors).toEqual([]);
});

test('sweep of snapshots > is not repeated by the next sweeps when it fails', async () => {
  await querySql(
    server,
    `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused'; END $$`,
  );
  await querySql(
    server,
    'CREATE TRIGGER refuse BEFORE DELETE ON ledger_moments FOR EACH STATEMENT EXECUTE FUNCTION refuse()',
  );
  await addAccount('refused', [0, 1]);
  const errors: unknown[] = [];
  const ears = hearStatements();
  const sweeper = startSweeper((error) => errors.push(error));
  await expect.poll(() => ears.count('UPDATE deliveries SET check_at')).toBeGreaterThan(8);
  await sweeper.stop();
  ears.stop();
  expect(errors).toMatchObject([{ cause: { message: 'refused' } }]);
});
