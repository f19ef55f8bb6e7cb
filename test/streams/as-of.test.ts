import { afterAll, beforeAll, expect, test } from 'vitest';
import { ingest } from '../../src/streams/ingest.ts';
import { deleteStream as hideStream } from '../../src/streams/streams.ts';
import { computeBuckets } from '../../src/usage/buckets.ts';
import { filledRowCountQuery } from '../../src/usage/query.ts';
import type { UsageSpec } from '../../src/usage/sums-query.ts';
import { takeWatermark } from '../../src/db/as-of.ts';
import { readUsageRows, resolveStreams } from '../../src/usage/usage.ts';
import { executeNumbered } from '../../src/db/numbered-query.ts';
import { mergeTotals } from '../../src/streams/totals/merge-totals.ts';
import { forgetTotals, querySql } from '../support/job-steps.ts';
import { openClient } from '../support/postgres-admin.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';
import { accountIdOf, untilWaiting, within } from './held-transactions.ts';
import { deleteStream, type RecordInput, write } from './writes.ts';

// Random histories read as of snapshots in between: histories.test.ts. Here transactions commit in another order than
// they began in, which a number that grows with each operation does not show.

let server: TestServer;
let accountId: bigint;
beforeAll(async () => {
  server = await startTestServer();
  accountId = await accountIdOf(server, 'default');
});
afterAll(() => server.stop());

const BUCKET = '2026-01-25T00:00:00Z';
const record = (value: string, changes: Partial<RecordInput> = {}) => ({
  timestamp: BUCKET,
  granularity: 'DAILY' as const,
  elementName: 'hooli',
  value,
  ...(changes as object),
});

const watermarkNow = async (): Promise<string> =>
  (await takeWatermark(server.resources.database.acrossAccounts, accountId)).snapshot;

const specAsOf = async (watermark: string, names: readonly string[] | null): Promise<UsageSpec> => {
  const window = { start: new Date('2026-01-01T00:00:00Z'), end: new Date('2026-03-01T00:00:00Z') };
  return {
    accountId,
    watermark,
    ...(await resolveStreams(server.resources.database.acrossAccounts, accountId, names, watermark)),
    buckets: computeBuckets(window, 'DAY', 'UTC'),
    timeZone: 'UTC',
    groupBy: ['element'],
    filter: [],
    sparse: true,
    coefficient: null,
  };
};

/** `hooli` -> value of one stream as of the watermark. */
const usageAsOf = async (watermark: string, stream: string): Promise<Record<string, string>> => {
  const rows = await readUsageRows(server.resources.database.acrossAccounts, await specAsOf(watermark, [stream]), 100);
  return Object.fromEntries(rows.map((row) => [String(row['g1']), row.value]));
};

const request = (kind: 'SUM' | 'REPLACE', stream: string, records: readonly ReturnType<typeof record>[]) => ({
  kind,
  accountId,
  stream,
  records,
  path: ['input'],
});

test('watermark > contains exactly the sums that committed before it, in whatever order they began', async () => {
  const stream = 'out-of-order';
  await write(server, 'Sum', { stream, records: [record('1')] });
  let during = '';
  await server.resources.database.acrossAccounts.transaction(async (tx) => {
    await ingest(within(server, tx), request('SUM', stream, [record('20')]));
    await write(server, 'Sum', { stream, records: [record('300')] });
    during = await watermarkNow();
    expect(await usageAsOf(during, stream)).toEqual({ hooli: '301' });
  });
  const after = await watermarkNow();
  expect(await usageAsOf(during, stream)).toEqual({ hooli: '301' });
  expect(await usageAsOf(after, stream)).toEqual({ hooli: '321' });

  // Both watermarks read the same after the records were hidden.
  await write(server, 'Replace', { stream, records: [record('4000')] });
  const replaced = await watermarkNow();
  await write(server, 'Delete', { stream, records: [{ timestamp: BUCKET, granularity: 'DAILY' }] });
  const deleted = await watermarkNow();
  await write(server, 'Sum', { stream, records: [record('50000')] });
  await deleteStream(server, stream);
  const gone = await watermarkNow();
  await write(server, 'Sum', { stream, records: [record('7', { granularity: 'HOURLY' })] });
  expect(await usageAsOf(during, stream)).toEqual({ hooli: '301' });
  expect(await usageAsOf(after, stream)).toEqual({ hooli: '321' });
  expect(await usageAsOf(replaced, stream)).toEqual({ hooli: '4000' });
  expect(await usageAsOf(deleted, stream)).toEqual({});
  expect(await usageAsOf(gone, stream)).toEqual({});
  expect(await usageAsOf(await watermarkNow(), stream)).toEqual({ hooli: '7' });
});

test('watermark > hides nothing for a replace that committed after it', async () => {
  const stream = 'replaced-meanwhile';
  await write(server, 'Sum', { stream, records: [record('1'), record('2', { elementName: 'globex' })] });
  let during = '';
  await server.resources.database.acrossAccounts.transaction(async (tx) => {
    await ingest(within(server, tx), request('REPLACE', stream, [record('10')]));
    during = await watermarkNow();
    expect(await usageAsOf(during, stream)).toEqual({ hooli: '1', globex: '2' });
  });
  expect(await usageAsOf(during, stream)).toEqual({ hooli: '1', globex: '2' });
  expect(await usageAsOf(await watermarkNow(), stream)).toEqual({ hooli: '10', globex: '2' });
  // A later replace hides its records: the watermark must not read them as existing before.
  await write(server, 'Replace', { stream, records: [record('100')] });
  expect(await usageAsOf(during, stream)).toEqual({ hooli: '1', globex: '2' });
});

test('watermark > leaves out a sum that waits for the stream when it is taken', async () => {
  const stream = 'waiting';
  await write(server, 'Sum', { stream, records: [record('1')] });
  const client = await openClient(server.database.url);
  try {
    await client.query('BEGIN');
    await client.query(
      `SELECT pg_advisory_xact_lock(hashtextextended(id::text, 0)) FROM streams WHERE name = '${stream}'`,
    );
    const waiting = write(server, 'Sum', { stream, records: [record('20')] });
    await untilWaiting(server, 1);
    const during = await watermarkNow();
    await client.query('COMMIT');
    await waiting;
    expect(await usageAsOf(during, stream)).toEqual({ hooli: '1' });
    expect(await usageAsOf(await watermarkNow(), stream)).toEqual({ hooli: '21' });
  } finally {
    await client.end();
  }
});

test('watermark > ignores a stream that an open transaction creates or deletes', async () => {
  await write(server, 'Sum', { stream: 'deleted-meanwhile', records: [record('1')] });
  let during = '';
  await server.resources.database.acrossAccounts.transaction(async (tx) => {
    await ingest(within(server, tx), request('SUM', 'made-meanwhile', [record('2')]));
    await hideStream(within(server, tx), accountId, 'deleted-meanwhile');
    during = await watermarkNow();
  });
  const after = await watermarkNow();
  expect(await usageAsOf(during, 'made-meanwhile')).toEqual({});
  expect(await usageAsOf(during, 'deleted-meanwhile')).toEqual({ hooli: '1' });
  expect(await usageAsOf(after, 'made-meanwhile')).toEqual({ hooli: '2' });
  expect(await usageAsOf(after, 'deleted-meanwhile')).toEqual({});
  // All streams, including those created or deleted since the watermark.
  const names = async (watermark: string) => (await specAsOf(watermark, null)).streams.map(({ name }) => name);
  expect(await names(during)).toContain('deleted-meanwhile');
  expect(await names(during)).not.toContain('made-meanwhile');
  expect(await names(after)).toContain('made-meanwhile');
  expect(await names(after)).not.toContain('deleted-meanwhile');
});

test('watermark > never contains a transaction that was rolled back', async () => {
  const stream = 'rolled-back';
  await write(server, 'Sum', { stream, records: [record('1')] });
  let during = '';
  const rolledBack = server.resources.database.acrossAccounts.transaction(async (tx) => {
    await ingest(within(server, tx), request('REPLACE', stream, [record('10')]));
    during = await watermarkNow();
    throw new Error('rolled back');
  });
  await expect(rolledBack).rejects.toThrow('rolled back');
  await write(server, 'Replace', { stream, records: [record('100')] });
  expect(await usageAsOf(during, stream)).toEqual({ hooli: '1' });
  expect(await usageAsOf(await watermarkNow(), stream)).toEqual({ hooli: '100' });
});

test('watermark > limits the rows that zeros fill, too', async () => {
  const stream = 'filled';
  await write(server, 'Sum', { stream, records: [record('1'), record('1', { elementName: 'globex' })] });
  const before = await watermarkNow();
  const hidden = { timestamp: BUCKET, granularity: 'DAILY', elementName: 'hooli' };
  await write(server, 'Delete', { stream, records: [hidden] });
  const rowsAsOf = async (watermark: string): Promise<number[]> => {
    const spec = { ...(await specAsOf(watermark, [stream])), sparse: false };
    const db = server.resources.database.acrossAccounts;
    const [count] = await executeNumbered<{ rows: string }>(db, filledRowCountQuery(spec));
    return [Number(count?.rows), (await readUsageRows(db, spec, 1000)).length];
  };
  // January and February have 59 days.
  expect(await rowsAsOf(before)).toEqual([118, 118]);
  expect(await rowsAsOf(await watermarkNow())).toEqual([59, 59]);
});

/** The sum over all elements, which totals contain. */
const sumAsOf = async (watermark: string, stream: string): Promise<string | undefined> => {
  const spec = { ...(await specAsOf(watermark, [stream])), groupBy: [] };
  const [row] = await readUsageRows(server.resources.database.acrossAccounts, spec, 100);
  return row?.value;
};

test('watermark > reads the same sums after later operations were merged, and before operations had totals', async () => {
  const stream = 'merged';
  const db = server.resources.database.acrossAccounts;
  await write(server, 'Sum', { stream, records: [record('1')] });
  const first = await watermarkNow();
  await write(server, 'Sum', { stream, records: [record('20', { elementName: 'initech' })] });
  const second = await watermarkNow();
  // Waits until no older transaction of another test is open in the cluster.
  await eventually(
    async () => {
      await mergeTotals(db, { minOperations: 1 });
      return querySql<{ id: string }>(
        server,
        `SELECT operation_id AS id FROM totals JOIN streams s ON s.id = stream_id WHERE s.name = 'merged' AND operation_id > 0`,
      );
    },
    (unmerged) => unmerged.length === 0,
  );
  expect(await sumAsOf(first, stream)).toBe('1');
  expect(await sumAsOf(await watermarkNow(), stream)).toBe('21');
  await write(server, 'Delete', {
    stream,
    records: [{ timestamp: BUCKET, granularity: 'DAILY', elementName: 'initech' }],
  });
  expect(await sumAsOf(first, stream)).toBe('1');
  expect(await sumAsOf(second, stream)).toBe('21');
  expect(await sumAsOf(await watermarkNow(), stream)).toBe('1');
  await forgetTotals(server, stream);
  expect(await sumAsOf(second, stream)).toBe('21');
  expect(await sumAsOf(await watermarkNow(), stream)).toBe('1');
});
