import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { repairLedger } from '../../src/db/as-of.ts';
import { MovedError } from '../../src/errors/errors.ts';
import { mergeTotals } from '../../src/streams/totals/merge-totals.ts';
import { findDeletedStreams, findHiddenRecords } from '../../src/streams/purge/find-purgeable.ts';
import { purgeStream } from '../../src/streams/purge/purge.ts';
import {
  createJob,
  endedRun,
  filterOf,
  forgetTotals,
  querySql,
  readExport,
  runJob,
  runThat,
} from '../support/job-steps.ts';
import { createFaults } from '../support/faults.ts';
import { MOST_AHEAD, moveAway, startTravelling, useUpIds } from '../support/moved-accounts.ts';
import { openClient } from '../support/postgres-admin.ts';
import { scrape } from '../support/scrape.ts';
import { startTestServer, type TestServer } from '../support/server.ts';
import { readUsage } from '../usage/questions.ts';
import { accountIdOf, untilWaiting } from './held-transactions.ts';
import { expectLiveValues, expectUsage, play, type Played } from './played-histories.ts';
import { type Drawn, history, question } from './random-requests.ts';
import { deleteStream, type RecordInput, write } from './writes.ts';

let server: TestServer;
let accountId: bigint;
beforeAll(async () => {
  server = await startTestServer({ env: { ROLE: 'api' } });
  accountId = await accountIdOf(server, 'default');
  await useUpIds(server);
});
afterAll(() => server.stop());

const DAY = '2026-01-25T00:00:00Z';
const SLOT = '2026-01-28T02:00:00Z';
const record = (value: string, elementName = 'hooli'): RecordInput => ({
  timestamp: DAY,
  granularity: 'DAILY',
  elementName,
  filter: filterOf({ region: 'eu' }),
  value,
});

/** Usage of one stream by its totals and by its records, the two ways in which usage is read. */
const usageOf = async (stream: string): Promise<[string | undefined, string | undefined]> => {
  const window = { from: DAY, to: '2026-01-26T00:00:00Z', aggregationBucket: 'DAY', meterApiNames: [stream] };
  const byTotals = await readUsage(server, window);
  const byRecords = await readUsage(server, { ...window, groupBy: ['element'] });
  return [byTotals.series[0]?.total, byRecords.series[0]?.total];
};

const repairs = async (): Promise<number> => (await scrape(server.url)).value('sluice_ledger_repairs_total') ?? 0;

const count = fc.bigInt({ min: -MOST_AHEAD, max: MOST_AHEAD });
/** A step after a command of a history: a move to a cluster or none, and whether usage is queried afterwards. */
const step = fc.record({
  moveTo: fc.constantFrom(null, null, 0, 1, 2),
  asked: fc.oneof({ weight: 2, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: question }),
});
const steps = fc.array(step, { minLength: 14, maxLength: 14, size: 'max' });

describe('an account that moves between clusters', () => {
  test(
    'answers as the model does > for random histories, and clusters whose counts are anywhere',
    { timeout: 240_000 },
    async () => {
      let accounts = 0;
      let moves = 0;
      await fc.assert(
        fc.asyncProperty(
          history,
          fc.tuple(count, count, count),
          steps,
          question,
          async (one, counts, journey, last: Drawn<typeof question>) => {
            const accountName = `traveller-${(accounts += 1)}`;
            let account: ReturnType<typeof startTravelling> | undefined;
            let played = 0;
            const stage = {
              server,
              accountName,
              forgetTotals: (_: bigint, stream: string) => forgetTotals(server, stream),
              onPlayed: async ({ key, accountId: id, model }: Played) => {
                account ??= startTravelling(server, id, counts);
                const { moveTo, asked } = journey[played++] ?? { moveTo: null, asked: null };
                if (moveTo !== null && moveTo !== account.cluster) {
                  await account.moveTo(moveTo);
                  moves += 1;
                }
                if (asked) await expectUsage(server, model.streams, key, asked);
              },
            };
            const { key, model } = await play(stage, one.firstShape, one.commands);
            await expectUsage(server, model.streams, key, last);
            await expectLiveValues(server, model.streams, key);
          },
        ),
        { numRuns: 30, endOnFailure: true },
      );
      expect(moves).toBeGreaterThan(30);
    },
  );

  test('reads its own writes > when it returns while an open transaction has the same id', async () => {
    const stream = 'same-ids';
    await write(server, 'Sum', { stream, records: [record('5')] });
    expect(await usageOf(stream)).toEqual(['5', '5']);
    await write(server, 'Sum', { stream, records: [record('2')] });
    const open = await openClient(server.database.url);
    try {
      await open.query('BEGIN');
      const { rows } = await open.query<{ id: string }>('SELECT pg_current_xact_id()::text AS id');
      // Ends behind it, so that the id is not the newest.
      await write(server, 'Sum', { stream: 'other', records: [record('1')] });
      await querySql(
        server,
        `UPDATE operations SET xid = $1::text::xid8 WHERE account_id = $2 AND id = (
          SELECT max(o.id) FROM operations o JOIN streams s ON s.id = o.stream_id WHERE s.name = $3)`,
        [rows[0]?.id, accountId, stream],
      );
      expect(await usageOf(stream)).toEqual(['7', '7']);
    } finally {
      await open.end();
    }
  });
});

describe('a merge of totals', () => {
  test('keeps all totals > when the ids are repaired between its statements', async () => {
    const stream = 'merged-meanwhile';
    const db = server.resources.database.acrossAccounts;
    const merge = () => mergeTotals(db, { minOperations: 1 });
    await write(server, 'Sum', { stream, records: [record('5')] });
    expect(await usageOf(stream)).toEqual(['5', '5']);
    await merge();
    await useUpIds(server);
    await write(server, 'Sum', { stream, records: [record('2')] });
    // The merge lies in the past of the new cluster, and the operation in its future.
    await moveAway(server, accountId, 2n * MOST_AHEAD);
    let total = 7;
    // The server also merges in the background: if nothing is left to merge here, the test tries again.
    for (let isMerged = false; !isMerged;) {
      await write(server, 'Sum', { stream, records: [record('1')] });
      total += 1;
      const holder = await openClient(server.database.url);
      try {
        await holder.query('BEGIN');
        await holder.query(
          `SELECT 1 FROM totals t JOIN streams s ON s.id = t.stream_id WHERE s.name = $1 AND t.operation_id = 0 FOR UPDATE OF t`,
          [stream],
        );
        // Waits for the row that it adds to.
        const merging = merge();
        isMerged = await Promise.race([merging.then(() => false), untilWaiting(server, 1).then(() => true)]);
        if (!isMerged) continue;
        const repairing = repairLedger(db, accountId);
        await Promise.race([repairing, untilWaiting(server, 2)]);
        await holder.query('COMMIT');
        await Promise.all([merging, repairing]);
      } finally {
        await holder.end();
      }
    }
    expect(await usageOf(stream)).toEqual([String(total), String(total)]);
  });
});

describe('a purge leaves what an unfinished run reads', () => {
  const purge = async (): Promise<void> => {
    const { acrossAccounts: db } = server.resources.database;
    const age = { before: new Date(Date.now() + 60_000), assumedMs: 0 };
    for (const found of [...(await findDeletedStreams(db, age)), ...(await findHiddenRecords(db, age))]) {
      await purgeStream(db, found, age);
    }
  };

  const workWhile = async (work: () => Promise<unknown>): Promise<void> => {
    const worker = await startTestServer({ env: { ROLE: 'worker' }, database: server.database, s3: server.s3 });
    try {
      await work();
    } finally {
      await worker.stop();
    }
  };

  test.each<[name: string, counts: readonly [bigint, bigint], path: readonly number[]]>([
    ['stays', [0n, 0n], []],
    ['moved to a cluster whose count is behind', [0n, -MOST_AHEAD], [1]],
    ['moved to a cluster whose count is ahead', [0n, MOST_AHEAD], [1]],
    ['moved to a cluster whose count is behind, and came back', [0n, -MOST_AHEAD], [1, 0]],
    ['moved to a cluster whose count is ahead, and came back', [0n, MOST_AHEAD], [1, 0]],
  ])('> of an account that %s', async (name, counts, path) => {
    const stream = name.replaceAll(/\W+/g, '-');
    const deleted = `deleted-${stream}`;
    const folder = `purged-${stream}`;
    const faults = createFaults(server.s3);
    faults.on(folder, () => ({ status: 503, code: 'SlowDown' }));
    await write(server, 'Sum', { stream, records: [record('1')] });
    await write(server, 'Sum', { stream: deleted, records: [record('10')] });
    const jobId = await createJob(server, {
      meterApiNames: [stream, deleted],
      range: 'ago(10d)',
      groupBy: ['element'],
      s3Url: `exports/${folder}`,
    });
    const runId = await runJob(server, jobId, SLOT);
    await workWhile(() => runThat(server, runId, ({ error }) => error !== null));

    const account = startTravelling(server, accountId, counts);
    let newest = 2;
    await write(server, 'Replace', { stream, records: [record('2')] });
    await deleteStream(server, deleted);
    await purge();
    for (const cluster of path) {
      await account.moveTo(cluster);
      newest += 1;
      await write(server, 'Replace', { stream, records: [record(String(newest))] });
      await purge();
    }

    faults.clear(folder);
    await workWhile(() => endedRun(server, runId));
    const { text } = readExport(server, await endedRun(server, runId));
    const exported = text.trimEnd().split('\n').slice(1);
    // A watermark from before the move is invalid afterwards, so the run takes a new one.
    const expected = path.length === 0 ? [`${deleted} 10`, `${stream} 1`] : [`${stream} ${newest}`];
    expect(exported.map((line) => line.replace(/,.*,/, ' '))).toEqual(expected);
    expect(await usageOf(stream)).toEqual([String(newest), String(newest)]);
  });
});

test('purge > ends and removes nothing when the account moved after the records were found', async () => {
  const stream = 'moved-before-purge';
  await write(server, 'Sum', { stream, records: [record('5')] });
  await deleteStream(server, stream);
  await usageOf(stream);
  const { acrossAccounts: db } = server.resources.database;
  const age = { before: new Date(Date.now() + 60_000), assumedMs: 0 };
  const chosen = (await findDeletedStreams(db, age)).find(({ streamName }) => streamName === stream);
  if (!chosen) throw new Error('The deleted stream was not chosen.');
  await moveAway(server, accountId, 10_000n);
  await expect(purgeStream(db, chosen, age)).rejects.toThrow(MovedError);
  const left = 'SELECT 1 FROM records WHERE account_id = $1 AND stream_id = $2';
  expect(await querySql(server, left, [String(accountId), String(chosen.streamId)])).toHaveLength(1);
});

test('repair of an account > runs once for concurrent requests, and again after the next move', async () => {
  const stream = 'asked-by-many';
  await write(server, 'Sum', { stream, records: [record('5')] });
  await usageOf(stream);
  const before = await repairs();
  for (const round of [1, 2]) {
    await moveAway(server, accountId, 10_000n);
    const answers = await Promise.all(Array.from({ length: 20 }, () => usageOf(stream)));
    expect(answers.flat().every((total) => total === '5')).toBe(true);
    expect(await repairs()).toBe(before + round);
  }
});
