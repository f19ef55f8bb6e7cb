import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runInRequestContext, requestLogFields, recordAccount } from '../../src/http/request-context.ts';
import { createJob, endedRun, runJob } from '../support/job-steps.ts';
import { createLogLines, type LogLine } from '../support/log-lines.ts';
import { withClient } from '../support/postgres-admin.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';
import { openSocket } from '../support/socket-client.ts';

const logged = createLogLines();
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

let server: TestServer;
let key = '';
beforeAll(async () => {
  server = await startTestServer({ resources: { log: logged.log } });
  key = await server.createKey('acme', ['ADMIN']);
});
afterAll(() => server.stop());

/** Runs the work while a table is missing, so that it fails with an unexpected error. */
const withoutStreams = async (work: () => Promise<void>): Promise<void> =>
  withClient(server.database.url, async (client) => {
    await client.query('ALTER TABLE streams RENAME TO streams_away');
    try {
      await work();
    } finally {
      await client.query('ALTER TABLE streams_away RENAME TO streams');
    }
  });

const lineOf = (fits: (line: LogLine) => boolean): Promise<LogLine> =>
  eventually(
    async () => logged.lines().findLast(fits),
    (line) => line !== undefined,
    5000,
  ) as Promise<LogLine>;

const gql = (query: string, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(`${server.url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-api-key': key, ...headers },
    body: JSON.stringify({ query }),
  });
const records = (headers: Record<string, string> = {}): Promise<Response> =>
  fetch(`${server.url}/unit-cost/v1/telemetry/calls/records`, { headers: { 'x-api-key': key, ...headers } });

describe('log line of a failed request', () => {
  test.each([
    ['GraphQL', () => gql('{ streams(first: 1) { edges { node { name } } } }', { 'x-request-id': 'from-graphql/1' })],
    ['REST', () => records({ 'x-request-id': 'from-rest:1' })],
  ])('contains the account and the id that was returned, over %s', async (_, send) => {
    await withoutStreams(async () => {
      const answer = await send();
      const id = answer.headers.get('x-request-id');
      expect(id).toMatch(/^from-(?:graphql\/|rest:)1$/);
      const errorId = /"errorId":"([^"]+)"/.exec(await answer.text())?.[1];
      expect(errorId).toMatch(UUID);
      const line = await lineOf(({ level, requestId }) => level === 50 && requestId === id);
      expect(line).toMatchObject({ account: 'acme', accountId: expect.stringMatching(/^\d+$/), errorId });
      expect(line).toMatchObject({ err: { cause: { code: '42P01' } } });
    });
  });

  test('has another id for each operation over WebSocket', async () => {
    await withoutStreams(async () => {
      const client = await openSocket(server.url, { 'x-api-key': key });
      await client.until(({ type }) => type === 'connection_ack');
      const before = logged.lines().length;
      for (const id of ['1', '2']) {
        client.send({ type: 'subscribe', id, payload: { query: '{ streams(first: 1) { edges { node { name } } } }' } });
        await client.until((message) => message.type === 'complete' && message.id === id);
      }
      client.close();
      const failures = logged
        .lines()
        .slice(before)
        .filter(({ level }) => level === 50);
      expect(failures).toHaveLength(2);
      expect(new Set(failures.map(({ requestId }) => requestId)).size).toBe(2);
      for (const line of failures) {
        expect(line).toMatchObject({ requestId: expect.stringMatching(UUID), account: 'acme' });
      }
    });
  });
});

describe('request id', () => {
  test.each(['/graphql', '/jobs', '/healthz', '/nowhere'])(
    'is in every response, including those of %s',
    async (path) => {
      const first = (await fetch(server.url + path)).headers.get('x-request-id');
      const second = (await fetch(server.url + path)).headers.get('x-request-id');
      expect(first).toMatch(UUID);
      expect(second).toMatch(UUID);
      expect(first).not.toBe(second);
    },
  );

  test.each(['a b', 'a"b', '{a}', 'ä', 'a;b', 'a,b', '<a>', '$(a)', 'x'.repeat(129)])(
    'is a new one when the client sends an invalid one: %s',
    async (sent) => {
      const answer = await records({ 'x-request-id': sent });
      expect(answer.headers.get('x-request-id')).toMatch(UUID);
    },
  );

  test.each([
    '1',
    '01J9ZQ',
    '1-67891233-abcdef012345678912345678',
    'Root=1-67891233-abcdef012345678912345678',
    'x'.repeat(128),
  ])("is the client's own when it is well-formed: %s", async (sent) => {
    const answer = await records({ 'x-request-id': sent });
    expect(answer.headers.get('x-request-id')).toBe(sent);
  });

  test('is logged at the level debug, in a line for each request of the API with the operation', async () => {
    await gql('query Named { viewer { accountName } }', { 'x-request-id': 'told-in-debug' });
    await fetch(`${server.url}/healthz`, { headers: { 'x-request-id': 'not-told' } });
    const line = await lineOf(({ msg, requestId }) => msg === 'request answered' && requestId === 'told-in-debug');
    expect(line).toMatchObject({
      level: 20,
      api: 'graphql',
      operation: 'query viewer',
      outcome: 'ok',
      account: 'acme',
    });
    expect(line['seconds']).toBeGreaterThan(0);
    expect(logged.lines().filter(({ requestId }) => requestId === 'not-told')).toEqual([]);
  });

  test('is not in lines about later events, such as a connection that breaks after the response', async () => {
    const during = Promise.withResolvers<object>();
    const after = Promise.withResolvers<object>();
    const isOver = Promise.withResolvers<void>();
    const look = async (): Promise<void> => {
      during.resolve(requestLogFields());
      await isOver.promise;
      after.resolve(requestLogFields());
    };
    await runInRequestContext(
      'asked',
      async () => {
        recordAccount({ accountName: 'acme', accountId: 7n });
        void look();
      },
      () => undefined,
    );
    isOver.resolve();
    expect(await during.promise).toEqual({ requestId: 'asked', account: 'acme', accountId: '7' });
    expect(await after.promise).toEqual({});
  });
});

describe('log lines of a run', () => {
  test.each([
    ['succeeds', 'exports', ['run started', 'attempt ended']],
    ['fails', 'no-such-bucket', ['run started', 'attempt failed', 'attempt ended']],
  ])('contain the ids of the API for the run, its job and its account when it %s', async (how, bucket, messages) => {
    const jobId = await createJob(server, { jobName: `logged ${how}`, s3Url: `${bucket}/logged` }, key);
    const asAcme = {
      ...server,
      graphql: (query: string, variables?: object) => server.graphql(query, variables as never, key),
    } as TestServer;
    const { id } = await endedRun(asAcme, await runJob(server, jobId, '2026-01-28T02:00:00Z', key));
    const lines = await eventually(
      async () => logged.lines().filter(({ runId }) => runId === id),
      (found) => found.length >= messages.length,
    );
    expect(lines.map(({ msg }) => msg)).toEqual(messages);
    for (const line of lines) {
      expect(line).toMatchObject({
        runId: id,
        jobId,
        account: 'acme',
        accountId: expect.stringMatching(/^\d+$/),
        attempt: 1,
      });
      expect(line).not.toHaveProperty('requestId');
    }
  });

  test('contain the id of the run when its mail was not sent', async () => {
    const jobId = await createJob(
      server,
      { jobName: 'logged mail', s3Url: 'exports/mail', email: 'a@example.com' },
      key,
    );
    const runId = await runJob(server, jobId, '2026-01-28T02:00:00Z', key);
    const line = await lineOf((one) => one.msg.startsWith('no mail was sent') && one['runId'] === runId);
    expect(line).toMatchObject({ jobId, account: 'acme', status: 'SUCCEEDED' });
  });
});
