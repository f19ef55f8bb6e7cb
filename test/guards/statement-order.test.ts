import { sql } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/node-postgres';
import { expect, test } from 'vitest';
import { send } from '../../src/db/client.ts';
import { readSourceFiles } from '../support/source-files.ts';

// builder.execute() sends its statement immediately, before those of async functions that were called earlier: the statement that
// started a run was sent before the lock on which it depended. send() keeps the order of the calls.
test('pipelined statements > are sent in the order of the code, because no query builder is executed by execute()', async () => {
  const files = await readSourceFiles('src');
  const executed = files.flatMap(({ path, code }) =>
    code.split('\n').flatMap((line, index) => (/\.execute\(\)/.test(line) ? [`${path}:${index + 1}`] : [])),
  );
  expect(executed).toEqual([]);
  expect(files.length).toBeGreaterThan(300);
});

test('send > sends statements in the order of the calls', async () => {
  const sent: string[] = [];
  const query = ({ text }: { text: string }): Promise<object> => {
    sent.push(text);
    return Promise.resolve({ rows: [], rowCount: 0 });
  };
  const db = drizzle({ query } as never);
  const builder = (name: string) => db.execute(sql.raw(name));
  const inFunction = async (name: string): Promise<void> => {
    await builder(name);
  };
  await Promise.all([inFunction('a'), send(builder('b')), inFunction('c'), send(builder('d'))]);
  expect(sent).toEqual(['a', 'b', 'c', 'd']);
});
