import { sql } from 'drizzle-orm';
import { beforeAll, describe, expect, test } from 'vitest';
import { OWN_CONNECTIONS } from '../../src/db/client.ts';
import { foreignLedgers } from '../../src/db/as-of.ts';
import { clearAbandoned } from '../../src/streams/staging.ts';
import { countPurgeable, findDeletedStreams, findHiddenRecords, purgeStream } from '../../src/streams/purge.ts';
import { acrossAccounts, brokenRules, shapesOf } from '../support/distributed-rules.ts';
import {
  addRecords,
  cancelRun,
  createJob,
  deleteJob,
  endedRun,
  endedRunsOf,
  exportOnce,
  filterOf,
  innerId,
  readRun,
  runJob,
  runsOf,
  updateJob,
} from '../support/job-steps.ts';
import { hearStatements, type SentStatement } from '../support/sent-statements.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';
import { DISTRIBUTED } from '../../src/db/table-places.ts';

const SLOT = '2026-01-28T02:00:00Z';

/**
 * The statements that name no account, and why. Of the tables that would be distributed there are few: each of these asks every
 * node.
 */
const ACROSS_ACCOUNTS: Readonly<Record<string, string>> = {
  'SELECT jobs': 'the scheduler looks for what is due, and a claim for the job of a message',
  'UPDATE jobs': 'the scheduler moves a job on to its next slot, by id',
  'SELECT runs': 'workers and the reaper take runs by job, id and place, whosever they are',
  'UPDATE runs': 'workers hold, end and let go of runs by id and token',
  'SELECT run_objects': 'by run',
  'UPDATE run_objects': 'by run',
  'INSERT run_objects': 'by run',
  'SELECT bucket_claims': 'whose the bucket is that a worker is about to write to, by its name',
  'INSERT accounts': 'the start makes sure of the account default, and the operator makes others',
  'SELECT accounts': 'by name or id, and all of them for the operator',
  'DELETE staged_batches': 'what died is swept from every node, a few times an hour',
};

/** Of the operator's commands alone: docs/scale-out.md says what to do about them. */
const NOT_DISTRIBUTABLE = [/^SELECT EXISTS \( SELECT 1 FROM accounts a WHERE EXISTS/];

/** The connections of a server, without those of the queue. */
const OF_A_SERVER = new Set(
  ['', '-export', '-feed', '-migrate', ...Object.keys(OWN_CONNECTIONS).map((purpose) => `-${purpose}`)].map(
    (purpose) => `sluice${purpose}`,
  ),
);

/** In its own tables, which stay on the coordinator. */
const IS_OF_QUEUE = /\bpgboss\./;

let statements: readonly SentStatement[];

/** What a server does in its life, heard from the side of the database. */
const live = async (server: TestServer): Promise<void> => {
  const { acrossAccounts: db } = server.resources.database;
  const day = '2026-01-25T00:00:00Z';
  const filter = filterOf({ region: 'eu' });
  const record = { timestamp: day, granularity: 'DAILY', elementName: 'acme', filter };
  const write = (field: string, type: string, input: object) =>
    server.graphql(`mutation ($input: ${type}!) { ${field}(input: $input) { __typename } }`, { input });
  await addRecords(server, 'usage', 'DAILY', [
    { ...record, value: '1' },
    { ...record, elementName: 'hooli', value: '2' },
  ]);
  await write('allocationSum', 'AllocationInput', {
    stream: 'usage',
    idempotencyKey: 'k',
    records: [{ ...record, value: '3' }],
  });
  await write('allocationSum', 'AllocationInput', {
    stream: 'usage',
    idempotencyKey: 'k',
    records: [{ ...record, value: '3' }],
  });
  await write('allocationReplace', 'AllocationInput', { stream: 'usage', records: [{ ...record, value: '4' }] });
  await write('allocationDelete', 'AllocationDeleteInput', { stream: 'usage', records: [record] });
  const lines = async (path: string, method: string, body: object, key: string): Promise<void> => {
    const answer = await fetch(`${server.url}/unit-cost/v1/telemetry/allocation/${path}`, {
      method,
      headers: { 'x-api-key': server.key, 'content-type': 'application/x-ndjson', 'idempotency-key': key },
      body: `${JSON.stringify(body)}\n`,
    });
    expect([200, 201]).toContain(answer.status);
  };
  const line = { timestamp: day, granularity: 'DAILY', 'element-name': 'acme', filter: { region: ['us'] } };
  await lines('usage/sum', 'POST', { ...line, value: 5 }, 'one');
  await lines('usage/replace', 'POST', { ...line, value: 6 }, 'two');
  await lines('usage/delete', 'POST', line, 'three');
  await addRecords(server, 'short-lived', 'HOURLY', [{ timestamp: day, elementName: 'acme', value: '1' }]);
  await server.graphql(`mutation { deleteStream(name: "short-lived") { __typename } }`);
  await server.graphql(`{ streams(first: 5) { edges { node { id name firstTimestamp operations(first: 2) { edges { node { id } } } records(first: 2) { edges { node { value } } } } } }
    usage(input: { from: "2026-01-20T00:00:00Z", to: "2026-01-28T00:00:00Z", aggregationBucket: DAY, groupBy: ["region"] }) { ... on Usage { series { total } } }
    viewer { accountName } jobs(first: 2) { edges { node { id } } } }`);

  const settings = { jobName: 'by day', s3Url: 'exports/a', groupBy: ['region', 'element'] };
  const { jobId } = await exportOnce(server, settings, SLOT);
  await exportOnce(server, { ...settings, jobName: 'filled', sparse: false, compression: 'GZIP' }, SLOT);
  await updateJob(server, jobId, { description: 'changed' });
  await endedRun(server, await runJob(server, jobId, SLOT));
  await runsOf(server, jobId);
  const due = await createJob(server, { jobName: 'due', enabled: true, cron: '* * * * *', s3Url: 'exports/b' });
  await db.execute(
    sql`UPDATE jobs SET next_run_at = date_trunc('minute', now()) WHERE account_id = account_id AND id = ${innerId(due)}`,
  );
  await endedRunsOf(server, due, 1);
  const canceled = await runJob(server, due, SLOT);
  if ((await readRun(server, canceled)).status === 'QUEUED') await cancelRun(server, canceled);
  await deleteJob(server, due);
  await eventually(
    () => readRun(server, canceled),
    ({ finishedAt }) => finishedAt !== null,
  );

  const age = { before: new Date(Date.now() + 60_000), assumedMs: 0 };
  for (const stream of [...(await findDeletedStreams(db, age)), ...(await findHiddenRecords(db, age))]) {
    await countPurgeable(db, stream, age);
    await purgeStream(db, stream, age);
  }
  await clearAbandoned(db, 0);
  await foreignLedgers(db);
};

beforeAll(async () => {
  const hearing = hearStatements();
  try {
    const server = await startTestServer();
    try {
      await live(server);
    } finally {
      await server.stop();
    }
  } finally {
    hearing.stop();
  }
  statements = hearing.heard.filter(
    ({ applicationName, text }) => OF_A_SERVER.has(applicationName) && !IS_OF_QUEUE.test(text),
  );
}, 120_000);

const mayMix = (text: string): boolean => NOT_DISTRIBUTABLE.some((statement) => statement.test(text));

describe('the statements that a server sends can be sent to a database that is distributed by account_id', () => {
  test('each is heard: every table that would be distributed is read and written', () => {
    const heard = new Set(statements.flatMap(({ text }) => shapesOf(text)));
    const expected = DISTRIBUTED.flatMap((table) => [`SELECT ${table}`, `INSERT ${table}`]);
    expect(expected.filter((shape) => !heard.has(shape))).toEqual([]);
    expect([...heard]).toEqual(
      expect.arrayContaining(['UPDATE records', 'UPDATE streams', 'DELETE records', 'DELETE filters']),
    );
    expect(statements.some(({ text }) => text.startsWith('COPY ('))).toBe(true);
    expect(statements.length).toBeGreaterThan(100);
  });

  test('none breaks a rule', () => {
    const broken = statements.filter(({ text }) => !mayMix(text) && brokenRules(text).length > 0);
    expect(broken.map(({ text }) => [brokenRules(text), text])).toEqual([]);
  });

  test('each names the account of every table that has one, but for those that are listed with their reason', () => {
    const across = statements
      .filter(({ text }) => !mayMix(text))
      .flatMap(({ text }) => acrossAccounts(text).map((shape) => [shape, text]));
    const unlisted = across.filter(([shape = '']) => !(shape in ACROSS_ACCOUNTS));
    expect(unlisted).toEqual([]);
    expect(Object.keys(ACROSS_ACCOUNTS).filter((shape) => !across.some(([heard]) => heard === shape))).toEqual([]);
  });

  test('those that cannot be sent there are still the ones that are listed', () => {
    for (const statement of NOT_DISTRIBUTABLE)
      expect(statements.filter(({ text }) => statement.test(text))).not.toEqual([]);
  });

  test.each([
    [
      'WITH gone AS (DELETE FROM records r WHERE r.account_id = $1 RETURNING 1) SELECT count(*) FROM gone',
      'no CTE writes',
    ],
    ['INSERT INTO filters AS f (account_id) VALUES ($1) ON CONFLICT DO UPDATE SET id = now()', 'no now() in DO UPDATE'],
    ['UPDATE records r SET value = random() WHERE r.account_id = $1', 'no volatile function'],
    ['MERGE INTO records USING x ON true WHEN MATCHED THEN DELETE', 'no MERGE'],
    ['SELECT 1 FROM streams WHERE account_id = $1 FOR SHARE', 'no FOR UPDATE'],
    [`SELECT pg_notify('runs', id::text) FROM runs WHERE account_id = $1`, 'NOTIFY is a statement'],
    ['BEGIN ISOLATION LEVEL SERIALIZABLE', 'no SERIALIZABLE'],
    [`SET sluice.account_id = '1'`, 'by SET LOCAL'],
    ['SET SESSION statement_timeout = 0', 'by SET LOCAL'],
    [`SELECT set_config('sluice.account_id', $1, true)`, 'by SET LOCAL'],
    [`BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL jit = off`, 'messages of their own'],
    ['SET LOCAL jit = off; SET LOCAL work_mem = 1', 'messages of their own'],
    ['BEGIN', 'states the level'],
    ['BEGIN READ ONLY', 'states the level'],
    ['SELECT 1 FROM records r JOIN runs ON runs.account_id = r.account_id', 'distributed and local'],
  ])('the rules see what breaks them: %s', (text, rule) => {
    expect(brokenRules(text)).toContainEqual(expect.stringContaining(rule));
  });

  test.each([
    ['SELECT * FROM records r JOIN filters f ON f.id = r.filter_id WHERE r.account_id = $1', ['SELECT filters']],
    ['INSERT INTO "operations" (id) SELECT id FROM streams s', ['INSERT operations', 'SELECT streams']],
    [`DELETE FROM records WHERE element = 'account_id = 1'`, ['DELETE records']],
    ['select "id" from "streams" where "streams"."account_id" = $1', []],
    ['UPDATE records r SET hidden_by = 1 WHERE stream_id = 2', ['UPDATE records']],
  ])('and which tables are read without an account: %s', (text, shapes) => {
    expect(acrossAccounts(text)).toEqual(shapes);
  });
});
