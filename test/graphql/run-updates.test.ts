import { createClient as createSseClient } from 'graphql-sse';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { openEventStream, type EventStream } from '../support/event-stream.ts';
import { createSteppedJob } from '../support/run-steps.ts';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';
import { withClient } from '../support/postgres-admin.ts';

interface Update {
  readonly runUpdated: { readonly id: string; readonly status: string; readonly rowsWritten: number };
}

const FOLLOW = `subscription ($runId: ID, $jobId: ID) { runUpdated(runId: $runId, jobId: $jobId) { id status rowsWritten } }`;

/** Two servers on one database; neither has a worker: the test takes that part. */
let server: TestServer;
let other: TestServer;
const open: EventStream<Update>[] = [];

beforeAll(async () => {
  server = await startTestServer({ env: { ROLE: 'api', MAX_SUBSCRIPTIONS_PER_KEY: '20' } });
  other = await startTestServer({ env: { ROLE: 'api' }, database: server.database, s3: server.s3 });
});
afterEach(() => {
  for (const stream of open.splice(0)) stream.close();
});
afterAll(async () => {
  await other.stop();
  await server.stop();
});

const follow = async (variables: { runId?: string; jobId?: string }, key = server.key, at = server) => {
  const stream = await openEventStream<Update>({ url: at.url, key, query: FOLLOW, variables });
  open.push(stream);
  return stream;
};
const shown = (stream: EventStream<Update>, runId?: string): string[] =>
  stream.results.flatMap(({ data }) =>
    data && (runId === undefined || data.runUpdated.id === runId)
      ? [`${data.runUpdated.status} ${data.runUpdated.rowsWritten}`]
      : [],
  );
const hasStatus =
  (status: string, runId?: string) =>
  ({ data }: { data?: Update | null }) =>
    data?.runUpdated.status === status && (runId === undefined || data.runUpdated.id === runId);

describe('runUpdated over SSE', () => {
  test('sends the current state of a run, then each change, and ends with the run', async () => {
    const run = await (await createSteppedJob(server)).run();
    const stream = await follow({ runId: run.id });
    await stream.until(hasStatus('QUEUED'));
    await run.start();
    await stream.until(hasStatus('RUNNING'));
    await run.progress(3);
    await stream.until(({ data }) => data?.runUpdated.rowsWritten === 3);
    await run.succeed();
    expect(await stream.ended).toBe(true);
    expect(shown(stream)).toEqual(['QUEUED 0', 'RUNNING 0', 'RUNNING 3', 'SUCCEEDED 7']);
  });

  test('sends one state and ends when the run has ended before', async () => {
    const run = await (await createSteppedJob(server)).run();
    await run.start();
    await run.fail();
    const stream = await follow({ runId: run.id });
    expect(await stream.ended).toBe(true);
    expect(shown(stream)).toEqual(['FAILED 0']);
  });

  test('sends the queued and running runs of a job, then each change, when jobId is set', async () => {
    const job = await createSteppedJob(server);
    const elsewhere = await (await createSteppedJob(server)).run();
    const ended = await job.run();
    await ended.start();
    await ended.succeed();
    const first = await job.run();
    const stream = await follow({ jobId: job.id });
    await stream.until(hasStatus('QUEUED', first.id));
    await elsewhere.start();
    await first.start();
    await first.succeed();
    await stream.until(hasStatus('SUCCEEDED', first.id));
    const second = await job.run();
    await stream.until(hasStatus('QUEUED', second.id));
    expect(new Set(stream.results.map(({ data }) => data?.runUpdated.id))).toEqual(new Set([first.id, second.id]));
  });

  test('sends only the runs of the account when no argument is set', async () => {
    const foreignKey = await server.createKey('neighbour', ['JOBS']);
    const foreign = await (await createSteppedJob(server, foreignKey)).run();
    const mine = await (await createSteppedJob(server)).run();
    const [stream, neighbour] = await Promise.all([follow({}), follow({}, foreignKey)]);
    // The active runs are read after the head of the response was sent.
    await Promise.all([stream.until(hasStatus('QUEUED', mine.id)), neighbour.until(hasStatus('QUEUED', foreign.id))]);
    await mine.start();
    await foreign.start();
    await stream.until(hasStatus('RUNNING', mine.id));
    await neighbour.until(hasStatus('RUNNING', foreign.id));
    expect(shown(neighbour)).toEqual(['QUEUED 0', 'RUNNING 0']);
    expect(shown(stream, foreign.id)).toEqual([]);
  });

  test('sends the changes of a run that another server executes', async () => {
    const run = await (await createSteppedJob(server)).run();
    const stream = await follow({ runId: run.id }, server.key, other);
    await stream.until(hasStatus('QUEUED'));
    await run.start();
    await stream.until(hasStatus('RUNNING'));
    await run.succeed();
    expect(await stream.ended).toBe(true);
  });

  test('works with the client of graphql-sse', async () => {
    const run = await (await createSteppedJob(server)).run();
    const client = createSseClient({ url: `${server.url}/graphql`, headers: { 'X-API-Key': server.key } });
    const seen: string[] = [];
    for await (const { data } of client.iterate<Update>({ query: FOLLOW, variables: { runId: run.id } })) {
      seen.push(data?.runUpdated.status ?? '');
      if (seen.length === 1) await run.start();
      if (seen.length === 2) await run.succeed();
    }
    client.dispose();
    expect(seen).toEqual(['QUEUED', 'RUNNING', 'SUCCEEDED']);
  });

  test.each([
    ['both arguments', { runId: 'x', jobId: 'y' }, 'BAD_USER_INPUT'],
    ['an id that names nothing', { runId: 'x' }, 'NOT_FOUND'],
    ['the id of a job where a run belongs', { runId: 'Sm9iOjE' }, 'NOT_FOUND'],
    ['an unknown job', { jobId: 'x' }, 'NOT_FOUND'],
  ])('rejects the request before the stream starts: %s: %s', async (_, variables, code) => {
    const stream = await follow(variables);
    expect(await stream.ended).toBe(true);
    expect(stream.results).toMatchObject([{ errors: [{ extensions: { code } }] }]);
    expect(stream.results[0]?.data ?? null).toBeNull();
  });

  test('returns NOT_FOUND for runs and jobs of another account', async () => {
    const key = await server.createKey('stranger', ['ADMIN']);
    const job = await createSteppedJob(server);
    const run = await job.run();
    for (const variables of [{ runId: run.id }, { jobId: job.id }]) {
      const stream = await follow(variables, key);
      await stream.ended;
      expect(stream.results).toMatchObject([{ errors: [{ extensions: { code: 'NOT_FOUND' } }] }]);
    }
  });
});

describe('runUpdated', () => {
  test('sends the final state last when the subscription starts at any time in the life of a run', async () => {
    const lives = Array.from({ length: 9 }, async (_, index) => {
      const run = await (await createSteppedJob(server)).run();
      const streams: Promise<EventStream<Update>>[] = [];
      const subscribe = () => streams.push(follow({ runId: run.id }, server.key, index % 2 === 0 ? server : other));
      // Never awaited on the way: subscriptions come in between the steps, and during them.
      subscribe();
      await run.start();
      if (index % 3 === 0) subscribe();
      for (let rows = 1; rows <= 3; rows += 1) {
        const step = run.progress(rows);
        if (index % 3 === 1 && rows === 2) subscribe();
        await step;
      }
      const last = index % 2 === 0 ? run.succeed() : run.fail();
      if (index % 3 === 2) subscribe();
      await last;
      for (const stream of await Promise.all(streams)) {
        // Sooner than by the look at everything that is taken every five seconds.
        await stream.until(hasStatus(index % 2 === 0 ? 'SUCCEEDED' : 'FAILED'), 4500);
        expect(await stream.ended).toBe(true);
        expect(shown(stream).at(-1)).toMatch(index % 2 === 0 ? /^SUCCEEDED/ : /^FAILED/);
        // Never back in time.
        const rows = shown(stream).map((state) => Number(state.split(' ')[1]));
        if (index % 2 === 0) expect(rows).toEqual(rows.toSorted((a, b) => a - b));
      }
    });
    expect(await Promise.all(lives)).not.toHaveLength(0);
  });

  test('misses no change when the backend of the listener is terminated repeatedly', async () => {
    const job = await createSteppedJob(server);
    const stream = await follow({ jobId: job.id });
    const ended: string[] = [];
    for (let round = 0; round < 5; round += 1) {
      const run = await job.run();
      await withClient(server.database.url, async (client) => {
        const { rowCount } = await client.query(
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'sluice-feed' AND datname = current_database()`,
        );
        if (round === 0) expect(rowCount).toBe(2);
      });
      await run.start();
      await run.succeed();
      ended.push(run.id);
    }
    // Sooner than by the look at everything that is taken every five seconds.
    for (const id of ended) await stream.until(hasStatus('SUCCEEDED', id), 4500);
    // Later changes are sent immediately again.
    const run = await job.run();
    await stream.until(hasStatus('QUEUED', run.id), 4500);
    expect(ended).toHaveLength(5);
  });
});

describe('MAX_SUBSCRIPTIONS_PER_KEY', () => {
  test('releases the slot immediately when a client disconnects while no run changes', async () => {
    const job = await createSteppedJob(server);
    const streams = await Promise.all(Array.from({ length: 10 }, () => follow({ jobId: job.id })));
    const metric = async (): Promise<number> => {
      const text = await (await fetch(`${server.url}/metrics`)).text();
      return Number(/^sluice_subscriptions_open (\d+)$/m.exec(text)?.[1]);
    };
    await eventually(metric, (count) => count >= 10);
    for (const stream of streams) stream.close();
    const left = performance.now();
    await eventually(metric, (count) => count === 0);
    expect(performance.now() - left).toBeLessThan(4000);
  });

  test('limits the subscriptions of a key on a server, also when all start concurrently', async () => {
    const key = await server.createKey('default', ['READ']);
    const job = await createSteppedJob(server);
    await job.run();
    const streams = await Promise.all(Array.from({ length: 26 }, () => follow({ jobId: job.id }, key)));
    const isFull = ({ results }: EventStream<Update>) =>
      results[0]?.errors?.[0]?.extensions?.['code'] === 'LIMIT_EXCEEDED';
    await eventually(
      () => Promise.resolve(streams.filter(({ results }) => results.length > 0).length),
      (count) => count === 26,
    );
    expect(streams.filter(isFull)).toHaveLength(6);
    // Other keys have their own.
    const another = await follow({ jobId: job.id });
    await another.until(hasStatus('QUEUED'));
    streams.find((stream) => !isFull(stream))?.close();
    await eventually(
      async () => {
        const stream = await follow({ jobId: job.id }, key);
        await stream.until(() => true);
        return stream;
      },
      (stream) => !isFull(stream),
    );
  });
});
