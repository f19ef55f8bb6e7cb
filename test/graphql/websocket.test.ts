import { once } from 'node:events';
import { connect } from 'node:net';
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { withClient } from '../support/postgres-admin.ts';
import { openSocket, type SocketClient, type SocketMessage } from '../support/socket-client.ts';
import { createSteppedJob } from '../support/run-steps.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';

let server: TestServer;
const open: SocketClient[] = [];

beforeAll(async () => {
  server = await startTestServer({ env: { ROLE: 'api', MAX_BODY_BYTES: '100000' } });
});
afterEach(() => {
  for (const client of open.splice(0)) client.close();
});
afterAll(() => server.stop());

const connectWith = async (payload?: Readonly<Record<string, unknown>>): Promise<SocketClient> => {
  const client = await openSocket(server.url, payload);
  open.push(client);
  return client;
};
const acknowledged = async (key = server.key): Promise<SocketClient> => {
  const client = await connectWith({ 'X-API-Key': key });
  await client.until(({ type }) => type === 'connection_ack');
  return client;
};
/** The answer to one operation: its `next`, or its `error`. */
const ask = async (client: SocketClient, payload: object, id = '1'): Promise<SocketMessage> => {
  client.send({ type: 'subscribe', id, payload });
  return client.until((message) => message.id === id && message.type !== 'complete');
};

describe('API key of a WebSocket', () => {
  test.each(['X-API-Key', 'x-api-key', 'X-Api-KEY', 'Authorization', 'authorization'])(
    'is taken from %s in the payload of connection_init',
    async (name) => {
      const bearer = name.toLowerCase() === 'authorization' ? 'Bearer ' : '';
      const client = await connectWith({ [name]: bearer + server.key });
      await client.until(({ type }) => type === 'connection_ack');
      expect(await ask(client, { query: '{ viewer { accountName } }' })).toMatchObject({
        type: 'next',
        payload: { data: { viewer: { accountName: 'default' } } },
      });
    },
  );

  test.each([
    ['none', {}],
    ['an unknown one', { 'X-API-Key': 'no such key, but long enough' }],
    ['one that is not a string', { 'X-API-Key': 7 }],
    ['an empty one', { Authorization: 'Bearer ' }],
  ])('%s: closes with 4401 and executes nothing', async (_name, payload) => {
    const client = await connectWith(payload);
    // Sent before the close can have arrived.
    client.send({ type: 'subscribe', id: '1', payload: { query: '{ __typename }' } });
    expect(await client.closed).toBe(4401);
    expect(client.messages).toEqual([]);
  });

  test('closes with 4401 when an operation arrives before connection_init', async () => {
    const client = await connectWith();
    client.send({ type: 'subscribe', id: '1', payload: { query: '{ __typename }' } });
    expect(await client.closed).toBe(4401);
  });

  test('ends subscriptions and closes with 4403 within a second when it is revoked', async () => {
    const revoke = `mutation ($id: ID!) { revokeApiKey(id: $id) { ... on ApiKey { revokedAt } ... on UserError { message } } }`;
    let closedAfter = Infinity;
    // A busy machine can delay a close.
    for (let attempt = 0; attempt < 5 && closedAfter >= 1000; attempt += 1) {
      const key = await server.createKey('default', ['READ']);
      const client = await acknowledged(key);
      client.send({ type: 'subscribe', id: '1', payload: { query: 'subscription { runUpdated { id } }' } });
      const { viewer } = await server.graphql<{ viewer: { key: { id: string } } }>(
        '{ viewer { key { id } } }',
        {},
        key,
      );
      await server.graphql(revoke, { id: viewer.key.id });
      const revoked = performance.now();
      expect(await client.closed).toBe(4403);
      closedAfter = performance.now() - revoked;
    }
    expect(closedAfter).toBeLessThan(1000);
  });
});

describe('operations over WebSocket', () => {
  test('send the current state of a run, then each change until its end, to the client of graphql-ws', async () => {
    const run = await (await createSteppedJob(server)).run();
    const client = createClient({
      url: `${server.url.replace('http', 'ws')}/graphql`,
      webSocketImpl: WebSocket,
      connectionParams: { 'X-API-Key': server.key },
    });
    const seen: unknown[] = [];
    const updates = client.iterate<{ runUpdated: { status: string } }>({
      query: 'subscription ($id: ID!) { runUpdated(runId: $id) { status } }',
      variables: { id: run.id },
    });
    for await (const { data } of updates) {
      seen.push(data?.runUpdated.status);
      if (seen.length === 1) await run.start();
      if (seen.length === 2) await run.succeed();
    }
    await client.dispose();
    expect(seen).toEqual(['QUEUED', 'RUNNING', 'SUCCEEDED']);
  });

  test('include queries and mutations, several concurrently', async () => {
    const client = await acknowledged();
    const [one, two] = await Promise.all([
      ask(client, { query: '{ streams { totalCount } }' }, 'a'),
      ask(client, { query: 'mutation { deleteJob(id: "x") { __typename } }' }, 'b'),
    ]);
    expect(one.payload).toEqual({ data: { streams: { totalCount: 0 } } });
    expect(two.payload).toEqual({ data: { deleteJob: { __typename: 'NotFoundError' } } });
  });

  test.each([
    ['no GraphQL', { query: '{' }, 'error', 'GRAPHQL_PARSE_FAILED'],
    ['no GraphQL, for the second time', { query: '{' }, 'error', 'GRAPHQL_PARSE_FAILED'],
    ['an unknown field', { query: '{ nothing }' }, 'error', 'GRAPHQL_VALIDATION_FAILED'],
    ['too deep a document', { query: '{a'.repeat(20_000) }, 'error', 'GRAPHQL_PARSE_FAILED'],
    ['too much in one document', { query: `{ ${'a '.repeat(2001)}}` }, 'error', 'DOCUMENT_TOO_LARGE'],
    [
      'an unknown operation',
      { query: 'query A { __typename }', operationName: 'B' },
      'error',
      'OPERATION_RESOLUTION_FAILURE',
    ],
    [
      'a variable of the wrong type',
      { query: 'query ($n: Int!) { jobs(first: $n) { totalCount } }', variables: { n: 'x' } },
      'next',
      'BAD_USER_INPUT',
    ],
    ['a page that is too large', { query: '{ jobs(first: 101) { totalCount } }' }, 'next', 'BAD_USER_INPUT'],
    ['an unknown run', { query: 'subscription { runUpdated(runId: "x") { id } }' }, 'next', 'NOT_FOUND'],
  ])('return a code and keep the socket open: %s', async (_name, payload, type, code) => {
    const client = await acknowledged();
    const answer = await ask(client, payload);
    expect(answer.type).toBe(type);
    const errors = type === 'error' ? answer.payload : (answer.payload as { errors: unknown }).errors;
    expect(errors).toMatchObject([{ extensions: { code } }]);
    // Instructions for an HTTP response are not sent.
    expect(JSON.stringify(answer)).not.toContain('"http"');
    expect(await ask(client, { query: '{ __typename }' }, '2')).toMatchObject({ type: 'next' });
  });

  test('are limited to a number of active ones per socket', async () => {
    const client = await acknowledged();
    await withClient(server.database.url, async (blocker) => {
      await blocker.query('BEGIN; LOCK TABLE streams IN ACCESS EXCLUSIVE MODE');
      for (let index = 0; index < 250; index += 1) {
        client.send({ type: 'subscribe', id: String(index), payload: { query: '{ streams { totalCount } }' } });
      }
      // 100 subscriptions and 100 others.
      await client.until(({ type, id }) => type === 'error' && id === '249');
      const refused = client.messages.filter(({ type }) => type === 'error');
      expect(refused).toHaveLength(50);
      expect(refused[0]).toMatchObject({ payload: [{ extensions: { code: 'LIMIT_EXCEEDED' } }] });
    });
    await eventually(
      () => Promise.resolve(client.messages.filter(({ type }) => type === 'next').length),
      (count) => count === 200,
    );
  });

  test('return FORBIDDEN when the key lacks the scope', async () => {
    const client = await acknowledged(await server.createKey('default', ['INGEST']));
    const answer = await ask(client, { query: '{ jobs { totalCount } }' });
    expect(answer.payload).toMatchObject({ data: null, errors: [{ extensions: { code: 'FORBIDDEN' } }] });
  });

  test('close with 4400 for an invalid message and with 1009 for one that is too large', async () => {
    const odd = await acknowledged();
    odd.socket.send('hello');
    expect(await odd.closed).toBe(4400);
    const large = await acknowledged();
    large.socket.send('x'.repeat(100_001));
    expect(await large.closed).toBe(1009);
  });

  test.each(['next', 'error', 'connection_ack'])(
    'closes with 4400 when the client sends a message of the type %s, which only servers send',
    async (type) => {
      const client = await acknowledged();
      client.send({ type, id: '1', payload: type === 'error' ? [{ message: 'No.' }] : {} });
      expect(await client.closed).toBe(4400);
    },
  );

  test('require the subprotocol graphql-transport-ws', async () => {
    const socket = new WebSocket(`${server.url.replace('http', 'ws')}/graphql`, 'graphql-ws');
    const [error] = (await once(socket, 'error')) as [Error];
    expect(error.message).toContain('subprotocol');
    socket.terminate();
  });
});

describe('WebSocket', () => {
  test('leaves no timer when it closes before its key was looked up', async () => {
    const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
    const before = timers();
    const clients = await Promise.all(Array.from({ length: 20 }, () => openSocket(server.url)));
    const key = await server.createKey('default', ['READ']);
    for (const client of clients) {
      client.send({ type: 'connection_init', payload: { 'X-API-Key': key } });
      client.close();
    }
    await Promise.all(clients.map((client) => client.closed));
    await eventually(
      () => Promise.resolve(timers()),
      (count) => count <= before + 2,
    );
  });

  test('does not end the server when an upgrade to another path is reset', async () => {
    for (const path of ['/nothing', '/graphql']) {
      const socket = connect(Number(new URL(server.url).port), '127.0.0.1');
      await once(socket, 'connect');
      socket.write(
        `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`,
      );
      socket.resetAndDestroy();
    }
    await eventually(
      async () => (await fetch(`${server.url}/healthz`)).status,
      (status) => status === 200,
    );
  });
});
