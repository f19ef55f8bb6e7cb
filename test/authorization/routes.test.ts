import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { SCOPES, type Scope } from '../../src/accounts/scopes.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';
import { allocationPath, ask, countStored, recordsOf, type RestFailure, send } from '../rest/requests.ts';
import { readSourceFiles } from '../support/source-files.ts';
import { type Dump, type Dumper, fillAccount, type FilledAccount, leaked, openDumper, secretsOf } from './accounts.ts';
import { JOBBERS, READERS, WRITERS } from './calls.ts';

let server: TestServer;
const keys = new Map<Scope, string>();
let revokedKey = '';
let dumper: Dumper;
/** The account whose objects the other one asks for. */
let neighbour: FilledAccount;
let before: Dump = {};
let secrets: readonly string[] = [];
/** An ADMIN key of another account. */
let stranger = '';
/** Routes of the OpenAPI document, such as `POST /jobs`, by operationId. */
const documented = new Map<string, string>();

beforeAll(async () => {
  server = await startTestServer({ env: { ROLE: 'api' } });
  for (const scope of SCOPES) keys.set(scope, await server.createKey('default', [scope]));
  dumper = await openDumper(server);
  neighbour = await fillAccount(server, 'neighbour');
  before = await dumper.dump(neighbour.accountId);
  secrets = secretsOf(neighbour, before);
  stranger = (await fillAccount(server, 'stranger')).key;
  revokedKey = await server.createKey('default', ['ADMIN']);
  const { viewer } = await server.graphql<{ viewer: { key: { id: string } } }>(
    '{ viewer { key { id } } }',
    {},
    revokedKey,
  );
  await server.graphql('mutation ($id: ID!) { revokeApiKey(id: $id) { __typename } }', { id: viewer.key.id });
  await eventually(
    () => ask(server, 'GET /jobs', { key: revokedKey }),
    ({ status }) => status === 401,
  );
  const { body } = await ask<{ paths: Record<string, Record<string, { operationId: string }>> }>(
    server,
    'GET /openapi.json',
    { key: null },
  );
  for (const [path, methods] of Object.entries(body.paths)) {
    for (const [method, { operationId }] of Object.entries(methods)) {
      documented.set(operationId, `${method.toUpperCase()} ${path}`);
    }
  }
});
afterAll(async () => {
  await dumper.close();
  await server.stop();
});

const RECORD = '{"timestamp":"2026-01-25T00:00:00Z","granularity":"DAILY","element-name":"hooli","value":"1"}';
const RECORDS = `{"records":[${RECORD}]}`;
const SELECTORS = RECORDS.replace(',"value":"1"', '');
const newJob = () => ({
  jobName: randomUUID(),
  s3Url: `exports/${randomUUID()}`,
  format: 'csv',
  aggregationBucket: 'day',
  range: 'ago(1d)',
  enabled: false,
});

const SPAN = { from: '2025-01-01T00:00:00Z', to: '2025-03-01T00:00:00Z' };

interface Row {
  readonly family: 'telemetry' | 'jobs';
  readonly allowed: readonly Scope[];
  /** The kind of object that the id in the path names. */
  readonly names?: 'stream' | 'job' | 'run' | 'scheduled job' | 'backfill';
  /** The call creates the stream if it does not exist. */
  readonly makes?: true;
  /** HTTP status of a call with an existing name or id. */
  readonly status: number;
  readonly query?: string;
  readonly body?: (id: string) => unknown;
}

/** Written from the definitions of the scopes. A route that is missing here fails the test. */
const OPERATIONS: Readonly<Record<string, Row>> = {
  allocationSum: {
    family: 'telemetry',
    allowed: WRITERS,
    names: 'stream',
    makes: true,
    status: 200,
    body: () => RECORDS,
  },
  allocationSumDeprecated: {
    family: 'telemetry',
    allowed: WRITERS,
    names: 'stream',
    makes: true,
    status: 200,
    body: () => RECORDS,
  },
  allocationSumOldest: {
    family: 'telemetry',
    allowed: WRITERS,
    names: 'stream',
    makes: true,
    status: 200,
    body: (id) => RECORDS.replace('{"timestamp"', `{"telemetry-stream":${JSON.stringify(id)},"timestamp"`),
  },
  allocationReplace: {
    family: 'telemetry',
    allowed: WRITERS,
    names: 'stream',
    makes: true,
    status: 200,
    body: () => RECORDS,
  },
  allocationDelete: { family: 'telemetry', allowed: WRITERS, names: 'stream', status: 201, body: () => SELECTORS },
  declareComplete: {
    family: 'telemetry',
    allowed: WRITERS,
    names: 'stream',
    status: 200,
    body: () => ({ through: '2026-01-25T00:00:00Z' }),
  },
  listRecords: { family: 'telemetry', allowed: READERS, names: 'stream', status: 200 },
  deleteStream: {
    family: 'telemetry',
    allowed: ['ADMIN'],
    names: 'stream',
    status: 200,
    body: () => ({ force: true }),
  },
  listJobs: { family: 'jobs', allowed: READERS, status: 200 },
  createJob: { family: 'jobs', allowed: JOBBERS, status: 201, body: newJob },
  replaceJobById: { family: 'jobs', allowed: JOBBERS, names: 'job', status: 200, body: (id) => ({ ...newJob(), id }) },
  checkJob: { family: 'jobs', allowed: JOBBERS, names: 'job', status: 200, body: (id) => ({ ...newJob(), id }) },
  getJob: { family: 'jobs', allowed: READERS, names: 'job', status: 200 },
  replaceJob: { family: 'jobs', allowed: JOBBERS, names: 'job', status: 200, body: newJob },
  deleteJob: { family: 'jobs', allowed: JOBBERS, names: 'job', status: 204 },
  runJob: { family: 'jobs', allowed: JOBBERS, names: 'job', status: 200 },
  testDestination: { family: 'jobs', allowed: JOBBERS, names: 'job', status: 200 },
  listRuns: { family: 'jobs', allowed: READERS, names: 'job', status: 200 },
  getRun: { family: 'jobs', allowed: READERS, names: 'run', status: 200 },
  createBackfill: { family: 'jobs', allowed: JOBBERS, names: 'scheduled job', status: 201, body: () => SPAN },
  getBackfill: { family: 'jobs', allowed: READERS, names: 'backfill', status: 200 },
  listDeliveries: { family: 'jobs', allowed: READERS, names: 'job', status: 200 },
  readCoverage: {
    family: 'jobs',
    allowed: READERS,
    names: 'job',
    status: 200,
    query: '?from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:00Z',
  },
};

/** Creates an object in the account `default` for a call that may delete it. */
const make = async (what: Row['names']): Promise<string> => {
  if (what === undefined) return '';
  if (what === 'stream') {
    const stream = randomUUID();
    await send(server, 'JSON', [stream, 'sum'], [RECORD]);
    return stream;
  }
  const schedule = what === 'job' || what === 'run' ? {} : { cron: '0 2 * * *' };
  const { body: job } = await ask<{ id: string }>(server, 'POST /jobs', { body: { ...newJob(), ...schedule } });
  if (what === 'job' || what === 'scheduled job') return job.id;
  if (what === 'backfill') {
    return (await ask<{ id: string }>(server, `POST /jobs/${job.id}/backfills`, { body: SPAN })).body.id;
  }
  return (await ask<{ id: string }>(server, `POST /jobs/${job.id}/run`)).body.id;
};

const call = (operationId: string, id: string, key: string | null, headers = {}) => {
  const { body, query = '' } = OPERATIONS[operationId] as Row;
  const route = (documented.get(operationId) ?? '').replace(/\{\w+\}/, encodeURIComponent(id)) + query;
  return ask<RestFailure>(server, route, { key, headers, ...(body && { body: body(id) }) });
};

test('table of routes > lists exactly the routes of the OpenAPI document', () => {
  expect(Object.keys(OPERATIONS).toSorted()).toEqual([...documented.keys()].toSorted());
});

describe.each(Object.entries(OPERATIONS))('%s', (operationId, { family, allowed, names, makes, status }) => {
  test('needs a valid key', async () => {
    const id = await make(names);
    const before = await countStored(server);
    const nobody = [
      null,
      'unknown'.repeat(6),
      revokedKey,
      `${server.key}x`,
      server.key.toUpperCase(),
      'x'.repeat(2000),
    ];
    for (const key of nobody) {
      const answer = await call(operationId, id, key);
      // CloudZero returns 403 for a missing key, Amberflo 401.
      expect([answer.status, answer.body.error.code]).toEqual([family === 'jobs' ? 401 : 403, 'UNAUTHENTICATED']);
      expect(answer.body.error.issues).toEqual([]);
      if (family !== 'jobs') continue;
      const challenge = key === null ? 'Bearer realm="Sluice"' : 'Bearer realm="Sluice", error="invalid_token"';
      expect(answer.headers.get('www-authenticate')).toBe(challenge);
    }
    for (const authorization of ['', 'Bearer', 'Bearer ', `Basic ${btoa(`:${server.key}`)}`]) {
      const answer = await call(operationId, id, null, { authorization });
      expect(answer.body.error.code).toBe('UNAUTHENTICATED');
    }
    expect(await countStored(server)).toEqual(before);
  });

  test(`is for ${allowed.join(', ')}`, async () => {
    for (const scope of SCOPES) {
      const id = await make(names);
      const before = await countStored(server);
      const answer = await call(operationId, id, keys.get(scope) ?? '');
      if (allowed.includes(scope)) {
        expect([scope, answer.status]).toEqual([scope, status]);
        continue;
      }
      expect([scope, answer.status, answer.body.error.code]).toEqual([scope, 403, 'FORBIDDEN']);
      expect(answer.body.error.message).toMatch(/^The API key lacks the scope [A-Z]+\.$/);
      expect(await countStored(server)).toEqual(before);
    }
  });

  test('does not find objects of another account', async () => {
    const { ids, stream } = neighbour;
    const foreign = names === 'stream' ? [stream] : Object.values(ids);
    for (const id of foreign) {
      const answer = await call(operationId, id, stranger);
      if (names !== undefined && names !== 'stream') {
        expect([answer.status, answer.body.error.code]).toEqual([404, 'NOT_FOUND']);
      } else if (names === 'stream' && !makes) {
        // The same as for a stream that does not exist.
        expect([answer.status, answer.body.error.code]).toEqual([400, 'NOT_FOUND']);
      } else {
        expect(answer.status).toBe(status);
      }
      expect(leaked(secrets, id, answer.text + JSON.stringify([...answer.headers]))).toEqual([]);
      if (makes) await ask(server, `DELETE /unit-cost/v1/telemetry/${stream}?force=true`, { key: stranger });
    }
    expect(await dumper.dump(neighbour.accountId)).toEqual(before);
  });
});

test.each(['GET /jobs', 'GET /jobs/{id}/runs'])(
  '%s > returns rows of its own account when given a cursor of another one',
  async (route) => {
    const own = (await ask<{ id: string }[]>(server, 'GET /jobs', { key: stranger })).body[0]?.id ?? '';
    for (const cursor of neighbour.cursors) {
      const answer = await ask(server, `${route.replace('{id}', own)}?after=${cursor}`, { key: stranger });
      expect(leaked(secrets, cursor, answer.text + JSON.stringify([...answer.headers]))).toEqual([]);
      // The cursor of another list is rejected.
      expect([200, 400]).toContain(answer.status);
    }
  },
);

/** Paths that need no key, with the status. Their responses contain nothing of any account. */
const OPEN_PATHS: Readonly<Record<string, number>> = {
  '/healthz': 200,
  '/readyz': 200,
  '/metrics': 200,
  '/openapi.json': 200,
  '/docs': 200,
  '/docs/start.js': 200,
  '/docs/swagger-ui.css': 200,
  '/docs/swagger-ui-bundle.js': 200,
  '/docs/nothing': 404,
  '/graphql': 400,
  '/jobs': 401,
  '/jobs/check': 401,
  '/runs': 404,
  '/unit-cost': 404,
  '/nothing': 404,
  '/': 200,
};

test('tables of routes and open paths > list every path that the sources name', async () => {
  const routing = ['src/app/router.ts', 'src/rest/server.ts', 'src/graphql/yoga.ts', 'src/rest/docs-page.ts'];
  const files = (await readSourceFiles('src')).filter(({ path }) => routing.includes(path));
  expect(files).toHaveLength(routing.length);
  const named = files.flatMap(({ code }) =>
    [...code.matchAll(/['"](\/[a-z][\w./-]*)['"]/g)].map(([, path = '']) => path),
  );
  expect(named.length).toBeGreaterThan(5);
  expect(named.filter((path) => !(path in OPEN_PATHS))).toEqual([]);
});

describe.each(Object.entries(OPEN_PATHS))('without a key %s', (path, status) => {
  test('has the listed status and contains nothing of an account', async () => {
    const stored = await countStored(server);
    for (const method of ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']) {
      const body = method === 'GET' || method === 'HEAD' ? {} : { body: {} };
      const answer = await ask(server, `${method} ${path}`, { key: null, ...body });
      if (method === 'GET') expect(answer.status).toBe(status);
      expect(answer.status).toBeLessThan(500);
      const said = answer.text + JSON.stringify([...answer.headers]);
      expect(leaked(secrets, '', said)).toEqual([]);
      expect(said).not.toContain(server.key);
    }
    expect(await countStored(server)).toEqual(stored);
  });
});

test('/graphql without a key > serves only GraphiQL and introspection', async () => {
  const page = await ask(server, 'GET /graphql', { key: null, headers: { accept: 'text/html' } });
  expect([page.status, page.headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8']);
  expect(page.text).not.toContain(server.key);
  const { status, data, errors } = await server.request('{ __schema { queryType { name } } }', {}, null);
  expect([status, data, errors]).toEqual([200, { __schema: { queryType: { name: 'Query' } } }, undefined]);
});

test('streams with the same name in two accounts > are separate', async () => {
  const stream = await make('stream');
  await send(server, 'JSON', [stream, 'replace'], [RECORD.replace('"1"', '"5"')], { key: stranger });
  expect(await recordsOf(server, stream)).toMatchObject([{ value: '1' }]);
  expect(await recordsOf(server, stream, stranger)).toMatchObject([{ value: '5' }]);
  await ask(server, `DELETE /unit-cost/v1/telemetry/${stream}?force=true`, { key: stranger });
  expect(await recordsOf(server, stream)).toMatchObject([{ value: '1' }]);
});

test('lists and Idempotency-Key > belong to the account', async () => {
  await make('job');
  expect((await ask<object[]>(server, 'GET /jobs')).body.length).toBeGreaterThan(0);
  const other = await server.createKey('third', ['ADMIN']);
  expect((await ask<object[]>(server, 'GET /jobs', { key: other })).body).toEqual([]);
  const headers = { 'idempotency-key': 'one' };
  for (const key of [server.key, other]) {
    const answer = await send(server, 'JSON', ['keyed', 'sum'], [RECORD], { headers, key });
    expect(answer.body).toMatchObject({ replayed: false });
  }
});

test('request without a key > is rejected before its body is read', async () => {
  const answer = await ask(server, `POST ${allocationPath('x', 'sum')}`, {
    key: null,
    body: Buffer.alloc(20 * 1024 * 1024),
  });
  expect([answer.status, answer.body.error.code]).toEqual([403, 'UNAUTHENTICATED']);
});
