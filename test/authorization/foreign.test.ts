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
/** The neighbour's rows, and what of them no answer may hold. */
let before: Dump = {};
let secrets: readonly string[] = [];

beforeAll(async () => {
  server = await startTestServer({ env: { ROLE: 'api' } });
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

/** What is answered to an id of another account, for every place that takes one: as to one that is not there. */
const ANSWERS: Readonly<Record<string, unknown>> = {
  'Query.node(id)': null,
  'Query.nodes(ids)': [null],
  'Query.job(id)': null,
  'Query.run(id)': null,
  'Query.runs(jobId)': { totalCount: 0, edges: [] },
  'Mutation.updateJob(input.id)': NOT_FOUND,
  'Mutation.deleteJob(id)': NOT_FOUND,
  'Mutation.checkJob(id)': NOT_FOUND,
  'Mutation.runJob(input.jobId)': NOT_FOUND,
  'Mutation.cancelRun(id)': NOT_FOUND,
  'Mutation.revokeApiKey(id)': NOT_FOUND,
  'Subscription.runUpdated(runId)': 'NOT_FOUND',
  'Subscription.runUpdated(jobId)': 'NOT_FOUND',
};

/** How a field that is none of a root is reached in the account that asks. */
const HOLDERS: Readonly<Record<string, (field: string) => Asked>> = {
  Stream: (field) => ({
    query: `query ($value: String) { it: stream(name: "${account.stream}") { ${field} } }`,
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

/** Arguments for which something had to be made serve every call of a field. */
const made = new Map<string, Promise<Args>>();
const argsOf = (place: string): Args | Promise<Args> => {
  const args = made.get(place) ?? ROOT_CALLS[place]?.args(account, server) ?? {};
  if (args instanceof Promise) made.set(place, args);
  return args;
};

/** The call of the account, with a text of somebody else in that one place. */
const askWith = async (leaf: Leaf, text: string): Promise<Asked> => {
  const [type = '', field = ''] = leaf.place.split('.');
  const selection = selectAll(schema, getNamedType(fieldAt(schema, leaf.place).type));
  if (!ROOT_CALLS[leaf.place]) {
    const holder = HOLDERS[type];
    if (!holder || leaf.path.length > 1) throw new Error(`How to reach ${shown(leaf)} is not known here.`);
    return { ...holder(`${field}(${leaf.path[0]}: $value) ${selection}`), variables: { value: text } };
  }
  const args = await argsOf(leaf.place);
  // Of two ids of which only one may be given the other is left out.
  const own = leaf.place === 'Subscription.runUpdated' ? {} : args;
  return callOf(schema, leaf.place, withLeaf(schema, leaf, own, text), selection);
};

/** What the account has stored in its own rows since, for the asking. */
const planted = new Set<string>();

/** Nothing of the neighbour's was shown or changed. */
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

test('the neighbour has a row in every table and a secret in each, so nothing is looked for in vain', () => {
  expect(Object.keys(before).filter((table) => before[table]?.length === 0)).toEqual([]);
  expect(Object.keys(before).length).toBeGreaterThan(8);
  expect(secrets.length).toBeGreaterThan(25);
  for (const type of NODE_TYPES) expect(secrets).toContain(neighbour.ids[type]);
  for (const text of neighbour.texts) if (!text.startsWith('s3:')) expect(secrets).toContain(text);
});

test('to the neighbour himself all of it is shown', async () => {
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

test('every place that takes an id stands in the table, and nothing else', () => {
  expect(Object.keys(ANSWERS).toSorted()).toEqual(idLeaves.map(shown).toSorted());
});

describe.each(idLeaves.map((leaf) => [shown(leaf), leaf] as const))('%s', (name, leaf) => {
  test('answers to ids of another account as to ones that are not there, and changes nothing', async () => {
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
        if (name.startsWith('Subscription')) {
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

// First those that store nothing, so that whatever they show was not put there by a mutation.
const textLeaves = leaves
  .filter(({ type }) => type === 'String')
  .toSorted((a, b) => Number(a.place.startsWith('Mutation.')) - Number(b.place.startsWith('Mutation.')));

test.each(textLeaves.map((leaf) => [shown(leaf), leaf] as const))(
  '%s with a name or cursor of another account shows and changes nothing of it',
  async (name, leaf) => {
    const isCursor = /\((?:after|before)\)$/.test(name);
    await expectNothingOf(leaf, isCursor ? neighbour.cursors : neighbour.texts);
  },
);

test('names of another account are not there', async () => {
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

test('an idempotency key is of the account: that of another is free', async () => {
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

test('a place in a bucket that is taken is a conflict that does not say whose it is', async () => {
  const { jobName, s3Url } = neighbour;
  const input = { jobName, s3Url, format: 'CSV', aggregationBucket: 'DAY', range: 'ago(1d)' };
  const asked = callOf(schema, 'Mutation.createJob', { input }, selectionOf('Mutation.createJob'));
  const { text } = await overHttp(server).ask(asked, (await fillAccount(server, 'rival')).key);
  expect(text).toContain('"__typename":"ConflictError"');
  // The place itself is what was asked for.
  const place = 'exports/neighbour/neighbour-job';
  expect(leaked(secrets, JSON.stringify(asked) + place, text)).toEqual([]);
});

test('who follows all runs of his account hears nothing of another, over SSE and over WebSocket', async () => {
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

test('an id has one spelling', async () => {
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
