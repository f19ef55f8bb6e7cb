import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { send, sendEvents } from '../../src/http/responses.ts';
import { withClient } from '../support/postgres-admin.ts';
import { createSteppedJob } from '../support/run-steps.ts';
import { openSocket } from '../support/socket-client.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';

const RUNS = 100;
const ROUNDS = 40;
const MIB = 1024 * 1024;
/** Long answers, so that the buffers of the kernel are full soon. */
const FOLLOW = `subscription { runUpdated { id status rowsWritten ${Array.from({ length: 100 }, (_, index) => `copy${index}: jobName`).join(' ')} } }`;

let server: TestServer;
const sockets: Socket[] = [];

beforeAll(async () => {
  server = await startTestServer({ env: { ROLE: 'api' } });
  const job = await createSteppedJob(server);
  for (let index = 0; index < RUNS; index += 20) await Promise.all(Array.from({ length: 20 }, () => job.run()));
});
afterAll(async () => {
  for (const socket of sockets) socket.destroy();
  await server.stop();
});

/** Changes every run the given number of times, as workers do. */
const changeRuns = (rounds: number): Promise<void> =>
  withClient(server.database.url, async (client) => {
    for (let round = 0; round < rounds; round += 1) {
      await client.query(`
        WITH changed AS (UPDATE runs SET change = change + 1, rows_written = rows_written + 1 RETURNING id, account_id, job_id)
        SELECT pg_notify('sluice_runs', json_build_object('id', id, 'accountId', account_id::text, 'jobId', job_id)::text) FROM changed`);
    }
  });

const openSubscriptions = async (): Promise<number> =>
  Number(/^sluice_subscriptions_open (\d+)$/m.exec(await (await fetch(`${server.url}/metrics`)).text())?.[1]);

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;
const heapAfter = async (work: () => Promise<void>): Promise<number> => {
  collectGarbage();
  const before = process.memoryUsage();
  await work();
  collectGarbage();
  const after = process.memoryUsage();
  return after.heapUsed + after.external - before.heapUsed - before.external;
};

/** Sends the request, and never reads a byte. */
const openDeafStream = async (): Promise<Socket> => {
  const body = JSON.stringify({ query: FOLLOW });
  const socket = connect({ port: Number(new URL(server.url).port), host: '127.0.0.1' });
  socket.on('error', () => {});
  await once(socket, 'connect');
  socket.pause();
  sockets.push(socket);
  socket.write(
    `POST /graphql HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\nContent-Type: application/json\r\nX-API-Key: ${server.key}\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
  return socket;
};

describe('clients that do not read', () => {
  test('take bounded memory, do not affect others, and release their slots when they disconnect', async () => {
    const streams = await Promise.all(Array.from({ length: 3 }, openDeafStream));
    const webSockets = await Promise.all(
      Array.from({ length: 3 }, async () => {
        const client = await openSocket(server.url, { 'X-API-Key': server.key });
        await client.until(({ type }) => type === 'connection_ack');
        client.send({ type: 'subscribe', id: '1', payload: { query: FOLLOW } });
        client.socket.pause();
        return client;
      }),
    );
    await eventually(openSubscriptions, (count) => count === 6);
    const growth = await heapAfter(async () => {
      await changeRuns(ROUNDS);
      const answer = await server.request('{ runs { totalCount } }');
      expect(answer).toMatchObject({ status: 200, data: { runs: { totalCount: RUNS } } });
    });
    // Six readers and 4,000 changes of about 6 KiB each would be 140 MiB; what waits is the newest state of each run.
    expect(growth).toBeLessThan(30 * MIB);
    // One reads after all: the last state of each run is there, and the states in between are not all.
    const [late] = webSockets;
    late?.socket.resume();
    const lastStates = (): Map<string, number> =>
      new Map(
        (late?.messages ?? []).flatMap(({ payload }) => {
          const { data } = (payload ?? {}) as { data?: { runUpdated: { id: string; rowsWritten: number } } };
          return data ? [[data.runUpdated.id, data.runUpdated.rowsWritten]] : [];
        }),
      );
    await eventually(
      () => Promise.resolve([...lastStates().values()].filter((rows) => rows === ROUNDS).length),
      (count) => count === RUNS,
    );
    expect(late?.messages.length).toBeLessThan((RUNS * ROUNDS) / 3);
    for (const stream of streams) stream.destroy();
    for (const client of webSockets) client.close();
    await eventually(openSubscriptions, (count) => count === 0);
  });

  test('lose their stream and its source after the time limit', async () => {
    let isCanceled = false;
    const http = createServer((request, response) => {
      const endless = new ReadableStream<Uint8Array>({
        pull: (controller) => controller.enqueue(new Uint8Array(65_536)),
        cancel: () => {
          isCanceled = true;
        },
      });
      const answer = new Response(endless, { headers: { 'content-type': 'text/event-stream' } });
      send(answer, request, response, { errorBody: () => '', stalledMs: 200 }).catch(() => {});
    }).listen(0, '127.0.0.1');
    await once(http, 'listening');
    const socket = connect((http.address() as AddressInfo).port, '127.0.0.1');
    socket.on('error', () => {});
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    socket.pause();
    await eventually(
      () => Promise.resolve(isCanceled),
      (canceled) => canceled,
      5000,
    );
    socket.destroy();
    http.close();
  });
});

test.each(['goes', 'never reads'])('sendEvents > ends the events and their source when the reader %s', async (how) => {
  let isEnded = false;
  let given = 0;
  const http = createServer((_, response) => {
    const many = async function* (): AsyncGenerator<string> {
      try {
        // An end, for a test that fails.
        while (given < 5000) yield await Promise.resolve(String((given += 1)));
      } finally {
        isEnded = true;
      }
    };
    const answer = new Response(null, { headers: { 'content-type': 'text/event-stream' } });
    sendEvents(answer, many(), (event) => event.padEnd(65_536), response, 200).catch(() => {});
  }).listen(0, '127.0.0.1');
  await once(http, 'listening');
  const socket = connect((http.address() as AddressInfo).port, '127.0.0.1');
  socket.on('error', () => {});
  socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  if (how === 'goes') socket.once('data', () => socket.destroy());
  else socket.pause();
  await eventually(
    () => Promise.resolve(isEnded),
    (ended) => ended,
    5000,
  );
  // Only what fits into the buffers of the kernel.
  expect(given).toBeLessThan(2000);
  socket.destroy();
  http.close();
});

test('shutdown > ends subscriptions with an error and does not wait for clients that do not read', async () => {
  const stopping = await startTestServer({
    env: { ROLE: 'api', SHUTDOWN_GRACE_SECONDS: '30' },
    database: server.database,
    s3: server.s3,
  });
  const client = await openSocket(stopping.url, { 'X-API-Key': stopping.key });
  await client.until(({ type }) => type === 'connection_ack');
  client.send({ type: 'subscribe', id: '1', payload: { query: 'subscription { runUpdated { id } }' } });
  const deaf = await openSocket(stopping.url, { 'X-API-Key': stopping.key });
  deaf.socket.pause();
  await client.until(({ type }) => type === 'next');
  const response = await fetch(`${stopping.url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'text/event-stream', 'x-api-key': stopping.key },
    body: JSON.stringify({ query: 'subscription { runUpdated { id } }' }),
  });
  const begun = performance.now();
  const [text, code] = await Promise.all([response.text(), client.closed, stopping.stop()]);
  expect(performance.now() - begun).toBeLessThan(20_000);
  // A stream that was cut off is not one that has ended.
  expect(text).toMatch(/"code":"UNAVAILABLE".*\n\nevent: complete\n/);
  // Clients of graphql-ws reconnect after this code unless they received an error before it.
  expect(code).toBe(1001);
  expect(client.messages.map(({ type }) => type)).not.toContain('complete');
  expect(client.messages.map(({ type }) => type)).not.toContain('error');
  deaf.close();
});
