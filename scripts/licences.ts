/**
 * Lists name, version and licence of all packages that `npm ci --omit=dev` may install on any platform, and of those that the console
 * is built from, from package-lock.json and the installed packages. Exits with 1 if a licence is unknown or not permissive, or if an installed version differs from the
 * lock file. With --check only problems are printed.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** SPDX identifiers of permissive licences: they require a notice, and do not restrict the code that uses the package. */
const ALLOWED = new Set([
  '0BSD',
  'Apache-2.0',
  'BlueOak-1.0.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'CC0-1.0',
  'ISC',
  'MIT',
  'MIT-0',
  'PostgreSQL',
  'Unlicense',
  'Zlib',
]);

/** Licences that are also allowed for tools of which nothing is shipped: they restrict copies of the tool itself. */
const ALLOWED_FOR_TOOLS = new Set([...ALLOWED, 'MPL-2.0']);
/** Packages of the console that build it and are not bundled, with all that they depend on. */
const TOOLS = /^(?:vite|@vitejs\/.*|@types\/.*|@gql\.tada\/internal|gql\.tada)$/;

/** Licences that only the text of a package states, by `name@version`, so that the next version is checked again. */
const READ_BY_HAND: Readonly<Record<string, string>> = {
  // Its Readme.md ends with "License: MIT".
  'humanize-number@0.0.2': 'MIT',
};

interface Locked {
  readonly version?: string;
  readonly license?: string;
  readonly dev?: boolean;
  /** A symbolic link to a folder of the checkout. */
  readonly link?: boolean;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
}

interface Manifest {
  readonly version: string;
  readonly license?: string | { readonly type?: string };
  /** The format before 2015. */
  readonly licenses?: readonly { readonly type?: string }[];
}

interface Listed {
  readonly name: string;
  readonly version: string;
  readonly licence: string;
  readonly problem: string | null;
}

const root = join(import.meta.dirname, '..');

async function readJson<Value>(path: string): Promise<Value> {
  return JSON.parse(await readFile(path, 'utf8')) as Value;
}

/** Returns null if the package is not installed, for example because it is for another platform. */
function readManifest(path: string): Promise<Manifest | null> {
  return readJson<Manifest>(join(root, path, 'package.json')).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
}

function licenceOf(manifest: Manifest | null, locked: Locked): string | null {
  const { license, licenses } = manifest ?? {};
  const said = typeof license === 'string' ? license : license?.type;
  const listed = licenses?.map(({ type }) => type ?? 'unknown').join(' OR ');
  return said ?? (listed || locked.license) ?? null;
}

/** Whether an SPDX expression such as `(MIT OR GPL-3.0) AND ISC` permits a choice of allowed licences. */
function isAllowed(expression: string, allowedNames: ReadonlySet<string>): boolean {
  const words = expression.match(/[()]|[^\s()]+/g) ?? [];
  let at = 0;
  const one = (): boolean => {
    const word = words[at++];
    if (word !== '(') return word !== undefined && allowedNames.has(word);
    const inside = anyOf();
    return words[at++] === ')' && inside;
  };
  const allOf = (): boolean => {
    let allowed = one();
    while (words[at] === 'AND') {
      at += 1;
      allowed = one() && allowed;
    }
    return allowed;
  };
  const anyOf = (): boolean => {
    let allowed = allOf();
    while (words[at] === 'OR') {
      at += 1;
      allowed = allOf() || allowed;
    }
    return allowed;
  };
  return anyOf() && at === words.length;
}

async function list(path: string, locked: Locked, allowedNames: ReadonlySet<string>): Promise<Listed> {
  const name = path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);
  const version = locked.version ?? 'unknown';
  const manifest = await readManifest(path);
  const licence = READ_BY_HAND[`${name}@${version}`] ?? licenceOf(manifest, locked);
  const problem =
    manifest && manifest.version !== version
      ? `is installed as ${manifest.version}: run npm ci`
      : licence === null
        ? 'does not state its licence'
        : isAllowed(licence, allowedNames)
          ? null
          : 'has a licence that is not in the list of allowed ones';
  return { name, version, licence: licence ?? 'unknown', problem };
}

const { packages } = await readJson<{ packages: Readonly<Record<string, Locked>> }>(join(root, 'package-lock.json'));
/** Returns the path of a dependency in the lock file: the nearest one above the package that depends on it. */
function resolvePackage(from: string, name: string): string | null {
  for (let folder = from; ; folder = folder.replace(/(?:^|\/)(?:node_modules\/)?(?:@[^/]+\/)?[^/]*$/, '')) {
    const path = `${folder === '' ? '' : `${folder}/`}node_modules/${name}`;
    if (packages[path]) return path;
    if (folder === '') return null;
  }
}

/** Returns the paths of packages and of everything that they depend on. */
function collectDependencies(from: string, names: readonly string[], found = new Set<string>()): Set<string> {
  for (const name of names) {
    const path = resolvePackage(from, name);
    if (path === null || found.has(path)) continue;
    found.add(path);
    const { dependencies, optionalDependencies } = packages[path] ?? {};
    collectDependencies(path, Object.keys({ ...dependencies, ...optionalDependencies }), found);
  }
  return found;
}

const ofConsole = Object.keys(packages['console']?.devDependencies ?? {});
const bundled = collectDependencies(
  'console',
  ofConsole.filter((name) => !TOOLS.test(name)),
);
const tools = collectDependencies(
  'console',
  ofConsole.filter((name) => TOOLS.test(name)),
);
const production = Object.entries(packages).filter(
  ([path, { dev, link }]) => path.includes('node_modules/') && !dev && !link,
);
const shipped = new Map([...production, ...[...bundled].map((path) => [path, packages[path] ?? {}] as const)]);
const listed = await Promise.all([
  ...[...shipped].map(([path, locked]) => list(path, locked, ALLOWED)),
  ...[...tools].filter((path) => !shipped.has(path)).map((path) => list(path, packages[path] ?? {}, ALLOWED_FOR_TOOLS)),
]);
// Guards against a script that sees no packages.
if (listed.length < 10) throw new Error(`package-lock.json names only ${listed.length} packages that are shipped.`);

const problems = listed.filter(({ problem }) => problem !== null);
if (process.argv[2] !== '--check') {
  const order = new Intl.Collator('en');
  for (const { name, version, licence } of listed.toSorted((a, b) => order.compare(a.name, b.name))) {
    console.log(`${name.padEnd(44)} ${version.padEnd(18)} ${licence}`);
  }
  const counts = Map.groupBy(listed, ({ licence }) => licence);
  const summary = [...counts].toSorted(([, a], [, b]) => b.length - a.length);
  console.log(
    `\n${listed.length} packages: ${summary.map(([licence, { length }]) => `${length} ${licence}`).join(', ')}`,
  );
}
for (const { name, version, licence, problem } of problems) console.error(`${name} ${version} (${licence}) ${problem}`);
process.exitCode = problems.length === 0 ? 0 : 1;
