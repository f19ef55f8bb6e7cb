import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestServer, type TestServer } from '../support/server.ts';
import { openExample, type Example } from './example.ts';
import { startUnreliableProxy, type UnreliableProxy } from './unreliable-proxy.ts';

let server: TestServer;
let example: Example;
let folder: string;
beforeAll(async () => {
  [server, example, folder] = await Promise.all([
    startTestServer({ env: { ROLE: 'api' } }),
    openExample('python'),
    mkdtemp(join(tmpdir(), 'sluice-usage-')),
  ]);
});
afterAll(async () => {
  await server?.stop();
  await rm(folder, { recursive: true, force: true });
});

const send = async (stream: string, name: string, content: string | Buffer, url = server.url) => {
  const file = join(folder, name);
  await writeFile(file, content);
  return example.run(`python3 send_usage.py "${stream}" "${file}"`, { SLUICE_URL: url, SLUICE_KEY: server.key });
};

interface Records {
  readonly stream: {
    readonly records: {
      readonly edges: readonly {
        readonly node: {
          readonly timestamp: string;
          readonly elementName: string;
          readonly value: string;
          readonly filter: readonly { readonly dimension: string; readonly values: readonly string[] }[];
        };
      }[];
    };
    readonly operations: { readonly edges: readonly unknown[] };
  } | null;
}
const storedIn = async (stream: string) => {
  const answer = await server.graphql<Records>(
    `query ($stream: String!) { stream(name: $stream) {
      records(first: 100) { edges { node { timestamp elementName value filter { dimension values } } } }
      operations(first: 100) { edges { node { id } } } } }`,
    { stream },
  );
  return {
    records: answer.stream?.records.edges.map(({ node }) => node) ?? [],
    operations: answer.stream?.operations.edges.length ?? 0,
  };
};
const waits = (proxy: UnreliableProxy): number[] =>
  proxy.requests.slice(1).map(({ at }, index) => at - proxy.requests[index]!.at);

const csv = (...rows: string[]): string => ['timestamp,granularity,element,region,value', ...rows, ''].join('\n');
const row = (element: string, value = '1') => `2026-01-24T00:00:00Z,DAILY,${element},eu,${value}`;

test('examples/python > sends both files with every digit, and replays them when it is run again', async () => {
  const first = await example.start(server);
  expect(first).toEqual({
    code: 0,
    stderr: '',
    stdout: [
      'lines 2 to 5: 4 records, stored',
      '4 records, sum of values 12345678901234569097.750000000001',
      'lines 1 to 2: 2 records, stored',
      '2 records, sum of values 12345678901234567890.35',
      '',
    ].join('\n'),
  });
  const stored = await storedIn('python-example');
  expect(stored.records.map(({ elementName, value }) => `${elementName} ${value}`).toSorted()).toEqual([
    'Pied Piper, Inc. 7',
    'acme 0.1',
    'hooli 0.000000000001',
    'hooli 1200.5',
    'hooli 12345678901234567890.25',
    'hooli 12345678901234567890.25',
  ]);
  expect(stored.records.find(({ elementName }) => elementName === 'acme')?.filter).toEqual([
    { dimension: 'region', values: ['eu', 'us'] },
  ]);

  const second = await example.start(server);
  expect(second.code).toBe(0);
  expect(second.stdout).toContain('4 records, already stored');
  expect(second.stdout).toContain('2 records, already stored');
  expect(await storedIn('python-example')).toEqual(stored);
});

test('examples/python > needs the standard library only', async () => {
  const file = join(folder, 'alone.csv');
  await writeFile(file, csv(row('hooli', '5')));
  // -S: no packages of the machine; -I: no packages of the user, and no environment variables of Python.
  const outcome = await example.run(`python3 -I -S send_usage.py alone "${file}"`, {
    SLUICE_URL: server.url,
    SLUICE_KEY: server.key,
  });
  expect(outcome).toEqual({
    code: 0,
    stderr: '',
    stdout: 'lines 2 to 2: 1 records, stored\n1 records, sum of values 5\n',
  });
  const packages = 'import sys; print([path for path in sys.path if path.endswith("-packages")])';
  expect((await example.run(`python3 -I -S -c '${packages}'`)).stdout).toBe('[]\n');
});

test('examples/python > retries after lost connections and busy responses, and waits as long as Retry-After says', async () => {
  const inThreeSeconds = () => new Date(Math.ceil(Date.now() / 1000) * 1000 + 3000).toUTCString();
  const proxy = await startUnreliableProxy(server.url, [
    'reset',
    { status: 503, headers: () => ({ 'Retry-After': '2' }) },
    { status: 429, headers: () => ({ 'Retry-After': inThreeSeconds() }) },
    { status: 502 },
    'lose-answer',
  ]);
  try {
    const outcome = await send('unreliable', 'usage.csv', csv(row('hooli', '5')), proxy.url);
    expect(outcome.code).toBe(0);
    expect(outcome.stdout).toBe('lines 2 to 2: 1 records, already stored\n1 records, sum of values 5\n');
    expect(outcome.stderr.trim().split('\n')).toHaveLength(5);
    expect(proxy.requests).toHaveLength(6);
    const [afterReset, after503, after429, after502, afterLost] = waits(proxy);
    expect(afterReset).toBeGreaterThan(200);
    expect(after503).toBeGreaterThan(1950);
    expect(after429).toBeGreaterThan(2950);
    // Doubled each time: at least half of 4 s and half of 8 s.
    expect(after502).toBeGreaterThan(1950);
    expect(afterLost).toBeGreaterThan(3950);
    expect(await storedIn('unreliable')).toMatchObject({ records: [{ value: '5' }], operations: 1 });
  } finally {
    await proxy.close();
  }
});

test('examples/python > reports every invalid line and stores no record of the batch, also after quoted line breaks', async () => {
  const outcome = await send(
    'bad-lines',
    'usage.csv',
    csv(row('fine'), row('"two\nlines"', '1'), '', row('negative', '-1'), row('""'), row('abc', 'abc')),
  );
  expect(outcome.code).toBe(1);
  expect(outcome.stdout).toBe('');
  const [first, ...issues] = outcome.stderr.trimEnd().split('\n');
  expect(first).toMatch(/^VALIDATION_FAILED: /);
  expect(issues.map((issue) => /^ {2}(line \d+: \w+): .+ \(([A-Z_]+)\)$/.exec(issue)?.[1])).toEqual([
    'line 3: elementName',
    'line 6: value',
    'line 7: elementName',
    'line 8: value',
  ]);
  expect((await storedIn('bad-lines')).operations).toBe(0);
});

test('examples/python > counts the remaining issues when there are more than the server lists', async () => {
  const outcome = await send('many-bad', 'usage.csv', csv(...Array.from({ length: 130 }, () => row('hooli', '-1'))));
  expect(outcome.stderr.trimEnd().split('\n').at(-1)).toBe('  and 30 more');
});

test('examples/python > resumes a file of several batches when its lines are corrected', async () => {
  const lines = Array.from({ length: 5003 }, (_, index) =>
    JSON.stringify({
      timestamp: '2026-01-24T00:00:00Z',
      granularity: 'daily',
      'element-name': `element-${index}`,
      value: index === 5001 ? -1 : 1,
    }),
  );
  const refused = await send('batches', 'usage.ndjson.gz', gzipSync(lines.join('\n')));
  expect(refused.stdout).toBe('lines 1 to 5000: 5000 records, stored\n');
  expect(refused.stderr).toContain('\n  line 5002: value: ');
  expect(refused.code).toBe(1);

  lines[5001] = lines[5001]!.replace('-1', '1');
  const corrected = await send('batches', 'usage.ndjson.gz', gzipSync(lines.join('\n')));
  expect(corrected).toMatchObject({
    code: 0,
    stdout:
      'lines 1 to 5000: 5000 records, already stored\nlines 5001 to 5003: 3 records, stored\n5003 records, sum of values 5003\n',
  });
  expect((await storedIn('batches')).operations).toBe(2);
});

test.each([
  ['no.csv', 'timestamp,value\n', 'line 1: missing column granularity, element\n'],
  ['short.csv', csv('2026-01-24T00:00:00Z,DAILY'), 'line 2: 2 fields, but the header has 5\n'],
  ['half.ndjson', '\n{"timestamp": \n', 'line 2: not a valid JSON record\n'],
  ['without.ndjson', '{"timestamp": "2026-01-24"}\n', 'line 1: missing granularity\n'],
])('examples/python > rejects %s with a message', async (name, content, message) => {
  expect(await send('shapes', name, content)).toEqual({ code: 1, stdout: '', stderr: message });
});

test('examples/python > reports an unknown key without a retry', async () => {
  const outcome = await example.start({ url: server.url, key: 'k'.repeat(40) });
  expect(outcome).toMatchObject({ code: 1, stdout: '' });
  expect(outcome.stderr).toMatch(/key/i);
  expect(outcome.stderr).not.toContain('kkkk');
});
