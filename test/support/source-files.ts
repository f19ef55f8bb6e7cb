import { readdir, readFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';

/** Root directory of the checkout. */
export const ROOT = join(import.meta.dirname, '../..');

export interface SourceImport {
  /** Specifier in the source, such as `./x.ts`, `pg` or `node:fs`. */
  readonly specifier: string;
  /** Path of a relative import from the root, without a leading `./`; null for packages. */
  readonly path: string | null;
  /** Whether the import is erased before the program runs. */
  readonly typeOnly: boolean;
}

export interface SourceFile {
  /** Path from the root, such as `src/db/tables.ts`. */
  readonly path: string;
  readonly text: string;
  /** All lines that are not comments. */
  readonly code: string;
  readonly imports: readonly SourceImport[];
}

const COMMENT_LINE = /^\s*(\/\/|\/\*|\*)/;
// `import … from`, `export … from` and `import 'x'`. The names in between contain no quote and no semicolon.
const STATIC =
  /^(?:import|export(?=\s+(?:type\s+)?[*{]))\s+(?:(type)\s+(?!from))?(?:([^'"`;]*?)\s*from\s*)?(['"])([^'"]+)\3/gm;
const DYNAMIC = /\bimport\(\s*(['"`])([^'"`]+)\1/g;

// Node keeps `import { type A, type B } from` under verbatimModuleSyntax, for its side effects. So only `import type` counts
// as erased.
function importsOf(path: string, code: string): SourceImport[] {
  const found = [
    ...[...code.matchAll(STATIC)].map((match) => ({ specifier: match[4] ?? '', typeOnly: match[1] === 'type' })),
    ...[...code.matchAll(DYNAMIC)].map((match) => ({ specifier: match[2] ?? '', typeOnly: false })),
  ];
  return found.map(({ specifier, typeOnly }) => ({
    specifier,
    typeOnly,
    path: specifier.startsWith('.') ? join(dirname(path), specifier) : null,
  }));
}

/** Reads every TypeScript file below the given folders, except generated ones. A folder that does not exist has none. */
export async function readSourceFiles(...folders: readonly string[]): Promise<SourceFile[]> {
  const files: SourceFile[] = [];
  for (const folder of folders) {
    const entries = await readdir(join(ROOT, folder), { recursive: true, withFileTypes: true }).catch(() => []);
    for (const entry of entries) {
      if (!entry.isFile() || !/(?<!\.generated)\.tsx?$/.test(entry.name)) continue;
      const absolute = join(entry.parentPath, entry.name);
      const text = await readFile(absolute, 'utf8');
      const path = relative(ROOT, absolute);
      const code = text
        .split('\n')
        .filter((line) => !COMMENT_LINE.test(line))
        .join('\n');
      files.push({ path, text, code, imports: importsOf(path, code) });
    }
  }
  return files.sort((a, b) => (a.path < b.path ? -1 : 1));
}
