import { beforeAll, describe, expect, test } from 'vitest';
import { DISTRIBUTED, LOCAL, REFERENCE } from '../../src/db/table-distribution.ts';
import {
  acrossAccounts,
  brokenRules,
  brokenRulesOfQueue,
  namesDistributed,
  shapesOf,
  THROUGH_A_ROW,
} from '../support/distributed-rules.ts';
import { hearStatements, type SentStatement } from '../support/sent-statements.ts';
import { commandsRun, liveThrough, operatorCommands } from '../support/server-life.ts';
import { readSourceFiles } from '../support/source-files.ts';

/** Tables of the coordinator and reference tables that some statements read without an account, with the reason. */
const ACROSS_ACCOUNTS: Readonly<Record<string, string>> = {
  'SELECT jobs': 'the scheduler finds due jobs of all accounts, and a claim finds the job of a message',
  'UPDATE jobs': 'the scheduler sets the next slot of a job, by id',
  'SELECT backfills': 'the sweep finds backfills of all accounts whose runs have ended',
  'SELECT runs': 'workers and the reaper find runs of all accounts by job, id and destination',
  'UPDATE runs': 'workers extend, end and release runs by id and token',
  'SELECT run_objects': 'by run',
  'UPDATE run_objects': 'by run',
  'INSERT run_objects': 'by run',
  'SELECT deliveries':
    'the checker finds marked deliveries of all accounts, and a run its own by job, bucket and manifest key',
  'UPDATE deliveries': 'the checker leases and judges deliveries by id, and a run records its own',
  'DELETE corrections': 'the sweep removes old corrections of all accounts',
  'SELECT ledger_cursors':
    'the scanner finds the accounts whose scan is due, and the sweep those that may have old snapshots',
  'SELECT bucket_claims': 'a worker reads the owner of the bucket that it is about to write to, by name',
  'DELETE bucket_claims': 'the operator releases a bucket, by name',
  'INSERT accounts': 'a start creates the account default, and the operator creates others',
  'SELECT accounts': 'by name or id, and all of them for the operator',
  'SELECT api_keys': 'by secret or id: the key determines the account',
};

/** Statements about distributed tables that run on every node. */
const ON_EVERY_NODE = [
  // Rows of requests that died are deleted a few times an hour.
  /^DELETE FROM staged_batches WHERE staged_at < /,
  // At start and in doctor, each node is searched for accounts with transaction ids of another cluster.
  /^SELECT a\.id, a\.name FROM ledgers l JOIN accounts a ON a\.id = l\.account_id WHERE /,
];

/** Statements about transaction ids that must run on the coordinator. */
const OF_COORDINATOR = [
  // Checks whether a read replica is a copy of the database.
  /^SELECT system_identifier::text AS cluster, current_database\(\) AS database FROM pg_control_system\(\)$/,
];

/** Statements of the migrations that change rows, in tables that are still empty or not distributed yet. */
const OF_MIGRATIONS = [
  /^INSERT INTO bucket_claims .* FROM runs WHERE/,
  /^INSERT INTO totals .* FROM records UNION ALL/,
  /^INSERT INTO "ledgers" .* FROM "streams";$/,
];

/** Connections of the tests themselves. */
const NOT_OF_SLUICE = new Set(['', 'sluice-tests']);

let heard: readonly SentStatement[];
/** All statements but those of the queue, whose own tables stay on the coordinator. */
let statements: readonly SentStatement[];
let ofQueue: readonly SentStatement[];

const isListed = (list: readonly RegExp[], text: string): boolean => list.some((one) => one.test(text));
const isOfQueue = ({ applicationName, text }: SentStatement): boolean =>
  applicationName === 'sluice-queue' || /\bpgboss\./.test(text);
const isOfMigration = ({ applicationName, text }: SentStatement): boolean =>
  applicationName === 'sluice-migrate' && isListed(OF_MIGRATIONS, text);

const hearing = async (work: () => Promise<unknown>): Promise<readonly SentStatement[]> => {
  const ears = hearStatements();
  try {
    await work();
  } finally {
    ears.stop();
  }
  return ears.heard;
};

beforeAll(async () => {
  heard = (await hearing(liveThrough)).filter(({ applicationName }) => !NOT_OF_SLUICE.has(applicationName));
  ofQueue = heard.filter(isOfQueue);
  statements = heard.filter((statement) => !isOfQueue(statement) && !isOfMigration(statement));
}, 120_000);

describe('statements that Sluice sends, on a database that is distributed by account_id', () => {
  test('are recorded on every connection: servers, queue, listener, exports, migrations and commands', async () => {
    const names = new Set(heard.map(({ applicationName }) => applicationName));
    const opened = (await readSourceFiles('src')).flatMap(({ code }) =>
      [...code.matchAll(/applicationName: '(sluice[\w-]*)'/g)].map(([, name]) => name),
    );
    expect(opened.length).toBeGreaterThan(5);
    expect(opened.filter((name) => name === undefined || !names.has(name))).toEqual([]);
    expect([...names]).toEqual(
      expect.arrayContaining(['sluice-keys', 'sluice-leases', 'sluice-runs', 'sluice-schedule']),
    );
    const sent = (name: string, words: string): void =>
      expect(
        heard.some(({ applicationName, text }) => applicationName === name && text.includes(words)),
        `${name} sends ${words}`,
      ).toBe(true);
    sent('sluice-export', 'COPY (SELECT');
    sent('sluice-export', 'SELECT 1 FROM runs WHERE');
    sent('sluice-migrate', 'CREATE TABLE "streams"');
    sent('sluice-migrate', 'insert into "drizzle"."__drizzle_migrations"');
    sent('sluice-migrate', 'CREATE TABLE pgboss.');
    sent('sluice-queue', 'UPDATE pgboss.');
    sent('sluice-feed', 'LISTEN ');
    sent('sluice-cli', 'pg_stat_activity');
  });

  test('are recorded for every command of the operator', () => {
    expect(operatorCommands().filter((name) => !commandsRun.has(name))).toEqual([]);
    expect(commandsRun.size).toBeGreaterThan(8);
  });

  test('read and write every table that would be distributed', () => {
    const shapes = new Set(statements.flatMap(({ text }) => shapesOf(text)));
    const expected = DISTRIBUTED.flatMap((table) => [`SELECT ${table}`, `INSERT ${table}`]);
    expect(expected.filter((shape) => !shapes.has(shape))).toEqual([]);
    expect([...shapes]).toEqual(
      expect.arrayContaining(['UPDATE records', 'UPDATE streams', 'DELETE records', 'DELETE filters', 'DELETE totals']),
    );
    expect(statements.length).toBeGreaterThan(100);
  });

  test('break no rule', () => {
    const broken = statements.map(({ text }) => {
      const isExcused = isListed([...ON_EVERY_NODE, ...OF_COORDINATOR], text);
      return [brokenRules(text).filter((rule) => !(isExcused && rule === THROUGH_A_ROW)), text] as const;
    });
    expect(broken.filter(([rules]) => rules.length > 0)).toEqual([]);
  });

  test('compare every distributed table with the account as a value, except those in ON_EVERY_NODE', () => {
    const across = statements.filter(
      ({ text }) => !isListed(ON_EVERY_NODE, text) && acrossAccounts(text, DISTRIBUTED).length > 0,
    );
    expect(across.map(({ text }) => [acrossAccounts(text, DISTRIBUTED), text])).toEqual([]);
  });

  test('name the account of every other table that has one, except those in ACROSS_ACCOUNTS', () => {
    const across = statements.flatMap(({ text }) =>
      acrossAccounts(text, [...REFERENCE, ...LOCAL]).map((shape) => [shape, text]),
    );
    expect(across.filter(([shape = '']) => !(shape in ACROSS_ACCOUNTS))).toEqual([]);
    expect(Object.keys(ACROSS_ACCOUNTS).filter((shape) => !across.some(([named]) => named === shape))).toEqual([]);
  });

  test('name a distributed table only in a transaction that sets its account', () => {
    const blind = heard.filter(({ text, scope }) => scope === null && namesDistributed(text));
    expect(blind.map(({ applicationName, text }) => [applicationName, text])).toEqual([]);
  });

  test('use no distributed table and no setting of the session if the queue sends them', () => {
    expect(ofQueue.length).toBeGreaterThan(20);
    expect(ofQueue.filter(({ text }) => namesDistributed(text)).map(({ text }) => text)).toEqual([]);
    const broken = ofQueue.map(({ text, keepsSettings }) => [brokenRulesOfQueue(text, keepsSettings), text] as const);
    expect(broken.filter(([rules]) => rules.length > 0)).toEqual([]);
  });

  test('keep their settings on the coordinator only in sessions without distributed tables', () => {
    const keeping = heard.filter(({ keepsSettings }) => keepsSettings);
    expect([...new Set(keeping.map(({ applicationName }) => applicationName))].toSorted()).toEqual([
      'sluice-migrate',
      'sluice-queue',
    ]);
    expect(keeping.filter(({ text }) => namesDistributed(text)).map(({ text }) => text)).toEqual([]);
  });

  test('include every exception that is listed', () => {
    for (const one of [...ON_EVERY_NODE, ...OF_COORDINATOR, ...OF_MIGRATIONS])
      expect(heard.filter(({ text }) => one.test(text)).length, String(one)).toBeGreaterThan(0);
  });
});
