import { expect, test } from 'vitest';
import { readSourceFiles, type SourceFile } from '../support/source-files.ts';

/**
 * From the top: each part may import parts of lower layers and, except for SAME_LAYER, none of its own layer. A part is
 * a folder or file of `src`; a file of a folder can be a part of its own.
 */
const LAYERS = [
  ['main', 'cli', 'demo'],
  ['process'],
  ['app'],
  ['config', 'telemetry', 'local'],
  ['graphql', 'rest', 'background'],
  ['http'],
  ['jobs/check', 'jobs/commands', 'backfills'],
  ['exports', 'notify'],
  ['runs'],
  ['deliveries'],
  ['jobs'],
  ['usage'],
  ['streams'],
  ['accounts'],
  ['db'],
  ['api-client'],
  ['validation'],
  ['errors', 'lib', 'terminal'],
  ['preflight.cjs'],
] as const;

/** Imports within one layer that are allowed; the last test still finds a cycle between files. */
const SAME_LAYER = ['errors -> lib'];

const files = await readSourceFiles('src');

const parts = LAYERS.flat().map(String);

/** `src/db/tables.ts` belongs to `db`, `src/jobs/check.ts` to `jobs/check`. */
const partOf = (path: string): string => {
  const name = path.replace(/^src\//, '').replace(/\.ts$/, '');
  return parts.includes(name) ? name : (name.split('/')[0] ?? '');
};
const layerOf = (part: string): number => LAYERS.findIndex((layer) => layer.some((name) => name === part));

const isAllowed = (from: string, to: string): boolean =>
  from === to || layerOf(to) > layerOf(from) || SAME_LAYER.includes(`${from} -> ${to}`);

const inSources = (file: SourceFile): string[] =>
  file.imports.flatMap(({ path }) => (path?.startsWith('src/') ? [path] : []));

test('every import line of the sources is understood', () => {
  const misread = files.flatMap((file) => {
    const lines =
      file.code.match(/^(?:import\b(?!\s*[.(])|export\s+(?:type\s+)?(?:\*|\{[^}]*\}\s*from\b))/gm)?.length ?? 0;
    const dynamic = file.code.match(/\bimport\(/g)?.length ?? 0;
    return file.imports.length === lines + dynamic
      ? []
      : [`${file.path}: ${file.imports.length} of ${lines + dynamic}`];
  });
  expect(misread).toEqual([]);
  expect(files.length).toBeGreaterThan(30);
});

test('every source file belongs to a part that LAYERS lists', () => {
  expect(files.filter((file) => layerOf(partOf(file.path)) === -1).map((file) => file.path)).toEqual([]);
});

test('imports go in one direction, from the entry points down to the leaves', () => {
  let seen = 0;
  const wrong = files.flatMap((file) =>
    inSources(file).flatMap((path) => {
      seen += 1;
      return isAllowed(partOf(file.path), partOf(path)) ? [] : [`${file.path} imports ${path}`];
    }),
  );
  expect(wrong).toEqual([]);
  expect(seen).toBeGreaterThan(50);
});

test('sources import neither tests nor scripts', () => {
  const outside = files.flatMap((file) =>
    file.imports.flatMap(({ path }) =>
      path === null || path.startsWith('src/') || path === 'package.json' ? [] : [`${file.path} imports ${path}`],
    ),
  );
  expect(outside).toEqual([]);
});

test('no file imports itself through others', () => {
  const graph = new Map(files.map((file) => [file.path, inSources(file)]));
  const done = new Set<string>();
  const cycles: string[] = [];
  const visit = (path: string, trail: readonly string[]): void => {
    const start = trail.indexOf(path);
    if (start !== -1) cycles.push([...trail.slice(start), path].join(' -> '));
    if (start !== -1 || done.has(path)) return;
    for (const next of graph.get(path) ?? []) visit(next, [...trail, path]);
    done.add(path);
  };
  for (const path of graph.keys()) visit(path, []);
  expect(cycles).toEqual([]);
  expect(done.size).toBeGreaterThan(30);
});
