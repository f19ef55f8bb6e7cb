/**
 * Checks the subjects of the commits after BASE, up to HEAD. Ends with 1 if one breaks the rules in CONTRIBUTING.md.
 * Checks nothing in a copy without a Git repository and in a shallow clone that does not reach BASE.
 */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { subjectProblem } from './commits/subject.ts';

/** Subjects up to this commit of November 2026 follow no rule. */
const BASE = '56f941ebcefc';
const root = join(import.meta.dirname, '..');

async function git(...args: readonly string[]): Promise<string | null> {
  try {
    const { stdout } = await promisify(execFile)('git', ['-C', root, ...args], { maxBuffer: 64 * 1024 * 1024 });
    return stdout;
  } catch {
    return null;
  }
}

const reachesBase = (await git('merge-base', '--is-ancestor', BASE, 'HEAD')) !== null;
const log = reachesBase ? await git('log', '--no-merges', '--format=%h %s', `${BASE}..HEAD`) : null;
if (log === null) {
  console.log(`Subjects of commits are not checked: ${BASE} is not in the history of this checkout.`);
} else {
  const lines = log.split('\n').filter((line) => line !== '');
  for (const line of lines) {
    const problem = subjectProblem(line.slice(line.indexOf(' ') + 1));
    if (problem === null) continue;
    console.error(`${line}\n  The subject ${problem}. Write e.g. "Move slotsBetween to the tests".`);
    process.exitCode = 1;
  }
  console.log(`${lines.length} subjects checked`);
}
