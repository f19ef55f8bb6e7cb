import { CommanderError } from 'commander';
import type { DatabaseAddress } from '../db/database-address.ts';
import { ValidationError } from '../errors/errors.ts';
import { scrubError } from '../lib/scrub-error.ts';
import { formatStartupError } from '../process/format-startup-error.ts';
import { endWithReader } from '../process/shutdown-signals.ts';
import { createTerminal } from '../terminal/terminal.ts';
import { UsageError } from './command-error.ts';
import { EXIT_CODES } from './exit-codes.ts';
import { createProgram } from './program.ts';

/** Runs the command of the arguments and sets the exit code of the process. */
export async function runCli(): Promise<void> {
  endWithReader(process.stdout);
  const terminal = createTerminal(process.stdout, process.stderr);
  const program = createProgram({
    env: process.env,
    terminal,
    log: { debug: () => undefined, warn: terminal.message, error: terminal.message },
    onBroken: () => {
      process.exitCode = EXIT_CODES.failed.code;
    },
    onInterrupted: () => {
      process.exitCode = EXIT_CODES.interrupted.code;
    },
  });
  try {
    await program.parseAsync();
  } catch (error) {
    process.exitCode = findExitCode(error);
    // Commander has printed its own errors.
    if (error instanceof CommanderError) return;
    const address = await findConfiguredPlace(process.env['DATABASE_URL']);
    terminal.message(formatStartupError(error, address) ?? `Unexpected error: ${scrubError(error).message}`);
  }
}

function findExitCode(error: unknown): number {
  // Commander ends --help and --version with an error whose exit code is 0.
  if (error instanceof CommanderError && error.exitCode === 0) return EXIT_CODES.succeeded.code;
  // ValidationError: the domain's rules for an argument of an operator's command, such as the name of an account.
  const isWrongUsage =
    error instanceof CommanderError || error instanceof UsageError || error instanceof ValidationError;
  return (isWrongUsage ? EXIT_CODES.wrongUsage : EXIT_CODES.failed).code;
}

/** Returns the database of DATABASE_URL for error messages; null if the setting is missing or not a URL. */
async function findConfiguredPlace(url: string | undefined): Promise<DatabaseAddress | null> {
  if (url === undefined || !URL.canParse(url)) return null;
  return (await import('../db/database-address.ts')).redactDatabaseUrl(url);
}
