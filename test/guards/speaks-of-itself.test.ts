import { readdir, readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { expect, test } from 'vitest';
import { ROOT } from '../support/source-files.ts';

const NOT_OURS = new Set(['node_modules', '.git', '.sluice', 'coverage']);
/** Paths of one machine. Concatenated, so that this file does not contain them. */
const FOREIGN = ['/work' + '/', '../' + 'shared', '/home' + '/', '/Users' + '/', '/root' + '/'];

/** A build of an example contains the paths of its sources. It is not part of the repository. */
const isBuiltExample = (path: string): boolean => /^examples\/[^/]+\/dist$/.test(relative(ROOT, path));

const textFiles = async (folder: string): Promise<string[]> => {
  const entries = await readdir(folder, { withFileTypes: true });
  const nested = await Promise.all(
    entries.map(async (entry) => {
      const path = join(folder, entry.name);
      if (NOT_OURS.has(entry.name) || entry.name.endsWith('.log') || isBuiltExample(path)) return [];
      return entry.isDirectory() ? textFiles(path) : entry.isFile() ? [path] : [];
    }),
  );
  return nested.flat();
};

test('no file of the checkout names a path of the machine it was written on', async () => {
  const paths = await textFiles(ROOT);
  const found: string[] = [];
  for (const path of paths) {
    const text = await readFile(path, 'utf8');
    for (const word of FOREIGN) if (text.includes(word)) found.push(`${relative(ROOT, path)}: ${word}`);
  }
  expect(found).toEqual([]);
  expect(paths.length).toBeGreaterThan(60);
});
