// Pure: the exit codes of every command.

export const EXIT_CODES = {
  succeeded: { code: 0, meaning: 'The command succeeded.' },
  failed: {
    code: 1,
    meaning: 'The command failed, or what it checked, tested or followed did: a run, a backfill, a destination.',
  },
  wrongUsage: { code: 2, meaning: 'The command, an option or a value is not valid. Nothing was done.' },
  interrupted: { code: 130, meaning: 'Ctrl-C or another signal ended the command. A run that it followed continues.' },
} as const;

/** The part of --help that lists the exit codes. */
export function formatExitCodes(): string {
  const lines = Object.values(EXIT_CODES).map(({ code, meaning }) => `  ${String(code).padEnd(3)}  ${meaning}`);
  return ['', 'Exit codes:', ...lines].join('\n');
}
