/**
 * Tells what schema.graphql changes for the clients of the last release, whose schema is kept in schema.released.graphql.
 * With --check FILE (schema.graphql where left out) it ends with 1 where something that worked would not any more. What
 * may surprise a client all the same, such as a new member of a union that it switches on, is told and allowed. With
 * --release [FOLDER] schema.graphql becomes the schema of the version in package.json: that is a step of each release, and of
 * nothing else. What a version was released with never changes, or what breaks its clients would pass from then on.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buildSchema, findBreakingChanges, findDangerousChanges, type GraphQLSchema } from 'graphql';

const ROOT = join(import.meta.dirname, '..');
const CURRENT = join(ROOT, 'schema.graphql');
const RELEASED = join(ROOT, 'schema.released.graphql');

/** graphql holds them for dangerous only; but the same request then does something else, and nobody is told. */
const DEFAULT_CHANGED = /DEFAULT_VALUE_CHANGE/;

const readSchema = async (path: string): Promise<GraphQLSchema> => buildSchema(await readFile(path, 'utf8'));

const nameOf = (version: string): string => `# The schema of Sluice ${version},`;
const headOf = (version: string): string =>
  [
    `${nameOf(version)} the last release. \`npm run check\` fails where schema.graphql takes something of it away`,
    '# from clients: deprecate it first, and remove it in a release that says so. A release moves this file, after its version is',
    '# set in package.json: `npm run schema:release`.',
    '',
    '',
  ].join('\n');
const HEAD = /^(?:#.*\n)+\n/;

/** Whether schema.released.graphql now is what was asked for. */
const release = async (folder: string): Promise<boolean> => {
  const inFolder = (name: string): Promise<string> => readFile(join(folder, name), 'utf8');
  const { version } = JSON.parse(await inFolder('package.json')) as { version: string };
  const [released, current] = await Promise.all([inFolder('schema.released.graphql'), inFolder('schema.graphql')]);
  if (released.startsWith(nameOf(version)) && released.replace(HEAD, '') !== current) {
    console.error(`${version} was released with another schema: set the next version in package.json first.`);
    return false;
  }
  await writeFile(join(folder, 'schema.released.graphql'), headOf(version) + current);
  return true;
};

const check = async (path: string): Promise<boolean> => {
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
    console.error('Clients of the last release (schema.released.graphql) would fail. Keep it, and deprecate it first.');
  }
  return breaking.length === 0;
};

const [mode, place] = process.argv.slice(2);
const isFine = mode === '--release' ? await release(place ?? ROOT) : await check(place ?? CURRENT);
process.exitCode = isFine ? 0 : 1;
