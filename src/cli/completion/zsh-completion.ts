// Pure: the completion script for zsh.
import type { CompletedCommand, CompletedValue } from './completion-model.ts';

export function formatZshCompletion(commands: readonly CompletedCommand[]): string {
  const steps = commands
    .filter(({ path }) => path !== '')
    .map(({ path }) => {
      const words = path.split(' ');
      return `      '${words.slice(0, -1).join(' ')}:${words.at(-1)}') at='${path}' ;;`;
    });
  const values = commands.flatMap(({ path, options }) =>
    options.flatMap(({ flags, value }) =>
      value ? [`    ${flags.map((flag) => `'${path}:${flag}'`).join('|')}) ${formatValue(value)}; return ;;`] : [],
    ),
  );
  const offers = commands.map(({ path, subcommands, options, argument }) => {
    const lines = [
      ...(subcommands.length > 0 ? [describe('command', subcommands)] : []),
      ...(argument && (argument.choices.length > 0 || argument.isFile) ? [formatValue(argument)] : []),
      describe(
        'option',
        options.flatMap(({ flags, description }) => flags.map((name) => ({ name, description }))),
      ),
    ];
    return `    '${path}')\n${lines.map((line) => `      ${line}\n`).join('')}      ;;`;
  });
  return `#compdef sluice
# Completion of sluice for zsh. Load it after compinit with: eval "$(sluice completion zsh)"
_sluice() {
  local at='' word
  local -a offered
  for word in "\${(@)words[2,CURRENT-1]}"; do
    case "$at:$word" in
${steps.join('\n')}
    esac
  done
  case "$at:\${words[CURRENT-1]}" in
${values.join('\n')}
  esac
  case "$at" in
${offers.join('\n')}
  esac
}
if [[ $funcstack[1] == _sluice ]]; then
  _sluice "$@"
else
  compdef _sluice sluice
fi
`;
}

function describe(kind: string, entries: readonly { readonly name: string; readonly description: string }[]): string {
  const quoted = entries.map(
    ({ name, description }) => `'${`${name}:${description}`.replaceAll("'", String.raw`'\''`)}'`,
  );
  return `offered=(${quoted.join(' ')}); _describe ${kind === 'option' ? '-o ' : ''}${kind} offered`;
}

function formatValue({ choices, isFile }: CompletedValue): string {
  if (isFile) return '_files';
  return choices.length > 0 ? `compadd -- ${choices.join(' ')}` : '_message value';
}
