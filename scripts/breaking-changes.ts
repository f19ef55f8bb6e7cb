/**
 * Tells what schema.graphql changes for the clients of the last release, whose schema is kept in schema.released.graphql.
 * With --check FILE (schema.graphql where left out) it ends with 1 where something that worked would not any more. What
 * may surprise a client all the same, such as a new member of a union that it switches on, is told and allowed. With
 * --release schema.graphql becomes the schema of the version in package.json: that is a step of each release, and of nothing else.
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

const release = async (): Promise<void> => {
  const { version } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as { version: string };
  const head = [
    `# The schema of Sluice ${version}, the last release. \`npm run check\` fails where schema.graphql takes something of it away`,
    '# from clients: deprecate it first, and remove it in a release that says so. A release moves this file, after its version is',
    '# set in package.json: `npm run schema:release`.',
    '',
    '',
  ].join('\n');
  await writeFile(RELEASED, head + (await readFile(CURRENT, 'utf8')));
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

const [mode, path = CURRENT] = process.argv.slice(2);
if (mode === '--release') await release();
else process.exitCode = (await check(path)) ? 0 : 1;
