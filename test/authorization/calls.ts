import { randomUUID } from 'node:crypto';
import { SCOPES, type Scope } from '../../src/accounts/scopes.ts';
import type { TestServer } from '../support/server.ts';
import type { FilledAccount } from './accounts.ts';
import type { Args, Place } from './selections.ts';

// Written from the definitions of READ, INGEST, JOBS and ADMIN: the scopes that may call each field, and a call that succeeds.

export const READERS: readonly Scope[] = ['READ', 'JOBS', 'ADMIN'];
export const JOBBERS: readonly Scope[] = ['JOBS', 'ADMIN'];
export const WRITERS: readonly Scope[] = ['INGEST', 'ADMIN'];
export const ADMINS: readonly Scope[] = ['ADMIN'];

export interface RootCall {
  readonly allowed: readonly Scope[];
  /** Returns arguments with every text and id that can be given. Creates an object if the call consumes one. */
  readonly args: (account: FilledAccount, server: TestServer) => Args | Promise<Args>;
}

const newJob = (account: FilledAccount): Args => {
  const [, dimension = '', value = ''] = account.texts;
  return {
    jobName: randomUUID(),
    description: 'made for a test',
    s3Url: `exports/${randomUUID()}`,
    format: 'CSV',
    aggregationBucket: 'DAY',
    range: 'ago(1d)',
    enabled: false,
    meterApiNames: [account.stream],
    groupBy: [dimension],
    filter: [{ dimension, values: [value] }],
  };
};

const selector = (account: FilledAccount): Args => {
  const [, dimension = '', value = '', elementName = ''] = account.texts;
  return {
    timestamp: '2026-01-26T00:00:00Z',
    granularity: 'DAILY',
    filter: [{ dimension, values: [value] }],
    elementName,
  };
};

const write = (account: FilledAccount): Args => ({
  input: { stream: account.stream, records: [{ ...selector(account), value: '1' }], idempotencyKey: randomUUID() },
});

type Maker = (account: FilledAccount, server: TestServer) => Promise<string>;

const make =
  (call: string, variables: (account: FilledAccount) => Args, member: string): Maker =>
  async (account, server) => {
    const { it } = await server.graphql<{ it: { id?: string; key?: { id: string }; operation?: { id: string } } }>(
      `mutation ${call.replace('{', `{ it: `)}`.replace('$selection', member),
      variables(account),
      account.key,
    );
    const id = it.id ?? it.key?.id ?? it.operation?.id;
    if (id === undefined) throw new Error(JSON.stringify(it));
    return id;
  };

const makeJob = make(
  '($input: CreateJobInput!) {createJob(input: $input) { $selection } }',
  (account) => ({ input: newJob(account) }),
  '... on Job { id }',
);
const makeRun = make(
  '($id: ID!) {runJob(input: { jobId: $id }) { $selection } }',
  ({ ids }) => ({ id: ids.Job }),
  '... on Run { id }',
);
const YEAR = { from: '2025-01-01T00:00:00Z', to: '2025-12-01T00:00:00Z' };
const makeScheduledJob = make(
  '($input: CreateJobInput!) {createJob(input: $input) { $selection } }',
  (account) => ({ input: { ...newJob(account), cron: '0 2 1 * *' } }),
  '... on Job { id }',
);
/** A backfill of a new job, since a job has one at most. */
const makeBackfill: Maker = async (account, server) => {
  const { it } = await server.graphql<{ it: { id: string } }>(
    'mutation ($input: BackfillInput!) { it: createBackfill(input: $input) { ... on Backfill { id } } }',
    { input: { jobId: await makeScheduledJob(account, server), ...YEAR } },
    account.key,
  );
  return it.id;
};
/** A backfill with a failed window. */
const makeFailedBackfill: Maker = async (account, server) => {
  const id = await makeBackfill(account, server);
  const { node } = await server.graphql<{ node: { runs: { edges: { node: { id: string } }[] } } }>(
    'query ($id: ID!) { node(id: $id) { ... on Backfill { runs(first: 1) { edges { node { id } } } } } }',
    { id },
    account.key,
  );
  await server.graphql(
    'mutation ($id: ID!) { cancelRun(id: $id) { __typename } }',
    { id: node.runs.edges[0]?.node.id },
    account.key,
  );
  return id;
};
const makeKey = make(
  '{createApiKey(input: { name: "made", scopes: [READ] }) { $selection } }',
  () => ({}),
  '... on NewApiKey { key { id } }',
);
const makeOperation = make(
  '($input: AllocationInput!) {allocationSum(input: $input) { $selection } }',
  write,
  '... on AllocationReceipt { operation { id } }',
);
const makeStream: Maker = async (account, server) => {
  const stream = randomUUID();
  await server.graphql(
    'mutation ($input: AllocationInput!) { allocationSum(input: $input) { __typename } }',
    { input: { ...(write(account)['input'] as object), stream } },
    account.key,
  );
  return stream;
};

/** A root field that is missing here fails the test. */
export const ROOT_CALLS: Readonly<Record<Place, RootCall>> = {
  'Query.node': { allowed: SCOPES, args: ({ ids }) => ({ id: ids.Stream }) },
  'Query.nodes': { allowed: SCOPES, args: ({ ids }) => ({ ids: [ids.Stream, ids.AllocationOperation] }) },
  'Query.viewer': { allowed: SCOPES, args: () => ({}) },
  'Query.apiKeys': { allowed: ADMINS, args: () => ({}) },
  'Query.job': { allowed: READERS, args: ({ ids }) => ({ id: ids.Job }) },
  'Query.jobs': { allowed: READERS, args: () => ({}) },
  'Query.run': { allowed: READERS, args: ({ ids }) => ({ id: ids.Run }) },
  'Query.runs': { allowed: READERS, args: () => ({}) },
  'Query.stream': { allowed: READERS, args: ({ stream }) => ({ name: stream }) },
  'Query.deliveries': { allowed: READERS, args: () => ({}) },
  'Query.overview': { allowed: READERS, args: () => ({}) },
  'Query.backfills': { allowed: READERS, args: () => ({}) },
  'Query.previewBackfill': { allowed: JOBBERS, args: ({ ids }) => ({ input: { jobId: ids.Job, ...YEAR } }) },
  'Query.streams': { allowed: READERS, args: () => ({}) },
  'Query.usage': {
    allowed: READERS,
    args: (account) => {
      const { meterApiNames, groupBy, filter } = newJob(account);
      const window = { from: '2026-01-01T00:00:00Z', to: '2026-02-01T00:00:00Z', aggregationBucket: 'DAY' };
      return { input: { ...window, meterApiNames, groupBy, filter } };
    },
  },
  // READ and INGEST: of the keys with one scope, only that of ADMIN.
  'Query.previewCorrection': { allowed: ADMINS, args: (account) => ({ input: { sum: write(account)['input'] } }) },
  'Query.bucketPolicy': { allowed: READERS, args: ({ s3Url }) => ({ s3Url }) },
  'Mutation.allocationSum': { allowed: WRITERS, args: write },
  'Mutation.allocationReplace': {
    allowed: WRITERS,
    args: (account) => {
      const { filter, elementName } = selector(account);
      const scope = { from: '2026-01-26T00:00:00Z', to: '2026-01-27T00:00:00Z', filter, elementName };
      return { input: { ...(write(account)['input'] as object), scope } };
    },
  },
  'Mutation.revertOperation': {
    allowed: WRITERS,
    args: async (account, server) => ({
      input: { operationId: await makeOperation(account, server), idempotencyKey: randomUUID() },
    }),
  },
  'Mutation.declareComplete': {
    allowed: WRITERS,
    args: (account) => ({ input: { stream: account.stream, through: '2026-01-25T00:00:00Z' } }),
  },
  'Mutation.allocationDelete': {
    allowed: WRITERS,
    args: (account) => ({
      input: { stream: account.stream, records: [selector(account)], idempotencyKey: randomUUID() },
    }),
  },
  'Mutation.deleteStream': {
    allowed: ADMINS,
    args: async (account, server) => ({ name: await makeStream(account, server) }),
  },
  'Mutation.createJob': { allowed: JOBBERS, args: (account) => ({ input: newJob(account) }) },
  'Mutation.updateJob': {
    allowed: JOBBERS,
    args: async (account, server) => ({ input: { ...newJob(account), id: await makeJob(account, server) } }),
  },
  'Mutation.redeliver': { allowed: JOBBERS, args: ({ ids }) => ({ deliveryId: ids.Delivery }) },
  'Mutation.createBackfill': {
    allowed: JOBBERS,
    args: async (account, server) => ({ input: { jobId: await makeScheduledJob(account, server), ...YEAR } }),
  },
  'Mutation.pauseBackfill': { allowed: JOBBERS, args: ({ ids }) => ({ id: ids.Backfill }) },
  'Mutation.resumeBackfill': { allowed: JOBBERS, args: ({ ids }) => ({ id: ids.Backfill }) },
  'Mutation.retryBackfill': {
    allowed: JOBBERS,
    args: async (account, server) => ({ id: await makeFailedBackfill(account, server) }),
  },
  'Mutation.cancelBackfill': {
    allowed: JOBBERS,
    args: async (account, server) => ({ id: await makeBackfill(account, server) }),
  },
  'Mutation.deleteJob': {
    allowed: JOBBERS,
    args: async (account, server) => ({ id: await makeJob(account, server) }),
  },
  'Mutation.checkJob': { allowed: JOBBERS, args: (account) => ({ input: newJob(account), id: account.ids.Job }) },
  'Mutation.runJob': { allowed: JOBBERS, args: ({ ids }) => ({ input: { jobId: ids.Job } }) },
  'Mutation.testDestination': { allowed: JOBBERS, args: ({ ids }) => ({ input: { jobId: ids.Job } }) },
  'Mutation.cancelRun': {
    allowed: JOBBERS,
    args: async (account, server) => ({ id: await makeRun(account, server) }),
  },
  'Mutation.createApiKey': { allowed: ADMINS, args: () => ({ input: { name: 'made', scopes: ['READ'] } }) },
  'Mutation.revokeApiKey': {
    allowed: ADMINS,
    args: async (account, server) => ({ id: await makeKey(account, server) }),
  },
  'Subscription.backfillUpdated': { allowed: READERS, args: ({ ids }) => ({ id: ids.Backfill }) },
  'Subscription.runUpdated': { allowed: READERS, args: ({ ids }) => ({ runId: ids.Run }) },
};
