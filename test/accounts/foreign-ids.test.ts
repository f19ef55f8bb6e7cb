import { getNamedType, type GraphQLInputType, type GraphQLSchema, isInputObjectType } from 'graphql';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createSchema } from '../../src/graphql/schema.ts';
import { openEventStream } from '../support/event-stream.ts';
import { createSteppedJob } from '../support/run-steps.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

const NOT_FOUND = { __typename: 'NotFoundError', code: 'NOT_FOUND' };
const RESULT = '{ __typename ... on UserError { code } }';
const JOB =
  '{ jobName: "Other name", s3Url: "exports/other", format: CSV, aggregationBucket: DAY, range: "ago(1d)", enabled: false }';

/** For every place of the API that takes an id: a call with it, and what is answered where it is another account's. */
const PLACES: Readonly<Record<string, { readonly call: string; readonly answer: unknown }>> = {
  'Query.node(id)': { call: 'node(id: $id) { id }', answer: null },
  'Query.nodes(ids)': { call: 'nodes(ids: [$id, $id]) { id }', answer: [null, null] },
  'Query.job(id)': { call: 'job(id: $id) { id }', answer: null },
  'Query.run(id)': { call: 'run(id: $id) { id }', answer: null },
  'Query.runs(jobId)': {
    call: 'runs(jobId: $id) { totalCount edges { cursor } }',
    answer: { totalCount: 0, edges: [] },
  },
  'Mutation.updateJob(input.id)': {
    call: `updateJob(input: { id: $id, enabled: true, description: "taken" }) ${RESULT}`,
    answer: NOT_FOUND,
  },
  'Mutation.deleteJob(id)': { call: `deleteJob(id: $id) ${RESULT}`, answer: NOT_FOUND },
  'Mutation.checkJob(id)': { call: `checkJob(input: ${JOB}, id: $id) ${RESULT}`, answer: NOT_FOUND },
  'Mutation.runJob(input.jobId)': { call: `runJob(input: { jobId: $id }) ${RESULT}`, answer: NOT_FOUND },
  'Mutation.cancelRun(id)': { call: `cancelRun(id: $id) ${RESULT}`, answer: NOT_FOUND },
  'Mutation.revokeApiKey(id)': { call: `revokeApiKey(id: $id) ${RESULT}`, answer: NOT_FOUND },
  'Subscription.runUpdated(runId)': { call: 'runUpdated(runId: $id) { id }', answer: 'NOT_FOUND' },
  'Subscription.runUpdated(jobId)': { call: 'runUpdated(jobId: $id) { id }', answer: 'NOT_FOUND' },
};

/** All of them, as the schema has them: arguments of type ID and those inside inputs. */
const placesOf = (schema: GraphQLSchema): string[] => {
  const inside = (type: GraphQLInputType, name: string): string[] => {
    const named = getNamedType(type);
    if (named.name === 'ID') return [name];
    if (!isInputObjectType(named)) return [];
    return Object.values(named.getFields()).flatMap((field) => inside(field.type, `${name}.${field.name}`));
  };
  return [schema.getQueryType(), schema.getMutationType(), schema.getSubscriptionType()].flatMap((root) =>
    Object.values(root?.getFields() ?? {}).flatMap((field) =>
      field.args.flatMap((arg) => inside(arg.type, arg.name).map((place) => `${root?.name}.${field.name}(${place})`)),
    ),
  );
};
const places = placesOf(createSchema());

let server: TestServer;
/** What the other account has, by type. */
const foreign = new Map<string, string>();
let foreignKey = '';
const TYPES = ['Stream', 'AllocationOperation', 'Job', 'Run', 'ApiKey'] as const;

beforeAll(async () => {
  server = await startTestServer({ env: { ROLE: 'api' } });
  foreignKey = await server.createKey('neighbour', ['ADMIN']);
  const sum = await server.graphql<{ allocationSum: { operation: { id: string }; stream: { id: string } } }>(
    `mutation { allocationSum(input: { stream: "theirs", records: [{ timestamp: "2026-01-25T00:00:00Z", granularity: DAILY, elementName: "x", value: 1 }] }) { ... on AllocationReceipt { operation { id } stream { id } } } }`,
    {},
    foreignKey,
  );
  const job = await createSteppedJob(server, foreignKey);
  const run = await job.run();
  const { viewer } = await server.graphql<{ viewer: { key: { id: string } } }>(
    '{ viewer { key { id } } }',
    {},
    foreignKey,
  );
  foreign.set('Stream', sum.allocationSum.stream.id);
  foreign.set('AllocationOperation', sum.allocationSum.operation.id);
  foreign.set('Job', job.id);
  foreign.set('Run', run.id);
  foreign.set('ApiKey', viewer.key.id);
});
afterAll(() => server.stop());

test('every place that takes an id stands in the table, and nothing else', () => {
  expect(Object.keys(PLACES).toSorted()).toEqual(places.toSorted());
});

const everythingOfTheOther = () =>
  server.graphql<Record<string, object>>(
    `{
      streams { edges { node { id name deletedAt records { edges { node { value } } } } } }
      jobs { edges { node { id version enabled description runs { edges { node { id status } } } } } }
      apiKeys { edges { node { id revokedAt } } }
    }`,
    {},
    foreignKey,
  );

describe.each(places)('%s', (place) => {
  test.each(TYPES)(
    'with the %s of another account answers as for one that is not there, and changes nothing',
    async (type) => {
      const { call = '', answer } = PLACES[place] ?? {};
      const root = place.split('.')[0]?.toLowerCase();
      const query = `${root} ($id: ID!) { it: ${call} }`;
      const before = await everythingOfTheOther();
      for (const id of [foreign.get(type), 'nothing', '']) {
        if (root === 'subscription') {
          const stream = await openEventStream({ url: server.url, key: server.key, query, variables: { id } });
          await stream.ended;
          expect(stream.results).toMatchObject([{ errors: [{ extensions: { code: answer } }] }]);
        } else {
          const { data, errors } = await server.request(query, { id });
          expect(errors).toBeUndefined();
          expect(data).toEqual({ it: answer });
        }
      }
      expect(await everythingOfTheOther()).toEqual(before);
    },
  );
});

test('names of another account are not there either', async () => {
  const { data, errors } = await server.request(
    `{ stream(name: "theirs") { id } streams(search: "theirs") { totalCount }
       usage(input: { meterApiNames: ["theirs"], from: "2026-01-01T00:00:00Z", to: "2026-02-01T00:00:00Z", aggregationBucket: DAY }) { ... on Usage { series { total } } } }`,
  );
  expect(errors).toBeUndefined();
  expect(data).toEqual({ stream: null, streams: { totalCount: 0 }, usage: { series: [] } });
  const deleted = await server.graphql<{ deleteStream: object }>(`mutation { deleteStream(name: "theirs") ${RESULT} }`);
  expect(deleted.deleteStream).toEqual(NOT_FOUND);
});

test('its own ids are found, so the table above asks for the right things', async () => {
  for (const type of TYPES) {
    const { node } = await server.graphql<{ node: { __typename: string } }>(
      'query ($id: ID!) { node(id: $id) { __typename id } }',
      { id: foreign.get(type) },
      foreignKey,
    );
    expect(node).toEqual({ __typename: type, id: foreign.get(type) });
  }
});

test('an id has one spelling', async () => {
  const id = foreign.get('Job') ?? '';
  for (const spelling of [
    `${id}=`,
    ` ${id}`,
    `${id}\n`,
    id.replace('Sm9i', 'Sm9j'),
    Buffer.from(Buffer.from(id, 'base64url')).toString('base64'),
  ]) {
    if (spelling === id) continue;
    const { job } = await server.graphql<{ job: object | null }>(
      'query ($id: ID!) { job(id: $id) { id } }',
      { id: spelling },
      foreignKey,
    );
    expect(job).toBeNull();
  }
});
