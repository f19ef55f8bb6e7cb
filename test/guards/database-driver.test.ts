import { expect, test } from 'vitest';
import { readSourceFiles } from '../support/source-files.ts';

/** The driver, the queue on top of it, and drizzle's adapter. The operators of drizzle-orm build SQL and may be used anywhere. */
const DRIVER = /^(?:pg|pg-boss|pg-copy-streams|pg-pool)(?:\/|$)|^drizzle-orm\/node-postgres(?:\/|$)/;

const files = await readSourceFiles('src');

test('the database driver > is imported only below src/db; elsewhere import what src/db exports', () => {
  const isDatabaseFile = (path: string): boolean => path.startsWith('src/db/');
  const importing = files.flatMap(({ path, imports }) =>
    imports.filter(({ specifier }) => DRIVER.test(specifier)).map(({ specifier }) => `${path} imports ${specifier}`),
  );
  expect(importing.filter((line) => !isDatabaseFile(line))).toEqual([]);
  expect(importing.length).toBeGreaterThan(5);
});
