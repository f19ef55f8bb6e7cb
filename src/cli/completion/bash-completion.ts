// Pure: the completion script for bash.
import type { CompletedCommand, CompletedValue } from './completion-model.ts';

export function formatBashCompletion(commands: readonly CompletedCommand[]): string {
  const steps = commands
    .filter(({ path }) => path !== '')
    .map(({ path }) => {
      const words = path.split(' ');
      return `      '${words.slice(0, -1).join(' ')}:${words.at(-1)}') path='${path}' ;;`;
    });
  const values = commands.flatMap(({ path, options }) =>
    options.flatMap(({ flags, value }) =>
      value ? [`    ${flags.map((flag) => `'${path}:${flag}'`).join(' | ')}) ${formatValue(value)} ;;`] : [],
    ),
  );
  const words = commands.map(({ path, subcommands, options, argument }) => {
    const offered = [
      ...subcommands.map(({ name }) => name),
      ...(argument?.choices ?? []),
      ...options.flatMap(({ flags }) => flags.filter((flag) => flag.startsWith('--'))),
    ];
    const files = argument?.isFile ? ' files=yes' : '';
    return `    '${path}') words='${offered.join(' ')}'${files} ;;`;
  });
  return `# Completion of sluice for bash. Load it with: eval "$(sluice completion bash)"
_sluice() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD - 1]} path='' words='' files='' i
  COMPREPLY=()
  # bash splits --option=value at the equals sign.
  if [[ $cur == = ]]; then
    cur=''
  elif [[ $prev == = ]]; then
    prev=\${COMP_WORDS[COMP_CWORD - 2]}
  fi
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$path:\${COMP_WORDS[i]}" in
${steps.join('\n')}
    esac
  done
  case "$path:$prev" in
${values.join('\n')}
    *)
      case "$path" in
${words.map((line) => `    ${line}`).join('\n')}
      esac
      ;;
  esac
  [[ -n $words ]] && COMPREPLY=($(compgen -W "$words" -- "$cur"))
  if [[ -n $files && $cur != -* ]]; then
    # bash 3.2 of macOS has neither compopt nor mapfile.
    compopt -o filenames 2> /dev/null
    local IFS=$'\n'
    COMPREPLY+=($(compgen -f -- "$cur"))
  fi
}
complete -F _sluice sluice
`;
}

function formatValue({ choices, isFile }: CompletedValue): string {
  if (isFile) return 'files=yes';
  return choices.length > 0 ? `words='${choices.join(' ')}'` : ':';
}
