import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { SCOPES, type Scope } from '../../src/accounts/scopes.ts';
import { createSchema } from '../../src/graphql/schema.ts';
import { openEventStream } from '../support/event-stream.ts';
import { eventually, startTestServer, type GraphQLAnswer, type TestServer } from '../support/server.ts';

let server: TestServer;
const keys = new Map<Scope, string>();
let revokedKey = '';

beforeAll(async () => {
  server = await startTestServer({ env: { ROLE: 'api' } });
  for (const scope of SCOPES) keys.set(scope, await server.createKey('default', [scope]));
  revokedKey = await server.createKey('default', ['ADMIN']);
  const { viewer } = await server.graphql<{ viewer: { key: { id: string } } }>(
    '{ viewer { key { id } } }',
    {},
    revokedKey,
  );
  await server.graphql('mutation ($id: ID!) { revokeApiKey(id: $id) { __typename } }', { id: viewer.key.id });
  await eventually(
    () => server.request('{ viewer { accountName } }', {}, revokedKey),
    ({ status }) => status === 401,
  );
  await server.graphql(SUM, { input: sum('exists') });
});
afterAll(() => server.stop());

const SUM = 'mutation ($input: AllocationInput!) { allocationSum(input: $input) { __typename } }';
const sum = (stream: string) => ({
  stream,
  records: [{ timestamp: '2026-01-25T00:00:00Z', granularity: 'DAILY', elementName: 'hooli', value: '1' }],
});
const job = (jobName: string) =>
  `{ jobName: "${jobName}", s3Url: "exports/${jobName}", format: CSV, aggregationBucket: DAY, range: "ago(1d)", enabled: false }`;
const selector = 'timestamp: "2026-01-25T00:00:00Z", granularity: DAILY';

const READERS: readonly Scope[] = ['READ', 'JOBS', 'ADMIN'];
const JOBBERS: readonly Scope[] = ['JOBS', 'ADMIN'];
const WRITERS: readonly Scope[] = ['INGEST', 'ADMIN'];
const ADMINS: readonly Scope[] = ['ADMIN'];

interface Row {
  readonly allowed: readonly Scope[];
  /** A call of the field that succeeds, or gives a typed result, where it is allowed. */
  readonly call: () => string;
}

/** By hand, from what READ, INGEST, JOBS and ADMIN are said to be. A root field that is missing here fails the test. */
const ROOT_FIELDS: Readonly<Record<string, Row>> = {
  'Query.node': { allowed: SCOPES, call: () => 'node(id: "nothing") { id }' },
  'Query.nodes': { allowed: SCOPES, call: () => 'nodes(ids: ["nothing"]) { id }' },
  'Query.viewer': { allowed: SCOPES, call: () => 'viewer { accountName }' },
  'Query.apiKeys': { allowed: ADMINS, call: () => 'apiKeys { edges { cursor } }' },
  'Query.job': { allowed: READERS, call: () => 'job(id: "nothing") { id }' },
  'Query.jobs': { allowed: READERS, call: () => 'jobs { totalCount }' },
  'Query.run': { allowed: READERS, call: () => 'run(id: "nothing") { id }' },
  'Query.runs': { allowed: READERS, call: () => 'runs { totalCount }' },
  'Query.stream': { allowed: READERS, call: () => 'stream(name: "exists") { name }' },
  'Query.streams': { allowed: READERS, call: () => 'streams { totalCount }' },
  'Query.usage': {
    allowed: READERS,
    call: () =>
      'usage(input: { from: "2026-01-01T00:00:00Z", to: "2026-02-01T00:00:00Z", aggregationBucket: DAY }) { __typename }',
  },
  'Query.bucketPolicy': { allowed: READERS, call: () => 'bucketPolicy(s3Url: "exports")' },
  'Mutation.allocationSum': {
    allowed: WRITERS,
    call: () =>
      `allocationSum(input: { stream: "written", records: [{ ${selector}, elementName: "hooli", value: 1 }] }) { __typename }`,
  },
  'Mutation.allocationReplace': {
    allowed: WRITERS,
    call: () =>
      `allocationReplace(input: { stream: "written", records: [{ ${selector}, elementName: "hooli", value: 1 }] }) { __typename }`,
  },
  'Mutation.allocationDelete': {
    allowed: WRITERS,
    call: () => `allocationDelete(input: { stream: "written", records: [{ ${selector} }] }) { __typename }`,
  },
  'Mutation.deleteStream': { allowed: ADMINS, call: () => 'deleteStream(name: "nothing") { __typename }' },
  'Mutation.createJob': { allowed: JOBBERS, call: () => `createJob(input: ${job(randomUUID())}) { __typename }` },
  'Mutation.updateJob': { allowed: JOBBERS, call: () => 'updateJob(input: { id: "nothing" }) { __typename }' },
  'Mutation.deleteJob': { allowed: JOBBERS, call: () => 'deleteJob(id: "nothing") { __typename }' },
  'Mutation.checkJob': {
    allowed: JOBBERS,
    call: () =>
      `checkJob(input: ${job('checked')}) { __typename ... on JobCheck { job { jobName } query { sql } sample } }`,
  },
  'Mutation.runJob': { allowed: JOBBERS, call: () => 'runJob(input: { jobId: "nothing" }) { __typename }' },
  'Mutation.cancelRun': { allowed: JOBBERS, call: () => 'cancelRun(id: "nothing") { __typename }' },
  'Mutation.createApiKey': {
    allowed: ADMINS,
    call: () => 'createApiKey(input: { name: "made", scopes: [READ] }) { __typename }',
  },
  'Mutation.revokeApiKey': { allowed: ADMINS, call: () => 'revokeApiKey(id: "nothing") { __typename }' },
  'Subscription.runUpdated': { allowed: READERS, call: () => 'runUpdated { id }' },
};

const schema = createSchema();
const rootFields = [schema.getQueryType(), schema.getMutationType(), schema.getSubscriptionType()].flatMap((type) =>
  Object.keys(type?.getFields() ?? {}).map((field) => `${type?.name}.${field}`),
);

/** The answer to a call of a root field; of a subscription the first, or none where it goes on in silence. */
const call = async (
  field: string,
  key: string | null,
): Promise<{ status: number; codes: unknown[]; data: unknown }> => {
  const [type = '', name = ''] = field.split('.');
  const query = `${type.toLowerCase()} { ${ROOT_FIELDS[field]?.call() ?? name} }`;
  const codesOf = ({ errors = [] }: GraphQLAnswer<unknown>): unknown[] =>
    errors.map(({ extensions }) => extensions?.['code']);
  if (type !== 'Subscription') {
    const answer = await server.request(query, {}, key);
    return { status: answer.status, codes: codesOf(answer), data: answer.data ?? null };
  }
  const stream = await openEventStream({ url: server.url, key, query });
  const first =
    stream.status === 200
      ? await Promise.race([stream.ended.then(() => stream.results[0]), pause(150)])
      : await stream.until(() => true);
  stream.close();
  return { status: stream.status, codes: first ? codesOf(first) : [], data: first?.data ?? null };
};
const pause = (milliseconds: number): Promise<undefined> =>
  new Promise((resolve) => {
    setTimeout(() => resolve(undefined), milliseconds);
  });

test('every root field stands in the table, and nothing else', () => {
  expect(Object.keys(ROOT_FIELDS).toSorted()).toEqual(rootFields.toSorted());
});

describe.each(rootFields)('%s', (field) => {
  test('needs a key that is valid', async () => {
    const keysOfNobody = [null, 'unknown'.repeat(6), revokedKey, `${server.key}x`, ''];
    for (const key of keysOfNobody) {
      const { status, codes, data } = await call(field, key);
      expect([status, ...new Set(codes)]).toEqual([401, 'UNAUTHENTICATED']);
      expect(Object.values(data ?? {}).filter((value) => value !== null)).toEqual([]);
    }
  });

  test(`is for ${ROOT_FIELDS[field]?.allowed.join(', ')}`, async () => {
    for (const scope of SCOPES) {
      const { codes, data } = await call(field, keys.get(scope) ?? '');
      if (ROOT_FIELDS[field]?.allowed.includes(scope)) {
        expect([scope, ...codes]).toEqual([scope]);
      } else {
        expect([scope, ...new Set(codes)]).toEqual([scope, 'FORBIDDEN']);
        expect(Object.values(data ?? {}).filter((value) => value !== null)).toEqual([]);
      }
    }
  });
});

test('an absent or unknown key is told how to send one, to machines too', async () => {
  const response = await fetch(`${server.url}/graphql?query=${encodeURIComponent('{ viewer { accountName } }')}`);
  expect(response.status).toBe(401);
  expect(response.headers.get('www-authenticate')).toBe('Bearer realm="Sluice"');
});

test('who lacks a scope is told which', async () => {
  const { errors } = await server.request('{ jobs { totalCount } }', {}, keys.get('INGEST') ?? '');
  expect(errors?.[0]?.message).toBe('The key lacks the scope for this: it needs READ.');
});

test('what a key may not do is not done', async () => {
  const { streams: before } = await server.graphql<{ streams: object }>('{ streams { totalCount } }');
  await server.request(SUM, { input: sum('by-a-reader') }, keys.get('READ') ?? '');
  const { streams: after } = await server.graphql<{ streams: object }>('{ streams { totalCount } }');
  expect(after).toEqual(before);
});

/**
 * What an INGEST-only key sees of the types that its receipts show; a field that is missing here fails the test.
 * True where it may.
 */
const BELOW_A_RECEIPT: Readonly<Record<string, Readonly<Record<string, boolean>>>> = {
  AllocationReceipt: { operation: true, stream: true, replayed: true },
  AllocationOperation: {
    id: true,
    kind: true,
    stream: true,
    receivedAt: true,
    insertedRecords: true,
    hiddenRecords: true,
    idempotencyKey: true,
  },
  Stream: {
    id: true,
    name: true,
    granularity: true,
    dimensions: true,
    createdAt: true,
    deletedAt: true,
    firstTimestamp: false,
    lastTimestamp: false,
    records: false,
    operations: false,
  },
};
const SELECTIONS: Readonly<Record<string, string>> = {
  operation: '{ id }',
  stream: '{ id }',
  records: '{ edges { node { value elementName } } }',
  operations: '{ edges { node { kind } } }',
};
const PATHS: Readonly<Record<string, (field: string) => string>> = {
  AllocationReceipt: (field) => field,
  AllocationOperation: (field) => `operation { ${field} }`,
  Stream: (field) => `stream { ${field} }`,
};

describe.each(Object.keys(BELOW_A_RECEIPT))('%s below a receipt', (type) => {
  const fieldsOf = (): string[] => {
    const found = schema.getType(type);
    return found && 'getFields' in found ? Object.keys(found.getFields()) : [];
  };

  test('has every field in the table', () => {
    expect(Object.keys(BELOW_A_RECEIPT[type] ?? {}).toSorted()).toEqual(fieldsOf().toSorted());
  });

  test.each(fieldsOf())('%s', async (field) => {
    const selection = `${field} ${SELECTIONS[field] ?? ''}`;
    const query = `mutation ($input: AllocationInput!) { allocationSum(input: $input) { ... on AllocationReceipt { ${PATHS[type]?.(selection)} } } }`;
    const may = BELOW_A_RECEIPT[type]?.[field] === true;
    const { errors = [] } = await server.request(query, { input: sum('receipts') }, keys.get('INGEST') ?? '');
    expect([...new Set(errors.map(({ extensions }) => extensions?.['code']))]).toEqual(may ? [] : ['FORBIDDEN']);
    // And the scope that it lacks is all that it lacks.
    const whole = await server.createKey('default', ['INGEST', 'READ']);
    expect((await server.request(query, { input: sum('receipts') }, whole)).errors).toBeUndefined();
  });
});

test('by its id an INGEST-only key sees of a stream what its receipts show, and no records, jobs, runs or keys', async () => {
  const ids = await server.graphql<Record<string, { edges: { node: { id: string } }[] }>>(
    '{ streams { edges { node { id } } } apiKeys { edges { node { id } } } jobs { edges { node { id } } } }',
  );
  const idOf = (list: string) => ids[list]?.edges[0]?.node.id ?? '';
  const ask = (id: string, selection: string) =>
    server.request('query ($id: ID!) { node(id: $id) { id ' + selection + ' } }', { id }, keys.get('INGEST') ?? '');
  expect((await ask(idOf('streams'), '... on Stream { name }')).errors).toBeUndefined();
  for (const [id, selection] of [
    [idOf('streams'), '... on Stream { records { edges { cursor } } }'],
    [idOf('streams'), '... on Stream { lastTimestamp }'],
    [idOf('jobs'), ''],
    [idOf('apiKeys'), ''],
  ] as const) {
    const { data, errors } = await ask(id, selection);
    expect(errors?.map(({ extensions }) => extensions?.['code'])).toEqual(['FORBIDDEN']);
    expect(JSON.stringify(data ?? {})).not.toMatch(/cursor":"|name/);
  }
});

test.each(SCOPES.filter((scope) => scope !== 'ADMIN'))(
  'a key with %s alone sees itself, and no other key',
  async (scope) => {
    const key = keys.get(scope) ?? '';
    const fields = 'id name prefix scopes createdAt lastUsedAt revokedAt';
    const { viewer } = await server.graphql<{ viewer: { accountName: string; key: { id: string; scopes: string[] } } }>(
      `{ viewer { accountName key { ${fields} } } }`,
      {},
      key,
    );
    expect(viewer).toMatchObject({ accountName: 'default', key: { scopes: [scope] } });
    const byId = await server.request(
      `query ($id: ID!) { node(id: $id) { ... on ApiKey { ${fields} } } }`,
      { id: viewer.key.id },
      key,
    );
    expect(byId.data?.['node']).toMatchObject({ scopes: [scope] });
    const { apiKeys } = await server.graphql<{ apiKeys: { edges: { node: { id: string } }[] } }>(
      '{ apiKeys { edges { node { id } } } }',
    );
    const other = apiKeys.edges.find(({ node }) => node.id !== viewer.key.id)?.node.id;
    const refused = await server.request('query ($id: ID!) { node(id: $id) { id } }', { id: other }, key);
    expect(refused).toMatchObject({ data: { node: null }, errors: [{ extensions: { code: 'FORBIDDEN' } }] });
  },
);

test('no answer ever holds a secret but the one that makes the key', () => {
  const holders = Object.values(schema.getTypeMap()).flatMap((type) =>
    'getFields' in type && !type.name.startsWith('__')
      ? Object.keys(type.getFields()).flatMap((field) =>
          /secret|hash|sha256$/i.test(field) ? [`${type.name}.${field}`] : [],
        )
      : [],
  );
  // The SHA-256 of an exported object is no secret.
  expect(holders).toEqual(expect.arrayContaining(['ExportObject.sha256', 'NewApiKey.secret']));
  expect(holders).toHaveLength(2);
});
