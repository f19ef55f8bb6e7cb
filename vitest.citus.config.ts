import { defineConfig } from 'vitest/config';
import base from './vitest.config.ts';

/** `npm run test:citus`: servers on a Citus cluster, whose coordinator `CITUS_URL` names. Without it every test is skipped. */
export default defineConfig({
  ...base,
  test: {
    ...base.test,
    include: ['test/citus/**/*.test.ts'],
    exclude: [],
    globalSetup: ['test/citus/setup.ts'],
    setupFiles: [],
    // A test that crashes a node would disturb the files beside it.
    maxWorkers: 1,
    testTimeout: 300_000,
    hookTimeout: 300_000,
  },
});
