import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestServer, type TestServer } from '../support/server.ts';
import { readRecords } from '../streams/writes.ts';
import { allocationPath, ask, NDJSON, type Receipt, recordsOf, type Verb } from './requests.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ env: { ROLE: 'api' } });
});
afterAll(() => server.stop());

/** The exact bytes that clients of the two services send. */
const example = (name: string): Promise<Buffer> => readFile(join(import.meta.dirname, 'examples', name));

const post = async (stream: string, verb: Verb, name: string, headers: Record<string, string> = {}) =>
  ask<Receipt>(server, `POST ${allocationPath(stream, verb)}`, { body: await example(name), headers });

const accepted = (insertedRecords: number, hiddenRecords: number) => ({
  message: 'Telemetry accepted',
  operationId: expect.any(String),
  insertedRecords,
  hiddenRecords,
  replayed: false,
});

const HOOLI = {
  timestamp: '2020-01-25T00:00:00Z',
  granularity: 'DAILY',
  filter: { 'custom:feature': ['billing'], 'tag:environment': ['prod'], 'tag:owner': ['frank', 'sandy'] },
  'element-name': '<HOOLI-CUSTOMER-ID>',
};

test('example files > sum, replace, delete and sum again', async () => {
  const first = await post('hooli', 'sum', 'allocation-sum.json');
  expect(first).toMatchObject({ status: 200, body: accepted(1, 0) });
  expect(await post('hooli', 'sum', 'allocation-sum.json')).toMatchObject({ status: 200, body: accepted(1, 0) });
  expect(await recordsOf(server, 'hooli')).toEqual([{ ...HOOLI, value: '500000000' }]);

  expect(await post('hooli', 'replace', 'allocation-replace.json')).toMatchObject({
    status: 200,
    body: accepted(1, 2),
  });
  expect(await recordsOf(server, 'hooli')).toEqual([{ ...HOOLI, value: '150000000' }]);

  expect(await post('hooli', 'delete', 'allocation-delete.json')).toMatchObject({ status: 201, body: accepted(0, 1) });
  expect(await recordsOf(server, 'hooli')).toEqual([]);
  expect(await post('hooli', 'delete', 'allocation-delete.json')).toMatchObject({ status: 201, body: accepted(0, 0) });

  await post('hooli', 'sum', 'allocation-sum.json');
  expect(await recordsOf(server, 'hooli')).toEqual([{ ...HOOLI, value: '250000000' }]);
  // The id of the operation, the same as in GraphQL.
  const { node } = await server.graphql<{ node: object }>(
    'query ($id: ID!) { node(id: $id) { ... on AllocationOperation { kind insertedRecords stream { name } } } }',
    { id: first.body.operationId },
  );
  expect(node).toEqual({ kind: 'SUM', insertedRecords: 1, stream: { name: 'hooli' } });
});

test('replace > only inserts if no record matches', async () => {
  expect(await post('fresh', 'replace', 'allocation-replace.json')).toMatchObject({
    status: 200,
    body: accepted(1, 0),
  });
  expect(await recordsOf(server, 'fresh')).toEqual([{ ...HOOLI, value: '150000000' }]);
});

test('path without a verb > accepts the body of a sum', async () => {
  const answer = await ask<Receipt>(server, 'POST /unit-cost/v1/telemetry/allocation/old', {
    body: await example('allocation-sum.json'),
  });
  expect(answer).toMatchObject({ status: 200, body: accepted(1, 0) });
  expect(await recordsOf(server, 'old')).toEqual([{ ...HOOLI, value: '250000000' }]);
});

const LINES_OF_DIALECTS = {
  'team-a': '10',
  'team-b': '20',
  // 0.1 and 12345678901234567890, exactly.
  'team-c': '12345678901234567890.1',
};

test('NDJSON in many dialects > is summed exactly', async () => {
  expect(await post('dialects', 'sum', 'client-dialects.ndjson', NDJSON)).toMatchObject({
    status: 200,
    body: accepted(4, 0),
  });
  const records = await recordsOf(server, 'dialects');
  expect(Object.fromEntries(records.map((record) => [record['element-name'], record.value]))).toEqual(
    LINES_OF_DIALECTS,
  );
  for (const record of records) {
    expect(record).toMatchObject({
      timestamp: '2024-02-08T00:00:00Z',
      granularity: 'DAILY',
      filter: { 'custom:product': ['db'] },
    });
  }
  // GraphQL returns the same.
  const live = (await readRecords(server, 'dialects')) ?? [];
  expect(Object.fromEntries(live.map((record) => [record.elementName, record.value]))).toEqual(LINES_OF_DIALECTS);
});

test('NDJSON lines > are the same content as a JSON body', async () => {
  const lines = (await example('client-dialects.ndjson')).toString().trimEnd().split('\n');
  const headers = { 'idempotency-key': 'dialects' };
  const first = await post('both', 'sum', 'client-dialects.ndjson', { ...NDJSON, ...headers });
  const second = await ask<Receipt>(server, `POST ${allocationPath('both', 'sum')}`, {
    body: `{"records":[${lines.join(',')}]}`,
    headers,
  });
  expect(second).toMatchObject({ status: 200, body: { ...first.body, replayed: true } });
});

test('job example > creates a job', async () => {
  const sent = JSON.parse((await example('job-create.json')).toString()) as object;
  const before = Date.now();
  const answer = await ask<Record<string, unknown> & { schedulerContext: { nextRunTimesInSeconds: number[] } }>(
    server,
    'POST /jobs',
    { body: await example('job-create.json') },
  );
  expect(answer).toMatchObject({
    status: 201,
    body: {
      ...sent,
      version: 1,
      description: null,
      email: null,
      compression: 'none',
      timeZone: 'UTC',
      endTimeOffset: null,
      scheduledTimeInSeconds: null,
      sparse: true,
      minimizeFresh: true,
      rescaleFunction: null,
    },
  });
  expect(answer.body['createTime']).toBe(answer.body['updateTime']);
  expect(answer.body['createTime']).toBeGreaterThanOrEqual(before - 1000);
  // Every day at 02:00.
  const slots = answer.body.schedulerContext.nextRunTimesInSeconds;
  expect(slots.length).toBeGreaterThan(0);
  for (const slot of slots) expect(new Date(slot * 1000).toISOString()).toMatch(/T02:00:00\.000Z$/);
  expect(await ask(server, `GET /jobs/${String(answer.body['id'])}`)).toMatchObject({ status: 200, body: answer.body });
});
