import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { purgeCommand } from '../../src/cli/commands/purge.ts';
import { loadConfig } from '../../src/config/config.ts';
import { createChance } from '../faults/chance.ts';
import { Model } from '../streams/model.ts';
import { expectLiveValues, expectUsage } from '../streams/played-histories.ts';
import { deleteStream, readRecords, verdict, write, type WriteKind } from '../streams/writes.ts';
import { createFaults, createGate } from '../support/faults.ts';
import { createJob, endedRun, readExport, runJob, runThat } from '../support/job-steps.ts';
import { startTestServer, type TestServer } from '../support/server.ts';
import { readUsage } from '../usage/questions.ts';
import { openAccounts, type PlacedAccount } from './accounts.ts';
import { type Cluster, createCluster, hasCluster } from './cluster.ts';
import { asAccount } from './counted-load.ts';
import { FORMS, randomRecords, writeAs } from './telemetry.ts';

/** A purge has to leave what is younger than their sum. */
const SETTINGS = { REQUEST_TIMEOUT_MS: '8000', INTAKE_MAX_SECONDS: '1' };
const MINIMUM_MS = 9000;
const KINDS: readonly WriteKind[] = ['Sum', 'Sum', 'Replace', 'Delete'];
const DAY = '2026-01-25T00:00:00Z';
const SLOT = '2026-01-28T02:00:00Z';
const ELEMENTS = 20;

const recordsOf = (value: string) =>
  Array.from({ length: ELEMENTS }, (_, index) => ({
    timestamp: DAY,
    granularity: 'DAILY',
    elementName: `e${index}`,
    filter: [{ dimension: 'region', values: ['eu'] }],
    value,
  }));

describe.skipIf(!hasCluster)('streams of accounts on different workers', () => {
  let cluster: Cluster;
  let server: TestServer;
  let accounts: readonly PlacedAccount[];
  beforeAll(async () => {
    cluster = await createCluster();
    server = await startTestServer({ database: cluster.database, env: SETTINGS });
    accounts = await openAccounts(cluster, server, 'streams');
  });
  afterAll(async () => {
    await server?.stop();
    await cluster?.drop();
  });

  const replace = async (stream: string, value: string, key: string): Promise<void> =>
    expect(verdict(await write(server, 'Replace', { stream, records: recordsOf(value) }, key))).toBe('taken');

  /** Removes what was hidden or deleted long enough ago; returns everything that the command printed. */
  const purge = async (): Promise<string> => {
    let printed = '';
    const print = (text: string): void => void (printed += `${text}\n`);
    await purgeCommand(
      {
        terminal: { print, message: print },
        log: { debug: () => undefined, warn: () => undefined, error: () => undefined },
        loadConfig: () => loadConfig({ ...SETTINGS, DATABASE_URL: cluster.database.url }),
      },
      { hidden: true, dryRun: false, olderThanMs: MINIMUM_MS },
    );
    return printed;
  };

  /** As if everything that happened to the stream had happened an hour earlier. */
  const letAnHourPass = async (accountId: bigint, stream: string): Promise<void> => {
    const values = [String(accountId), stream, new Date(Date.now() - 3_600_000)];
    await cluster.query(
      `UPDATE operations SET received_at = $3, ended_at = $3
       WHERE account_id = $1 AND stream_id IN (SELECT id FROM streams WHERE account_id = $1 AND name = $2)`,
      values,
    );
    await cluster.query('UPDATE streams SET deleted_at = $3 WHERE account_id = $1 AND name = $2', values);
  };

  const rowsLeft = async (accountId: bigint, stream: string): Promise<number> => {
    const counts = await Promise.all(
      ['records', 'filters', 'totals'].map((table) =>
        cluster.query<{ count: number }>(
          `SELECT count(*)::int AS count FROM ${table}
           WHERE account_id = $1 AND stream_id IN (SELECT id FROM streams WHERE account_id = $1 AND name = $2)`,
          [String(accountId), stream],
        ),
      ),
    );
    return counts.flat().reduce((sum, { count }) => sum + count, 0);
  };

  test('deleted stream > disappears from records and usage, and starts empty when it is created again', async () => {
    const stream = 'recreated';
    const question = { from: '2026-01-01T00:00:00Z', to: '2026-03-01T00:00:00Z', timeZone: 'UTC', filter: [] };
    const byElement = { ...question, aggregationBucket: 'DAY', groupBy: ['element'] } as const;
    const asked = { ...byElement, groupBy: ['element'], sparse: true, coefficient: null };
    for (const { name, key } of accounts) {
      const chance = createChance(`recreated of ${name}`);
      const model = new Model();
      await write(server, 'Sum', { stream: 'kept', records: recordsOf('1') }, key);
      for (let life = 1; life <= 4; life += 1) {
        for (let number = 0; number < 8; number += 1) {
          const kind = number === 0 ? 'Sum' : chance.pick(KINDS);
          const input = { stream, records: randomRecords(chance, kind, 20) };
          expect(await writeAs(chance.pick(FORMS), server, kind, input, key)).toBe(model.write(kind, input));
        }
        await expectLiveValues(server, model.streams, key, [stream]);
        await expectUsage(server, model.streams, key, { ...asked, meterApiNames: [stream] });
        model.deleteStream(stream);
        const deletions = await Promise.all([1, 2, 3].map(() => deleteStream(server, stream, key)));
        const outcomes = deletions.map(({ __typename }) => __typename);
        expect(outcomes.toSorted()).toEqual(['DeletedStream', 'NotFoundError', 'NotFoundError']);
        expect(await readRecords(server, stream, { key })).toBeNull();
        const { series } = await readUsage(server, byElement, key);
        expect(new Set(series.map(({ meterApiName }) => meterApiName))).toEqual(new Set(['kept']));
      }
    }
  });

  test('purge > keeps a deleted stream while a run reads it, and removes it, of that account only, when the run has ended', async () => {
    const stream = 'purged';
    const faults = createFaults(server.s3);
    const [neighbour] = accounts.toReversed();
    for (const { key } of accounts) await replace(stream, '1', key);
    for (const { id, key, bucket, name } of accounts.slice(0, -1)) {
      const owner = asAccount(server, key);
      const settings = { meterApiNames: [stream], groupBy: ['element'], range: 'ago(10d)' };
      const jobId = await createJob(owner, { ...settings, s3Url: `${bucket}/purged` });
      const gate = createGate();
      faults.on('purged', () => ({ hold: gate.opened }));
      const runId = await runJob(owner, jobId, SLOT);
      await runThat(owner, runId, ({ status }) => status === 'RUNNING');
      await deleteStream(server, stream, key);
      await letAnHourPass(id, stream);
      expect(await purge()).toContain(`Kept the stream "${stream}" of the account "${name}"`);
      gate.open();
      const run = await endedRun(owner, runId);
      expect(readExport(owner, run, bucket).text.trimEnd().split('\n').length).toBe(ELEMENTS + 1);
      expect(await purge()).toContain(`removed ${ELEMENTS} records and 1 filter of the stream "${stream}"`);
      expect(await rowsLeft(id, stream)).toBe(0);
    }
    expect(await readRecords(server, stream, { key: neighbour?.key ?? '' })).toHaveLength(ELEMENTS);
  });

  test('purge > does not change exports and usage when all run in loops during replaces', async () => {
    const stream = 'rewritten';
    const counts: number[] = [];
    let purged = 0;
    const isOver = (): boolean => counts.length >= 100 && purged > 0;
    for (const { key } of accounts) await replace(stream, '0', key);
    const replacing = accounts.map(async ({ key }) => {
      for (let round = 1; !isOver(); round += 1) await replace(stream, String(round), key);
    });
    const asking = accounts.map(async ({ key }) => {
      const question = { from: DAY, to: '2026-01-26T00:00:00Z', aggregationBucket: 'DAY', groupBy: ['element'] };
      while (!isOver()) {
        const { series } = await readUsage(server, { meterApiNames: [stream], ...question }, key);
        counts.push(new Set(series.map(({ total }) => total)).size === 1 ? series.length : 0);
      }
    });
    const exporting = accounts.map(async ({ key, bucket }) => {
      const owner = asAccount(server, key);
      const settings = { meterApiNames: [stream], groupBy: ['element'], range: 'ago(10d)' };
      const jobId = await createJob(owner, { ...settings, s3Url: `${bucket}/rewritten` });
      while (!isOver()) {
        const run = await endedRun(owner, await runJob(owner, jobId, SLOT));
        counts.push(readExport(owner, run, bucket).text.trimEnd().split('\n').length - 1);
      }
    });
    const purging = (async () => {
      while (!isOver()) {
        const removed = /removed ([\d,]+) hidden records of the live stream "rewritten"/.exec(await purge());
        purged += Number(removed?.[1]?.replaceAll(',', '') ?? 0);
      }
    })();
    await Promise.all([purging, ...replacing, ...asking, ...exporting]);
    expect(counts.filter((count) => count !== ELEMENTS)).toEqual([]);
  });
});
