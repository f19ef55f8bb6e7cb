import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';

const ROOT = join(import.meta.dirname, '../..');

let folder: string;
let released: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-schema-'));
  released = await readFile(join(ROOT, 'schema.released.graphql'), 'utf8');
});
afterAll(() => rm(folder, { recursive: true }));

const run = (...args: string[]): Promise<{ failed: boolean; text: string }> =>
  new Promise((resolve) => {
    const script = join(ROOT, 'scripts/breaking-changes.ts');
    execFile(process.execPath, [script, ...args], { timeout: 60_000 }, (error, stdout, stderr) =>
      resolve({ failed: error !== null, text: `${stdout}${stderr}` }),
    );
  });

/** Output of `npm run check:breaking` for a schema. */
const check = async (schema: string): Promise<{ failed: boolean; text: string }> => {
  const file = join(folder, 'schema.graphql');
  await writeFile(file, schema);
  return run('--check', file);
};

const changed = (from: string, to: string): string => {
  expect(released.includes(from), `the schema has ${from}`).toBe(true);
  return released.replace(from, () => to);
};

test('check:breaking > accepts the current schema', async () => {
  expect(await check(released)).toEqual({ failed: false, text: '' });
});

test.each([
  ['a field is gone', '  startedAt: DateTime\n', '  begunAt: DateTime\n', 'Run.startedAt'],
  ['an answer may be null', '  rowsWritten: SafeInt!\n', '  rowsWritten: SafeInt\n', 'Run.rowsWritten'],
  ['an argument is required', '    search: String\n', '    search: String!\n', 'search'],
  ['an input field is required', 'input AllocationInput {\n', 'input AllocationInput {\n  reason: String!\n', 'reason'],
  ['a default is another', '  sparse: Boolean! = true\n', '  sparse: Boolean! = false\n', 'sparse'],
  ['a value is gone', '  NDJSON\n', '  JSONL\n', 'ExportFormat.NDJSON'],
  [
    'an expected failure is gone',
    'DeleteStreamResult = DeletedStream | NotFoundError',
    'DeleteStreamResult = DeletedStream',
    'NotFoundError',
  ],
  ['a type is not a Node any more', 'type Run implements Node {', 'type Run {', 'Node'],
])('check:breaking > fails when %s', async (_, from, to, place) => {
  const { failed, text } = await check(changed(from, to));
  expect(text).toMatch(/^breaks clients: /m);
  expect(text).toContain(place);
  expect(failed).toBe(true);
});

test('check:breaking > accepts additions and reports those that may affect clients', async () => {
  const field = changed('  startedAt: DateTime\n', '  startedAt: DateTime\n  startedBy: String\n');
  expect(await check(field)).toEqual({ failed: false, text: '' });
  const value = await check(changed('enum Compression {\n', 'enum Compression {\n  ZSTD\n'));
  expect(value).toEqual({ failed: false, text: expect.stringMatching(/^may surprise clients: .*ZSTD/) });
});

test('check:breaking > accepts a changed description', async () => {
  expect(await check(changed('An ISO week', 'A week'))).toEqual({ failed: false, text: '' });
});

test('schema:release > replaces the released schema only when the version changed', async () => {
  const inFolder = (name: string): string => join(folder, name);
  const write = (version: string, schema: string): Promise<unknown> =>
    Promise.all([
      writeFile(inFolder('package.json'), JSON.stringify({ version })),
      writeFile(inFolder('schema.graphql'), schema),
    ]);
  const kept = (): Promise<string> => readFile(inFolder('schema.released.graphql'), 'utf8');
  await writeFile(inFolder('schema.released.graphql'), '# The schema of Sluice 1.9.0, the last release.\n');
  const [schema, other] = ['type Query { one: Int }\n', 'type Query { other: Int }\n'];

  await write('1.9', schema);
  expect(await run('--release', folder)).toEqual({ failed: false, text: '' });
  const first = await kept();
  expect(first).toMatch(/^# The schema of Sluice 1\.9, [^]*\n\ntype Query \{ one: Int \}\n$/);

  await write('1.9', other);
  expect(await run('--release', folder)).toEqual({ failed: true, text: expect.stringContaining('1.9 was released') });
  expect(await kept()).toBe(first);

  await write('1.9', schema);
  expect(await run('--release', folder)).toEqual({ failed: false, text: '' });
  expect(await kept()).toBe(first);

  await write('1.10', other);
  expect(await run('--release', folder)).toEqual({ failed: false, text: '' });
  expect(await kept()).toMatch(/^# The schema of Sluice 1\.10, [^]*\n\ntype Query \{ other: Int \}\n$/);
});
