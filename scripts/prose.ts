/**
 * Lists words and constructions that the style rules in CONTRIBUTING.md forbid, with their replacements, and the number
 * per folder. Ends with 1 if it found any. Usage: node scripts/prose.ts [path …], by default all texts of the repository.
 */
import { dirname, join, relative } from 'node:path';
import { scanProse } from './prose/scan.ts';

const root = join(import.meta.dirname, '..');
const paths = process.argv.slice(2).map((path) => relative(root, join(process.cwd(), path)));
const { files, findings } = await scanProse(root, paths.length === 0 ? undefined : paths);

const folders = new Map<string, number>();
for (const { path, line, found, advice } of findings) {
  console.log(`${path}:${line}: "${found}" -> ${advice}`);
  const folder = dirname(path);
  folders.set(folder, (folders.get(folder) ?? 0) + 1);
}
if (folders.size > 1) console.log();
for (const [folder, count] of [...folders].sort(([a], [b]) => a.localeCompare(b)))
  console.log(`${String(count).padStart(6)}  ${folder}`);
console.log(`${findings.length} findings in ${files.length} files`);
process.exitCode = findings.length === 0 ? 0 : 1;
