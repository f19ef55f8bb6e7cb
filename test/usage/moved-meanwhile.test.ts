import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  addRecords,
  createJob,
  endedRun,
  filterOf,
  jobSettings,
  querySql,
  readExport,
  readRun,
  runJob,
  runThat,
} from '../support/job-steps.ts';
import { selectWaiting } from '../support/lock-waits.ts';
import { MOST_AHEAD, moveAway, useUpIds } from '../support/moved-accounts.ts';
import { openClient } from '../support/postgres-admin.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';
import { accountIdOf } from '../streams/held-transactions.ts';
import { readUsage, type UsageInput } from './questions.ts';

// The account moves to another cluster after a reader took its watermark and before it reads the rows.

let server: TestServer;
let accountId: bigint;
beforeAll(async () => {
  server = await startTestServer();
  accountId = await accountIdOf(server, 'default');
  await useUpIds(server);
});
afterAll(() => server.stop());

const DAY = '2026-01-25T00:00:00Z';
const SLOT = '2026-01-28T02:00:00Z';
const QUESTION: UsageInput = {
  from: DAY,
  to: '2026-01-26T00:00:00Z',
  aggregationBucket: 'DAY',
  // With this group the rows are read from the table of filters, but the watermark is not.
  groupBy: ['region'],
};

const recordOf = (elementName: string, value: string) => ({
  timestamp: DAY,
  filter: filterOf({ region: 'eu' }),
  elementName,
  value,
});

/** Returns the number of sessions that wait for the lock on the table of filters. */
const countWaiting = async (): Promise<number> =>
  (await querySql(server, selectWaiting("relation = 'filters'::regclass"))).length;

const LOCK = 'LOCK TABLE filters IN ACCESS EXCLUSIVE MODE';

/**
 * Starts the reader, does the work after it took the watermark and before it reads the rows, and returns the result.
 * @param times how often this happens to a reader that retries
 */
const readWhile = async <Answer>(
  read: () => Promise<Answer>,
  work: () => Promise<unknown>,
  times = 1,
): Promise<Answer> => {
  const holders = await Promise.all([openClient(server.database.url), openClient(server.database.url)]);
  const [first] = holders;
  try {
    await first.query('BEGIN');
    await first.query(LOCK);
    const reading = read();
    reading.catch(() => undefined);
    for (let time = 1; time <= times; time += 1) {
      const [holder, next] = time % 2 === 1 ? holders : holders.toReversed();
      await eventually(countWaiting, (waiting) => waiting > 0);
      await work();
      // Waits for the lock behind the reader, and has it when the reader retries.
      const held = time < times && next?.query(`BEGIN; ${LOCK}`);
      await eventually(countWaiting, (waiting) => waiting > Number(time < times));
      await holder?.query('COMMIT');
      await held;
    }
    return await reading;
  } finally {
    await Promise.all(holders.map((holder) => holder.end()));
  }
};

const usageOf = async (stream: string): Promise<string | undefined> =>
  (await readUsage(server, { ...QUESTION, meterApiNames: [stream] })).series[0]?.total;

const addTo = (stream: string, elementName = 'hooli', value = '5') =>
  addRecords(server, stream, 'DAILY', [recordOf(elementName, value)]);

const directions: [where: string, shift: bigint][] = [
  ['behind', 2n * MOST_AHEAD],
  ['ahead', -2n * MOST_AHEAD],
];

describe('account that moves to another cluster while it is read', () => {
  test.each(directions)('has the same usage when the transaction ids of the cluster are %s', async (where, shift) => {
    const stream = `usage-${where}`;
    await addTo(stream);
    expect(await usageOf(stream)).toBe('5');
    const read = await readWhile(
      () => usageOf(stream),
      () => moveAway(server, accountId, shift),
    );
    expect(read).toBe('5');
  });

  test('returns UNAVAILABLE when it moves during each read', async () => {
    const stream = 'usage-on-the-move';
    await addTo(stream);
    expect(await usageOf(stream)).toBe('5');
    const query = `query ($input: UsageInput!) { usage(input: $input) { __typename } }`;
    const input = { ...QUESTION, meterApiNames: [stream] };
    const { status, errors } = await readWhile(
      () => server.request(query, { input }),
      () => moveAway(server, accountId, MOST_AHEAD),
      3,
    );
    expect([status, errors?.[0]?.extensions?.['code']]).toEqual([503, 'UNAVAILABLE']);
    expect(await usageOf(stream)).toBe('5');
  });

  test('has the same sample in checkJob', async () => {
    await addTo('checked');
    const input = jobSettings({ meterApiNames: ['checked'], range: 'ago(3650d)', groupBy: ['region'] });
    const check = () =>
      server.graphql<{ checkJob: { sample: string[]; warnings: string[] } }>(
        `mutation ($input: CreateJobInput!) { checkJob(input: $input) { ... on JobCheck { sample warnings } } }`,
        { input },
      );
    const before = await check();
    expect(before.checkJob.sample).toHaveLength(1);
    expect(await readWhile(check, () => moveAway(server, accountId, 2n * MOST_AHEAD))).toEqual(before);
  });

  test.each(directions)(
    'is exported completely by the next attempt when the transaction ids of the cluster are %s',
    async (where, shift) => {
      const stream = `export-${where}`;
      await addTo(stream);
      const runId = await exportWhile(stream, () => moveAway(server, accountId, shift));
      await expectWhole(runId, [`${stream} eu 5`]);
    },
  );

  test('is exported with a new watermark when its transaction ids are repaired while it is read', async () => {
    const stream = 'export-repaired';
    await addTo(stream);
    const open = await openClient(server.database.url);
    try {
      await open.query('BEGIN');
      await open.query('SELECT pg_current_xact_id()');
      const runId = await exportWhile(stream, async () => {
        // This operation is newer than the watermark, but a repair cannot know: its id is newer than that of the open transaction.
        await addTo(stream, 'initech', '2');
        // Simulates an operation that was written by a transaction of another cluster.
        await querySql(
          server,
          `UPDATE operations SET xid = '99999999' WHERE account_id = $1 AND id = (SELECT min(id) FROM operations WHERE account_id = $1)`,
          [accountId],
        );
        await readUsage(server, { ...QUESTION, groupBy: ['element'], meterApiNames: [stream] });
      });
      await expectWhole(runId, [`${stream} eu 7`]);
    } finally {
      await open.end();
    }
  });
});

const exportWhile = async (stream: string, work: () => Promise<unknown>): Promise<string> => {
  const jobId = await createJob(server, {
    meterApiNames: [stream],
    range: 'ago(7d)',
    groupBy: ['region'],
    s3Url: `exports/${stream}`,
  });
  return readWhile(() => runJob(server, jobId, SLOT), work);
};

/** Expects that the first attempt failed because the account moved, and that the second wrote these rows. */
const expectWhole = async (runId: string, rows: readonly string[]): Promise<void> => {
  const failed = await runThat(server, runId, ({ error, finishedAt }) => error !== null || finishedAt !== null);
  expect(failed.error).toMatchObject({ code: 'DATABASE_UNAVAILABLE', retryable: true });
  expect(failed.attempt).toBe(1);
  await endedRun(server, runId);
  const run = await readRun(server, runId);
  expect([run.status, run.attempt]).toEqual(['SUCCEEDED', 2]);
  const { text, manifest } = readExport(server, run);
  const exported = text.trimEnd().split('\n').slice(1);
  expect(exported.map((line) => line.replace(/,.*,(\w+),/, ' $1 '))).toEqual(rows);
  expect(manifest.state).toBe('complete');
};
