import { execFile, spawn } from 'node:child_process';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { beforeAll, expect, test } from 'vitest';
import { readPages } from '../docs/pages.ts';
import { ROOT } from '../support/source-files.ts';

const FOLDER = join(ROOT, 'diagrams');

const changedAt = (name: string): Promise<number> =>
  stat(join(FOLDER, name)).then(
    ({ mtimeMs }) => mtimeMs,
    () => 0,
  );

beforeAll(async () => {
  if ((await changedAt('node_modules/.package-lock.json')) >= (await changedAt('package-lock.json'))) return;
  await promisify(execFile)('npm', ['ci'], { cwd: FOLDER });
});

/** Returns the error message of Mermaid for each diagram, or null. */
const parseDiagrams = async (texts: readonly string[]): Promise<(string | null)[]> => {
  const parser = spawn(process.execPath, [join(FOLDER, 'parse.js')], { stdio: ['pipe', 'pipe', 'inherit'] });
  parser.stdin.end(JSON.stringify(texts));
  return (await json(parser.stdout)) as (string | null)[];
};

test('documentation diagrams > are valid Mermaid', async () => {
  const pages = await readPages();
  const diagrams = pages.flatMap(({ path, blocks }) =>
    blocks.flatMap(({ language, line, text }) =>
      language === 'mermaid' ? [{ location: `${path}:${line}`, text }] : [],
    ),
  );
  const errors = await parseDiagrams(diagrams.map(({ text }) => text));
  expect(
    diagrams.flatMap(({ location }, index) => (errors[index] === null ? [] : [`${location}: ${errors[index]}`])),
  ).toEqual([]);
  expect(errors.length).toBeGreaterThan(4);
});

test('Mermaid > reports an error when a diagram is invalid', async () => {
  expect(await parseDiagrams(['stateDiagram-v2\n  A -> B', 'stateDiagram-v2\n  A --> B', 'nothing at all'])).toEqual([
    expect.stringContaining('Parse error on line 2'),
    null,
    expect.stringContaining('No diagram type detected'),
  ]);
});
