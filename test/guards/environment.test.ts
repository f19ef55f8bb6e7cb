import { expect, test } from 'vitest';
import { readSourceFiles } from '../support/source-files.ts';

/** config.ts reads the settings; the entry points pass the environment to it. */
const READERS = ['src/config/config.ts', 'src/process/serve.ts', 'src/cli/run-cli.ts', 'src/demo/start-demo.ts'];
const READS_ENVIRONMENT = /\bprocess\s*(?:\?\.|\.)\s*env\b|\bprocess\s*\[\s*['"`]env|\bloadEnvFile\b/;
const IMPORTS_ENVIRONMENT = /import\s*(?:\w+\s*,\s*)?\{[^}]*\benv\b[^}]*\}\s*from\s*['"](?:node:)?process['"]/;

test('only config.ts and the entry points read the environment', async () => {
  const files = await readSourceFiles('src');
  const readers = files.filter((file) => READS_ENVIRONMENT.test(file.code) || IMPORTS_ENVIRONMENT.test(file.code));
  expect(readers.map((file) => file.path).filter((path) => !READERS.includes(path))).toEqual([]);
  // An entry point passes it, so a guard that finds no reader searches for the wrong pattern.
  expect(readers.length).toBeGreaterThan(0);
});
