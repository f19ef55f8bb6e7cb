// Pure: the completion script for fish.
import type { CompletedCommand, CompletedValue } from './completion-model.ts';

export function formatFishCompletion(commands: readonly CompletedCommand[]): string {
  const steps = commands
    .filter(({ path }) => path !== '')
    .flatMap(({ path }) => {
      const words = path.split(' ');
      return [`      case '${words.slice(0, -1).join(' ')}:${words.at(-1)}'`, `        set path '${path}'`];
    });
  const offers = commands.flatMap(({ path, subcommands, options, argument }) => {
    const at = `complete -c sluice -n "__sluice_at '${path}'"`;
    return [
      ...subcommands.map(({ name, description }) => `${at} -a ${name} -d ${quote(description)}`),
      ...(argument?.choices.length ? [`${at} -a '${argument.choices.join(' ')}'`] : []),
      ...(argument?.isFile ? [`${at} -F`] : []),
      ...options.map(({ flags, description, value }) =>
        [at, ...flags.map(formatFlag), ...formatValue(value), `-d ${quote(description)}`].join(' '),
      ),
    ];
  });
  return `# Completion of sluice for fish. Load it with: sluice completion fish | source
function __sluice_at
  set -l path ''
  for word in (commandline -opc)[2..]
    switch "$path:$word"
${steps.join('\n')}
    end
  end
  test "$path" = "$argv[1]"
end
complete -c sluice -f
${offers.join('\n')}
`;
}

function quote(text: string): string {
  return `'${text.replaceAll(/[\\']/g, String.raw`\$&`)}'`;
}

function formatFlag(flag: string): string {
  return flag.startsWith('--') ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`;
}

function formatValue(value: CompletedValue | null): string[] {
  if (!value) return [];
  if (value.isFile) return ['-r', '-F'];
  return value.choices.length > 0 ? ['-x', `-a '${value.choices.join(' ')}'`] : ['-x'];
}
