import { Agent, type IncomingMessage, request } from 'node:http';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import pg from 'pg';
import { expect, test } from 'vitest';
import { allocationPath, NDJSON, sendPieces } from '../rest/requests.ts';
import { querySql } from '../support/job-steps.ts';
import { selectWaiting } from '../support/lock-waits.ts';
import { openSocket } from '../support/socket-client.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';

const LINE = '{"timestamp":"2026-01-25T00:00:00Z","granularity":"DAILY","element-name":"hooli","value":"1"}\n';

interface Answer {
  readonly status: number | undefined;
  readonly connection: string | undefined;
  readonly isReused: boolean;
}

const sendOver = async (agent: Agent, { url, key }: TestServer): Promise<Answer> => {
  const sending = request(url + allocationPath('usage', 'sum'), {
    method: 'POST',
    agent,
    headers: { 'x-api-key': key, ...NDJSON },
  });
  sending.end(LINE);
  const [response] = (await once(sending, 'response')) as [IncomingMessage];
  await text(response);
  return { status: response.statusCode, connection: response.headers.connection, isReused: sending.reusedSocket };
};

test('request on a kept connection > is served with Connection: close while the server stops', async () => {
  const server = await startTestServer({ env: { ROLE: 'api' }, resources: { idleMs: 20_000 } });
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  expect(await sendOver(agent, server)).toEqual({ status: 200, connection: 'keep-alive', isReused: false });
  const stopped = server.app.stop();
  expect(await sendOver(agent, server)).toEqual({ status: 200, connection: 'close', isReused: true });
  await expect(sendOver(agent, server)).rejects.toThrow('ECONNREFUSED');
  // No client is connected any more, so the server stops without waiting.
  await stopped;
  await server.stop();
});

test('upload in flight > is completed before the server stops, which does not wait for idle connections', async () => {
  const server = await startTestServer({ env: { ROLE: 'api', INTAKE_HELD_BYTES: '0', SHUTDOWN_GRACE_SECONDS: '60' } });
  const idle = new Agent({ keepAlive: true });
  await sendOver(idle, server);
  let end = (): void => undefined;
  const ending = new Promise<void>((resolve) => {
    end = resolve;
  });
  const pieces = async function* (): AsyncGenerator<Buffer> {
    yield Buffer.from(LINE.repeat(5000));
    await ending;
    yield Buffer.from(LINE);
  };
  const upload = sendPieces(server, `POST ${allocationPath('usage', 'sum')}`, pieces());
  const stagedBatches = () => querySql(server, 'SELECT number FROM staged_batches');
  await eventually(stagedBatches, (rows) => rows.length > 0);
  const toldAt = performance.now();
  const stopped = server.app.stop();
  // Longer than a server always waits for requests in flight.
  await eventually(
    () => Promise.resolve(performance.now() - toldAt),
    (waited) => waited > 2500,
  );
  end();
  expect(await upload).toMatchObject({ status: 200, body: { insertedRecords: 5001 } });
  await stopped;
  idle.destroy();
  await server.stop();
});

test('mutation over a WebSocket > completes before the socket closes, and a later one gets UNAVAILABLE', async () => {
  const server = await startTestServer({ env: { ROLE: 'api' } });
  const other = new pg.Client({ connectionString: server.database.url });
  await other.connect();
  await other.query('BEGIN; LOCK TABLE streams');
  const socket = await openSocket(server.url, { 'X-API-Key': server.key });
  await socket.until(({ type }) => type === 'connection_ack');
  const record = '{ timestamp: "2026-01-25T00:00:00Z", granularity: DAILY, elementName: "hooli", value: 1 }';
  const query = `mutation { allocationSum(input: { stream: "usage", records: [${record}] }) { __typename } }`;
  socket.send({ type: 'subscribe', id: 'begun', payload: { query } });
  await eventually(
    async () => (await other.query(selectWaiting("relation = 'streams'::regclass"))).rowCount,
    (count) => count === 1,
  );

  const stopped = server.app.stop();
  socket.send({ type: 'subscribe', id: 'late', payload: { query } });
  expect(await socket.until(({ id }) => id === 'late')).toMatchObject({
    type: 'error',
    payload: [{ extensions: { code: 'UNAVAILABLE' } }],
  });
  await other.query('COMMIT');
  await other.end();
  expect(await socket.until(({ id }) => id === 'begun')).toMatchObject({
    type: 'next',
    payload: { data: { allocationSum: { __typename: 'AllocationReceipt' } } },
  });
  expect(await socket.closed).toBe(1001);
  await stopped;
  await server.stop();
});
