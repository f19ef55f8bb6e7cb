/** Runs every `check:*` script of package.json, even after a failure, and exits with 1 if one failed. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';

const root = join(import.meta.dirname, '..');
const { scripts } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as {
  scripts: Record<string, string>;
};
const checks = Object.entries(scripts).filter(([name]) => name.startsWith('check:'));
if (checks.length === 0) throw new Error('package.json has no check:* scripts');

const env = { ...process.env, PATH: [join(root, 'node_modules/.bin'), process.env['PATH']].join(delimiter) };

const failed: string[] = [];
for (const [name, command] of checks) {
  console.log(`\n== ${name}: ${command}`);
  // One after another: each script is parallel itself, and their output must not be mixed.
  const child = spawn(command, { cwd: root, env, shell: true, stdio: ['ignore', 'inherit', 'inherit'] });
  const [code] = await once(child, 'exit');
  if (code !== 0) failed.push(name);
}

console.log(failed.length === 0 ? `\nAll ${checks.length} checks passed.` : `\nFailed: ${failed.join(', ')}`);
process.exitCode = failed.length === 0 ? 0 : 1;
