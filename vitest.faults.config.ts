import { defineConfig } from 'vitest/config';
import base from './vitest.config.ts';

/** `npm run test:faults`: servers in processes of their own, killed at random moments. */
export default defineConfig({
  ...base,
  test: {
    ...base.test,
    include: ['test/faults/**/*.test.ts'],
    exclude: [],
    globalSetup: ['test/faults/setup.ts'],
    setupFiles: [],
    // One after another: each has three servers and a PostgreSQL, and its moments are to be its own.
    maxWorkers: 1,
    testTimeout: 600_000,
  },
});
