import { getNamedType, isInterfaceType, isObjectType } from 'graphql';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { NODE_TYPES, type NodeType } from '../../src/lib/global-ids.ts';
import { createSchema } from '../../src/graphql/schema/schema.ts';
import { fillAccount, type FilledAccount } from '../authorization/accounts.ts';
import { ROOT_CALLS } from '../authorization/calls.ts';
import { callOf, fieldAt, selectAll } from '../authorization/selections.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

const schema = createSchema();
const node = schema.getType('Node');
const types = (isInterfaceType(node) ? schema.getPossibleTypes(node) : []).map(({ name }) => name);

let server: TestServer;
let ours: FilledAccount;
let theirs: FilledAccount;
beforeAll(async () => {
  server = await startTestServer({ env: { ROLE: 'api', MAX_DOCUMENT_COST: '50000000', MAX_DOCUMENT_FIELDS: '10000' } });
  ours = await fillAccount(server, 'ours');
  theirs = await fillAccount(server, 'theirs');
});
afterAll(() => server.stop());

const BY_ID = 'query ($id: ID!) { node(id: $id) { __typename id } nodes(ids: [$id]) { __typename id } }';

/** The sample of an account: one that is missing fails the test. */
const parseGlobalId = (account: FilledAccount, type: string): string => {
  const id = account.ids[type as NodeType];
  if (typeof id !== 'string')
    throw new Error(`An account of test/authorization/accounts.ts is filled with no ${type}.`);
  return id;
};

test('Node > is implemented by every type with global ids', () => {
  expect(types.toSorted()).toEqual([...NODE_TYPES].toSorted());
  expect(types.length).toBeGreaterThan(4);
});

describe.each(types)('node of type %s', (type) => {
  test('is returned by node and nodes', async () => {
    const found = { __typename: type, id: parseGlobalId(ours, type) };
    expect(await server.graphql(BY_ID, { id: found.id }, ours.key)).toEqual({ node: found, nodes: [found] });
  });

  test('is null when it belongs to another account', async () => {
    const id = parseGlobalId(theirs, type);
    expect(await server.request(BY_ID, { id }, ours.key)).toEqual({ status: 200, data: { node: null, nodes: [null] } });
    expect(await server.graphql(BY_ID, { id }, theirs.key)).toMatchObject({ node: { id } });
  });
});

test('nodes > returns all types in the order of the ids, with null for each unknown id', async () => {
  const ids = types.flatMap((type) => [parseGlobalId(ours, type), 'nothing', parseGlobalId(theirs, type)]).toReversed();
  const { nodes } = await server.graphql<{ nodes: ({ id: string } | null)[] }>(
    'query ($ids: [ID!]!) { nodes(ids: $ids) { id } }',
    { ids },
    ours.key,
  );
  const own = new Set(types.map((type) => parseGlobalId(ours, type)));
  expect(nodes).toEqual(ids.map((id) => (own.has(id) ? { id } : null)));
});

/** Returns every object with an id in a response, at any depth. */
const identified = (value: unknown): { readonly __typename: string; readonly id: string }[] => {
  if (typeof value !== 'object' || value === null) return [];
  const below = Object.values(value).flatMap(identified);
  return '__typename' in value && 'id' in value ? [value as { __typename: string; id: string }, ...below] : below;
};

describe('global ids', () => {
  test('are in a field named id on Nodes only', () => {
    const withId = Object.values(schema.getTypeMap()).filter((type) => isObjectType(type) && 'id' in type.getFields());
    expect(withId.map(({ name }) => name).toSorted()).toEqual(types.toSorted());
  });

  test('belong to one type each when a cache contains the results of all queries and mutations', async () => {
    const typesOfId = new Map<string, Set<string>>();
    const typenames = new Set<string>();
    for (const [place, { args }] of Object.entries(ROOT_CALLS)) {
      // A subscription sends Runs, as Query.run does.
      if (place.startsWith('Subscription.')) continue;
      const selection = selectAll(schema, getNamedType(fieldAt(schema, place).type));
      const { query, variables } = callOf(schema, place, await args(ours, server), selection);
      const { it } = await server.graphql<{ it: { __typename?: string } | null }>(query, { ...variables }, ours.key);
      typenames.add(it?.__typename ?? place);
      for (const { __typename, id } of identified(it)) {
        typesOfId.set(id, (typesOfId.get(id) ?? new Set()).add(__typename));
      }
    }
    expect([...typenames]).toEqual(expect.arrayContaining(['DeletedJob', 'DeletedStream', 'Job', 'Run', 'Stream']));
    expect([...typesOfId.values()].filter((names) => names.size > 1)).toEqual([]);
    expect(new Set([...typesOfId.values()].flatMap((names) => [...names]))).toEqual(new Set(types));
  });
});
