import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { allocationPath } from '../rest/requests.ts';
import { openRawConnection, type RawConnection } from '../support/raw-requests.ts';
import { scrape } from '../support/scrape.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';
import { openSocket } from '../support/socket-client.ts';

// REQUEST_MEMORY is one budget for all bodies that a server holds, over any protocol.

const BUDGET = 4 * 1024 * 1024;
const MAX_BODY = 1024 * 1024;

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({
    env: { ROLE: 'api', REQUEST_MEMORY: String(BUDGET), MAX_BODY_BYTES: String(MAX_BODY) },
  });
});
afterAll(() => server.stop());

const heldBytes = async (): Promise<number> =>
  (await scrape(server.url)).value('sluice_request_memory_bytes') ?? Number.NaN;

/** Opens a request with a valid key whose body does not end. */
const open = async (path: string, type: string, body: Buffer, encoding?: string): Promise<RawConnection> => {
  const connection = await openRawConnection(server.url);
  const encoded = encoding === undefined ? '' : `Content-Encoding: ${encoding}\r\n`;
  connection.socket.write(
    `POST ${path} HTTP/1.1\r\nHost: x\r\nX-API-Key: ${server.key}\r\nContent-Type: ${type}\r\n${encoded}Content-Length: ${body.length + 1}\r\n\r\n`,
  );
  connection.socket.write(body);
  return connection;
};

const JSON_TYPE = 'application/json';
/** A few compressed bytes that the server expands to almost the maximum size of a body. */
const bomb = gzipSync(Buffer.alloc(MAX_BODY - 1000, ' ')).subarray(0, -8);
const plain = Buffer.alloc(MAX_BODY - 1000, ' ');
/** A line that does not end. */
const line = Buffer.alloc(900_000, 'x');

test.each([
  ['GraphQL', '/graphql', JSON_TYPE, plain, undefined],
  ['GraphQL, compressed', '/graphql', JSON_TYPE, bomb, 'gzip'],
  ['REST', allocationPath('x', 'sum'), JSON_TYPE, plain, undefined],
  ['REST, compressed', allocationPath('x', 'sum'), JSON_TYPE, bomb, 'gzip'],
  ['NDJSON', allocationPath('x', 'sum'), 'application/x-ndjson', line, undefined],
  ['NDJSON, compressed', allocationPath('x', 'sum'), 'application/x-ndjson', gzipSync(line).subarray(0, -8), 'gzip'],
])(
  'unfinished bodies > are rejected with 503 when they exceed REQUEST_MEMORY: %s',
  async (_, path, type, body, encoding) => {
    const connections: RawConnection[] = [];
    for (let index = 0; index < 8; index += 1) connections.push(await open(path, type, body, encoding));
    const refused = () => connections.filter(({ received }) => received().includes('OVERLOADED'));
    await eventually(
      () => Promise.resolve(refused().length),
      (count) => count >= 3,
    );
    expect(refused()[0]?.received()).toMatch(/^HTTP\/1\.1 503 /);
    expect(refused()[0]?.received()).toMatch(/\r\nretry-after: 1\r\n/i);
    const held = await heldBytes();
    expect(held).toBeLessThanOrEqual(BUDGET);
    expect(held).toBeGreaterThan(BUDGET / 2);
    for (const { socket } of connections) socket.destroy();
    await eventually(heldBytes, (bytes) => bytes === 0);
    expect(await server.graphql('{ viewer { accountName } }')).toEqual({ viewer: { accountName: 'default' } });
  },
);

test('WebSocket messages > close their sockets with 1013 and are released when they exceed REQUEST_MEMORY', async () => {
  const clients = await Promise.all(
    Array.from({ length: 8 }, () => openSocket(server.url, { 'X-API-Key': server.key })),
  );
  for (const client of clients) {
    await client.until(({ type }) => type === 'connection_ack');
    client.socket.send('x'.repeat(900_000), { fin: false });
  }
  const codes: number[] = [];
  for (const client of clients) void client.closed.then((code) => codes.push(code));
  await eventually(
    () => Promise.resolve(codes),
    (closed) => closed.length >= 3,
  );
  expect(new Set(codes)).toEqual(new Set([1013]));
  expect(await heldBytes()).toBeLessThanOrEqual(BUDGET);
  for (const client of clients) client.close();
  await eventually(heldBytes, (bytes) => bytes === 0);
});

test('body in chunks of one byte > is counted once, not once for each chunk', async () => {
  const body = JSON.stringify({ query: '{ viewer { accountName } }' }).padEnd(50_000);
  const chunks = [...body].map((byte) => `1\r\n${byte}\r\n`).join('');
  const { socket, closed } = await openRawConnection(server.url);
  socket.write(
    `POST /graphql HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-API-Key: ${server.key}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n${chunks}0\r\n\r\n`,
  );
  expect(await closed).toContain('"accountName":"default"');
});

test('subscription > keeps its message in memory until it ends', async () => {
  const client = await openSocket(server.url, { 'X-API-Key': server.key });
  await client.until(({ type }) => type === 'connection_ack');
  const query = 'subscription { runUpdated { id } }'.padEnd(100_000);
  client.send({ type: 'subscribe', id: '1', payload: { query } });
  await eventually(heldBytes, (bytes) => bytes > 100_000);
  client.send({ type: 'complete', id: '1' });
  await eventually(heldBytes, (bytes) => bytes < 1000);
  client.close();
});

/** A variable whose parsed form exceeds the budget; as a string it takes little more than its text. */
const manyLists = `[${'[],'.repeat(100_000)}[]]`;
const askViewer = (variable: string): string =>
  `{"query":"{ viewer { accountName } }","variables":{"undeclared":${variable}}}`;

test('parsed variables of a request > are counted, and rejected with 503 when they exceed REQUEST_MEMORY', async () => {
  const statusOf = async (variable: string): Promise<number> => {
    const response = await fetch(`${server.url}/graphql`, {
      method: 'POST',
      headers: { 'content-type': JSON_TYPE, 'x-api-key': server.key },
      body: askViewer(variable),
    });
    await response.body?.cancel();
    return response.status;
  };
  expect(await statusOf(JSON.stringify(manyLists))).toBe(200);
  expect(await statusOf(manyLists)).toBe(503);
  await eventually(heldBytes, (bytes) => bytes === 0);
});

test('parsed variables of a WebSocket message > close the socket with 1013 when they exceed REQUEST_MEMORY', async () => {
  const client = await openSocket(server.url, { 'X-API-Key': server.key });
  await client.until(({ type }) => type === 'connection_ack');
  client.socket.send(`{"id":"1","type":"subscribe","payload":${askViewer(manyLists)}}`);
  expect(await client.closed).toBe(1013);
});
