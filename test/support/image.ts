import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ROOT } from './source-files.ts';

/** An instruction of the Dockerfile, with its continuation lines joined. */
export interface Instruction {
  readonly keyword: string;
  /** Flags before the arguments, such as --from=packages. */
  readonly flags: Readonly<Record<string, string>>;
  readonly rest: string;
}

/** Reads the stages of the Dockerfile, each with its image. */
export async function readDockerfile(): Promise<
  readonly { readonly image: string; readonly instructions: readonly Instruction[] }[]
> {
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
}
