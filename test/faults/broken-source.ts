import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const CHECKOUT = fileURLToPath(new URL('../../', import.meta.url));

/** A change of one file of the program. */
export interface Replacement {
  /** Path below the checkout. */
  readonly file: string;
  /** Must occur exactly once. */
  readonly from: string;
  readonly to: string;
}

export interface BrokenSource {
  /** Directory of the program, with a slash at its end. */
  readonly checkout: string;
  remove(): Promise<void>;
}

/** Copies the program with replacements, so that servers run a version that breaks a rule. */
export async function copyBroken(replacements: readonly Replacement[]): Promise<BrokenSource> {
  const directory = await mkdtemp(join(tmpdir(), 'sluice-broken-'));
  await Promise.all([
    cp(join(CHECKOUT, 'src'), join(directory, 'src'), { recursive: true }),
    cp(join(CHECKOUT, 'package.json'), join(directory, 'package.json')),
    symlink(join(CHECKOUT, 'node_modules'), join(directory, 'node_modules')),
  ]);
  for (const { file, from, to } of replacements) {
    const path = join(directory, file);
    const source = await readFile(path, 'utf8');
    const count = source.split(from).length - 1;
    if (count !== 1) throw new Error(`${file} contains this text ${count} times instead of once: ${from}`);
    await writeFile(
      path,
      source.replace(from, () => to),
    );
  }
  return { checkout: `${directory}/`, remove: () => rm(directory, { recursive: true }) };
}
