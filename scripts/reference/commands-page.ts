// Pure: the reference page of the operator's commands, made from the program that parses them.
import type { Argument, Command, Option } from 'commander';
import { escapeMarkdown } from './escape-markdown.ts';

const leavesOf = (command: Command, before: readonly string[] = []): { name: string; leaf: Command }[] =>
  command.commands.flatMap((sub) => {
    const names = [...before, sub.name()];
    return sub.commands.length > 0 ? leavesOf(sub, names) : [{ name: names.join(' '), leaf: sub }];
  });

const typed = (one: Argument): string => (one.required ? `<${one.name()}>` : `[${one.name()}]`);

/** Follows the description: the allowed values and the default. */
const valuesOf = ({ argChoices, defaultValue, defaultValueDescription }: Option | Argument): string => {
  const isTold = defaultValueDescription !== undefined || ['string', 'number'].includes(typeof defaultValue);
  const words = [
    ...(argChoices ? [argChoices.join(', ')] : []),
    ...(isTold ? [`default: ${defaultValueDescription ?? String(defaultValue)}`] : []),
  ];
  return words.length > 0 ? ` (${words.join('; ')})` : '';
};

export const commandsPage = (program: Command): string =>
  leavesOf(program)
    .flatMap(({ name, leaf }) => [
      `## ${name}`,
      `${escapeMarkdown(leaf.description())}.`,
      [
        `- \`${[program.name(), name, ...leaf.registeredArguments.map(typed)].join(' ')}\``,
        ...leaf.registeredArguments
          .filter((one) => one.description !== '')
          .map((one) => `- \`${typed(one)}\`: ${escapeMarkdown(one.description)}${valuesOf(one)}`),
        ...leaf.options.map(
          (one) =>
            `- \`${one.flags}\`${one.mandatory ? ' (required)' : ''}${one.description ? `: ${escapeMarkdown(one.description)}` : ''}${valuesOf(one)}`,
        ),
      ].join('\n'),
    ])
    .join('\n\n');
