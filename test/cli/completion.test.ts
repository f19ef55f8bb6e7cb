import { execFile, spawnSync } from 'node:child_process';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, test } from 'vitest';
import { runSluice } from '../support/sluice-process.ts';

const SHELLS = ['bash', 'zsh', 'fish'] as const;

const scripts: Record<string, string> = {};

beforeAll(async () => {
  for (const shell of SHELLS) scripts[shell] = (await runSluice('cli', ['completion', shell], {})).stdout;
});

const isInstalled = (shell: string): boolean => spawnSync(shell, ['-c', 'true']).status === 0;

async function runShell(shell: string, args: readonly string[], code: string): Promise<string[]> {
  // compinit, which defines compdef, needs a line editor too.
  const before = shell === 'zsh' ? 'compdef() { print -r -- registered "$@" }\n' : '';
  const { stdout } = await promisify(execFile)(shell, [...args, '-c', `${before}${scripts[shell]}\n${code}`]);
  return stdout.split('\n').filter((line) => line !== '');
}

/** Loads the script in the shell and returns what it offers for the last word. */
const OFFERS: Record<(typeof SHELLS)[number], (words: readonly string[]) => Promise<string[]>> = {
  bash: (words) =>
    runShell(
      'bash',
      ['--norc'],
      `COMP_WORDS=(${words.map(quote).join(' ')}); COMP_CWORD=${words.length - 1}; _sluice; printf '%s\\n' "\${COMPREPLY[@]}"`,
    ),
  // The functions that show candidates work only in a line editor.
  zsh: async (words) =>
    (
      await runShell(
        'zsh',
        ['-f'],
        `compadd() { shift; print -l -- "$@"; }
         _describe() { print -l -- "\${(@)\${(@P)@[-1]}%%:*}"; }
         _files() { print -l -- *; }
         _message() { :; }
         words=(${words.map(quote).join(' ')}); CURRENT=${words.length}; _sluice`,
      )
    ).filter((word) => word.startsWith(words.at(-1) ?? '')),
  fish: async (words) =>
    (await runShell('fish', ['--no-config'], `complete -C ${quote(words.join(' '))}`)).map(
      (line) => line.split('\t')[0] ?? '',
    ),
};

const quote = (word: string): string => `'${word}'`;

const CASES: [words: string[], offered: string[], not: string[]][] = [
  [
    ['sluice', ''],
    ['job', 'run', 'stream', 'ingest', 'doctor', 'completion'],
    ['list', 'export'],
  ],
  [
    ['sluice', 'job', ''],
    ['list', 'show', 'create', 'edit', 'check', 'run', 'delete'],
    ['watch', 'cancel'],
  ],
  [['sluice', 'job', 'create', '--form'], ['--format'], ['--file']],
  [['sluice', 'job', 'create', '--format', ''], ['json', 'csv', 'ndjson', 'parquet'], ['--range']],
  [['sluice', 'job', 'edit', 'Nightly', '--enabled', ''], ['true', 'false'], ['list']],
  [['sluice', 'run', 'list', '--job', 'Nightly', '--st'], ['--status'], ['--job']],
  [['sluice', 'preview', 'sum', '--file', 'pack'], ['package.json'], []],
  [['sluice', 'completion', ''], ['bash', 'zsh', 'fish'], ['job']],
];

describe.each(SHELLS)('completion %s', (shell) => {
  test.runIf(isInstalled(shell))(
    'offers commands, options, their values and files when the shell loads it',
    async () => {
      for (const [words, offered, not] of CASES) {
        const found = await OFFERS[shell](words);
        expect([words, found]).toEqual([words, expect.arrayContaining(offered)]);
        expect(found.filter((word) => not.includes(word))).toEqual([]);
      }
    },
  );

  test('has each command and option of --help', async () => {
    const script = scripts[shell] ?? '';
    const { stdout } = await runSluice('cli', ['job', 'create', '--help'], {});
    const flags = [...stdout.matchAll(/^ {2}(?:-\w, )?--([\w-]+)/gm)].map(([, flag = '']) => flag);
    expect(flags.length).toBeGreaterThan(20);
    expect(flags.filter((flag) => !script.includes(flag))).toEqual([]);
  });
});

test('bash completion > offers the values of --option=value', async () => {
  expect(await OFFERS.bash(['sluice', 'job', 'create', '--format', '=', 'c'])).toEqual(['csv']);
  expect(await OFFERS.bash(['sluice', 'job', 'create', '--format', '='])).toContain('parquet');
});

test.runIf(isInstalled('zsh'))('zsh completion > is registered when a zsh loads it after compinit', async () => {
  expect(await runShell('zsh', ['-f'], '')).toEqual(['registered _sluice sluice']);
});

test('completion > rejects another shell', async () => {
  expect(await runSluice('cli', ['completion', 'tcsh'], {})).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('Allowed choices are bash, zsh, fish.') as string,
  });
});
