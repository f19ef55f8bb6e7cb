import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buildSchema, isInterfaceType } from 'graphql';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually, startTestServer, type TestServer } from '../support/server.ts';
import { startStrictS3, type StrictS3 } from '../support/strict-s3.ts';
import { installPackages, openExample, type Example, type Outcome } from './example.ts';
import { startUnreliableProxy, type UnreliableProxy } from './unreliable-proxy.ts';

let s3: StrictS3;
/** Puts wait for it. */
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

test('the documents fit the schema, and the program their types', async () => {
  expect(await example.run('npm run types')).toMatchObject({ code: 0 });
});

test('the cache knows what stands behind each interface', async () => {
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

/** What the program itself says, behind what npm does. */
const saidBy = ({ stdout }: Outcome): string[] => stdout.trimEnd().split('\n\n').at(-1)?.split('\n') ?? [];
const askedOf = ({ requests }: UnreliableProxy) => requests.map(({ operation }) => operation);
const TRANSITIONS = /^\S{6} (?:QUEUED|RUNNING) -> (?:QUEUED|RUNNING|SUCCEEDED)$/;

test('the program in the README pages through its runs, and their later states come by events alone', async () => {
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
    expect(lines.at(-1)).toBe('Told by events, read from the cache');
    // Neither the later states nor the five runs by id were asked for.
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

test('what happened while its socket was lost is asked for, by id, and shows in the same list', async () => {
  const proxy = await startUnreliableProxy(server.url, []);
  const { promise, resolve: release } = Promise.withResolvers<void>();
  held = promise;
  try {
    const ending = example.run('npm start', { SLUICE_URL: proxy.url, SLUICE_KEY: server.key });
    await eventually(
      () => Promise.resolve(askedOf(proxy).filter((name) => name === 'Runs')),
      ({ length }) => length === 3,
    );
    proxy.breakSockets();
    release();
    const outcome = await ending;
    expect(outcome).toMatchObject({ code: 0, stderr: '' });
    expect(saidBy(outcome).filter((line) => line.includes(' SUCCEEDED, '))).toHaveLength(5);
    expect(proxy.sockets).toBe(2);
    expect(askedOf(proxy).slice(-2)).toEqual(['Runs', 'Nodes']);
    const [listed, refreshed] = proxy.requests.slice(-2);
    // When the socket was there again, and not when nothing had been heard for 30 s.
    expect(refreshed!.at - listed!.at).toBeLessThan(25_000);
  } finally {
    release();
    held = undefined;
    await proxy.close();
  }
});

test('a key that is not known is told, and ends it', async () => {
  const outcome = await example.run('npm start', { SLUICE_URL: server.url, SLUICE_KEY: 'k'.repeat(40) });
  expect(outcome.code).not.toBe(0);
  expect(outcome.stderr).toMatch(/Unauthorized|key/);
  expect(outcome.stdout + outcome.stderr).not.toContain('kkkk');
});
