// Pure: the page on the operator's commands, out of the program that reads them.
import type { Argument, Command, Option } from 'commander';
import { plainWords } from './plain-words.ts';

const leavesOf = (command: Command, before: readonly string[] = []): { name: string; leaf: Command }[] =>
  command.commands.flatMap((sub) => {
    const names = [...before, sub.name()];
    return sub.commands.length > 0 ? leavesOf(sub, names) : [{ name: names.join(' '), leaf: sub }];
  });

const typed = (one: Argument): string => (one.required ? `<${one.name()}>` : `[${one.name()}]`);

/** Behind its description: what it can be, and what it is where nobody says it. */
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
      `${plainWords(leaf.description())}.`,
      [
        `- \`${[program.name(), name, ...leaf.registeredArguments.map(typed)].join(' ')}\``,
        ...leaf.registeredArguments
          .filter((one) => one.description !== '')
          .map((one) => `- \`${typed(one)}\`: ${plainWords(one.description)}${valuesOf(one)}`),
        ...leaf.options.map(
          (one) =>
            `- \`${one.flags}\`${one.mandatory ? ' (required)' : ''}${one.description ? `: ${plainWords(one.description)}` : ''}${valuesOf(one)}`,
        ),
      ].join('\n'),
    ])
    .join('\n\n');
