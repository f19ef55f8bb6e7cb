/**
 * Fails if `src/db/tables.ts` and the migrations differ. drizzle-kit has no dry run, so it generates into a copy of the
 * migrations, which must not change.
 */
import { execFile } from 'node:child_process';
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import config from '../drizzle.config.ts';

interface Outcome {
  readonly text: string;
  readonly failed: boolean;
}

const root = join(import.meta.dirname, '..');
const migrations = join(root, config.out ?? 'drizzle');

function drizzleKit(...args: string[]): Promise<Outcome> {
  return new Promise((resolve) => {
    const program = join(root, 'node_modules/.bin/drizzle-kit');
    const child = execFile(program, args, { cwd: root, timeout: 120_000 }, (error, stdout, stderr) => {
      resolve({ text: `${stdout}${stderr}`.trim(), failed: error !== null });
    });
    // drizzle-kit asks about renamed columns; without an input it exits instead.
    child.stdin?.end();
  });
}

async function contents(directory: string): Promise<Map<string, string>> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return new Map(
    await Promise.all(paths.map(async (path) => [relative(directory, path), await readFile(path, 'utf8')] as const)),
  );
}

async function driftIn(workspace: string): Promise<string[]> {
  const copy = join(workspace, 'migrations');
  const configFile = join(workspace, 'config.json');
  await cp(migrations, copy, { recursive: true });
  // Relative, because drizzle-kit prepends "./" to paths.
  await writeFile(configFile, JSON.stringify({ ...config, out: relative(root, copy) }));
  const generated = await drizzleKit('generate', `--config=${relative(root, configFile)}`, '--name=drift');

  const before = await contents(migrations);
  const after = await contents(copy);
  if (before.size === 0) return [`no migrations in ${relative(root, migrations)}`];
  const drift = [...after].filter(([name, text]) => before.get(name) !== text);
  if (drift.length > 0) {
    const statements = drift.filter(([name]) => name.endsWith('.sql')).map(([, text]) => text);
    return ['the tables differ from the migrations: run `npm run db:generate -- --name=WHAT-IT-DOES`', ...statements];
  }
  // drizzle-kit 0.31 exits with 0 after most of its errors, so the output decides.
  if (generated.failed || !generated.text.includes('nothing to migrate')) return [generated.text];
  return [];
}

const workspace = await mkdtemp(join(tmpdir(), 'sluice-migrations-'));
try {
  const problems = await driftIn(workspace);
  const checked = await drizzleKit('check');
  if (checked.failed || !checked.text.includes("Everything's fine")) problems.push(checked.text);
  if (problems.length > 0) {
    console.error(problems.join('\n'));
    process.exitCode = 1;
  }
} finally {
  await rm(workspace, { recursive: true, force: true });
}
