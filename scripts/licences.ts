/**
 * Lists name, version and licence of all packages that `npm ci --omit=dev` may install on any platform, from package-lock.json and
 * the installed packages. Exits with 1 if a licence is unknown or not permissive, or if an installed version differs from the
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
function isAllowed(expression: string): boolean {
  const words = expression.match(/[()]|[^\s()]+/g) ?? [];
  let at = 0;
  const one = (): boolean => {
    const word = words[at++];
    if (word !== '(') return word !== undefined && ALLOWED.has(word);
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

async function list(path: string, locked: Locked): Promise<Listed> {
  const name = path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);
  const version = locked.version ?? 'unknown';
  const manifest = await readManifest(path);
  const licence = READ_BY_HAND[`${name}@${version}`] ?? licenceOf(manifest, locked);
  const problem =
    manifest && manifest.version !== version
      ? `is installed as ${manifest.version}: run npm ci`
      : licence === null
        ? 'does not state its licence'
        : isAllowed(licence)
          ? null
          : 'has a licence that is not in the list of allowed ones';
  return { name, version, licence: licence ?? 'unknown', problem };
}

const { packages } = await readJson<{ packages: Readonly<Record<string, Locked>> }>(join(root, 'package-lock.json'));
const production = Object.entries(packages).filter(([path, { dev, link }]) => path !== '' && !dev && !link);
const listed = await Promise.all(production.map(([path, locked]) => list(path, locked)));
// Guards against a script that sees no packages.
if (listed.length < 10) throw new Error(`package-lock.json names only ${listed.length} packages for production.`);

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
