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

const LIMIT_MS = 3000;

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ env: { ROLE: 'api', REQUEST_TIMEOUT_MS: String(LIMIT_MS) } });
});
afterAll(() => server.stop());

/** Locks the table of streams until the work has ended, so that requests wait for it. */
const whileHeld = <Value>(work: (holder: pg.Client) => Promise<Value>): Promise<Value> =>
  withClient(server.database.url, async (client) => {
    await client.query('BEGIN; LOCK TABLE streams IN ACCESS EXCLUSIVE MODE');
    return work(client);
  });

const record = { timestamp: '2026-01-25T00:00:00Z', granularity: 'DAILY', elementName: 'hooli', value: '1' };
const TWO_SUMS = `mutation ($a: AllocationInput!, $b: AllocationInput!) {
  a: allocationSum(input: $a) { __typename } b: allocationSum(input: $b) { __typename } }`;

const TOLD = `The request exceeded the time limit of ${LIMIT_MS} ms`;

test('request that exceeds its time > is a 503 with code and Retry-After over GraphQL, and starts no further field', async () => {
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
  // The field that had started is completed, and its error says that the outcome is unknown. Later fields are not executed.
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

test('request that exceeds its time > is an error of the operation over WebSocket, and the socket stays open', async () => {
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

test('request that exceeds its time > is a 503 with the same code over REST', async () => {
  const answer = await whileHeld(() => ask(server, 'GET /unit-cost/v1/telemetry/first/records'));
  expect(answer).toMatchObject({
    status: 503,
    body: { error: { code: 'TIMEOUT', message: expect.stringContaining(TOLD) } },
  });
  expect(answer.headers.get('retry-after')).toBe('5');
});

/** Yields the text in chunks, over a longer time than a request may take. */
const slowly = async function* (text: string): AsyncGenerator<Buffer> {
  const pieces = 6;
  for (let index = 0; index < pieces; index += 1) {
    yield Buffer.from(text.slice((index * text.length) / pieces, ((index + 1) * text.length) / pieces));
    await delay((2 * LIMIT_MS) / pieces);
  }
};

test('time limit > does not include the time to receive a body, and does not apply to NDJSON', async () => {
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

test('time limit > does not apply to subscriptions', async () => {
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
