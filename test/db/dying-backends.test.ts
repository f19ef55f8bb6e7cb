import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

interface Outcome {
  readonly name: string;
  readonly unavailable?: boolean;
  readonly serves?: boolean;
  readonly words?: string;
  readonly left?: number;
  readonly told?: number;
}

const loseBackends = async (...mode: string[]): Promise<{ code: number; outcomes: Outcome[]; stderr: string }> => {
  const script = join(import.meta.dirname, 'lose-backends.ts');
  const run = promisify(execFile)(process.execPath, [script, database.url, ...mode], { timeout: 100_000 });
  const { code, stdout, stderr } = await run.then(
    (done) => ({ code: 0, ...done }),
    (error: { code: number; stdout: string; stderr: string }) => error,
  );
  const outcomes = stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Outcome);
  return { code, outcomes, stderr };
};

test('a terminated backend > fails its statement, and neither the process nor the pool', async () => {
  const { code, outcomes, stderr } = await loseBackends();
  expect(stderr).toBe('');
  const lost = (name: string, unavailable: boolean, left: number) => ({
    name,
    unavailable,
    serves: true,
    left,
    words: expect.not.stringContaining('secret-row') as unknown,
  });
  expect(outcomes).toEqual([
    // The connection was idle, so no statement fails.
    lost('idle in the pool', false, 1),
    lost('in a transaction', true, 1),
    lost('in a statement', true, 1),
    lost('in a COPY that is being read', true, 0),
    lost('in a COPY that is not read', true, 0),
    lost('in LISTEN', false, 0),
    lost('in the queue', false, 0),
    { name: 'end', told: expect.any(Number) },
  ]);
  expect(outcomes.at(-1)?.told).toBeGreaterThanOrEqual(3);
  expect(code).toBe(0);
});

test('a terminated backend > ends the process without the listener that src/db/pool.ts attaches', async () => {
  const { code, outcomes, stderr } = await loseBackends('deaf');
  expect(code).not.toBe(0);
  expect(outcomes.map(({ name }) => name)).toEqual(['idle in the pool']);
  expect(stderr).toMatch(/terminating connection due to administrator command|Connection terminated unexpectedly/);
});
