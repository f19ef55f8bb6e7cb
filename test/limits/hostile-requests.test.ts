import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { getIntrospectionQuery } from 'graphql';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { describeSettings } from '../../src/config/config.ts';
import { openEventStream } from '../support/event-stream.ts';
import { withClient } from '../support/postgres-admin.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';
import { openSocket } from '../support/socket-client.ts';

// For each limit on costly requests: a request just within it succeeds, and one just beyond it is rejected with its code.

let home: TestServer;
beforeAll(async () => {
  home = await startTestServer({ env: { ROLE: 'api' } });
  await send(home, SUM, { input: { ...sumOf(3), stream: 'measured' } });
});
afterAll(() => home.stop());

/** The code of an error, or null for a result. */
type Outcome = string | null;

interface Limit {
  /** The limit, and other settings that make it quick to reach. */
  readonly env: Readonly<Record<string, string>>;
  readonly within: (server: TestServer) => Promise<Outcome>;
  readonly beyond: (server: TestServer) => Promise<Outcome>;
  readonly code: string;
}

const CODE = /"code":"([A-Z_]+)"/;

const send = async (server: TestServer, query: string, variables: object = {}, key = server.key): Promise<Outcome> => {
  const response = await fetch(`${server.url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-api-key': key },
    body: JSON.stringify({ query, variables }),
  });
  return outcomeOf(await response.text());
};

const outcomeOf = (body: string): Outcome => CODE.exec(body)?.[1] ?? null;

const rest = async (server: TestServer, path: string, init: RequestInit = {}): Promise<Outcome> => {
  const response = await fetch(server.url + path, { ...init, headers: { 'x-api-key': server.key, ...init.headers } });
  return outcomeOf(await response.text());
};

const SUM = `mutation ($input: AllocationInput!) { allocationSum(input: $input) { __typename ... on UserError { code } } }`;
const sumOf = (count: number, timestamp = '2026-01-25T00:00:00Z') => ({
  stream: 'calls',
  records: Array.from({ length: count }, (_, index) => ({
    timestamp,
    granularity: 'DAILY',
    elementName: `element ${index}`,
    value: '1',
  })),
});

const USAGE = `query ($input: UsageInput!) { usage(input: $input) { __typename ... on UserError { code } } }`;
/** Usage of three elements on the given number of days. */
const usageOf = (days: number, sparse = true) => ({
  meterApiNames: ['measured'],
  from: '2026-01-25T00:00:00Z',
  to: `2026-01-${String(25 + days).padStart(2, '0')}T00:00:00Z`,
  aggregationBucket: 'DAY',
  groupBy: ['element'],
  sparse,
});

const INLINE_USAGE =
  '{ from: "2026-01-01T00:00:00Z", to: "2026-02-01T00:00:00Z", aggregationBucket: DAY, groupBy: ["element"] }';

const hoursAhead = (hours: number): string => new Date(Date.now() + hours * 3_600_000).toISOString();

/** Locks the table of streams until the work ends, at most for `releaseAfterMs`. */
const whileHeld = (server: TestServer, work: () => Promise<Outcome>, releaseAfterMs = 20_000): Promise<Outcome> =>
  withClient(server.database.url, async (client) => {
    await client.query('BEGIN; LOCK TABLE streams IN ACCESS EXCLUSIVE MODE');
    const working = work();
    await Promise.race([working, delay(releaseAfterMs)]);
    await client.query('COMMIT');
    return working;
  });
const readStreams = (server: TestServer) => send(server, '{ streams { edges { cursor } } }');

/** Sends the head of a request, then one byte of its body every `everyMs`. */
const sendSlowly = async (server: TestServer, everyMs: number, bytes: number): Promise<Outcome> => {
  const body = JSON.stringify({ query: '{ __typename }' }).padEnd(bytes);
  const socket = connect(Number(new URL(server.url).port), '127.0.0.1').setNoDelay();
  await once(socket, 'connect');
  let answer = '';
  socket.on('data', (data: Buffer) => (answer += data.toString())).on('error', () => undefined);
  const closed = once(socket, 'close');
  socket.write(
    `POST /graphql HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-API-Key: ${server.key}\r\nContent-Type: application/json\r\nContent-Length: ${bytes}\r\n\r\n`,
  );
  for (const byte of body) {
    if (answer !== '') break;
    socket.write(byte);
    await delay(everyMs);
  }
  await closed;
  return outcomeOf(answer);
};

/** How long to wait for an error: LONG_MS if one is expected, SHORT_MS if not. */
const LONG_MS = 20_000;
const SHORT_MS = 700;

/** Opens `count` subscriptions concurrently and returns the code of the rejected one. */
const followSeveral = async (server: TestServer, count: number, waitMs: number): Promise<Outcome> => {
  const query = 'subscription { runUpdated { id } }';
  const request = { url: server.url, key: server.key, query };
  const streams = await Promise.all(Array.from({ length: count }, () => openEventStream(request)));
  const refusals = streams.map((stream) => stream.until(({ errors }) => errors !== undefined, waitMs));
  const refused = await Promise.any(refusals).catch(() => null);
  for (const stream of streams) stream.close();
  await Promise.allSettled(refusals);
  return outcomeOf(JSON.stringify(refused));
};

/** Keeps `count` queries in flight on one socket and returns the code of the first rejected one. */
const askAtOnce = async (server: TestServer, count: number, waitMs: number): Promise<Outcome> => {
  const client = await openSocket(server.url, { 'X-API-Key': server.key });
  await client.until(({ type }) => type === 'connection_ack');
  const outcome = await whileHeld(
    server,
    async () => {
      for (let index = 0; index < count; index += 1) {
        client.send({
          type: 'subscribe',
          id: String(index),
          payload: { query: '{ streams { edges { cursor } } }' },
        });
      }
      const refused = await client.until(({ type }) => type === 'error', waitMs).catch(() => null);
      return outcomeOf(JSON.stringify(refused));
    },
    LONG_MS,
  );
  client.close();
  return outcome;
};

const LIMITS: Readonly<Record<string, Limit>> = {
  MAX_BODY_BYTES: {
    env: { MAX_BODY_BYTES: '1024' },
    within: (server) => send(server, '{ __typename }'.padEnd(1024 - '{"query":"","variables":{}}'.length)),
    beyond: (server) => send(server, '{ __typename }'.padEnd(1025 - '{"query":"","variables":{}}'.length)),
    code: 'BODY_TOO_LARGE',
  },
  MAX_RECORDS: {
    env: { MAX_RECORDS: '5' },
    within: (server) => send(server, SUM, { input: sumOf(5) }),
    beyond: (server) => send(server, SUM, { input: sumOf(6) }),
    code: 'LIMIT_EXCEEDED',
  },
  MAX_DOCUMENT_TOKENS: {
    env: { MAX_DOCUMENT_TOKENS: '100' },
    within: (server) => send(server, `{ ${'__typename '.repeat(98)} }`),
    beyond: (server) => send(server, `{ ${'__typename '.repeat(99)} }`),
    code: 'DOCUMENT_TOO_LARGE',
  },
  MAX_DOCUMENT_DEPTH: {
    env: { MAX_DOCUMENT_DEPTH: '3' },
    within: (server) => send(server, '{ viewer { key { id } } }'),
    beyond: (server) => send(server, '{ viewer { ... on Viewer { key { id } } } }'),
    code: 'DOCUMENT_TOO_LARGE',
  },
  MAX_DOCUMENT_FIELDS: {
    env: { MAX_DOCUMENT_FIELDS: '5' },
    within: (server) => send(server, `{ ${'__typename '.repeat(5)} }`),
    beyond: (server) => send(server, `{ ${'__typename '.repeat(4)} ...F } fragment F on Query { __typename }`),
    code: 'DOCUMENT_TOO_LARGE',
  },
  MAX_DOCUMENT_ALIASES: {
    env: { MAX_DOCUMENT_ALIASES: '2' },
    within: (server) => send(server, '{ a: viewer { accountName } b: viewer { accountName } }'),
    beyond: (server) => send(server, '{ a: viewer { accountName } b: viewer { c: accountName } }'),
    code: 'DOCUMENT_TOO_LARGE',
  },
  MAX_DOCUMENT_COST: {
    // The cost of the list itself, its statement, and five edges with their cursors.
    env: { MAX_DOCUMENT_COST: String(1 + 50 + 5 * 2) },
    within: (server) => send(server, '{ streams(first: 5) { edges { cursor } } }'),
    beyond: (server) => send(server, '{ streams(first: 6) { edges { cursor } } }'),
    code: 'DOCUMENT_TOO_LARGE',
  },
  MAX_PAGE_SIZE: {
    env: { MAX_PAGE_SIZE: '5' },
    within: (server) => send(server, '{ jobs(first: 5) { totalCount } runs { totalCount } }'),
    beyond: (server) => send(server, '{ jobs(first: 6) { edges { cursor } } }'),
    code: 'BAD_USER_INPUT',
  },
  MAX_SUBSCRIPTIONS_PER_KEY: {
    env: { MAX_SUBSCRIPTIONS_PER_KEY: '2' },
    within: (server) => followSeveral(server, 2, SHORT_MS),
    beyond: (server) => followSeveral(server, 3, LONG_MS),
    code: 'LIMIT_EXCEEDED',
  },
  MAX_OPERATIONS_PER_SOCKET: {
    env: { MAX_OPERATIONS_PER_SOCKET: '2', MAX_SUBSCRIPTIONS_PER_KEY: '1' },
    within: (server) => askAtOnce(server, 3, SHORT_MS),
    beyond: (server) => askAtOnce(server, 4, LONG_MS),
    code: 'LIMIT_EXCEEDED',
  },
  REQUEST_TIMEOUT_MS: {
    env: { REQUEST_TIMEOUT_MS: '3000' },
    within: (server) => whileHeld(server, () => readStreams(server), 200),
    beyond: (server) => whileHeld(server, () => readStreams(server)),
    code: 'TIMEOUT',
  },
  STATEMENT_TIMEOUT_MS: {
    env: { STATEMENT_TIMEOUT_MS: '3000' },
    within: (server) => whileHeld(server, () => readStreams(server), 200),
    beyond: (server) => whileHeld(server, () => readStreams(server)),
    code: 'TIMEOUT',
  },
  MAX_FUTURE_HOURS: {
    env: { MAX_FUTURE_HOURS: '2' },
    // The limit applies to the start of the bucket, and the records are daily.
    within: (server) => send(server, SUM, { input: sumOf(1, hoursAhead(1.9)) }),
    beyond: (server) => send(server, SUM, { input: sumOf(1, hoursAhead(26.1)) }),
    code: 'VALIDATION_FAILED',
  },
  MAX_USAGE_ROWS: {
    env: { MAX_USAGE_ROWS: '3' },
    within: (server) => send(server, USAGE, { input: usageOf(1) }),
    beyond: (server) => send(server, USAGE, { input: usageOf(2, false) }),
    code: 'LIMIT_EXCEEDED',
  },
  MAX_FILLED_ROWS: {
    env: { MAX_FILLED_ROWS: '6' },
    within: (server) => send(server, USAGE, { input: usageOf(2, false) }),
    beyond: (server) => send(server, USAGE, { input: usageOf(3, false) }),
    code: 'LIMIT_EXCEEDED',
  },
  INTAKE_RECORDS_PER_SECOND: {
    env: { INTAKE_RECORDS_PER_SECOND: '1', INTAKE_BURST: '1' },
    within: (server) => send(server, SUM, { input: sumOf(1) }),
    beyond: async (server) => {
      await send(server, SUM, { input: sumOf(60) });
      return send(server, SUM, { input: sumOf(1) });
    },
    code: 'RATE_LIMITED',
  },
  INTAKE_BURST: {
    env: { INTAKE_RECORDS_PER_SECOND: '1', INTAKE_BURST: '60' },
    within: async (server) => {
      await send(server, SUM, { input: sumOf(50) });
      return send(server, SUM, { input: sumOf(1) });
    },
    beyond: async (server) => {
      await send(server, SUM, { input: sumOf(60) });
      return send(server, SUM, { input: sumOf(1) });
    },
    code: 'RATE_LIMITED',
  },
  INTAKE_MIN_BYTES_PER_SECOND: {
    env: { INTAKE_MIN_BYTES_PER_SECOND: '20', INTAKE_MEASURED_SECONDS: '1' },
    within: (server) => sendSlowly(server, 1, 30),
    beyond: (server) => sendSlowly(server, 200, 100),
    code: 'REQUEST_TIMEOUT',
  },
  INTAKE_MEASURED_SECONDS: {
    env: { INTAKE_MIN_BYTES_PER_SECOND: '1000', INTAKE_MEASURED_SECONDS: '2' },
    within: (server) => sendSlowly(server, 1, 30),
    beyond: (server) => sendSlowly(server, 50, 200),
    code: 'REQUEST_TIMEOUT',
  },
  INTAKE_MAX_SECONDS: {
    env: { INTAKE_MAX_SECONDS: '2', INTAKE_MIN_BYTES_PER_SECOND: '0', INTAKE_MEASURED_SECONDS: '1' },
    within: (server) => sendSlowly(server, 1, 30),
    beyond: (server) => sendSlowly(server, 50, 200),
    code: 'REQUEST_TIMEOUT',
  },
};

/** Limits that do not apply to requests. */
const OF_NO_REQUEST = new Map([
  ['MAX_ANONYMOUS_BODIES', 'bodies that are open at the same time: test/http/anonymous.test.ts'],
  ['INTAKE_HELD_BYTES', 'what is beyond it waits elsewhere: test/rest/held-records.test.ts'],
  ['MAX_BACKFILL_WINDOWS', 'windows of a schedule: test/backfills/backfills.test.ts'],
  ['MAX_CHANGED_KEYS', 'keys that a check compares: test/deliveries/corrections.test.ts'],
  ['MAX_CATCH_UP', 'slots of the schedule: test/jobs/catch-up.test.ts, test/runs/slots.test.ts'],
]);

test('limits > are all tested here', () => {
  const limits = describeSettings()
    .map(({ name }) => name)
    .filter((name) => /^MAX_|^INTAKE_|_TIMEOUT/.test(name) && !OF_NO_REQUEST.has(name));
  expect(Object.keys(LIMITS).toSorted()).toEqual(limits.toSorted());
  for (const [name, { env }] of Object.entries(LIMITS)) expect(Object.keys(env)).toContain(name);
});

describe.each(Object.entries(LIMITS))('%s', (_name, { env, within, beyond, code }) => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startTestServer({ env: { ROLE: 'api', ...env }, database: home.database, s3: home.s3 });
  });
  afterAll(() => server.stop());

  test('accepts a request within it', async () => {
    expect(await within(server)).toBeNull();
  });

  test(`rejects a request beyond it with ${code}, and serves the next one`, async () => {
    expect(await beyond(server)).toBe(code);
    expect(
      await eventually(
        () => send(server, '{ __typename }'),
        (outcome) => outcome === null,
      ),
    ).toBeNull();
  });
});

test('default limits > accept the usual requests of clients', async () => {
  const queries = [
    getIntrospectionQuery({ descriptions: true, specifiedByUrl: true, inputValueDeprecation: true, oneOf: true }),
    `{ runs(first: 100) { totalCount pageInfo { hasNextPage endCursor } edges { cursor node { id jobName trigger status
       scheduledFor windowStart windowEnd startedAt finishedAt attempt rowsWritten bytesWritten manifestKey
       objects { key rows bytes sha256 } error { code message retryable }
       job { id jobName description enabled s3Url format cron timeZone range nextRuns } } } } }`,
    `{ jobs(first: 100) { totalCount edges { node { id jobName enabled cron nextRuns
       runs(first: 1) { edges { node { id status finishedAt error { code message } } } } } } } }`,
    `{ streams(first: 100) { totalCount edges { node { name granularity dimensions firstTimestamp lastTimestamp
       operations(first: 1) { edges { node { id kind receivedAt } } } } } } }`,
    `{ a: usage(input: ${INLINE_USAGE}) { ... on Usage { series { meterApiName total points { bucketStart value } } } }
       b: usage(input: ${INLINE_USAGE}) { ... on Usage { series { meterApiName total } } } }`,
    // Records are part of the document, as in generated scripts.
    `mutation { allocationSum(input: { stream: "inline", records: [${`{ timestamp: "2026-01-25T00:00:00Z",
       granularity: DAILY, filter: [{ dimension: "region", values: ["eu"] }], elementName: "hooli", value: 1.5 }`.repeat(
      1000,
    )}] })
       { __typename ... on UserError { code } } }`,
  ];
  for (const query of queries)
    expect([query.slice(0, 60), await send(home, query)]).toEqual([query.slice(0, 60), null]);
});

test('MAX_PAGE_SIZE > applies to every list and to REST', async () => {
  const server = await startTestServer({
    env: { ROLE: 'api', MAX_PAGE_SIZE: '2' },
    database: home.database,
    s3: home.s3,
  });
  await send(server, SUM, { input: sumOf(3) });
  const lists = (size: string) => [
    `{ jobs(${size}) { edges { cursor } } }`,
    `{ runs(${size}) { edges { cursor } } }`,
    `{ streams(${size}) { edges { cursor } } }`,
    `{ apiKeys(${size}) { edges { cursor } } }`,
    `{ stream(name: "calls") { records(${size}) { edges { cursor } } } }`,
    `{ stream(name: "calls") { operations(${size}) { edges { cursor } } } }`,
  ];
  for (const query of lists('first: 3')) expect([query, await send(server, query)]).toEqual([query, 'BAD_USER_INPUT']);
  for (const query of lists('first: 2')) expect([query, await send(server, query)]).toEqual([query, null]);
  const { stream } = await server.graphql<{ stream: { records: { edges: object[] } } }>(
    '{ stream(name: "calls") { records { edges { cursor } } } }',
  );
  expect(stream.records.edges).toHaveLength(2);
  expect(await send(server, '{ nodes(ids: ["a", "b", "c"]) { id } }')).toBe('BAD_USER_INPUT');
  expect([await rest(server, '/jobs?limit=2'), await rest(server, '/jobs')]).toEqual([null, null]);
  expect(await rest(server, '/jobs?limit=3')).toBe('VALIDATION_FAILED');
  await server.stop();
});
