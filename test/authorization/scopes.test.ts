import { getNamedType, isObjectType } from 'graphql';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { SCOPES, type Scope } from '../../src/accounts/scopes.ts';
import type { NodeType } from '../../src/lib/global-ids.ts';
import { createSchema } from '../../src/graphql/schema/schema.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';
import { type Dumper, fillAccount, type FilledAccount, openDumper } from './accounts.ts';
import { ADMINS, READERS, ROOT_CALLS } from './calls.ts';
import { callOf, fieldAt, objectsOf, type Place, rootFields, selectAll, selectOne } from './selections.ts';
import { overHttp, overWebSocket, type Transport } from './transports.ts';

const schema = createSchema();
let server: TestServer;
let account: FilledAccount;
let dumper: Dumper;
const keys = new Map<Scope, string>();
let revokedKey = '';
let transports: readonly Transport[] = [];

beforeAll(async () => {
  server = await startTestServer({ env: { ROLE: 'api', MAX_DOCUMENT_COST: '50000000', MAX_DOCUMENT_FIELDS: '10000' } });
  account = await fillAccount(server, 'ours');
  dumper = await openDumper(server);
  for (const scope of SCOPES) keys.set(scope, await server.createKey(account.name, [scope]));
  revokedKey = await server.createKey(account.name, ['ADMIN']);
  const { viewer } = await server.graphql<{ viewer: { key: { id: string } } }>(
    '{ viewer { key { id } } }',
    {},
    revokedKey,
  );
  await server.graphql(
    'mutation ($id: ID!) { revokeApiKey(id: $id) { __typename } }',
    { id: viewer.key.id },
    account.key,
  );
  await eventually(
    () => server.request('{ viewer { accountName } }', {}, revokedKey),
    ({ status }) => status === 401,
  );
  transports = [overHttp(server), overWebSocket(server)];
});
afterAll(async () => {
  for (const transport of transports) transport.close();
  await dumper.close();
  await server.stop();
});

/** Scopes of fields that every key may read in an object that it received. */
const ANY = SCOPES;
const RECEIVERS: readonly Scope[] = [...READERS, 'INGEST'];

/**
 * The types below the fields that a key without READ may call, with the scopes for each of their fields. A type or field
 * that is missing here fails the test.
 */
const WITHOUT_READ: Readonly<Record<string, Readonly<Record<string, readonly Scope[]>>>> = {
  Viewer: { accountName: ANY, key: ANY },
  ApiKey: { id: ANY, name: ANY, prefix: ANY, scopes: ANY, createdAt: ANY, lastUsedAt: ANY, revokedAt: ANY },
  AllocationReceipt: { operation: RECEIVERS, stream: RECEIVERS, replayed: RECEIVERS },
  AllocationOperation: {
    id: RECEIVERS,
    kind: RECEIVERS,
    stream: RECEIVERS,
    receivedAt: RECEIVERS,
    insertedRecords: RECEIVERS,
    hiddenRecords: RECEIVERS,
    idempotencyKey: RECEIVERS,
    firstTimestamp: RECEIVERS,
    lastTimestamp: RECEIVERS,
    completeThrough: RECEIVERS,
    scope: RECEIVERS,
    reverts: RECEIVERS,
  },
  DimensionFilter: { dimension: ANY, values: ANY },
  ReplaceScope: { from: RECEIVERS, to: RECEIVERS, filter: RECEIVERS, elementName: RECEIVERS },
  Stream: {
    id: RECEIVERS,
    name: RECEIVERS,
    granularity: RECEIVERS,
    dimensions: RECEIVERS,
    createdAt: RECEIVERS,
    deletedAt: RECEIVERS,
    firstTimestamp: READERS,
    lastTimestamp: READERS,
    completeThrough: READERS,
    lastOperationAt: READERS,
    records: READERS,
    operations: READERS,
  },
  ValidationError: { code: ANY, message: ANY, issues: ANY, issueCount: ANY },
  ValidationIssue: { path: ANY, message: ANY, code: ANY },
  NotFoundError: { code: ANY, message: ANY },
  ConflictError: { code: ANY, message: ANY },
  LimitExceededError: { code: ANY, message: ANY, limit: ANY, actual: ANY },
};

/** Scopes that may read each type of Node. Every key may read itself. */
const NODES: Readonly<Record<string, readonly Scope[]>> = {
  Stream: RECEIVERS,
  AllocationOperation: RECEIVERS,
  Job: READERS,
  Run: READERS,
  Delivery: READERS,
  Backfill: READERS,
  ApiKey: ADMINS,
};

/** Types that node() rejects for a key without READ. */
const REFUSED_NODES = Object.keys(NODES).filter((type) => !NODES[type]?.includes('INGEST') && type !== 'ApiKey');

const roots = rootFields(schema);
const mayRead = (scope: Scope) => (place: Place) => {
  const [type = '', name = ''] = place.split('.');
  if (READERS.includes(scope)) return true;
  return !REFUSED_NODES.includes(type) && WITHOUT_READ[type]?.[name]?.includes(scope) === true;
};

/** Returns the object types below a field that a key without READ can reach. */
const typesBelow = (place: Place, scope: Scope): Set<string> => {
  const met = new Set<string>();
  const walk = (at: Place): void => {
    for (const { name } of objectsOf(schema, getNamedType(fieldAt(schema, at).type))) {
      if (REFUSED_NODES.includes(name) || met.has(name)) continue;
      met.add(name);
      for (const field of Object.keys(WITHOUT_READ[name] ?? {})) {
        if (mayRead(scope)(`${name}.${field}`)) walk(`${name}.${field}`);
      }
    }
  };
  walk(place);
  return met;
};

const nodeType = getNamedType(fieldAt(schema, 'Query.node').type);
const withoutRead = SCOPES.filter((scope) => !READERS.includes(scope));

test('table of root fields > lists exactly the root fields of the schema', () => {
  expect(Object.keys(ROOT_CALLS).toSorted()).toEqual(roots.toSorted());
});

test('table of nodes > lists exactly the types of Node', () => {
  const names = objectsOf(schema, nodeType).map(({ name }) => name);
  expect(Object.keys(NODES).toSorted()).toEqual(names.toSorted());
});

test('table of fields > lists exactly the fields that a key without READ can reach', () => {
  expect(withoutRead).toEqual(['INGEST']);
  const met = new Set(
    withoutRead.flatMap((scope) =>
      roots
        .filter((place) => ROOT_CALLS[place]?.allowed.includes(scope))
        .flatMap((place) => [...typesBelow(place, scope)]),
    ),
  );
  const fields = [...met].toSorted().map((name) => {
    const type = schema.getType(name);
    return [name, isObjectType(type) ? Object.keys(type.getFields()).toSorted() : []];
  });
  const table = Object.entries(WITHOUT_READ).map(([name, row]) => [name, Object.keys(row).toSorted()]);
  expect(table.toSorted(([a], [b]) => (String(a) < String(b) ? -1 : 1))).toEqual(fields);
});

const nobodysKeys = (): (string | null)[] => [null, 'unknown'.repeat(6), revokedKey, `${account.key}x`, ''];

describe.each(roots)('%s', (place) => {
  const { allowed = [] } = ROOT_CALLS[place] ?? {};
  const refused = SCOPES.filter((scope) => !allowed.includes(scope));
  const args = async () => ROOT_CALLS[place]?.args(account, server) ?? {};
  const type = getNamedType(fieldAt(schema, place).type);
  const dump = () => dumper.dump(account.accountId);

  test('needs a valid key, and changes nothing without one', async () => {
    const asked = callOf(schema, place, await args(), selectAll(schema, type));
    const before = await dump();
    for (const transport of transports) {
      for (const key of transport.name === 'HTTP' ? nobodysKeys() : [null, revokedKey]) {
        const { status, codes, data } = await transport.ask(asked, key);
        expect([transport.name, status, ...new Set(codes)]).toEqual([transport.name, ...transport.withoutKey]);
        expect(data).toBeNull();
      }
    }
    expect(await dump()).toEqual(before);
  });

  test.each(allowed)('is allowed for %s', async (scope) => {
    for (const transport of transports) {
      const asked = callOf(schema, place, await args(), selectAll(schema, type, mayRead(scope)));
      const { codes, data, text } = await transport.ask(asked, keys.get(scope) ?? '');
      expect([transport.name, ...codes]).toEqual([transport.name]);
      expect(data).not.toBeNull();
      // The call in the table must succeed, otherwise no field below it was tested.
      expect(text).not.toMatch(/"it":\{"__typename":"\w+Error"/);
    }
  });

  test.each(refused)('is forbidden for %s, and changes nothing', async (scope) => {
    const asked = callOf(schema, place, await args(), selectAll(schema, type));
    const before = await dump();
    for (const transport of transports) {
      const { codes, data } = await transport.ask(asked, keys.get(scope) ?? '');
      expect([transport.name, ...new Set(codes)]).toEqual([transport.name, 'FORBIDDEN']);
      expect(data).toBeNull();
    }
    expect(await dump()).toEqual(before);
  });
});

/** Every field that a key with this scope may not read, below every root field that it may call. */
const closed = withoutRead.flatMap((scope) =>
  roots
    .filter((place) => ROOT_CALLS[place]?.allowed.includes(scope))
    .flatMap((place) =>
      [...typesBelow(place, scope)].flatMap((type) =>
        Object.keys(WITHOUT_READ[type] ?? {})
          .map((field): Place => `${type}.${field}`)
          .filter((field) => !mayRead(scope)(field))
          .map((field) => ({ scope, place, field })),
      ),
    ),
);

test.each(closed)('$scope > may call $place and may not read $field below it', async ({ scope, place, field }) => {
  const wanted = await ROOT_CALLS[place]?.args(account, server);
  const asked = callOf(schema, place, wanted ?? {}, selectOne(schema, place, field, mayRead(scope)));
  const both = await server.createKey(account.name, [scope, 'READ']);
  for (const transport of transports) {
    const { codes, text } = await transport.ask(asked, keys.get(scope) ?? '');
    expect([transport.name, ...new Set(codes)]).toEqual([transport.name, 'FORBIDDEN']);
    expect(text).not.toMatch(/"edges"|"2026-01-2/);
    // With the missing scope the same call succeeds.
    expect((await transport.ask(asked, both)).codes).toEqual([]);
  }
});

describe.each(Object.keys(NODES))('%s by its id', (type) => {
  test.each(SCOPES)('is for %s if it may read the type', async (scope) => {
    const selection = selectAll(schema, nodeType, mayRead(scope));
    for (const transport of transports) {
      for (const [list, args] of [
        ['Query.node', { id: account.ids[type as NodeType] }],
        ['Query.nodes', { ids: [account.ids[type as NodeType]] }],
      ] as const) {
        const { codes, data } = await transport.ask(callOf(schema, list, args, selection), keys.get(scope) ?? '');
        const found = Array.isArray(data) ? (data as unknown[])[0] : data;
        const may = NODES[type]?.includes(scope) === true;
        expect([transport.name, ...codes]).toEqual(may ? [transport.name] : [transport.name, 'FORBIDDEN']);
        if (may) expect(found).toMatchObject({ __typename: type, id: account.ids[type as NodeType] });
        else expect(found).toBeNull();
      }
    }
  });
});

test('request without a key > gets 401 with the header WWW-Authenticate', async () => {
  const response = await fetch(`${server.url}/graphql?query=${encodeURIComponent('{ viewer { accountName } }')}`);
  expect(response.status).toBe(401);
  expect(response.headers.get('www-authenticate')).toBe('Bearer realm="Sluice"');
});

test('missing scope > is named in the error', async () => {
  const { errors } = await server.request('{ jobs { totalCount } }', {}, keys.get('INGEST') ?? '');
  expect(errors?.[0]?.message).toBe('The API key lacks the required scope: READ.');
});

test.each(SCOPES.filter((scope) => scope !== 'ADMIN'))(
  'key with only %s > sees itself and no other key',
  async (scope) => {
    const key = keys.get(scope) ?? '';
    const fields = 'id name prefix scopes createdAt lastUsedAt revokedAt';
    const { viewer } = await server.graphql<{ viewer: { accountName: string; key: { id: string; scopes: string[] } } }>(
      `{ viewer { accountName key { ${fields} } } }`,
      {},
      key,
    );
    expect(viewer).toMatchObject({ accountName: account.name, key: { scopes: [scope] } });
    const byId = await server.request(
      `query ($id: ID!) { node(id: $id) { ... on ApiKey { ${fields} } } }`,
      { id: viewer.key.id },
      key,
    );
    expect(byId.data?.['node']).toMatchObject({ scopes: [scope] });
    const { apiKeys } = await server.graphql<{ apiKeys: { edges: { node: { id: string } }[] } }>(
      '{ apiKeys { edges { node { id } } } }',
      {},
      account.key,
    );
    const other = apiKeys.edges.find(({ node }) => node.id !== viewer.key.id)?.node.id;
    const refused = await server.request('query ($id: ID!) { node(id: $id) { id } }', { id: other }, key);
    expect(refused).toMatchObject({ data: { node: null }, errors: [{ extensions: { code: 'FORBIDDEN' } }] });
  },
);

test('secret of a key > is only in the response that creates the key', () => {
  const holders = Object.values(schema.getTypeMap()).flatMap((type) =>
    'getFields' in type && !type.name.startsWith('__')
      ? Object.keys(type.getFields()).flatMap((field) =>
          /secret|hash|sha256$/i.test(field) ? [`${type.name}.${field}`] : [],
        )
      : [],
  );
  // The SHA-256 of an exported object is not a secret.
  expect(holders).toEqual(expect.arrayContaining(['ExportObject.sha256', 'NewApiKey.secret']));
  expect(holders).toHaveLength(2);
});
