import { readFile, writeFile } from 'node:fs/promises';
import { lexicographicSortSchema, printSchema } from 'graphql';
import { createSchema } from './schema.ts';

// Entry point: writes schema.graphql, or with --check compares it with the code.

const file = new URL('../../../schema.graphql', import.meta.url);
/** printSchema() leaves out directives of the specification, but readers before its edition of 2025 do not know this one. */
const ONE_OF = `"""Exactly one field of the input must be set."""\ndirective @oneOf on INPUT_OBJECT`;
const printed = `${ONE_OF}\n\n${printSchema(lexicographicSortSchema(createSchema()))}\n`;
if (process.argv.includes('--check')) {
  const stored = await readFile(file, 'utf8').catch(() => '');
  if (stored !== printed) {
    console.error('schema.graphql differs from the code. Run npm run schema and review the difference.');
    process.exitCode = 1;
  }
} else {
  await writeFile(file, printed);
}
