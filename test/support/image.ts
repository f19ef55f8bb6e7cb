import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ROOT } from './source-files.ts';

/** A line of the Dockerfile, those that go on in the next one put together. */
export interface Instruction {
  readonly keyword: string;
  /** What stands before the rest: --from=packages. */
  readonly flags: Readonly<Record<string, string>>;
  readonly rest: string;
}

/** The stages of the Dockerfile, each with its image. */
export const readDockerfile = async (): Promise<
  readonly { readonly image: string; readonly instructions: readonly Instruction[] }[]
> => {
  const text = await readFile(join(ROOT, 'Dockerfile'), 'utf8');
  const lines = text
    .split('\n')
    .filter((line) => !/^\s*(?:#|$)/.test(line))
    .join('\n')
    .replaceAll(/\\\n\s*/g, '')
    .split('\n');
  const stages: { image: string; instructions: Instruction[] }[] = [];
  for (const line of lines) {
    const [, keyword = '', given = '', rest = ''] = /^([A-Z]+)((?: --\S+)*) (.*)$/.exec(line) ?? [];
    const flags = Object.fromEntries([...given.matchAll(/--(\S+?)=(\S+)/g)].map(([, name, value]) => [name, value]));
    if (keyword === 'FROM') stages.push({ image: rest, instructions: [] });
    else stages.at(-1)?.instructions.push({ keyword, flags, rest });
  }
  return stages;
};
