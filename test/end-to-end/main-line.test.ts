import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(() => server.stop());

test('export > writes a file and a complete manifest to the S3 bucket after a sum, createJob and runJob', async () => {
  const sum = await server.graphql<{ allocationSum: { operation: { insertedRecords: number } } }>(
    `mutation ($input: AllocationInput!) { allocationSum(input: $input) { ... on AllocationReceipt { operation { insertedRecords } } } }`,
    {
      input: {
        stream: 'api-calls',
        records: [
          {
            timestamp: '2026-01-25T13:00:00Z',
            granularity: 'DAILY',
            filter: [{ dimension: 'region', values: ['eu', 'us'] }],
            elementName: 'hooli',
            value: '250000000.10',
          },
        ],
      },
    },
  );
  expect(sum.allocationSum.operation.insertedRecords).toBe(1);

  const { createJob } = await server.graphql<{ createJob: { id: string } }>(
    `mutation ($input: CreateJobInput!) { createJob(input: $input) { ... on Job { id } } }`,
    {
      input: {
        jobName: 'Daily export',
        s3Url: 's3://exports/customers/',
        format: 'CSV',
        aggregationBucket: 'DAY',
        range: 'ago(7d)',
        groupBy: ['region', 'element'],
        enabled: false,
      },
    },
  );
  await server.graphql(`mutation ($input: RunJobInput!) { runJob(input: $input) { __typename } }`, {
    input: { jobId: createJob.id, scheduledFor: '2026-01-28T02:00:00Z' },
  });
  const run = await eventually(
    async () =>
      (
        await server.graphql<RunsAnswer>(
          `{ runs { nodes: edges { node { status manifestKey objects { key rows } error { message } } } } }`,
        )
      ).runs.nodes[0]?.node,
    (one) => one?.status === 'SUCCEEDED' || one?.status === 'FAILED',
  );
  const stem = 'customers/daily-export/20260121T000000Z_20260128T000000Z';
  const manifestKey = 'customers/daily-export/_20260121T000000Z_20260128T000000Z.manifest.json';
  expect(run).toEqual({
    status: 'SUCCEEDED',
    manifestKey,
    objects: [{ key: `${stem}.csv`, rows: 1 }],
    error: null,
  });
  expect(server.s3.object('exports', `${stem}.csv`)?.body.toString()).toBe(
    'meterApiName,bucketStart,bucketEnd,region,element,value\n' +
      'api-calls,2026-01-25T00:00:00Z,2026-01-26T00:00:00Z,eu|us,hooli,250000000.1\n',
  );
  expect(JSON.parse(server.s3.object('exports', manifestKey)?.body.toString() ?? '')).toMatchObject({
    state: 'complete',
    totals: { objects: 1, rows: 1 },
  });
  expect(server.s3.refusals).toEqual([]);
});

interface RunsAnswer {
  readonly runs: {
    readonly nodes: readonly {
      readonly node: { status: string; manifestKey: string | null; objects: object[]; error: object | null };
    }[];
  };
}
