import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openEventStream } from '../support/event-stream.ts';
import { querySql } from '../support/job-steps.ts';
import { withClient } from '../support/postgres-admin.ts';
import { createSteppedJob } from '../support/run-steps.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';
import { openSocket } from '../support/socket-client.ts';
import { allocationPath, ask, NDJSON, sendPieces } from '../rest/requests.ts';

const LIMIT_MS = 1500;

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ env: { ROLE: 'api', REQUEST_TIMEOUT_MS: String(LIMIT_MS) } });
});
afterAll(() => server.stop());

/** What is asked of the streams waits until the work has ended. */
const whileHeld = <Value>(work: (holder: pg.Client) => Promise<Value>): Promise<Value> =>
  withClient(server.database.url, async (client) => {
    await client.query('BEGIN; LOCK TABLE streams IN ACCESS EXCLUSIVE MODE');
    return work(client);
  });

const record = { timestamp: '2026-01-25T00:00:00Z', granularity: 'DAILY', elementName: 'hooli', value: '1' };
const TWO_SUMS = `mutation ($a: AllocationInput!, $b: AllocationInput!) {
  a: allocationSum(input: $a) { __typename } b: allocationSum(input: $b) { __typename } }`;

const TOLD = `The request exceeded the time limit of ${LIMIT_MS} ms`;

test('over GraphQL it is 503 with a code and Retry-After, and nothing more is begun', async () => {
  const answer = await whileHeld(async () => {
    const response = await fetch(`${server.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-api-key': server.key },
      body: JSON.stringify({
        query: TWO_SUMS,
        variables: { a: { stream: 'first', records: [record] }, b: { stream: 'second', records: [record] } },
      }),
    });
    return { status: response.status, retryAfter: response.headers.get('retry-after'), body: await response.json() };
  });
  expect(answer).toMatchObject({
    status: 503,
    retryAfter: '5',
    body: { errors: [{ message: expect.stringContaining(TOLD), extensions: { code: 'TIMEOUT' } }] },
  });
  // What was begun is done; its message says that this is not known. What comes after it in the request is not.
  const streamNames = () => querySql<{ name: string }>(server, 'SELECT name FROM streams');
  expect(await eventually(streamNames, (rows) => rows.length > 0)).toEqual([{ name: 'first' }]);
  await eventually(
    () =>
      querySql(
        server,
        `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND state <> 'idle' AND pid <> pg_backend_pid()`,
      ),
    (rows) => rows.length === 0,
  );
  await delay(100);
  expect(await streamNames()).toEqual([{ name: 'first' }]);
});

test('over WebSocket it is an error of the operation, and the socket goes on', async () => {
  const client = await openSocket(server.url, { 'X-API-Key': server.key });
  await client.until(({ type }) => type === 'connection_ack');
  const query = '{ streams { edges { cursor } } }';
  await whileHeld(async () => {
    client.send({ type: 'subscribe', id: '1', payload: { query } });
    expect(JSON.stringify(await client.until(({ id }) => id === '1'))).toContain('"code":"TIMEOUT"');
  });
  client.send({ type: 'subscribe', id: '2', payload: { query } });
  expect(await client.until(({ id }) => id === '2')).toMatchObject({ type: 'next', payload: { data: {} } });
  client.close();
});

test('over REST it is 503 with the same code', async () => {
  const answer = await whileHeld(() => ask(server, 'GET /unit-cost/v1/telemetry/first/records'));
  expect(answer).toMatchObject({
    status: 503,
    body: { error: { code: 'TIMEOUT', message: expect.stringContaining(TOLD) } },
  });
  expect(answer.headers.get('retry-after')).toBe('5');
});

/** In pieces, over longer than a request may take. */
const slowly = async function* (text: string): AsyncGenerator<Buffer> {
  const pieces = 6;
  for (let index = 0; index < pieces; index += 1) {
    yield Buffer.from(text.slice((index * text.length) / pieces, ((index + 1) * text.length) / pieces));
    await delay((2 * LIMIT_MS) / pieces);
  }
};

test('the time that a body takes to come does not count, and lines have limits of their own', async () => {
  const sent = { timestamp: record.timestamp, granularity: 'DAILY', 'element-name': 'hooli', value: '1' };
  const path = `POST ${allocationPath('slow', 'sum')}`;
  expect(await sendPieces(server, path, slowly(JSON.stringify({ records: [sent] })), {})).toMatchObject({
    status: 200,
  });
  expect(await sendPieces(server, path, slowly(JSON.stringify(sent)), NDJSON)).toMatchObject({ status: 200 });
  const query = JSON.stringify({ query: '{ viewer { accountName } }' });
  const asJson = { 'content-type': 'application/json' };
  expect(await sendPieces(server, 'POST /graphql', slowly(query), asJson)).toMatchObject({ status: 200 });
});

test('a subscription lives on', async () => {
  const job = await createSteppedJob(server);
  const run = await job.run();
  const stream = await openEventStream<{ runUpdated: { status: string } }>({
    url: server.url,
    key: server.key,
    query: 'subscription ($id: ID!) { runUpdated(runId: $id) { status } }',
    variables: { id: run.id },
  });
  await stream.until(({ data }) => data?.runUpdated.status === 'QUEUED');
  await delay(2 * LIMIT_MS);
  await run.start();
  expect(await stream.until(({ data }) => data?.runUpdated.status === 'RUNNING')).toBeDefined();
  stream.close();
});
