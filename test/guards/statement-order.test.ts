import { expect, test } from 'vitest';
import { readSourceFiles } from '../support/source-files.ts';

// A query builder that is awaited, or an item of Promise.all, sends its statement in a microtask, as tx.execute() does, so
// pipelined statements are sent in the order of the code. builder.execute() sends immediately: the statement that started a run
// was sent before the lock on which it depended.
test('pipelined statements > are sent in the order of the code, because no query builder is executed by execute()', async () => {
  const files = await readSourceFiles('src');
  const executed = files.flatMap(({ path, code }) =>
    code.split('\n').flatMap((line, index) => (/\.execute\(\)/.test(line) ? [`${path}:${index + 1}`] : [])),
  );
  expect(executed).toEqual([]);
  expect(files.length).toBeGreaterThan(300);
});
