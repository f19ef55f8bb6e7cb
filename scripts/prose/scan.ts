import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { findProse } from './rules.ts';
import { proseTexts } from './texts.ts';

/** Read if no path is given. */
const PROSE_ROOTS: readonly string[] = [
  'src',
  'test',
  'scripts',
  'bench',
  'docs',
  'examples',
  'deploy',
  'conventions',
  'diagrams',
  '.github',
  '.ci',
  'README.md',
  'ARCHITECTURE.md',
  'CONTRIBUTING.md',
  'SECURITY.md',
  'CHANGELOG.md',
  'schema.graphql',
  'package.json',
  'compose.yaml',
  'Dockerfile',
];

const READ =
  /\.(?:ts|tsx|js|cjs|mjs|md|graphql|html|yaml|yml|sh|py)$|(?:^|\/)(?:Dockerfile|run|package\.json|sluice\.json)$/;
const SKIPPED_FOLDERS = new Set(['node_modules', '.git', 'migrations', 'dist']);
/** They contain the words that they forbid. */
const SKIPPED_FILES = new Set(['scripts/prose/rules.ts', 'test/guards/prose.test.ts']);

export interface ProseFinding {
  readonly path: string;
  readonly line: number;
  readonly found: string;
  readonly advice: string;
}

async function listFiles(root: string, path: string): Promise<string[]> {
  const absolute = join(root, path);
  if (!(await stat(absolute)).isDirectory()) return [path];
  const entries = await readdir(absolute, { withFileTypes: true });
  const nested = await Promise.all(
    entries.map(async (entry) => {
      if (SKIPPED_FOLDERS.has(entry.name)) return [];
      if (entry.isDirectory()) return listFiles(root, join(path, entry.name));
      return READ.test(entry.name) ? [join(path, entry.name)] : [];
    }),
  );
  return nested.flat();
}

function lineOf(source: string, offset: number): number {
  return source.slice(0, offset).split('\n').length;
}

/** Finds what the rules forbid in the given files and folders of the checkout. */
export async function scanProse(
  root: string,
  paths: readonly string[] = PROSE_ROOTS,
): Promise<{ files: string[]; findings: ProseFinding[] }> {
  const nested = await Promise.all(paths.map((path) => listFiles(root, path)));
  const files = [...new Set(nested.flat())].filter((path) => !SKIPPED_FILES.has(path)).sort();
  const findings: ProseFinding[] = [];
  for (const path of files) {
    const source = await readFile(join(root, path), 'utf8');
    const found = proseTexts(path, source).flatMap(({ kind, text, start }) =>
      findProse(text, kind).map((finding) => ({ ...finding, at: start + finding.at })),
    );
    for (const { at, found: words, advice } of found.sort((a, b) => a.at - b.at)) {
      findings.push({ path, line: lineOf(source, at), found: words, advice });
    }
  }
  return { files, findings };
}
