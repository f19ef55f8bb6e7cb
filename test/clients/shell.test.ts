import { appendFile, cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openExample, type Example } from './example.ts';
import { startLocalServer, type LocalServer } from './local-server.ts';
import { startUnreliableProxy } from './unreliable-proxy.ts';

let server: LocalServer;
let example: Example;
beforeAll(async () => {
  [server, example] = await Promise.all([startLocalServer(), openExample('shell')]);
});
afterAll(() => server?.stop());

const start = (env: Readonly<Record<string, string>> = {}, url = server.url) =>
  example.start({ url, key: server.key }, { DATA_DIR: server.dataDir, ...env });

const day = (ago: number): string => new Date(Date.now() - ago * 86_400_000).toISOString().slice(0, 10);
const rowsOf = (stream: string, ago: number): string => {
  const days = `${stream},${day(ago)}T00:00:00Z,${day(ago - 1)}T00:00:00Z`;
  return `${days},eu,acme,12345678901234567890.25\n${days},eu,hooli,1200.5\n${days},us,hooli,0.000000000001\n`;
};
/** Returns the CSV file at the end of the output. */
const fileIn = (stdout: string): string => stdout.slice(stdout.indexOf('.csv\nmeterApiName') + 5);
/** Returns the manifest in the output. */
const manifestIn = (stdout: string) =>
  JSON.parse(/\.manifest\.json\n(\{[\s\S]*?\n\})\n/.exec(stdout)?.[1] ?? '') as {
    state: string;
    objects: { rows: number }[];
  };

test('examples/shell > does the main job, and stores nothing twice when it is run again', async () => {
  const first = await start();
  expect(first).toMatchObject({ code: 0, stderr: '' });
  const lines = first.stdout.split('\n');
  expect(lines.slice(0, 3)).toEqual(['== Usage', '6 records', '6 records, replayed: already stored']);
  expect(lines.slice(3, 7).toSorted()).toEqual(
    [
      `${day(1)}\tacme\t12345678901234567890.25`,
      `${day(1)}\thooli\t1200.500000000001`,
      `${day(2)}\tacme\t12345678901234567890.25`,
      `${day(2)}\thooli\t1200.500000000001`,
    ].toSorted(),
  );
  // The events of the run, its final state, and then its objects.
  expect(first.stdout).toMatch(
    /\n== Run \S+\n(?:(?:QUEUED|RUNNING), \d rows\n)*SUCCEEDED, 6 rows\nSUCCEEDED\n== usage\//,
  );
  expect(manifestIn(first.stdout)).toMatchObject({ state: 'complete', objects: [{ rows: 6 }] });
  expect(fileIn(first.stdout)).toBe(
    `meterApiName,bucketStart,bucketEnd,region,element,value\n${rowsOf('shell-example', 2)}${rowsOf('shell-example', 1)}`,
  );

  const second = await start();
  expect(second.stdout).toContain('== Usage\n6 records, replayed');
  expect(fileIn(second.stdout)).toBe(fileIn(first.stdout));
});

test('examples/shell > retries when connections or responses are lost, and polls when the event stream breaks', async () => {
  const proxy = await startUnreliableProxy(
    server.url,
    [
      'lose-answer',
      { status: 503, headers: () => ({ 'Retry-After': '2' }) },
      'forward',
      'reset',
      'forward',
      'forward',
      'lose-answer',
    ],
    { breaksStreams: true },
  );
  try {
    const outcome = await start({ STREAM: 'unreliable' }, proxy.url);
    expect(outcome.stderr).toContain('The event stream broke; polling instead.');
    expect(outcome.code).toBe(0);
    // The first response was lost, so the retry is a replay.
    expect(outcome.stdout).toContain('== Usage\n6 records, replayed');
    // The response of createJob was lost, too: the job is found by its name.
    expect(fileIn(outcome.stdout)).toContain(rowsOf('unreliable', 1));
    expect(proxy.requests[2]!.at - proxy.requests[1]!.at).toBeGreaterThan(1900);
    expect(proxy.requests.filter(({ isStream }) => isStream)).toHaveLength(1);
  } finally {
    await proxy.close();
  }
});

test('examples/shell > opens no event stream when WAIT is poll', async () => {
  const proxy = await startUnreliableProxy(server.url, []);
  try {
    const outcome = await start({ STREAM: 'polled', WAIT: 'poll' }, proxy.url);
    expect(outcome).toMatchObject({ code: 0, stderr: '' });
    expect(outcome.stdout).toMatch(/\n== Run \S+\nSUCCEEDED\n/);
    expect(proxy.requests.filter(({ isStream }) => isStream)).toEqual([]);
  } finally {
    await proxy.close();
  }
});

test('examples/shell > prints each issue in a line and never the key when the input or the key is invalid', async () => {
  const outcome = await start({ STREAM: 'no blanks' });
  expect(outcome.code).toBe(1);
  expect(outcome.stderr).toMatch(/^VALIDATION_FAILED: .+\n {2}input\.stream: .+\n$/);

  const withUnknownKey = await example.start({ url: server.url, key: 'k'.repeat(40) });
  expect(withUnknownKey).toMatchObject({ code: 1, stdout: '== Usage\n' });
  expect(withUnknownKey.stderr).toMatch(/^UNAUTHENTICATED: /);
  expect(withUnknownKey.stderr).not.toContain('kkkk');
});

test('examples/shell > rejects a file when it does not match its manifest', async () => {
  const { stdout } = await start({ STREAM: 'changed' });
  const csv = /\n== (\S+\.csv)\n/.exec(stdout)?.[1] ?? '';
  const copy = join(server.dataDir, 'copy-of-s3');
  await cp(join(server.dataDir, 's3'), copy, { recursive: true });
  try {
    await appendFile(join(copy, 'customer-bucket', csv), 'one more line\n');
    const outcome = await example.run('./main-job.sh', {
      SLUICE_URL: server.url,
      SLUICE_KEY: server.key,
      S3_DIR: copy,
      STREAM: 'changed',
    });
    expect(outcome.code).toBe(1);
    expect(outcome.stderr).toBe(`${csv} does not match the SHA-256 in the manifest.\n`);
    expect(outcome.stdout).not.toContain('one more line');
  } finally {
    await rm(copy, { recursive: true, force: true });
  }
});
