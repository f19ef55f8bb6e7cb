import { defineConfig } from 'vitest/config';
import base from './vitest.config.ts';
import { longestFirst } from './vitest.longest-first.ts';

/** `npm run test:clients`: what the clients that people use make of a server, with packages and a browser of their own. */
export default defineConfig({
  ...base,
  test: {
    ...base.test,
    include: ['test/clients/**/*.test.ts'],
    exclude: [],
    // Each installs packages, or starts a browser.
    maxWorkers: 2,
    sequence: { sequencer: longestFirst('/pages.test.ts') },
    testTimeout: 300_000,
    hookTimeout: 300_000,
  },
});
