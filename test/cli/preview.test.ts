import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { addRecords, filterOf } from '../support/job-steps.ts';
import { startTestServer, type TestServer } from '../support/server.ts';
import { runSluice } from '../support/sluice-process.ts';

let server: TestServer;
let directory: string;

const sluice = (...args: string[]) => runSluice('cli', args, { SLUICE_URL: server.url, API_KEY: server.key });

const fileOf = async (content: unknown): Promise<string> => {
  const file = join(directory, `${Math.random()}.json`);
  await writeFile(file, typeof content === 'string' ? content : JSON.stringify(content));
  return file;
};

const record = (elementName: string, value: string) => ({
  timestamp: '2026-01-25T00:00:00Z',
  elementName,
  value,
  filter: filterOf({ region: 'eu' }),
});

beforeAll(async () => {
  server = await startTestServer({ env: { ROLE: 'api' } });
  directory = await mkdtemp(join(tmpdir(), 'sluice-preview-'));
  await addRecords(server, 'calls', 'DAILY', [record('acme', '100'), record('hooli', '250')]);
});
afterAll(async () => {
  await server.stop();
  await rm(directory, { recursive: true, force: true });
});

const newest = async (): Promise<{ id: string; kind: string }> => {
  const { stream } = await server.graphql<{
    stream: { operations: { edges: { node: { id: string; kind: string } }[] } };
  }>('{ stream(name: "calls") { operations(first: 1) { edges { node { id kind } } } } }');
  return stream.operations.edges[0]?.node ?? { id: '', kind: '' };
};

const OF_ONE_RECORD = [
  '--timestamp',
  '2026-01-25',
  '--granularity',
  'daily',
  '--element',
  'acme',
  '--filter',
  'region=eu',
];

describe('preview command', () => {
  test('shows what a delete from flags would change, and writes nothing', async () => {
    const { code, stdout, stderr } = await sluice(
      'preview',
      'delete',
      '--stream',
      'calls',
      ...OF_ONE_RECORD.slice(0, 4),
    );
    expect(stdout).toBe(
      [
        'Preview of the delete in the stream "calls". Nothing was written.',
        'Records:          0 inserted, 2 hidden',
        'Changed keys:     2',
        'Value:            350 -> 0',
        'Stale deliveries: 0',
        '',
        'ELEMENT  BEFORE  AFTER',
        'hooli       250      0',
        'acme        100      0',
        '',
      ].join('\n'),
    );
    expect([code, stderr]).toEqual([0, '']);
    expect((await newest()).kind).toBe('SUM');
  });

  test('reads records, or the fields of the input, from a file', async () => {
    const records = [{ ...record('acme', '40'), granularity: 'DAILY' }];
    const sum = await sluice('preview', 'sum', '--stream', 'calls', '--file', await fileOf(records), '--json');
    expect(JSON.parse(sum.stdout)).toMatchObject({
      insertedRecords: 1,
      hiddenRecords: 0,
      valueBefore: '100',
      valueAfter: '140',
      keys: [{ elementName: 'acme', valueBefore: '100', valueAfter: '140' }],
    });
    const scope = { from: '2026-01-25T00:00:00Z', to: '2026-01-26T00:00:00Z' };
    const replace = await sluice(
      'preview',
      'replace',
      '--file',
      await fileOf({ stream: 'calls', records, scope }),
      '--json',
    );
    expect(JSON.parse(replace.stdout)).toMatchObject({ hiddenRecords: 2, valueBefore: '350', valueAfter: '40' });
    const flagged = await sluice(
      'preview',
      'replace',
      '--stream',
      'calls',
      '--from',
      '2026-01-25',
      '--to',
      '2026-01-26',
      '--element',
      'hooli',
      '--json',
    );
    expect(JSON.parse(flagged.stdout)).toMatchObject({ hiddenRecords: 1, valueBefore: '250', valueAfter: '0' });
    const one = await sluice('preview', 'replace', '--stream', 'calls', ...OF_ONE_RECORD, '--value', '1.5');
    expect(one.stdout).toContain('Value:            100 -> 1.5\n');
  });

  test('ends with 1 and the reasons when the write would be rejected', async () => {
    const rejected = await sluice('preview', 'sum', '--stream', 'calls', ...OF_ONE_RECORD, '--value', '-1');
    expect(rejected).toMatchObject({ code: 1, stdout: '', stderr: expect.stringMatching(/^records\.0\.value: /) });
    const missing = 'Name the stream with --stream, or as `stream` in the file.\n';
    for (const [args, message] of [
      [['sum', '--file', await fileOf('{"stream":"calls"}')], 'Records are missing. '],
      [['sum', '--file', await fileOf('[]')], missing],
      [['delete', '--stream', 'none', '--file', await fileOf('{')], 'The file is not valid JSON.'],
      [['delete', '--stream', 'absent', ...OF_ONE_RECORD], 'The stream "absent" does not exist.\n'],
      [['revert', 'nothing'], 'The operation does not exist. Check the id.\n'],
    ] as const) {
      expect(await sluice('preview', ...args)).toMatchObject({ code: 1, stderr: expect.stringContaining(message) });
    }
  });
});

describe('revert command', () => {
  test('undoes an operation, after a preview, and refuses when a later write depends on it', async () => {
    await addRecords(server, 'calls', 'DAILY', [record('initech', '7')]);
    const { id } = await newest();
    const preview = await sluice('preview', 'revert', id);
    expect(preview.stdout).toContain('Records:          0 inserted, 1 hidden\n');
    expect(preview.stdout).toContain('initech       7      0\n');
    const done = await sluice('revert', id, '--idempotency-key', 'undo');
    const revert = await newest();
    expect(revert.kind).toBe('REVERT');
    expect(done).toMatchObject({
      code: 0,
      stdout: `Reverted the operation in the stream "calls": 1 record hidden, 0 inserted again.\nOperation: ${revert.id}\n`,
      stderr: '',
    });
    const again = await sluice('revert', id, '--idempotency-key', 'undo', '--json');
    expect(JSON.parse(again.stdout)).toEqual({
      id: revert.id,
      insertedRecords: 0,
      hiddenRecords: 1,
      stream: 'calls',
      replayed: true,
    });
    for (const args of [
      ['revert', id],
      ['preview', 'revert', id],
    ]) {
      expect(await sluice(...args)).toMatchObject({
        code: 1,
        stdout: '',
        stderr: expect.stringContaining(`The operation cannot be reverted.`),
      });
    }
  });
});
