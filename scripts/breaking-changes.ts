/**
 * Compares schema.graphql with the schema of the last release in schema.released.graphql. With --check [FILE] (schema.graphql by
 * default) it exits with 1 if a change breaks clients. Dangerous changes, such as a new member of a union, are printed and
 * allowed. With --release [FOLDER] it makes schema.graphql the released schema of the version in package.json, as a step of a
 * release. The schema of a released version must not change afterwards, because breaking changes would then go unnoticed.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buildSchema, findBreakingChanges, findDangerousChanges, type GraphQLSchema } from 'graphql';

const ROOT = join(import.meta.dirname, '..');
const CURRENT = join(ROOT, 'schema.graphql');
const RELEASED = join(ROOT, 'schema.released.graphql');

/** graphql-js classifies these changes as dangerous only, but the same request then silently does something else. */
const DEFAULT_CHANGED = /DEFAULT_VALUE_CHANGE/;

async function readSchema(path: string): Promise<GraphQLSchema> {
  return buildSchema(await readFile(path, 'utf8'));
}

function nameOf(version: string): string {
  return `# The schema of Sluice ${version},`;
}

function headOf(version: string): string {
  return [
    `${nameOf(version)} the last release. \`npm run check\` fails if schema.graphql breaks its clients:`,
    '# deprecate a field first, and remove it in a later release. A release updates this file after the version in package.json:',
    '# `npm run schema:release`.',
    '',
    '',
  ].join('\n');
}

const HEAD = /^(?:#.*\n)+\n/;

/** Returns false if the version was released with another schema. */
async function release(folder: string): Promise<boolean> {
  const inFolder = (name: string): Promise<string> => readFile(join(folder, name), 'utf8');
  const { version } = JSON.parse(await inFolder('package.json')) as { version: string };
  const [released, current] = await Promise.all([inFolder('schema.released.graphql'), inFolder('schema.graphql')]);
  if (released.startsWith(nameOf(version)) && released.replace(HEAD, '') !== current) {
    console.error(`${version} was released with another schema: set the next version in package.json first.`);
    return false;
  }
  await writeFile(join(folder, 'schema.released.graphql'), headOf(version) + current);
  return true;
}

async function check(path: string): Promise<boolean> {
  const [released, current] = await Promise.all([readSchema(RELEASED), readSchema(path)]);
  const dangerous = findDangerousChanges(released, current);
  const breaking = [
    ...findBreakingChanges(released, current),
    ...dangerous.filter(({ type }) => DEFAULT_CHANGED.test(type)),
  ];
  for (const { type, description } of breaking) console.error(`breaks clients: ${description} (${type})`);
  for (const { type, description } of dangerous) {
    if (!DEFAULT_CHANGED.test(type)) console.log(`may surprise clients: ${description} (${type})`);
  }
  if (breaking.length > 0) {
    console.error(
      'Clients of the last release (schema.released.graphql) would fail. Restore the removed parts, and deprecate them first.',
    );
  }
  return breaking.length === 0;
}

const [mode, path] = process.argv.slice(2);
const isValid = mode === '--release' ? await release(path ?? ROOT) : await check(path ?? CURRENT);
process.exitCode = isValid ? 0 : 1;
