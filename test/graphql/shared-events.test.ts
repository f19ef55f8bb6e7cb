import pg from 'pg';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { type EventStream, type EventStreamRequest, openEventStream } from '../support/event-stream.ts';
import { querySql } from '../support/job-steps.ts';
import { createSteppedJob, type SteppedJob } from '../support/run-steps.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';

// Results that subscribers share, and results that they must not share.

interface Update {
  readonly runUpdated: Readonly<Record<string, unknown>> & { readonly status?: string };
}

let server: TestServer;
const open: EventStream<Update>[] = [];
beforeAll(async () => {
  server = await startTestServer({ env: { ROLE: 'api' } });
});
afterEach(() => {
  for (const stream of open.splice(0)) stream.close();
});
afterAll(() => server.stop());

const follow = async (asked: Partial<EventStreamRequest> & Pick<EventStreamRequest, 'query'>) => {
  const stream = await openEventStream<Update>({ url: server.url, key: server.key, ...asked });
  open.push(stream);
  return stream;
};
const hasStatus = (status: string) => (result: { readonly data?: Update | null }) =>
  result.data?.runUpdated.status === status;
const hasRows = (rows: number) => (result: { readonly data?: Update | null }) =>
  result.data?.runUpdated['rowsWritten'] === rows;
/** Number of subscriptions of the feed, each of which receives the changes from then on. */
const untilFollowing = (count: number) =>
  eventually(
    async () =>
      Number(/^sluice_subscriptions_open (\d+)$/m.exec(await (await fetch(`${server.url}/metrics`)).text())?.[1]),
    (found) => found === count,
  );

test('event deduplication > executes an event once for all subscribers of a key with the same operation', async () => {
  const job = await createSteppedJob(server);
  const run = await job.run();
  const query = 'subscription ($jobId: ID) { runUpdated(jobId: $jobId) { status rowsWritten objects { key } } }';
  const streams = await Promise.all(Array.from({ length: 8 }, () => follow({ query, variables: { jobId: job.id } })));
  await run.start();
  await Promise.all(streams.map((stream) => stream.until(hasStatus('RUNNING'))));
  const sending = vi.spyOn(pg.Client.prototype, 'query');
  try {
    await run.progress(3);
    await Promise.all(streams.map((stream) => stream.until(hasRows(3))));
    const sent = sending.mock.calls.map(
      ([statement]: readonly unknown[]) => (statement as { text?: string }).text ?? '',
    );
    expect(sent.filter((text) => text.includes('run_objects'))).toHaveLength(1);
  } finally {
    sending.mockRestore();
  }
});

test('event deduplication > shares no result between different keys, variables, fields or operations', async () => {
  await untilFollowing(0);
  const job = await createSteppedJob(server);
  const run = await job.run();
  const query = `subscription One($jobId: ID, $more: Boolean = false) {
      runUpdated(jobId: $jobId) { status one: jobName id @include(if: $more) } }
    subscription Other($jobId: ID, $more: Boolean = false) {
      runUpdated(jobId: $jobId) { status other: jobName id @include(if: $more) } }`;
  const variables = { jobId: job.id };
  const reader = await server.createKey('default', ['READ']);
  const asked: [fields: string[], Partial<EventStreamRequest>][] = [
    [['status', 'one'], { operationName: 'One' }],
    [['status', 'one', 'id'], { operationName: 'One', variables: { ...variables, more: true } }],
    [['status', 'other'], { operationName: 'Other' }],
    [['status', 'other', 'id'], { operationName: 'Other', variables: { ...variables, more: true } }],
    [['status', 'one'], { operationName: 'One', key: reader }],
    [['status', 'trigger'], { query: 'subscription ($jobId: ID) { runUpdated(jobId: $jobId) { status trigger } }' }],
    [['status', 'attempt'], { query: 'subscription ($jobId: ID) { runUpdated(jobId: $jobId) { status attempt } }' }],
  ];
  const streams = await Promise.all(asked.map(([, one]) => follow({ query, variables, ...one })));
  await Promise.all(streams.map((stream) => stream.until(hasStatus('QUEUED'))));
  await run.start();
  for (const [index, [fields]] of asked.entries()) {
    const { data } = (await streams[index]?.until(hasStatus('RUNNING'))) ?? {};
    expect(Object.keys(data?.runUpdated ?? {})).toEqual(fields);
  }
});

test('event deduplication > sends each account only its own runs when two accounts use the same document', async () => {
  const key = await server.createKey('stranger', ['ADMIN']);
  const query = 'subscription { runUpdated { status id } }';
  await untilFollowing(0);
  const [own, foreign] = await Promise.all([follow({ query }), follow({ query, key })]);
  await untilFollowing(2);
  const jobs: SteppedJob[] = [await createSteppedJob(server), await createSteppedJob(server, key)];
  const runs = await Promise.all(jobs.map((job) => job.run()));
  for (const run of runs) await run.start();
  await own.until(hasStatus('RUNNING'));
  await foreign.until(hasStatus('RUNNING'));
  const idsIn = ({ results }: EventStream<Update>) => new Set(results.map(({ data }) => data?.runUpdated['id']));
  expect(idsIn(foreign)).toEqual(new Set([runs[1]?.id]));
  expect(idsIn(own).has(runs[0]?.id)).toBe(true);
  expect(idsIn(own).has(runs[1]?.id)).toBe(false);
});

test('event deduplication > sends a masked error to each subscriber when an event fails, and then the next event', async () => {
  const job = await createSteppedJob(server);
  const run = await job.run();
  const query = 'subscription ($jobId: ID) { runUpdated(jobId: $jobId) { status rowsWritten objects { key } } }';
  const streams = await Promise.all(Array.from({ length: 3 }, () => follow({ query, variables: { jobId: job.id } })));
  await run.start();
  await Promise.all(streams.map((stream) => stream.until(hasStatus('RUNNING'))));
  await querySql(server, 'ALTER TABLE run_objects RENAME TO run_objects_away');
  try {
    await run.progress(2);
    for (const stream of streams) {
      const { errors } = await stream.until((result) => result.errors !== undefined);
      expect(errors).toMatchObject([{ extensions: { code: 'INTERNAL' } }]);
      expect(Object.keys(errors?.[0]?.extensions ?? {}).toSorted()).toEqual(['code', 'errorId']);
      expect(JSON.stringify(errors)).not.toContain('run_objects');
    }
  } finally {
    await querySql(server, 'ALTER TABLE run_objects_away RENAME TO run_objects');
  }
  await run.progress(3);
  for (const stream of streams) await stream.until(hasRows(3));
});

test('event deduplication > continues for the others when a subscriber disconnects', async () => {
  const job = await createSteppedJob(server);
  const run = await job.run();
  const query = 'subscription ($jobId: ID) { runUpdated(jobId: $jobId) { status rowsWritten objects { key } } }';
  const streams = await Promise.all(Array.from({ length: 6 }, () => follow({ query, variables: { jobId: job.id } })));
  await Promise.all(streams.map((stream) => stream.until(hasStatus('QUEUED'))));
  await run.start();
  for (let rows = 1; rows <= 5; rows += 1) {
    const step = run.progress(rows);
    streams[rows - 1]?.close();
    await step;
    await streams[5]?.until(hasRows(rows));
  }
  await run.succeed();
  await streams[5]?.until(hasStatus('SUCCEEDED'));
  expect(streams[5]?.results.filter(({ errors }) => errors)).toEqual([]);
});

test('event deduplication > ends the streams of a revoked key within a second and continues those of other keys', async () => {
  const job = await createSteppedJob(server);
  const run = await job.run();
  const query = 'subscription ($jobId: ID) { runUpdated(jobId: $jobId) { status } }';
  const variables = { jobId: job.id };
  const key = await server.createKey('default', ['READ']);
  const staying = await follow({ query, variables });
  const early = await follow({ query, variables, key });
  await early.until(hasStatus('QUEUED'));
  const { viewer } = await server.graphql<{ viewer: { key: { id: string } } }>('{ viewer { key { id } } }', {}, key);
  const late = await Promise.all(Array.from({ length: 3 }, () => follow({ query, variables, key })));
  await server.graphql('mutation ($id: ID!) { revokeApiKey(id: $id) { __typename } }', { id: viewer.key.id });
  const revoked = performance.now();
  for (const stream of [early, ...late]) {
    await stream.ended;
    expect(stream.results.at(-1)).toMatchObject({ errors: [{ extensions: { code: 'UNAUTHENTICATED' } }] });
  }
  // A second of the product's, and some of a busy machine's.
  expect(performance.now() - revoked).toBeLessThan(3000);
  await run.start();
  await staying.until(hasStatus('RUNNING'));
});
