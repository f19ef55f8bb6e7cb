import { getNamedType } from 'graphql';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { encodeGlobalId, NODE_TYPES, type NodeType } from '../../src/lib/global-ids.ts';
import { createSchema } from '../../src/graphql/schema/schema.ts';
import { openEventStream } from '../support/event-stream.ts';
import { innerId } from '../support/job-steps.ts';
import { createSteppedJob } from '../support/run-steps.ts';
import { startTestServer, type TestServer } from '../support/server.ts';
import { openSocket } from '../support/socket-client.ts';
import { type Dump, type Dumper, fillAccount, type FilledAccount, leaked, openDumper, secretsOf } from './accounts.ts';
import { ROOT_CALLS } from './calls.ts';
import { type Args, type Asked, callOf, fieldAt, type Leaf, leavesOf, selectAll, withLeaf } from './selections.ts';
import { overHttp, overWebSocket, type Transport } from './transports.ts';

const schema = createSchema();
let server: TestServer;
let account: FilledAccount;
let neighbour: FilledAccount;
let dumper: Dumper;
let transports: readonly Transport[] = [];
/** The rows of the other account, and the texts and ids that no response may contain. */
let before: Dump = {};
let secrets: readonly string[] = [];

beforeAll(async () => {
  server = await startTestServer({ env: { ROLE: 'api', MAX_DOCUMENT_COST: '50000000', MAX_DOCUMENT_FIELDS: '10000' } });
  dumper = await openDumper(server);
  account = await fillAccount(server, 'ours');
  neighbour = await fillAccount(server, 'neighbour');
  before = await dumper.dump(neighbour.accountId);
  secrets = secretsOf(neighbour, before);
  transports = [overHttp(server), overWebSocket(server)];
});
afterAll(async () => {
  for (const transport of transports) transport.close();
  await dumper.close();
  await server.stop();
});

const NOT_FOUND = { __typename: 'NotFoundError', code: 'NOT_FOUND' };

/** Responses to an id of another account, for every argument that takes one: the same as to an id that does not exist. */
const ANSWERS: Readonly<Record<string, unknown>> = {
  'Query.node(id)': null,
  'Query.nodes(ids)': [null],
  'Query.job(id)': null,
  'Query.run(id)': null,
  'Query.runs(jobId)': { totalCount: 0, edges: [] },
  'Query.deliveries(jobId)': { edges: [] },
  'Query.backfills(jobId)': { edges: [] },
  'Query.previewBackfill(input.jobId)': NOT_FOUND,
  'Mutation.createBackfill(input.jobId)': NOT_FOUND,
  'Mutation.pauseBackfill(id)': NOT_FOUND,
  'Mutation.resumeBackfill(id)': NOT_FOUND,
  'Mutation.cancelBackfill(id)': NOT_FOUND,
  'Mutation.retryBackfill(id)': NOT_FOUND,
  'Mutation.redeliver(deliveryId)': NOT_FOUND,
  'Mutation.updateJob(input.id)': NOT_FOUND,
  'Mutation.deleteJob(id)': NOT_FOUND,
  'Mutation.checkJob(id)': NOT_FOUND,
  'Mutation.revertOperation(input.operationId)': NOT_FOUND,
  'Mutation.runJob(input.jobId)': NOT_FOUND,
  'Mutation.cancelRun(id)': NOT_FOUND,
  'Mutation.testDestination(input.jobId)': NOT_FOUND,
  'Mutation.revokeApiKey(id)': NOT_FOUND,
  'Query.previewCorrection(input.revertOperation)': NOT_FOUND,
  'Query.usage(input.asOf.operation)': NOT_FOUND,
  'Query.usage(input.asOf.run)': NOT_FOUND,
  'Stream.records(asOf.operation)': 'NOT_FOUND',
  'Stream.records(asOf.run)': 'NOT_FOUND',
  'Subscription.runUpdated(runId)': 'NOT_FOUND',
  'Subscription.backfillUpdated(id)': 'NOT_FOUND',
  'Subscription.runUpdated(jobId)': 'NOT_FOUND',
};

/** Queries that reach a field below a root field, in the account that asks. */
const HOLDERS: Readonly<Record<string, (field: string) => Asked>> = {
  Stream: (field) => ({
    query: `query ($value: String) { it: stream(name: "${account.stream}") { ${field} } }`,
    variables: {},
  }),
  Delivery: (field) => ({
    query: `query ($value: String) { it: node(id: "${account.ids.Delivery}") { ... on Delivery { ${field} } } }`,
    variables: {},
  }),
  Backfill: (field) => ({
    query: `query ($value: String) { it: node(id: "${account.ids.Backfill}") { ... on Backfill { ${field} } } }`,
    variables: {},
  }),
  Job: (field) => ({
    query: `query ($value: String) { it: job(id: "${account.ids.Job}") { ${field} } }`,
    variables: {},
  }),
};

const leaves = leavesOf(schema);
const shown = ({ place, path }: Leaf): string => `${place}(${path.join('.')})`;
const idLeaves = leaves.filter(({ type }) => type === 'ID');

/** Arguments for which an object had to be created are used by every call of a field. */
const made = new Map<string, Promise<Args>>();
const argsOf = (place: string): Args | Promise<Args> => {
  const args = made.get(place) ?? ROOT_CALLS[place]?.args(account, server) ?? {};
  if (args instanceof Promise) made.set(place, args);
  return args;
};

/** Returns a call of the account with a text of the other account in one argument. */
const askWith = async (leaf: Leaf, text: string): Promise<Asked> => {
  const [type = '', field = ''] = leaf.place.split('.');
  const selection = selectAll(schema, getNamedType(fieldAt(schema, leaf.place).type));
  if (!ROOT_CALLS[leaf.place]) {
    const holder = HOLDERS[type];
    if (!holder) throw new Error(`How to reach ${shown(leaf)} is not known here.`);
    if (leaf.path.length > 1) {
      const argument = leaf.path
        .reduceRight((value, name) => `{ ${name}: ${value} }`, JSON.stringify(text))
        .slice(1, -1);
      const { query } = holder(`${field}(${argument}) ${selection}`);
      return { query: query.replace('($value: String) ', ''), variables: {} };
    }
    return { ...holder(`${field}(${leaf.path[0]}: $value) ${selection}`), variables: { value: text } };
  }
  const args = await argsOf(leaf.place);
  // Only one of the two ids may be given, so the other one is left out.
  const own = leaf.place === 'Subscription.runUpdated' ? {} : args;
  return callOf(schema, leaf.place, withLeaf(schema, leaf, own, text), selection);
};

/** Texts that mutations of this test have stored in rows of the account itself. */
const planted = new Set<string>();

/** Asserts that the response shows no data of the other account and that none of its rows changed. */
const expectNothingOf = async (leaf: Leaf, texts: readonly string[]): Promise<void> => {
  const http = overHttp(server);
  for (const text of texts) {
    const asked = await askWith(leaf, text);
    const { codes, text: answer } = await http.ask(asked, account.key);
    if (leaf.place.startsWith('Mutation.')) planted.add(text);
    const shownOf = leaked(secrets, JSON.stringify(asked), answer);
    expect(shownOf.filter((secret) => !planted.has(secret))).toEqual([]);
    expect(codes.filter((code) => code === 'FORBIDDEN' || code === 'INTERNAL')).toEqual([]);
  }
  expect(await dumper.dump(neighbour.accountId)).toEqual(before);
};

test('accounts of these tests > has a row with a secret in every table of the other account', () => {
  expect(Object.keys(before).filter((table) => before[table]?.length === 0)).toEqual([]);
  expect(Object.keys(before).length).toBeGreaterThan(8);
  expect(secrets.length).toBeGreaterThan(25);
  for (const type of NODE_TYPES) expect(secrets).toContain(neighbour.ids[type]);
  for (const text of neighbour.texts) if (!text.startsWith('s3:')) expect(secrets).toContain(text);
});

test('accounts of these tests > is completely visible to the other account itself', async () => {
  const everything = [
    ...Object.values(neighbour.ids).map((id) => callOf(schema, 'Query.node', { id }, selectionOf('Query.node'))),
    ...['Query.streams', 'Query.jobs', 'Query.runs', 'Query.apiKeys'].map((place) =>
      callOf(schema, place, {}, selectionOf(place)),
    ),
  ];
  const answers: string[] = [];
  for (const asked of everything) answers.push((await transports[0]?.ask(asked, neighbour.key))?.text ?? '');
  const seen = secrets.filter((secret) => answers.some((answer) => answer.includes(secret)));
  for (const text of Object.values(neighbour.ids)) expect(seen).toContain(text);
  expect(seen).toEqual(expect.arrayContaining(neighbour.texts.filter((text) => !/\.gone|idempotency|^s3:/.test(text))));
});

const selectionOf = (place: string): string => selectAll(schema, getNamedType(fieldAt(schema, place).type));

test('table of responses > lists exactly the arguments that take an id', () => {
  expect(Object.keys(ANSWERS).toSorted()).toEqual(idLeaves.map(shown).toSorted());
});

describe.each(idLeaves.map((leaf) => [shown(leaf), leaf] as const))('%s', (name, leaf) => {
  test('answers to ids of another account as to ids that do not exist, and changes nothing', async () => {
    const nobodys = (type: NodeType): string =>
      encodeGlobalId(
        type,
        innerId(neighbour.ids[type])
          .replace(/^\d+$/, '999999')
          .replace(/-.{4}-/, '-0000-'),
      );
    const foreign = Object.values(neighbour.ids);
    for (const transport of transports) {
      for (const text of transport.name === 'HTTP'
        ? [...foreign, ...NODE_TYPES.map(nobodys), 'nothing', '']
        : foreign) {
        const asked = await askWith(leaf, text);
        const { codes, data } = await transport.ask(asked, account.key);
        if (typeof ANSWERS[name] === 'string') {
          expect([...codes, data]).toEqual([ANSWERS[name], null]);
        } else {
          expect(codes).toEqual([]);
          if (ANSWERS[name] === null) expect(data).toBeNull();
          else expect(data).toMatchObject(ANSWERS[name] as object);
        }
      }
    }
    expect(await dumper.dump(neighbour.accountId)).toEqual(before);
  });
});

// Arguments of queries come first, so that their responses contain nothing that a mutation stored.
const textLeaves = leaves
  // A sum with a scope is rejected, and previews take the same inputs; those of a replace are tested.
  .filter(
    ({ type, place, path }) => type === 'String' && !(path.includes('scope') && place !== 'Mutation.allocationReplace'),
  )
  .toSorted((a, b) => Number(a.place.startsWith('Mutation.')) - Number(b.place.startsWith('Mutation.')));

test.each(textLeaves.map((leaf) => [shown(leaf), leaf] as const))(
  '%s > neither shows nor changes data of another account when given its name or cursor',
  async (name, leaf) => {
    const isCursor = /\((?:after|before)\)$/.test(name);
    await expectNothingOf(leaf, isCursor ? neighbour.cursors : neighbour.texts);
  },
);

test('names of another account > do not exist for this one', async () => {
  const usage = `input: { meterApiNames: ["${neighbour.stream}"], from: "2026-01-01T00:00:00Z", to: "2026-02-01T00:00:00Z", aggregationBucket: DAY }`;
  const { data, errors } = await server.request(
    `{ stream(name: "${neighbour.stream}") { id } streams(search: "neighbour") { totalCount } jobs(search: "neighbour") { totalCount }
       usage(${usage}) { ... on Usage { series { total } } } }`,
    {},
    (await fillAccount(server, 'newcomer')).key,
  );
  expect(errors).toBeUndefined();
  expect(data).toEqual({ stream: null, streams: { totalCount: 0 }, jobs: { totalCount: 0 }, usage: { series: [] } });
});

test('idempotency key > is unused although another account has used it', async () => {
  const { it } = await server.graphql<{ it: { replayed: boolean } }>(
    `mutation ($input: AllocationInput!) { it: allocationSum(input: $input) { ... on AllocationReceipt { replayed } ... on UserError { code } } }`,
    {
      input: {
        stream: 'keyed',
        idempotencyKey: neighbour.idempotencyKey,
        records: [{ timestamp: '2026-01-25T00:00:00Z', granularity: 'DAILY', elementName: 'x', value: '1' }],
      },
    },
    (await fillAccount(server, 'other')).key,
  );
  expect(it).toEqual({ replayed: false });
});

test('destination that another account uses > is a conflict that does not name its owner', async () => {
  const { jobName, s3Url } = neighbour;
  const input = { jobName, s3Url, format: 'CSV', aggregationBucket: 'DAY', range: 'ago(1d)' };
  const asked = callOf(schema, 'Mutation.createJob', { input }, selectionOf('Mutation.createJob'));
  const { text } = await overHttp(server).ask(asked, (await fillAccount(server, 'rival')).key);
  expect(text).toContain('"__typename":"ConflictError"');
  // The destination itself was in the request.
  const place = 'exports/neighbour/neighbour-job';
  expect(leaked(secrets, JSON.stringify(asked) + place, text)).toEqual([]);
});

test('subscription to all runs > delivers no runs of another account, over SSE and over WebSocket', async () => {
  const query = 'subscription { runUpdated { id status } }';
  const stream = await openEventStream<{ runUpdated: { id: string; status: string } }>({
    url: server.url,
    key: account.key,
    query,
  });
  const socket = await openSocket(server.url, { 'X-API-Key': account.key });
  await socket.until(({ type }) => type === 'connection_ack');
  socket.send({ type: 'subscribe', id: '1', payload: { query } });
  await socket.until(({ id }) => id === '1');
  const foreign = await (await createSteppedJob(server, neighbour.key)).run();
  await foreign.start();
  await foreign.succeed();
  const own = await (await createSteppedJob(server, account.key)).run();
  await own.start();
  await own.succeed();
  const isLast = (text: string): boolean => text.includes(own.id) && text.includes('SUCCEEDED');
  await stream.until((result) => isLast(JSON.stringify(result)));
  await socket.until((message) => isLast(JSON.stringify(message)));
  expect(JSON.stringify([stream.results, socket.messages])).not.toContain(foreign.id);
  stream.close();
  socket.close();
  before = await dumper.dump(neighbour.accountId);
});

test('global id > is accepted in one spelling only', async () => {
  const id = account.ids.Job;
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
      account.key,
    );
    expect(job).toBeNull();
  }
});
