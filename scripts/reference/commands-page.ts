// Pure: the reference page of the operator's commands, made from the program that parses them.
import type { Argument, Command, Option } from 'commander';
import { escapeMarkdown } from './escape-markdown.ts';

function leavesOf(command: Command, before: readonly string[] = []): { name: string; leaf: Command }[] {
  return command.commands.flatMap((sub) => {
    const names = [...before, sub.name()];
    return sub.commands.length > 0 ? leavesOf(sub, names) : [{ name: names.join(' '), leaf: sub }];
  });
}

function typed(one: Argument): string {
  return one.required ? `<${one.name()}>` : `[${one.name()}]`;
}

/** Follows the description: the allowed values and the default. */
function valuesOf({ argChoices, defaultValue, defaultValueDescription }: Option | Argument): string {
  const isTold = defaultValueDescription !== undefined || ['string', 'number'].includes(typeof defaultValue);
  const words = [
    ...(argChoices ? [argChoices.join(', ')] : []),
    ...(isTold ? [`default: ${defaultValueDescription ?? String(defaultValue)}`] : []),
  ];
  return words.length > 0 ? ` (${words.join('; ')})` : '';
}

export function commandsPage(program: Command): string {
  return leavesOf(program)
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
}
