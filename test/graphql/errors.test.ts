import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { withClient } from '../support/postgres-admin.ts';
import { openEventStream } from '../support/event-stream.ts';
import { createLogLines } from '../support/log-lines.ts';
import { createSteppedJob } from '../support/run-steps.ts';
import { openSocket, type SocketClient } from '../support/socket-client.ts';
import { startTestServer, type GraphQLAnswer, type TestServer } from '../support/server.ts';

const SECRET_RECORD = 'never-to-be-seen-in-a-log';

const logged = createLogLines();
let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({
    env: { ROLE: 'api', STATEMENT_TIMEOUT_MS: '1000' },
    resources: { log: logged.log },
  });
});
afterAll(() => server.stop());

const codesOf = ({ errors = [] }: GraphQLAnswer<unknown>): unknown[] =>
  errors.map(({ extensions }) => extensions?.['code']);

describe('errors of a request', () => {
  test.each<[string, string, object | undefined, string]>([
    ['no GraphQL', '{', undefined, 'GRAPHQL_PARSE_FAILED'],
    ['no GraphQL, out of the cache', '{', undefined, 'GRAPHQL_PARSE_FAILED'],
    ['an empty document', '', undefined, 'GRAPHQL_PARSE_FAILED'],
    ['nothing but a fragment', 'fragment F on Query { __typename }', undefined, 'OPERATION_RESOLUTION_FAILURE'],
    ['an unknown field', '{ nothing }', undefined, 'GRAPHQL_VALIDATION_FAILED'],
    ['an unknown field, out of the cache', '{ nothing }', undefined, 'GRAPHQL_VALIDATION_FAILED'],
    ['a literal of the wrong type', '{ jobs(first: "x") { totalCount } }', undefined, 'GRAPHQL_VALIDATION_FAILED'],
    ['an unknown enum value', '{ runs(status: [DONE]) { totalCount } }', undefined, 'GRAPHQL_VALIDATION_FAILED'],
    ['a variable that is missing', 'query ($id: ID!) { job(id: $id) { id } }', undefined, 'BAD_USER_INPUT'],
    ['a variable that is null', 'query ($id: ID!) { job(id: $id) { id } }', { id: null }, 'BAD_USER_INPUT'],
    [
      'a variable of the wrong type',
      'query ($n: Int) { jobs(first: $n) { totalCount } }',
      { n: '1' },
      'BAD_USER_INPUT',
    ],
    [
      'an integer too large for Int',
      'query ($n: Int) { jobs(first: $n) { totalCount } }',
      { n: 2 ** 40 },
      'BAD_USER_INPUT',
    ],
    [
      'a scalar of the wrong type',
      'query ($z: TimeZone!) { usage(input: { from: "", to: "", aggregationBucket: DAY, timeZone: $z }) { __typename } }',
      { z: 7 },
      'BAD_USER_INPUT',
    ],
    [
      'an unknown input field',
      'query ($i: UsageInput!) { usage(input: $i) { __typename } }',
      { i: { from: 'x', to: 'x', aggregationBucket: 'DAY', no: 1 } },
      'BAD_USER_INPUT',
    ],
    [
      'null for a non-null directive argument',
      'query ($b: Boolean = true) { viewer @include(if: $b) { accountName } }',
      { b: null },
      'BAD_USER_INPUT',
    ],
    ['a page too large', '{ jobs(first: 101) { totalCount edges { cursor } } }', undefined, 'BAD_USER_INPUT'],
    ['a page below nothing', '{ jobs(last: -1) { edges { cursor } } }', undefined, 'BAD_USER_INPUT'],
    ['first and last', '{ jobs(first: 1, last: 1) { edges { cursor } } }', undefined, 'BAD_USER_INPUT'],
    ['an invalid cursor', '{ runs(after: "x") { edges { cursor } } }', undefined, 'BAD_USER_INPUT'],
    ['an invalid s3Url', '{ bucketPolicy(s3Url: "arn:aws:s3:::x") }', undefined, 'BAD_USER_INPUT'],
    ['more than a hundred ids', `{ nodes(ids: [${'"x",'.repeat(101)}]) { id } }`, undefined, 'BAD_USER_INPUT'],
    [
      'too deep a document',
      `{ jobs { edges { node { ${'runs { edges { node { job { '.repeat(8)} id ${'} } } }'.repeat(8)} } } } }`,
      undefined,
      'DOCUMENT_TOO_LARGE',
    ],
    [
      'too large an answer',
      '{ jobs(first: 100) { edges { node { runs(first: 100) { edges { node { job { runs(first: 100) { edges { node { id } } } } } } } } } } }',
      undefined,
      'DOCUMENT_TOO_LARGE',
    ],
    ['too many fields', `{ ${'__typename '.repeat(1001)} }`, undefined, 'DOCUMENT_TOO_LARGE'],
    [
      'too many aliases',
      `{ ${Array.from({ length: 251 }, (_, index) => `a${index}: __typename`).join(' ')} }`,
      undefined,
      'DOCUMENT_TOO_LARGE',
    ],
    ['a document without end', `{ ${'a { '.repeat(100_000)}`, undefined, 'GRAPHQL_PARSE_FAILED'],
    [
      'introspection of introspection',
      '{ __schema { types { fields { type { fields { type { fields { type { fields { name } } } } } } } } } }',
      undefined,
      'GRAPHQL_VALIDATION_FAILED',
    ],
  ])('have a code: %s', async (_, query, variables, code) => {
    const answer = await server.request(query, { ...variables });
    expect(codesOf(answer).length).toBeGreaterThan(0);
    expect(new Set(codesOf(answer))).toEqual(new Set([code]));
  });

  test('do not occur for the introspection query of common tools', async () => {
    const { getIntrospectionQuery } = await import('graphql');
    const query = getIntrospectionQuery({ descriptions: true, specifiedByUrl: true, inputValueDeprecation: true });
    expect(codesOf(await server.request(query, {}, null))).toEqual([]);
  });

  test('do not occur for an omitted variable whose argument has a default', async () => {
    await createSteppedJob(server);
    const { jobs } = await server.graphql<{ jobs: { edges: { node: object }[] } }>(
      'query ($n: Int) { jobs(first: 1) { edges { node { nextRuns(first: $n) } } } }',
      {},
    );
    expect(jobs.edges).toEqual([{ node: { nextRuns: [] } }]);
  });
});

/** Runs the work while the table is renamed. */
const without = async <T>(table: string, work: () => Promise<T>): Promise<T> => {
  const alter = (from: string, to: string) =>
    withClient(server.database.url, (client) => client.query(`ALTER TABLE ${from} RENAME TO ${to}`));
  await alter(table, `${table}_away`);
  try {
    return await work();
  } finally {
    await alter(`${table}_away`, table);
  }
};

const sumOf = (element: string) => ({
  input: {
    stream: 'masked',
    records: [{ timestamp: '2026-01-25T00:00:00Z', granularity: 'DAILY', elementName: element, value: '1' }],
  },
});
const SUM = 'mutation ($input: AllocationInput!) { allocationSum(input: $input) { __typename } }';

/** Expected error for the client: an id without the cause. */
const expectMasked = (errors: unknown): string => {
  expect(errors).toMatchObject([
    { extensions: { code: 'INTERNAL', errorId: expect.stringMatching(/^[0-9a-f-]{36}$/) } },
  ]);
  const text = JSON.stringify(errors);
  expect(text).not.toMatch(/select|insert|relation|exist|\.ts|node_modules|away/i);
  expect(text).not.toContain(SECRET_RECORD);
  const [{ extensions }] = errors as [{ extensions: { errorId: string } }];
  return extensions.errorId;
};

/** Returns the line of the log with this id. */
const expectLogged = (errorId: string): void => {
  const line = logged.lines().find((one) => one.errorId === errorId);
  expect(line).toMatchObject({
    level: 50,
    err: { cause: { code: '42P01', message: expect.stringContaining('does not exist') } },
  });
  expect(JSON.stringify(line)).toContain('    at ');
  expect(logged.text()).not.toContain(SECRET_RECORD);
  expect(logged.text()).not.toMatch(/\bINSERT INTO\b|\bselect "/i);
  expect(logged.text()).not.toContain(server.key);
};

describe('errors of the server are masked and logged with an id', () => {
  test('in a query and in a mutation', async () => {
    for (const query of ['{ streams { edges { cursor } } }', SUM]) {
      const answer = await without('streams', () => server.request(query, sumOf(SECRET_RECORD)));
      expectLogged(expectMasked(answer.errors));
    }
  });

  test('over WebSocket', async () => {
    const client = await openSocket(server.url, { 'X-API-Key': server.key });
    await client.until(({ type }) => type === 'connection_ack');
    const answer = await without('streams', async () => {
      client.send({ type: 'subscribe', id: '1', payload: { query: SUM, variables: sumOf(SECRET_RECORD) } });
      return client.until(({ id }) => id === '1');
    });
    expectLogged(expectMasked((answer.payload as { errors: unknown }).errors));
    client.close();
  });

  describe.each([
    [
      'SSE',
      async (query: string, variables: object) => {
        const stream = await openEventStream({ url: server.url, key: server.key, query, variables: { ...variables } });
        const result = await stream.until(({ errors }) => errors !== undefined);
        stream.close();
        return result.errors;
      },
    ],
    [
      'WebSocket',
      async (query: string, variables: object) => {
        const client: SocketClient = await openSocket(server.url, { 'X-API-Key': server.key });
        await client.until(({ type }) => type === 'connection_ack');
        client.send({ type: 'subscribe', id: '1', payload: { query, variables } });
        const answer = await client.until(
          ({ type, payload }) => type === 'error' || JSON.stringify(payload ?? '').includes('"errors"'),
        );
        client.close();
        return answer.type === 'error' ? answer.payload : (answer.payload as { errors: unknown }).errors;
      },
    ],
  ])('subscription over %s', (_, subscribe) => {
    test('when it cannot start', async () => {
      const errors = await without('runs', () =>
        subscribe(
          'subscription { runUpdated(runId: "UnVuOjAxYTIwMTYzLTM3ZWYtN2UxNy1iMzNlLTEzZGViNzg3NjZmZQ") { id } }',
          {},
        ),
      );
      expectLogged(expectMasked(errors));
    });

    test('when its source fails', async () => {
      const errors = await without('runs', () => subscribe('subscription { runUpdated { id } }', {}));
      expectLogged(expectMasked(errors));
    });

    test('when one of its fields fails', async () => {
      const run = await (await createSteppedJob(server)).run();
      const query = 'subscription ($id: ID!) { runUpdated(runId: $id) { objects { key } } }';
      const errors = await without('run_objects', () => subscribe(query, { id: run.id }));
      expectLogged(expectMasked(errors));
    });
  });

  test('a statement that exceeds its time limit is reported as TIMEOUT and leaves the connection usable', async () => {
    await server.graphql(SUM, sumOf('hooli'));
    const answer = await withClient(server.database.url, async (client) => {
      await client.query('BEGIN; LOCK TABLE streams IN ACCESS EXCLUSIVE MODE');
      return Promise.all([server.request('{ streams { edges { cursor } } }'), server.request(SUM, sumOf('hooli'))]);
    });
    expect(answer.map(codesOf)).toEqual([['TIMEOUT'], ['TIMEOUT']]);
    const { stream } = await server.graphql<{ stream: { records: { edges: { node: { value: string } }[] } } }>(
      '{ stream(name: "masked") { records { edges { node { value } } } } }',
    );
    expect(stream.records.edges).toEqual([{ node: { value: '1' } }]);
  });
});
