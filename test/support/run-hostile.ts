import { afterAll, beforeAll, describe } from 'vitest';
import type { HostileLevel } from './hostile-defaults.ts';
import { makeDatabasesHostile } from './postgres.ts';

/** Runs the tests of other files again, on databases with hostile defaults. Paths are those below test/, without .test.ts. */
export const runOnHostileDatabases = (level: HostileLevel, files: readonly string[]): void => {
  beforeAll(() => makeDatabasesHostile(level));
  afterAll(() => makeDatabasesHostile(null));
  for (const file of files) {
    // The query makes it another module: the file itself may have been loaded by this process already.
    describe(`again: ${file}`, () =>
      import(`../${file}.test.ts?defaults=${encodeURIComponent(level)}`) as Promise<unknown> as Promise<void>);
  }
};
