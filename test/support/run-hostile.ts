import { afterAll, beforeAll, describe } from 'vitest';
import type { HostileLevel } from './hostile-defaults.ts';
import { makeDatabasesHostile } from './postgres.ts';

/** Runs the tests of other files on databases with hostile defaults. Paths are relative to test/, without .test.ts. */
export function runOnHostileDatabases(level: HostileLevel, files: readonly string[]): void {
  beforeAll(() => makeDatabasesHostile(level));
  afterAll(() => makeDatabasesHostile(null));
  for (const file of files) {
    // The query string makes it a new module, since this process may have loaded the file before.
    describe(`again: ${file}`, () =>
      import(`../${file}.test.ts?defaults=${encodeURIComponent(level)}`) as Promise<unknown> as Promise<void>);
  }
}
