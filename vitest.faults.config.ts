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
    // Each file has a PostgreSQL and servers of its own and waits most of its time: for slots, leases, starts.
    maxWorkers: 2,
    testTimeout: 600_000,
  },
});
