import { basename, dirname } from 'node:path';
import { expect, test } from 'vitest';
import { readSourceFiles } from '../support/source-files.ts';

const BANNED_WORDS = new Set(['util', 'utils', 'common', 'helper', 'helpers', 'manager', 'managers', 'misc', 'index']);
const KEBAB_CASE = /^[a-z0-9]+(?:-[a-z0-9]+)*$/;
const MAX_LINES = 350;
/** A test file is a list, read one test at a time. */
const MAX_TEST_LINES = 600;
/** Lists, read one entry at a time, that may be longer. */
const LONG_LISTS: ReadonlyMap<string, number> = new Map([
  ['src/db/tables.ts', 500],
  ['src/config/settings.ts', 450],
  ['src/graphql/graphiql/example-operations.ts', 500],
  ['test/fuzz/inputs.ts', 450],
]);

const files = await readSourceFiles('src', 'test', 'scripts', 'bench', 'console/src');
const sources = files.filter((file) => !file.path.startsWith('test/'));

const namesOf = (path: string): string[] => [
  ...dirname(path).split('/'),
  basename(path).replace(/(?:\.test|\.d)?\.tsx?$/, ''),
];

test('files and folders are named in kebab-case', () => {
  expect(
    files.filter((file) => !namesOf(file.path).every((name) => KEBAB_CASE.test(name))).map(({ path }) => path),
  ).toEqual([]);
  expect(files.length).toBeGreaterThan(50);
});

test('no file or folder has a vague name such as utils', () => {
  const vague = files.filter((file) =>
    namesOf(file.path)
      .flatMap((name) => name.split('-'))
      .some((word) => BANNED_WORDS.has(word)),
  );
  expect(vague.map(({ path }) => path)).toEqual([]);
});

test('all exports are named: there are no default exports and no `export *`', () => {
  const wrong = sources.filter((file) => /^export\s+(?:default\b|\*)|\bas\s+default\b/m.test(file.code));
  expect(wrong.map(({ path }) => path)).toEqual([]);
  expect(sources.filter((file) => /^export /m.test(file.code)).length).toBeGreaterThan(30);
});

test(`no file has more than ${MAX_LINES} lines, and no test file more than ${MAX_TEST_LINES}`, () => {
  const long = files.flatMap(({ path, text }) => {
    const lines = text.split('\n').length - 1;
    const limit = LONG_LISTS.get(path) ?? (path.endsWith('.test.ts') ? MAX_TEST_LINES : MAX_LINES);
    return lines > limit ? [`${path}: ${lines}`] : [];
  });
  expect(long, 'Split the file by what it contains, or name it in LONG_LISTS if it is a list').toEqual([]);
});
