import { defineConfig } from 'vitest/config';
import base from './vitest.config.ts';
import { longestFirst } from './vitest.longest-first.ts';

const isShort = process.env['FAULTS'] === 'short';
/** It waits for minutes, so only the full form has it. */
const LONG = 'test/faults/restatement-times.test.ts';
/** They hold limits of seconds, which other files on the same cores would exceed. */
const TIMED = ['test/faults/crowded-window.test.ts', LONG, 'test/faults/worst-inputs.test.ts'];

const faults = {
  ...base.test,
  globalSetup: [],
  setupFiles: [],
  testTimeout: 600_000,
};

/** `npm run test:faults`: servers in processes of their own, killed at random moments. */
export default defineConfig({
  ...base,
  test: {
    ...faults,
    globalSetup: ['test/faults/setup.ts'],
    sequence: { sequencer: longestFirst('/restatements.test.ts') },
    projects: [
      {
        extends: false,
        plugins: base.plugins ?? [],
        test: {
          ...faults,
          name: 'faults',
          include: ['test/faults/**/*.test.ts'],
          exclude: TIMED,
          // Each file has a PostgreSQL and servers of its own and waits most of its time: for slots, leases, starts.
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: false,
        plugins: base.plugins ?? [],
        test: {
          ...faults,
          name: 'timed',
          include: TIMED,
          exclude: isShort ? [LONG] : [],
          maxWorkers: 1,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
