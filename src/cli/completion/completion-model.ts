// Pure: what a shell can complete, read from the program that parses the commands.
import type { Argument, Command, Option } from 'commander';

/** Values that follow an option or take the place of an argument. */
export interface CompletedValue {
  /** Empty if any text is valid. */
  readonly choices: readonly string[];
  readonly isFile: boolean;
}

export interface CompletedOption {
  /** Such as `-f` and `--file`. */
  readonly flags: readonly string[];
  readonly description: string;
  /** Null for a flag without a value. */
  readonly value: CompletedValue | null;
}

export interface CompletedCommand {
  /** Names of the command and its groups, such as `job create`; empty for the program. */
  readonly path: string;
  readonly description: string;
  readonly subcommands: readonly { readonly name: string; readonly description: string }[];
  readonly options: readonly CompletedOption[];
  readonly argument: CompletedValue | null;
}

/** Returns the program and all commands below it. */
export function describeCommands(command: Command, path = ''): CompletedCommand[] {
  const help: CompletedOption = { flags: ['-h', '--help'], description: 'display help for command', value: null };
  return [
    {
      path,
      description: firstSentence(command.description()),
      subcommands: command.commands.map((sub) => ({
        name: sub.name(),
        description: firstSentence(sub.description()),
      })),
      options: [...command.options.map(describeOption), help],
      argument: command.registeredArguments.map(describeArgument)[0] ?? null,
    },
    ...command.commands.flatMap((sub) => describeCommands(sub, `${path} ${sub.name()}`.trim())),
  ];
}

function describeOption(option: Option): CompletedOption {
  return {
    flags: [option.short, option.long].filter((flag) => flag !== undefined && flag !== null),
    description: firstSentence(option.description),
    value:
      option.required || option.optional
        ? { choices: option.argChoices ?? wordsOf(option.flags), isFile: option.flags.includes('<file>') }
        : null,
  };
}

function describeArgument(argument: Argument): CompletedValue {
  return { choices: argument.argChoices ?? [], isFile: argument.name() === 'file' };
}

/** Returns the words of a placeholder such as `<true|false>`. */
function wordsOf(flags: string): string[] {
  return /<(\w+(?:\|\w+)+)>/.exec(flags)?.[1]?.split('|') ?? [];
}

function firstSentence(text: string): string {
  return text.split(/\. |; |: /, 1)[0]?.replace(/\.$/, '') ?? '';
}
