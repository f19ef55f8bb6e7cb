import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { takeWatermark } from '../../src/db/as-of.ts';
import { mergeTotals } from '../../src/streams/totals/merge-totals.ts';
import { createChance } from '../faults/chance.ts';
import { Model } from '../streams/model.ts';
import { expectUsage, rowsAsOf } from '../streams/played-histories.ts';
import type { WriteKind } from '../streams/writes.ts';
import { brokenPromises } from '../support/bucket-check.ts';
import { createJob, endedRun, readExport, runJob } from '../support/job-steps.ts';
import { startTestServer, type TestServer } from '../support/server.ts';
import { startWorkerProcess, type WorkerProcess } from '../support/worker-process.ts';
import { rescaled, type UsageQuestion, usageOf } from '../usage/usage-oracle.ts';
import { openAccounts, type PlacedAccount } from './accounts.ts';
import { type Cluster, createCluster, hasCluster } from './cluster.ts';
import { asAccount, startLoads } from './counted-load.ts';
import { FORMS, randomRecords, writeAs } from './telemetry.ts';

const SLOT = '2026-02-03T02:00:00Z';
const KINDS: readonly WriteKind[] = ['Sum', 'Sum', 'Replace', 'Delete'];
const BUCKETS = ['DAY', 'MONTH'] as const;
const GROUPINGS = [[], ['region'], ['element'], ['element', 'region']];
const READS = 1000;
const READERS = 4;

describe.skipIf(!hasCluster)('exports of accounts on different workers', () => {
  let cluster: Cluster;
  let server: TestServer;
  let workers: readonly WorkerProcess[];
  let accounts: readonly PlacedAccount[];
  beforeAll(async () => {
    cluster = await createCluster();
    server = await startTestServer({ database: cluster.database, env: { ROLE: 'api' } });
    // One export at a time, so that both of them get some.
    const env = { EXPORT_CONCURRENCY: '1' };
    workers = await Promise.all([startWorkerProcess(server, env), startWorkerProcess(server, env)]);
    accounts = await openAccounts(cluster, server, 'exported');
  });
  afterAll(async () => {
    for (const worker of workers ?? []) await worker.end();
    await server?.stop();
    await cluster?.drop();
  });

  const writeRandomly = async ({ name, key }: PlacedAccount, stream: string): Promise<Model> => {
    const chance = createChance(`exports of ${name}`);
    const model = new Model();
    for (let number = 0; number < 30; number += 1) {
      const kind = number === 0 ? 'Sum' : chance.pick(KINDS);
      const input = { stream, records: randomRecords(chance, kind, 40) };
      expect(await writeAs(chance.pick(FORMS), server, kind, input, key)).toBe(model.write(kind, input));
    }
    return model;
  };

  test('files > contain the usage of the account, by day, month, region and element, when two workers export', async () => {
    const exports: (() => Promise<void>)[] = [];
    for (const account of accounts) {
      const model = await writeRandomly(account, 'exported');
      const asOwner = asAccount(server, account.key);
      for (const aggregationBucket of BUCKETS) {
        for (const groupBy of GROUPINGS) {
          const what = [aggregationBucket, ...groupBy].join('-');
          const settings = { jobName: what, s3Url: `${account.bucket}/${what}`, aggregationBucket, groupBy };
          const jobId = await createJob(asOwner, { ...settings, meterApiNames: ['exported'], range: 'ago(40d)' });
          exports.push(async () => {
            const run = await endedRun(asOwner, await runJob(asOwner, jobId, SLOT), 90_000);
            const [, ...lines] = readExport(asOwner, run, account.bucket).bodies.join('').trimEnd().split('\n');
            const window = { from: run.windowStart, to: run.windowEnd };
            const asked: UsageQuestion = { ...window, aggregationBucket, timeZone: 'UTC', groupBy, filter: [] };
            const rows = lines.map((line) => {
              const [meter, start = '', , ...cells] = line.split(',');
              const label = start.slice(0, aggregationBucket === 'DAY' ? 10 : 7);
              return [
                JSON.stringify([meter, label, ...cells.slice(0, -1).map((cell) => [cell])]),
                cells.at(-1),
              ] as const;
            });
            expect(new Set(rows.map(([row]) => row)).size).toBe(rows.length);
            expect(Object.fromEntries(rows), what).toEqual(Object.fromEntries(rescaled(usageOf(model.streams, asked))));
            const question = { ...asked, meterApiNames: ['exported'], sparse: true, coefficient: null };
            await expectUsage(server, model.streams, account.key, question);
          });
        }
      }
    }
    await Promise.all(exports.map((exportOne) => exportOne()));
    expect(exports.length).toBe(accounts.length * BUCKETS.length * GROUPINGS.length);
    for (const { messages } of workers) expect(messages).toContain('run started');
    expect(brokenPromises(server.s3.puts)).toEqual([]);
  });

  test('watermark > has the same result when it is read a thousand times during intake, exports and merges of totals', async () => {
    const loads = await startLoads([server], accounts, { suffix: 'watermark', senders: 2 });
    const index = createChance('watermark').between(0, accounts.length - 1);
    const [load, id] = [loads[index], accounts[index]?.id ?? 0n];
    const answers = new Set<string>();
    let left = READS;
    let bounds: readonly [least: number, most: number];
    try {
      await Promise.all(loads.map((each) => each.progress()));
      const db = server.resources.database.acrossAccounts;
      const least = load?.acknowledged ?? 0;
      const { snapshot } = await takeWatermark(db, id);
      bounds = [least, load?.begun ?? 0];
      const read = async (): Promise<void> => {
        for (; left > 0; left -= 1) {
          if (left % 100 === 0) await mergeTotals(db, { minOperations: 1 });
          const rows = await rowsAsOf(server, id, snapshot, { groupBy: ['element', 'region'] });
          answers.add(JSON.stringify([...rows]));
        }
      };
      await Promise.all(Array.from({ length: READERS }, read));
    } finally {
      await Promise.all(loads.map((each) => each.stop()));
    }
    expect(loads.flatMap(({ wrong }) => wrong)).toEqual([]);
    expect(load?.acknowledged).toBeGreaterThan(bounds[1]);
    expect(answers.size).toBe(1);
    const values = (JSON.parse([...answers].join()) as [row: string, value: string][])
      .filter(([row]) => row.includes(load?.stream ?? ''))
      .map(([, each]) => each);
    expect(new Set(values).size).toBe(1);
    const value = Number(values[0]);
    expect(value).toBeGreaterThanOrEqual(bounds[0]);
    expect(value).toBeLessThanOrEqual(bounds[1]);
  });
});
