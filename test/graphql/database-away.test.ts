import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { withClient } from '../support/postgres-admin.ts';
import { openEventStream } from '../support/event-stream.ts';
import { createLogLines } from '../support/log-lines.ts';
import { openSocket } from '../support/socket-client.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';

const logged = createLogLines();
let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ resources: { log: logged.log } });
});
afterAll(async () => {
  await setDatabase('open');
  await server.stop();
});

const setDatabase = (state: 'open' | 'away'): Promise<void> =>
  withClient(inject('postgresAdminUrl'), async (admin) => {
    const name = new URL(server.database.url).pathname.slice(1);
    await admin.query(`ALTER DATABASE ${name} ALLOW_CONNECTIONS ${state === 'open'}`);
    if (state === 'away')
      await admin.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1', [name]);
  });

const post = async (query: string): Promise<{ status: number; headers: Headers; body: string }> => {
  const response = await fetch(`${server.url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-api-key': server.key },
    body: JSON.stringify({ query }),
  });
  return { status: response.status, headers: response.headers, body: await response.text() };
};
const statusOf = async (path: string): Promise<number> => (await fetch(server.url + path)).status;

test('server > reports UNAVAILABLE while the database is down and recovers automatically when it returns', async () => {
  const { createJob } = await server.graphql<{ createJob: { id: string } }>(
    `mutation ($input: CreateJobInput!) { createJob(input: $input) { ... on Job { id } } }`,
    {
      input: {
        jobName: 'Continues',
        s3Url: 'exports',
        format: 'CSV',
        aggregationBucket: 'DAY',
        range: 'ago(1d)',
        enabled: false,
      },
    },
  );
  const stream = await openEventStream<{ runUpdated: { status: string } }>({
    url: server.url,
    key: server.key,
    query: 'subscription ($id: ID!) { runUpdated(jobId: $id) { status } }',
    variables: { id: createJob.id },
  });
  const socket = await openSocket(server.url, { 'X-API-Key': server.key });
  await socket.until(({ type }) => type === 'connection_ack');
  expect([await statusOf('/readyz'), await statusOf('/healthz')]).toEqual([200, 200]);

  await setDatabase('away');
  // The key is cached for 400 ms. After that no caller can be authenticated.
  await eventually(
    async () => (await post('{ viewer { accountName } }')).status,
    (status) => status === 503,
  );
  for (const query of [
    '{ streams { totalCount } }',
    '{ jobs { totalCount } }',
    'mutation { deleteStream(name: "x") { __typename } }',
  ]) {
    const { status, headers, body } = await post(query);
    expect(status).toBe(503);
    expect(headers.get('retry-after')).toBe('5');
    expect(JSON.parse(body)).toMatchObject({ errors: [{ extensions: { code: 'UNAVAILABLE' } }] });
    expect(body).not.toMatch(/sluice_test|terminat|connection/i);
  }
  expect([await statusOf('/readyz'), await statusOf('/healthz')]).toEqual([503, 200]);
  // Requests that need no database succeed.
  expect(await server.request('{ __schema { queryType { name } } }', {}, null)).toMatchObject({ status: 200 });
  socket.send({ type: 'subscribe', id: '1', payload: { query: '{ jobs { totalCount } }' } });
  expect(await socket.until(({ id }) => id === '1')).toMatchObject({
    type: 'error',
    payload: [{ extensions: { code: 'UNAVAILABLE' } }],
  });
  // RFC 6455: try again later. The key may well be right.
  expect(await (await openSocket(server.url, { 'X-API-Key': server.key })).closed).toBe(1013);

  // Long enough for each part to try more than once.
  await delay(4000);
  await setDatabase('open');
  await eventually(
    () => statusOf('/readyz'),
    (status) => status === 200,
  );
  expect((await post('{ jobs { totalCount } }')).status).toBe(200);
  await server.graphql(`mutation ($id: ID!) { runJob(input: { jobId: $id }) { __typename } }`, { id: createJob.id });
  // The subscription from before still follows, and the worker works.
  await stream.until(({ data }) => data?.runUpdated.status === 'SUCCEEDED', 40_000);
  stream.close();
  socket.send({ type: 'subscribe', id: '2', payload: { query: '{ jobs { totalCount } }' } });
  expect(await socket.until(({ id }) => id === '2')).toMatchObject({
    type: 'next',
    payload: { data: { jobs: { totalCount: 1 } } },
  });
  socket.close();
  // An outage of a minute must not log a hundred lines.
  const told = (words: RegExp) => logged.lines().filter(({ msg }) => words.test(msg)).length;
  expect([told(/^run feed interrupted/), told(/^run feed reconnected/)]).toEqual([1, 1]);
  expect([told(/^the scheduler failed/), told(/^the reaper failed/)]).toEqual([1, 1]);
  expect(logged.text()).not.toMatch(/\bINSERT INTO\b|\bselect "/i);
  expect(logged.text()).not.toContain(server.key);
});
