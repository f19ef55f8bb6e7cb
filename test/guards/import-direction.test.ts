import { expect, test } from 'vitest';
import { readSourceFiles, type SourceFile } from '../support/source-files.ts';

/** From the top: each part may import those below it and, with the exceptions of MEETINGS, nothing beside it. */
const LAYERS = [
  ['main', 'cli', 'demo'],
  ['serve'],
  ['server', 'stop-signals'],
  ['local-mode', 'failure-words'],
  ['resources'],
  ['app'],
  ['router'],
  ['config', 'metrics', 'otlp-traces', 'local'],
  ['settings'],
  ['graphql', 'rest', 'background'],
  ['http'],
  ['exports', 'notify'],
  ['runs'],
  ['jobs'],
  ['usage'],
  ['streams'],
  ['accounts'],
  ['db'],
  ['client'],
  ['errors', 'lib'],
  ['issue-codes', 'preflight.cjs'],
] as const;

/** Parts of one layer that may import each other; a cycle among them is still found below. */
const MEETINGS = ['errors -> lib'];

const files = await readSourceFiles('src');

/** `src/db/tables.ts` belongs to `db`, `src/router.ts` to `router`. */
const partOf = (path: string): string => path.split('/')[1]?.replace(/\.ts$/, '') ?? '';
const layerOf = (part: string): number => LAYERS.findIndex((layer) => layer.some((name) => name === part));

const isAllowed = (from: string, to: string): boolean =>
  from === to || layerOf(to) > layerOf(from) || MEETINGS.includes(`${from} -> ${to}`);

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

test('every source file belongs to a part whose place is known', () => {
  expect(files.filter((file) => layerOf(partOf(file.path)) === -1).map((file) => file.path)).toEqual([]);
});

test('imports go one way, from the entry points down to the leaves', () => {
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

test('no file imports itself by way of others', () => {
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
