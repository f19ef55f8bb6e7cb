import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { defineConfig } from 'vitest/config';

// For the processes of the tests: each test file loads the same modules, a third of its time. 45 s became 34 s.
process.env['NODE_COMPILE_CACHE'] ??= join(tmpdir(), 'node-compile-cache');

export default defineConfig({
  plugins: [
    {
      // Vitest adds the condition `development`, with which graphql is another build than the one `npm start` loads.
      name: 'modules-as-in-production',
      configResolved: ({ ssr }) => {
        if (ssr.resolve !== undefined) ssr.resolve.conditions = ['node'];
      },
    },
  ],
  test: {
    include: ['test/**/*.test.ts'],
    // They take minutes, and have configurations of their own.
    exclude: ['test/citus/**', 'test/clients/**', 'test/faults/**'],
    globalSetup: ['test/setup/global-setup.ts'],
    setupFiles: ['test/setup/every-file.ts'],
    pool: 'forks',
    // One more than the two cores this is meant for: tests wait for PostgreSQL and sockets more than they reckon.
    maxWorkers: 3,
    // Files share their worker's modules, which are loaded once and not for each file: 251 s became 176 s. A file that left
    // something running would be seen by the next; what it left in the database fails the file itself.
    isolate: false,
    // Generous, because machines are noisy; a test that waits polls with a shorter deadline of its own.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    teardownTimeout: 60_000,
    expect: { poll: { timeout: 45_000 } },
    allowOnly: false,
    dangerouslyIgnoreUnhandledErrors: false,
    reporters: ['default'],
    experimental: {
      // Node itself loads sources and tests, by type stripping as in production. Through Vite's module runner
      // graphql can be loaded twice, which it refuses ("another module or realm").
      viteModuleRunner: false,
      nodeLoader: false,
    },
  },
});
