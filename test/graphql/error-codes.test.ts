import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { ERROR_CODES, type TopLevelCode } from '../../src/graphql/error-codes.ts';
import { addRecords, createJob, innerId, querySql, runJob } from '../support/job-steps.ts';
import { withClient } from '../support/postgres-admin.ts';
import { createSteppedJob } from '../support/run-steps.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';
import { openSocket } from '../support/socket-client.ts';
import { openRawConnection } from '../support/raw-requests.ts';
import { readSourceFiles } from '../support/source-files.ts';

// Every way to a top-level error, by every transport on which there is one. Each has a code that is documented.

let server: TestServer;
/** Keeps no documents of clients, and trusts none. */
let forgetful: TestServer;
/** Trusts none but its own. */
let strict: TestServer;
let folder: string;
/** Variables with the ids of an operation and of a run that has not started. */
const past = { operation: { id: '' }, run: { id: '' } };
const keys = { intake: '', rated: '', following: '' };

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-codes-'));
  const file = join(folder, 'documents.json');
  await writeFile(file, '{}');
  server = await startTestServer({
    env: {
      ROLE: 'api',
      STATEMENT_TIMEOUT_MS: '1500',
      STREAM_WAIT_MS: '200',
      MAX_BODY_BYTES: '50000',
      MAX_SUBSCRIPTIONS_PER_KEY: '1',
      INTAKE_RECORDS_PER_SECOND: '1',
      INTAKE_BURST: '1',
      INTAKE_MEASURED_SECONDS: '1',
    },
  });
  const another = (env: Readonly<Record<string, string>>) =>
    startTestServer({ env: { ROLE: 'api', ...env }, database: server.database, s3: server.s3 });
  forgetful = await another({ PERSISTED_DOCUMENT_BYTES: '0' });
  strict = await another({ TRUSTED_DOCUMENTS: file, TRUSTED_DOCUMENTS_ONLY: 'true' });
  keys.intake = await server.createKey('default', ['INGEST']);
  keys.rated = await server.createKey('default', ['INGEST']);
  keys.following = await server.createKey('default', ['READ']);
  await addRecords(server, 'past', 'DAILY', [{ timestamp: '2026-01-25T00:00:00Z', elementName: 'a', value: '1' }]);
  const { stream } = await server.graphql<{ stream: { operations: { edges: { node: { id: string } }[] } } }>(
    '{ stream(name: "past") { operations { edges { node { id } } } } }',
  );
  past.operation.id = stream.operations.edges[0]?.node.id ?? '';
  past.run.id = await runJob(server, await createJob(server, { enabled: false }));
});
afterAll(async () => {
  await setDatabase('open');
  await strict.stop();
  await forgetful.stop();
  await server.stop();
  await rm(folder, { recursive: true });
});

const setDatabase = (state: 'open' | 'away'): Promise<void> =>
  withClient(inject('postgresAdminUrl'), async (admin) => {
    const name = new URL(server.database.url).pathname.slice(1);
    await admin.query(`ALTER DATABASE ${name} ALLOW_CONNECTIONS ${state === 'open'}`);
    if (state === 'away')
      await admin.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1', [name]);
  });

const TRANSPORTS = ['application/json', 'application/graphql-response+json', 'text/event-stream', 'WebSocket'] as const;
type Transport = (typeof TRANSPORTS)[number];

/** The part of a response that clients receive. */
interface Told {
  readonly codes: readonly unknown[];
  readonly hasData: boolean;
  /** Null over WebSocket. */
  readonly status: number | null;
}

interface Result {
  readonly data?: unknown;
  readonly errors?: readonly { readonly extensions?: { readonly code?: unknown } }[];
}

const toldBy = ({ data, errors = [] }: Result, status: number | null): Told => ({
  codes: errors.map(({ extensions }) => extensions?.code),
  hasData: data !== undefined,
  status,
});

const ask = async (to: TestServer, transport: Transport, payload: object, key: string | null): Promise<Told> => {
  if (transport === 'WebSocket') {
    const socket = await openSocket(to.url, { 'X-API-Key': key });
    await socket.until(({ type }) => type === 'connection_ack');
    socket.send({ type: 'subscribe', id: '1', payload: { query: '', ...payload } });
    const { payload: told } = await socket.until(({ id }) => id === '1');
    socket.close();
    return toldBy(Array.isArray(told) ? { errors: told } : (told as Result), null);
  }
  const response = await fetch(`${to.url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: transport, ...(key !== null && { 'x-api-key': key }) },
    body: JSON.stringify(payload),
  });
  const text = await response.text();
  const json = transport === 'text/event-stream' ? (/^data: (.+)$/m.exec(text)?.[1] ?? '{}') : text;
  return toldBy(JSON.parse(json) as Result, response.status);
};

/** Renames the table during the work. */
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

const whileHeld = <T>(table: string, work: () => Promise<T>): Promise<T> =>
  withClient(server.database.url, async (client) => {
    await client.query(`BEGIN; LOCK TABLE ${table} IN ACCESS EXCLUSIVE MODE`);
    return work();
  });

const whileNameHeld = <T>(stream: string, work: () => Promise<T>): Promise<T> =>
  withClient(server.database.url, async (client) => {
    await client.query(
      `BEGIN; SELECT pg_advisory_xact_lock(hashtextextended(format('stream %s/${stream}', id), 0)) FROM accounts WHERE name = 'default'`,
    );
    return work();
  });

/** Sends a body of this many bytes, one every now and then, and answers with what came back. */
const sendSlowly = async (): Promise<string> => {
  const socket = connect(Number(new URL(server.url).port), '127.0.0.1');
  await once(socket, 'connect');
  socket.write('POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{');
  const [answer] = (await once(socket, 'data')) as [Buffer];
  socket.destroy();
  return answer.toString();
};

const post = (body: string, headers: Readonly<Record<string, string>> = {}, to = server): Promise<Response> =>
  fetch(`${to.url}/graphql`, { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body });

interface Operation {
  readonly payload: object;
  readonly key?: () => string | null;
  readonly on?: () => TestServer;
  readonly transports?: readonly Transport[];
  /** While this is so. */
  readonly while?: (work: () => Promise<Told>) => Promise<Told>;
  /** The status of application/json. */
  readonly json?: number;
}

const QUERY = '{ viewer { accountName } }';
const FOLLOW = 'subscription { runUpdated { id } }';
const STREAMS = '{ streams { edges { cursor } } }';
const DELETE_STREAM = 'mutation { deleteStream(name: "busy") { __typename } }';
const SUM = {
  query: 'mutation ($input: AllocationInput!) { allocationSum(input: $input) { __typename } }',
  variables: {
    input: {
      stream: 'rated',
      // The key has a debt for as many seconds.
      records: Array.from({ length: 30 }, (_, index) => ({
        timestamp: '2026-01-25T00:00:00Z',
        granularity: 'DAILY',
        elementName: `e${index}`,
        value: '1',
      })),
    },
  },
};
const STREAMED = ['text/event-stream', 'WebSocket'] as const;
const OVER_HTTP = TRANSPORTS.filter((transport) => transport !== 'WebSocket');

/** Codes of the ConflictErrors that Stream.records reports as top-level errors. */
const CODES_OF_RECORDS = ['CONFLICT', 'HISTORY_GONE', 'TOO_RECENT'];

const OPERATIONS: readonly (readonly [TopLevelCode, string, Operation])[] = [
  ['GRAPHQL_PARSE_FAILED', 'no GraphQL', { payload: { query: '{' } }],
  ['GRAPHQL_VALIDATION_FAILED', 'an unknown field', { payload: { query: '{ nothing }' } }],
  ['DOCUMENT_TOO_LARGE', 'too many fields', { payload: { query: `{ ${'__typename '.repeat(1001)} }` } }],
  [
    'OPERATION_RESOLUTION_FAILURE',
    'two operations and no name',
    { payload: { query: 'query A { __typename } query B { __typename }' }, json: 400 },
  ],
  [
    'OPERATION_RESOLUTION_FAILURE',
    'the name of no operation',
    { payload: { query: 'query A { __typename }', operationName: 'B' }, json: 400 },
  ],
  ['BAD_USER_INPUT', 'a variable that is missing', { payload: { query: 'query ($id: ID!) { job(id: $id) { id } }' } }],
  ['BAD_USER_INPUT', 'a page that is too large', { payload: { query: '{ jobs(first: 101) { totalCount } }' } }],
  [
    'BAD_USER_INPUT',
    'a subscription to a run and a job',
    { payload: { query: 'subscription { runUpdated(runId: "x", jobId: "x") { id } }' } },
  ],
  ['PERSISTED_QUERY_NOT_FOUND', 'an unknown id', { payload: { documentId: 'unknown' } }],
  ['PERSISTED_QUERY_NOT_SUPPORTED', 'an id', { payload: { documentId: 'unknown' }, on: () => forgetful }],
  ['DOCUMENT_NOT_TRUSTED', 'a document of its own', { payload: { query: QUERY }, on: () => strict }],
  ['UNAUTHENTICATED', 'no key', { payload: { query: QUERY }, key: () => null, transports: OVER_HTTP, json: 401 }],
  [
    'UNAUTHENTICATED',
    'a subscription without a key',
    { payload: { query: FOLLOW }, key: () => null, transports: OVER_HTTP, json: 401 },
  ],
  ['FORBIDDEN', 'a key without the scope', { payload: { query: '{ jobs { totalCount } }' }, key: () => keys.intake }],
  ['FORBIDDEN', 'a subscription without the scope', { payload: { query: FOLLOW }, key: () => keys.intake }],
  ...(['operation', 'run'] as const).map(
    (field) =>
      [
        'NOT_FOUND',
        `records as of an unknown ${field}`,
        { payload: { query: `{ stream(name: "past") { records(asOf: { ${field}: "x" }) { edges { cursor } } } }` } },
      ] as const,
  ),
  [
    'HISTORY_GONE',
    'records as of a time without a recorded state',
    {
      payload: {
        query: '{ stream(name: "past") { records(asOf: { time: "2020-01-01T00:00:00Z" }) { edges { cursor } } } }',
      },
    },
  ],
  [
    'CONFLICT',
    'records as of a run that has not started',
    {
      payload: {
        query: 'query ($id: ID!) { stream(name: "past") { records(asOf: { run: $id }) { edges { cursor } } } }',
        variables: past.run,
      },
    },
  ],
  [
    'TOO_RECENT',
    'records as of an operation beside an older transaction',
    {
      payload: {
        query: 'query ($id: ID!) { stream(name: "past") { records(asOf: { operation: $id }) { edges { cursor } } } }',
        variables: past.operation,
      },
      while: (work) =>
        withClient(server.database.url, async (client) => {
          await client.query('BEGIN; SELECT pg_current_xact_id()');
          await querySql(server, 'UPDATE operations SET xid = pg_current_xact_id()');
          return work();
        }),
    },
  ],
  ['NOT_FOUND', 'an unknown run', { payload: { query: 'subscription { runUpdated(runId: "x") { id } }' } }],
  [
    'LIMIT_EXCEEDED',
    'a subscription too many',
    {
      payload: { query: FOLLOW },
      key: () => keys.following,
      transports: STREAMED,
      while: async (work) => {
        const openSubscriptions = async () =>
          /^sluice_subscriptions_open (\d+)$/m.exec(await (await fetch(`${server.url}/metrics`)).text())?.[1];
        // The server notices a little later that the client of the test before has gone.
        await eventually(openSubscriptions, (open) => open === '0');
        const first = await openSocket(server.url, { 'X-API-Key': keys.following });
        await first.until(({ type }) => type === 'connection_ack');
        first.send({ type: 'subscribe', id: 'first', payload: { query: FOLLOW } });
        await eventually(openSubscriptions, (open) => open === '1');
        const told = await work();
        first.close();
        await first.closed;
        return told;
      },
    },
  ],
  ['RATE_LIMITED', 'more records than the key may send', { payload: SUM, key: () => keys.rated, json: 429 }],
  [
    'STREAM_BUSY',
    'a stream whose name another transaction holds for too long',
    { payload: { query: DELETE_STREAM }, while: (work) => whileNameHeld('busy', work), json: 503 },
  ],
  [
    'TIMEOUT',
    'a statement that takes too long',
    { payload: { query: STREAMS }, while: (work) => whileHeld('streams', work) },
  ],
  [
    'TIMEOUT',
    'a key that cannot be looked up in time',
    {
      payload: { query: QUERY },
      key: () => 'a'.repeat(48),
      transports: ['application/json', 'application/graphql-response+json'],
      while: (work) => whileHeld('api_keys', work),
      json: 503,
    },
  ],
  ['INTERNAL', 'a table that is gone', { payload: { query: STREAMS }, while: (work) => without('streams', work) }],
  [
    'INTERNAL',
    'a key that cannot be looked up',
    {
      payload: { query: QUERY },
      key: () => 'b'.repeat(48),
      transports: ['application/json', 'application/graphql-response+json'],
      while: (work) => without('api_keys', work),
      json: 500,
    },
  ],
  [
    'INTERNAL',
    'a subscription whose rows are gone',
    {
      payload: { query: FOLLOW },
      transports: STREAMED,
      while: (work) => without('runs', work),
    },
  ],
];

/** More than may wait for one subscription, and what is on its way to it. */
const CHANGED_RUNS = 14_000;

/** Codes that clients received in this test. */
const met = new Set<string>();

/** Asserts that the status matches the code of the response. */
const ALWAYS = new Set<number>([401, 429]);

describe.each(OPERATIONS)(
  '%s: %s',
  (
    code,
    _,
    {
      payload,
      key = () => server.key,
      on = () => server,
      transports = TRANSPORTS,
      while: whilst = (work) => work(),
      json = 200,
    },
  ) => {
    test.each(transports)('over %s', async (transport) => {
      if (code === 'RATE_LIMITED') await ask(server, 'application/json', payload, key());
      const { codes, hasData, status } = await whilst(() => ask(on(), transport, payload, key() ?? null));
      expect(codes).toEqual([code]);
      met.add(code);
      if (transport === 'application/json') expect(status).toBe(json);
      if (transport === 'application/graphql-response+json') {
        const told: number = ERROR_CODES[code].status;
        expect(status).toBe(hasData && !ALWAYS.has(told) && code !== 'STREAM_BUSY' ? 200 : told);
      }
    });
  },
);

describe('errors before an operation', () => {
  test.each<[TopLevelCode, string, () => Promise<Response>]>([
    ['BAD_REQUEST', 'no JSON', () => post('{')],
    ['BAD_REQUEST', 'no document', () => post('{}')],
    ['BAD_REQUEST', 'an unknown parameter', () => post(JSON.stringify({ query: QUERY, no: 1 }))],
    ['BAD_REQUEST', 'several operations', () => post(JSON.stringify([{ query: QUERY }]))],
    [
      'UNSUPPORTED_MEDIA_TYPE',
      'a form',
      () => post('query=x', { 'content-type': 'application/x-www-form-urlencoded' }),
    ],
    ['UNSUPPORTED_MEDIA_TYPE', 'an unknown encoding', () => post('{}', { 'content-encoding': 'zstd' })],
    ['NOT_ACCEPTABLE', 'a picture', () => post(JSON.stringify({ query: QUERY }), { accept: 'image/png' })],
    ['BODY_TOO_LARGE', 'too many bytes', () => post(' '.repeat(50_001))],
  ])('%s: %s', async (code, _, send) => {
    const response = await send();
    met.add(code);
    expect(toldBy((await response.json()) as Result, response.status)).toEqual({
      codes: [code],
      hasData: false,
      status: ERROR_CODES[code].status,
    });
  });

  test('REQUEST_TIMEOUT: a body that does not arrive', async () => {
    expect(await sendSlowly()).toMatch(/^HTTP\/1\.1 408 [\s\S]*"code":"REQUEST_TIMEOUT"/);
    met.add('REQUEST_TIMEOUT');
  });

  test('OVERLOADED: more bodies without a key than MAX_ANONYMOUS_BODIES', async () => {
    const open = await Promise.all(Array.from({ length: 64 }, () => openRawConnection(forgetful.url)));
    for (const { socket } of open) {
      socket.write('POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{');
    }
    const response = await eventually(
      () => post(JSON.stringify({ query: QUERY }), {}, forgetful),
      ({ status }) => status === 503,
    );
    for (const { socket } of open) socket.destroy();
    expect(toldBy((await response.json()) as Result, response.status)).toEqual({
      codes: ['OVERLOADED'],
      hasData: false,
      status: 503,
    });
    met.add('OVERLOADED');
  });
});

test('error codes > SLOW_READER when a subscription is not read while thousands of runs change', async () => {
  const job = await createSteppedJob(forgetful);
  await job.run();
  // Long answers, so that the buffers on their way are full soon.
  const copies = Array.from({ length: 90 }, (_, index) => `copy${index}: jobName`).join(' ');
  const body = JSON.stringify({ query: `subscription { runUpdated { id ${copies} } }` });
  const deaf = connect(Number(new URL(forgetful.url).port), '127.0.0.1');
  await once(deaf, 'connect');
  deaf.write(
    `POST /graphql HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\nContent-Type: application/json\r\nX-API-Key: ${forgetful.key}\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
  let text = '';
  deaf.setEncoding('utf8').on('data', (data: string) => {
    text = text.slice(-10_000) + data;
  });
  await eventually(
    () => Promise.resolve(text),
    (seen) => seen.includes('data: '),
  );
  deaf.pause();
  const reader = await openSocket(forgetful.url, { 'X-API-Key': await server.createKey('default', ['READ']) });
  await reader.until(({ type }) => type === 'connection_ack');
  reader.send({ type: 'subscribe', id: '1', payload: { query: FOLLOW } });
  await reader.until(({ id }) => id === '1');
  await withClient(server.database.url, (client) =>
    client.query(
      `WITH made AS (
         INSERT INTO runs SELECT (jsonb_populate_record(r, jsonb_build_object('id', gen_random_uuid()))).*
           FROM runs r, generate_series(1, $2) WHERE r.job_id = $1 RETURNING id, account_id, job_id)
       SELECT pg_notify('sluice_runs', json_build_object('id', id, 'accountId', account_id::text, 'jobId', job_id)::text) FROM made`,
      [innerId(job.id), CHANGED_RUNS],
    ),
  );
  // Both read the same rows.
  await eventually(
    () => Promise.resolve(reader.messages.length),
    (count) => count > CHANGED_RUNS,
    240_000,
  );
  reader.close();
  deaf.resume();
  await eventually(
    () => Promise.resolve(text),
    (seen) => seen.includes('"code":"SLOW_READER"'),
  );
  deaf.destroy();
  met.add('SLOW_READER');
}, 300_000);

test('error codes > UNAVAILABLE when the database is down', async () => {
  const socket = await openSocket(server.url, { 'X-API-Key': server.key });
  await socket.until(({ type }) => type === 'connection_ack');
  await setDatabase('away');
  for (const transport of OVER_HTTP) {
    const { codes, status } = await ask(server, transport, { query: STREAMS }, server.key);
    expect([codes, status]).toEqual([['UNAVAILABLE'], 503]);
  }
  socket.send({ type: 'subscribe', id: '1', payload: { query: STREAMS } });
  expect(JSON.stringify(await socket.until(({ id }) => id === '1'))).toContain('"code":"UNAVAILABLE"');
  socket.close();
  met.add('UNAVAILABLE');
  await setDatabase('open');
});

test('error codes > are all in the table, and each code of the table was returned in this test', async () => {
  const files = await readSourceFiles('src/graphql', 'src/http');
  const named = files
    .filter(({ path }) => !path.endsWith('error-codes.ts'))
    .flatMap(({ code }) => [...code.matchAll(/(?:\bcode: |^ {2}\d{3}: )'([A-Z_]+)'/gm)].map((match) => match[1] ?? ''));
  const documented = Object.keys(ERROR_CODES).toSorted();
  expect([...new Set([...named, ...CODES_OF_RECORDS])].toSorted()).toEqual(documented);
  expect([...met].toSorted()).toEqual(documented);
});
