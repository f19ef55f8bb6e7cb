import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buildSchema, isInterfaceType } from 'graphql';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';
import { startStrictS3, type StrictS3 } from '../support/strict-s3.ts';
import { installPackages, openExample, type Example, type Outcome } from './example.ts';
import { startUnreliableProxy, type UnreliableProxy } from './unreliable-proxy.ts';

let s3: StrictS3;
/** PutObject requests wait for it. */
let held: Promise<void> | undefined;
let server: TestServer;
let example: Example;
beforeAll(async () => {
  s3 = await startStrictS3({ buckets: ['customer-bucket'], fault: () => held && { hold: held } });
  server = await startTestServer({ s3 });
  example = await openExample('apollo-node');
  await installPackages(example);
});
afterAll(async () => {
  await server?.stop();
  await s3?.close();
});

test('examples/apollo-node > documents match the schema, and the program matches their types', async () => {
  expect(await example.run('npm run types')).toMatchObject({ code: 0 });
});

test('examples/apollo-node > possible types are those of the schema', async () => {
  const { possibleTypes } = (await import(join(example.folder, 'src/possible-types.ts'))) as {
    possibleTypes: Record<string, readonly string[]>;
  };
  const schema = buildSchema(await readFile(join(example.folder, '../../schema.graphql'), 'utf8'));
  const interfaces = Object.values(schema.getTypeMap()).filter(isInterfaceType);
  expect(possibleTypes).toEqual(
    Object.fromEntries(
      interfaces.map((type) => [
        type.name,
        schema
          .getPossibleTypes(type)
          .map(({ name }) => name)
          .toSorted(),
      ]),
    ),
  );
});

/** Returns the output of the program without that of npm. */
const saidBy = ({ stdout }: Outcome): string[] => stdout.trimEnd().split('\n\n').at(-1)?.split('\n') ?? [];
const askedOf = ({ requests }: UnreliableProxy) => requests.map(({ operation }) => operation);
const TRANSITIONS = /^\S{6} (?:QUEUED|RUNNING) -> (?:QUEUED|RUNNING|SUCCEEDED)$/;

test('examples/apollo-node > fetches its runs page by page, and updates them by events only', async () => {
  const proxy = await startUnreliableProxy(server.url, []);
  try {
    const outcome = await example.start({ url: proxy.url, key: server.key });
    expect(outcome).toMatchObject({ code: 0, stderr: '' });
    const lines = saidBy(outcome);
    const paged = lines.indexOf('5 runs in 3 pages');
    expect(paged).toBeGreaterThanOrEqual(0);
    const changes = lines.slice(0, -6).filter((_, index) => index !== paged);
    for (const change of changes) expect(change).toMatch(TRANSITIONS);
    expect(changes.length).toBeGreaterThan(0);
    for (const line of lines.slice(-6, -1)) {
      expect(line).toMatch(/^\S{6} SUCCEEDED, 0 rows, apollo\/apollo-example\/\S+\.manifest\.json$/);
    }
    expect(lines.at(-1)).toBe('Updated by events, read from the cache');
    // Neither later states nor the five runs by id were fetched.
    expect(askedOf(proxy).filter((name) => name !== 'FindJobs')).toEqual([
      'CreateJob',
      ...Array.from({ length: 5 }, () => 'RunJob'),
      ...Array.from({ length: 3 }, () => 'Runs'),
    ]);
    expect(proxy.sockets).toBe(1);
  } finally {
    await proxy.close();
  }
});

test('examples/apollo-node > fetches missed states by id after its socket was lost', async () => {
  const proxy = await startUnreliableProxy(server.url, []);
  const { promise, resolve: release } = Promise.withResolvers<void>();
  held = promise;
  const { promise: ended, resolve: connectAgain } = Promise.withResolvers<void>();
  try {
    const ending = example.run('npm start', { SLUICE_URL: proxy.url, SLUICE_KEY: server.key });
    await eventually(
      () => Promise.resolve(askedOf(proxy).filter((name) => name === 'Runs')),
      ({ length }) => length === 3,
    );
    proxy.breakSockets(ended);
    release();
    const count = () =>
      server.graphql<{ runs: { totalCount: number } }>('{ runs(status: [QUEUED, RUNNING]) { totalCount } }');
    await eventually(count, ({ runs }) => runs.totalCount === 0);
    connectAgain();
    const outcome = await ending;
    expect(outcome).toMatchObject({ code: 0, stderr: '' });
    expect(saidBy(outcome).filter((line) => line.includes(' SUCCEEDED, '))).toHaveLength(5);
    expect(proxy.sockets).toBe(2);
    expect(askedOf(proxy).slice(-2)).toEqual(['Runs', 'Nodes']);
    const [listed, refreshed] = proxy.requests.slice(-2);
    // After the reconnect, and not by the 30 s polling.
    expect(refreshed!.at - listed!.at).toBeLessThan(25_000);
  } finally {
    release();
    connectAgain();
    held = undefined;
    await proxy.close();
  }
});

test('examples/apollo-node > exits with a message when the key is unknown', async () => {
  const outcome = await example.run('npm start', { SLUICE_URL: server.url, SLUICE_KEY: 'k'.repeat(40) });
  expect(outcome.code).not.toBe(0);
  expect(outcome.stderr).toMatch(/Unauthorized|key/);
  expect(outcome.stdout + outcome.stderr).not.toContain('kkkk');
});
