// Pure: the page on the operator's commands, out of the program that reads them.
import type { Command } from 'commander';
import { plainWords } from './plain-words.ts';

const leavesOf = (command: Command, before: readonly string[] = []): { name: string; leaf: Command }[] =>
  command.commands.flatMap((sub) => {
    const names = [...before, sub.name()];
    return sub.commands.length > 0 ? leavesOf(sub, names) : [{ name: names.join(' '), leaf: sub }];
  });

export const commandsPage = (program: Command): string =>
  leavesOf(program)
    .flatMap(({ name, leaf }) => [
      `## ${name}`,
      `${plainWords(leaf.description())}.`,
      [
        `- \`${[program.name(), name, ...leaf.registeredArguments.map((one) => `<${one.name()}>`)].join(' ')}\``,
        ...leaf.registeredArguments
          .filter((one) => one.description !== '')
          .map((one) => `- \`<${one.name()}>\`: ${plainWords(one.description)}`),
        ...leaf.options.map(
          (one) =>
            `- \`${one.flags}\`${one.mandatory ? ' (required)' : ''}${one.description ? `: ${plainWords(one.description)}` : ''}`,
        ),
      ].join('\n'),
    ])
    .join('\n\n');
