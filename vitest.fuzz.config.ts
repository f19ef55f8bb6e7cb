import { mergeConfig } from 'vitest/config';
import base from './vitest.config.ts';

// npm run test:fuzz: what takes minutes, and is not part of npm test.
export default mergeConfig(
  { ...base, test: { ...base.test, include: [] } },
  { test: { include: ['test/fuzz/many-inputs.ts'], testTimeout: 3_600_000, disableConsoleIntercept: true } },
);
