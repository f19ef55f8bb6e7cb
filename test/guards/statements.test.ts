import { beforeAll, describe, expect, test } from 'vitest';
import { DISTRIBUTED, LOCAL, REFERENCE } from '../../src/db/table-places.ts';
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

/** Tables of the coordinator, and reference tables, of which some statements name no account, and why. */
const ACROSS_ACCOUNTS: Readonly<Record<string, string>> = {
  'SELECT jobs': 'the scheduler looks for what is due, and a claim for the job of a message',
  'UPDATE jobs': 'the scheduler moves a job on to its next slot, by id',
  'SELECT runs': 'workers and the reaper take runs by job, id and place, whosever they are',
  'UPDATE runs': 'workers hold, end and let go of runs by id and token',
  'SELECT run_objects': 'by run',
  'UPDATE run_objects': 'by run',
  'INSERT run_objects': 'by run',
  'SELECT bucket_claims': 'whose the bucket is that a worker is about to write to, by its name',
  'DELETE bucket_claims': 'the operator takes a bucket away from its account, by its name',
  'INSERT accounts': 'the start makes sure of the account default, and the operator makes others',
  'SELECT accounts': 'by name or id, and all of them for the operator',
  'SELECT api_keys': 'by secret or id: the key says whose it is',
};

/** Statements about distributed tables that ask every node. */
const ON_EVERY_NODE = [
  // What died is swept a few times an hour.
  /^DELETE FROM staged_batches WHERE staged_at < /,
  // A server that starts, and doctor, look for accounts with transaction ids of another cluster: each node for those it has.
  /^SELECT a\.id, a\.name FROM ledgers l JOIN accounts a ON a\.id = l\.account_id WHERE /,
];

/** Statements about transaction ids that are meant for the coordinator. */
const OF_COORDINATOR = [
  // Whether a read replica is a copy of the database.
  /^SELECT system_identifier::text AS cluster, current_database\(\) AS database FROM pg_control_system\(\)$/,
];

/** Statements of the migrations that change rows: of tables that are still empty, or not distributed yet. */
const OF_MIGRATIONS = [
  /^INSERT INTO bucket_claims .* FROM runs WHERE/,
  /^INSERT INTO totals .* FROM records UNION ALL/,
  /^INSERT INTO "ledgers" .* FROM "streams";$/,
];

/** Connections of the tests themselves. */
const NOT_OF_SLUICE = new Set(['', 'sluice-tests']);

let heard: readonly SentStatement[];
/** Without those of the queue, whose own tables stay on the coordinator. */
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

describe('the statements that Sluice sends can be sent to a database that is distributed by account_id', () => {
  test('every connection is heard: servers, queue, listener, exports, migrations and commands', async () => {
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

  test('every command of the operator is heard', () => {
    expect(operatorCommands().filter((name) => !commandsRun.has(name))).toEqual([]);
    expect(commandsRun.size).toBeGreaterThan(8);
  });

  test('every table that would be distributed is read and written', () => {
    const shapes = new Set(statements.flatMap(({ text }) => shapesOf(text)));
    const expected = DISTRIBUTED.flatMap((table) => [`SELECT ${table}`, `INSERT ${table}`]);
    expect(expected.filter((shape) => !shapes.has(shape))).toEqual([]);
    expect([...shapes]).toEqual(
      expect.arrayContaining(['UPDATE records', 'UPDATE streams', 'DELETE records', 'DELETE filters', 'DELETE totals']),
    );
    expect(statements.length).toBeGreaterThan(100);
  });

  test('none breaks a rule', () => {
    const broken = statements.map(({ text }) => {
      const isExcused = isListed([...ON_EVERY_NODE, ...OF_COORDINATOR], text);
      return [brokenRules(text).filter((rule) => !(isExcused && rule === THROUGH_A_ROW)), text] as const;
    });
    expect(broken.filter(([rules]) => rules.length > 0)).toEqual([]);
  });

  test('each compares every distributed table with the account as a value, but for those that are listed', () => {
    const across = statements.filter(
      ({ text }) => !isListed(ON_EVERY_NODE, text) && acrossAccounts(text, DISTRIBUTED).length > 0,
    );
    expect(across.map(({ text }) => [acrossAccounts(text, DISTRIBUTED), text])).toEqual([]);
  });

  test('each names the account of every other table that has one, but for those that are listed with their reason', () => {
    const across = statements.flatMap(({ text }) =>
      acrossAccounts(text, [...REFERENCE, ...LOCAL]).map((shape) => [shape, text]),
    );
    expect(across.filter(([shape = '']) => !(shape in ACROSS_ACCOUNTS))).toEqual([]);
    expect(Object.keys(ACROSS_ACCOUNTS).filter((shape) => !across.some(([named]) => named === shape))).toEqual([]);
  });

  test('each that names a distributed table is in a transaction that says whose rows it sees', () => {
    const blind = heard.filter(({ text, scope }) => scope === null && namesDistributed(text));
    expect(blind.map(({ applicationName, text }) => [applicationName, text])).toEqual([]);
  });

  test('the queue leaves distributed tables and settings of the session alone', () => {
    expect(ofQueue.length).toBeGreaterThan(20);
    expect(ofQueue.filter(({ text }) => namesDistributed(text)).map(({ text }) => text)).toEqual([]);
    const broken = ofQueue.map(({ text, keepsSettings }) => [brokenRulesOfQueue(text, keepsSettings), text] as const);
    expect(broken.filter(([rules]) => rules.length > 0)).toEqual([]);
  });

  test('only sessions that leave distributed tables alone keep their settings on the coordinator', () => {
    const keeping = heard.filter(({ keepsSettings }) => keepsSettings);
    expect([...new Set(keeping.map(({ applicationName }) => applicationName))].toSorted()).toEqual([
      'sluice-migrate',
      'sluice-queue',
    ]);
    expect(keeping.filter(({ text }) => namesDistributed(text)).map(({ text }) => text)).toEqual([]);
  });

  test('those that are left out are still the ones that are listed', () => {
    for (const one of [...ON_EVERY_NODE, ...OF_COORDINATOR, ...OF_MIGRATIONS])
      expect(heard.filter(({ text }) => one.test(text)).length, String(one)).toBeGreaterThan(0);
  });
});
