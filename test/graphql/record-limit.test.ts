import { afterAll, beforeAll, expect, test } from 'vitest';
import { querySql } from '../support/job-steps.ts';
import { startTestServer, type TestServer } from '../support/server.ts';
import { openSocket } from '../support/socket-client.ts';

// The limit applies to the whole request, summed over its fields.

const LIMIT = 5;

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ env: { ROLE: 'api', MAX_RECORDS: String(LIMIT) } });
});
afterAll(() => server.stop());

const inputOf = (stream: string, count: number) => ({
  stream,
  records: Array.from({ length: count }, (_, index) => ({
    timestamp: '2026-01-25T00:00:00Z',
    granularity: 'DAILY',
    elementName: `element ${index}`,
    value: '1',
  })),
});

const RECEIPT = `{ __typename ... on AllocationReceipt { operation { insertedRecords } }
  ... on LimitExceededError { message limit actual } }`;
const THREE_SUMS = `mutation ($a: AllocationInput!, $b: AllocationInput!, $c: AllocationInput!) {
  a: allocationSum(input: $a) ${RECEIPT} b: allocationReplace(input: $b) ${RECEIPT} c: allocationSum(input: $c) ${RECEIPT} }`;

const storedIn = async (stream: string): Promise<number> => {
  const [row] = await querySql<{ count: number }>(
    server,
    `SELECT count(*)::int AS count FROM records r JOIN streams s ON s.id = r.stream_id WHERE s.name = $1`,
    [stream],
  );
  return row?.count ?? 0;
};

const written = (insertedRecords: number) => ({ __typename: 'AllocationReceipt', operation: { insertedRecords } });
const refused = (actual: number) => ({
  __typename: 'LimitExceededError',
  message: `The request has ${actual} records; the maximum is ${LIMIT}. Split it into several requests.`,
  limit: LIMIT,
  actual,
});

test('record limit > rejects the field that exceeds it and every later field of the request', async () => {
  const variables = { a: inputOf('a', 3), b: inputOf('b', 3), c: inputOf('c', 1) };
  expect(await server.graphql(THREE_SUMS, variables)).toEqual({ a: written(3), b: refused(6), c: refused(7) });
  expect([await storedIn('a'), await storedIn('b'), await storedIn('c')]).toEqual([3, 0, 0]);
  // The next request starts at 0.
  const exactly = { a: inputOf('a', 1), b: inputOf('b', 3), c: inputOf('c', 1) };
  expect(await server.graphql(THREE_SUMS, exactly)).toEqual({ a: written(1), b: written(3), c: written(1) });
});

test('record limit > counts the selectors of a delete', async () => {
  const [record] = inputOf('d', 1).records;
  const { timestamp, granularity } = record ?? {};
  const answer = await server.graphql(
    `mutation ($a: AllocationInput!, $b: AllocationDeleteInput!) {
       a: allocationSum(input: $a) ${RECEIPT} b: allocationDelete(input: $b) ${RECEIPT} }`,
    { a: inputOf('d', LIMIT), b: { stream: 'd', records: [{ timestamp, granularity }] } },
  );
  expect(answer).toEqual({ a: written(LIMIT), b: refused(LIMIT + 1) });
});

test('record limit > applies to each operation over WebSocket', async () => {
  const client = await openSocket(server.url, { 'x-api-key': server.key });
  try {
    await client.until(({ type }) => type === 'connection_ack');
    const variables = { a: inputOf('w', 2), b: inputOf('w', 2), c: inputOf('w', 1) };
    for (const id of ['1', '2']) {
      client.send({ type: 'subscribe', id, payload: { query: THREE_SUMS, variables } });
      const { payload } = await client.until((message) => message.type === 'next' && message.id === id);
      expect(payload).toMatchObject({ data: { a: written(2), b: written(2), c: written(1) } });
    }
    client.send({
      type: 'subscribe',
      id: '3',
      payload: { query: THREE_SUMS, variables: { ...variables, c: inputOf('w', 2) } },
    });
    const { payload } = await client.until((message) => message.type === 'next' && message.id === '3');
    expect(payload).toMatchObject({ data: { c: refused(6) } });
  } finally {
    client.close();
  }
});
