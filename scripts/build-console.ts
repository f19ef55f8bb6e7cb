/**
 * Builds the console into console/dist, as `npm ci` does through `prepare`. Does nothing if Vite or console/ is missing, as after
 * `npm ci --omit=dev`. With --types only the types of schema.graphql are written.
 *
 * The first `npx sluice` links the checkout into the cache of npm, for which npm runs `prepare` too. With its `npm_command`, exec,
 * `prepare` does nothing: it would replace the files of a server that runs.
 */
import { access, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const folder = join(root, 'console');
const types = join(folder, 'src/api/schema.generated.ts');

/** Writes the types that gql.tada derives the types of all documents from, if they changed. */
async function writeTypes(): Promise<void> {
  const { buildSchema, introspectionFromSchema } = await import('graphql');
  const { minifyIntrospection, outputIntrospectionFile } = await import('@gql.tada/internal');
  const schema = buildSchema(await readFile(join(root, 'schema.graphql'), 'utf8'));
  const introspection = minifyIntrospection(introspectionFromSchema(schema, { descriptions: false }));
  const text = outputIntrospectionFile(introspection, { fileType: '.d.ts', shouldPreprocess: true });
  const code = `// Written by scripts/build-console.ts from schema.graphql.\n${text.slice(0, text.indexOf('import * as'))}`;
  if ((await readFile(types, 'utf8').catch(() => '')) !== code) await writeFile(types, code);
}

/** Replaces the build as a whole: a server that reads half a build would serve that until it ends. */
async function replaceBuild(buildInto: (folder: string) => Promise<unknown>): Promise<void> {
  const current = join(folder, 'dist');
  const next = `${current}-${process.pid}`;
  const last = `${next}-old`;
  try {
    await buildInto(next);
    await rename(current, last).catch((error: NodeJS.ErrnoException) => {
      // There is no build yet.
      if (error.code !== 'ENOENT') throw error;
    });
    await rename(next, current);
  } finally {
    for (const left of [next, last]) await rm(left, { recursive: true, force: true });
  }
}

const [isThere, vite] = await Promise.all([
  access(join(folder, 'package.json')).then(
    () => true,
    () => false,
  ),
  import('vite').catch((error: NodeJS.ErrnoException) => {
    // Without its optional packages, Vite is installed and cannot be loaded.
    if (error.code !== 'ERR_MODULE_NOT_FOUND') console.warn(`The console is not built: ${error.message}`);
    return null;
  }),
]);
if (isThere && vite !== null) {
  await writeTypes();
  if (!process.argv.includes('--types')) {
    await replaceBuild((outDir) => vite.build({ root: folder, logLevel: 'warn', build: { outDir } }));
  }
}
