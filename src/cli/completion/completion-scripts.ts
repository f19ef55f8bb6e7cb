// Pure: completion scripts, made from the program that parses the commands.
import type { Command } from 'commander';
import { formatBashCompletion } from './bash-completion.ts';
import { describeCommands } from './completion-model.ts';
import { formatFishCompletion } from './fish-completion.ts';
import { formatZshCompletion } from './zsh-completion.ts';

const FORMATS = { bash: formatBashCompletion, zsh: formatZshCompletion, fish: formatFishCompletion } as const;

export type Shell = keyof typeof FORMATS;

/** Returns the script that a shell loads. */
export function formatCompletion(program: Command, shell: Shell): string {
  return FORMATS[shell](describeCommands(program));
}
