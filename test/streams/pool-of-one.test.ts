import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';
import { readUsage } from '../usage/questions.ts';
import { deleteStream, readValues, type RecordInput, verdict, write } from './writes.ts';

// With one connection in the pool, code that asks the pool while it holds a transaction waits for itself.
let server: TestServer;
beforeAll(async () => {
  // Parts of a kilobyte, so that an export notes and writes many of them while it still reads.
  server = await startTestServer({ env: { DATABASE_POOL: '1', EXPORT_PART_BYTES: '1024', EXPORT_MEMORY: '1024' } });
});
afterAll(() => server.stop());

const record = (changes: Partial<RecordInput> = {}): RecordInput => ({
  timestamp: '2026-01-25T00:00:00Z',
  granularity: 'DAILY',
  elementName: 'hooli',
  value: '1',
  ...changes,
});

test('handles concurrent and repeated writes of every kind, and every query', async () => {
  const selector = { timestamp: '2026-01-25T00:00:00Z', granularity: 'DAILY' };
  const requests = Array.from({ length: 6 }, async (_, index) => {
    const stream = `one-${index % 2}`;
    const answers = [
      await write(server, 'Sum', { stream, records: [record()], idempotencyKey: `sum-${stream}` }),
      await write(server, 'Replace', { stream, records: [record({ value: '2' })] }),
      await write(server, 'Delete', { stream, records: [{ ...selector, elementName: 'nobody' }] }),
    ];
    return answers.map(verdict);
  });
  expect((await Promise.all(requests)).flat()).toEqual(Array.from({ length: 18 }, () => 'taken'));
  expect(await readValues(server, 'one-0')).toEqual({ '2026-01-25T00:00:00Z hooli': '2' });
  const usage = await readUsage(server, {
    from: '2026-01-01T00:00:00Z',
    to: '2026-02-01T00:00:00Z',
    aggregationBucket: 'MONTH',
    sparse: false,
  });
  expect(usage.series.map((series) => series.total)).toEqual(['2', '2']);
  const lists = await server.graphql<{ streams: { totalCount: number } }>(`{
    streams { totalCount edges { node { firstTimestamp lastTimestamp records { edges { cursor } }
      operations { edges { node { stream { name } } } } } } }
    jobs { totalCount } runs { totalCount } apiKeys { edges { node { name } } } viewer { accountName } }`);
  expect(lists.streams.totalCount).toBe(2);
  expect((await deleteStream(server, 'one-1')).__typename).toBe('DeletedStream');
});

test('handles a job and a run with many parts', async () => {
  const records = Array.from({ length: 600 }, (_, index) => record({ elementName: `customer-${index}` }));
  await write(server, 'Sum', { stream: 'exported', records });
  const { createJob } = await server.graphql<{ createJob: { id: string } }>(
    `mutation ($input: CreateJobInput!) { createJob(input: $input) { ... on Job { id } } }`,
    {
      input: {
        jobName: 'Pool of one',
        s3Url: 'exports/one',
        format: 'NDJSON',
        aggregationBucket: 'DAY',
        range: 'ago(7d)',
        groupBy: ['element'],
        meterApiNames: ['exported'],
        enabled: false,
      },
    },
  );
  await server.graphql(`mutation ($input: RunJobInput!) { runJob(input: $input) { __typename } }`, {
    input: { jobId: createJob.id, scheduledFor: '2026-01-28T02:00:00Z' },
  });
  // Requests continue meanwhile.
  const sums = Promise.all(
    Array.from({ length: 20 }, () => write(server, 'Sum', { stream: 'meanwhile', records: [record()] })),
  );
  const run = await eventually(
    async () =>
      (
        await server.graphql<{ runs: { edges: { node: { status: string; attempt: number; rowsWritten: number } }[] } }>(
          `{ runs { edges { node { status attempt rowsWritten error { message } } } } }`,
        )
      ).runs.edges[0]?.node,
    (one) => one?.status === 'SUCCEEDED' || one?.status === 'FAILED' || (one?.attempt ?? 0) > 1,
    30_000,
  );
  expect(run).toEqual({ status: 'SUCCEEDED', attempt: 1, rowsWritten: 600, error: null });
  expect((await sums).map(verdict)).toEqual(Array.from({ length: 20 }, () => 'taken'));
});
