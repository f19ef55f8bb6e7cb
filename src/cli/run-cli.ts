import { CommanderError } from 'commander';
import { createProgram } from './program.ts';
import { surfaceOf } from './output/terminal.ts';
import type { DatabaseAddress } from '../db/database-address.ts';
import { failureWords } from '../process/format-startup-error.ts';
import { scrubError } from '../lib/scrub-error.ts';
import { endWithReader } from '../process/shutdown-signals.ts';

const BROKEN = 1;
const WRONG_USAGE = 2;
/** 128 and the number of SIGINT, as shells have it. */
const INTERRUPTED = 130;

const say = (text: string): void => {
  process.stderr.write(`${text}\n`);
};

/** Of DATABASE_URL, for what is said of a failure; null where it is not set, or no address. */
const configuredPlace = async (url: string | undefined): Promise<DatabaseAddress | null> => {
  if (url === undefined || !URL.canParse(url)) return null;
  return (await import('../db/database-address.ts')).redactDatabaseUrl(url);
};

/** The command that the arguments name. */
export const runCli = async (): Promise<void> => {
  endWithReader(process.stdout);
  const program = createProgram({
    env: process.env,
    terminal: {
      answer: (text) => process.stdout.write(text),
      say,
      answers: surfaceOf(process.stdout),
    },
    log: { debug: () => undefined, warn: say, error: say },
    onBroken: () => {
      process.exitCode = BROKEN;
    },
    onInterrupted: () => {
      process.exitCode = INTERRUPTED;
    },
  });
  await program.parseAsync().catch(async (error: unknown) => {
    if (error instanceof CommanderError) {
      // Commander has said it already; what it ends with 0 is help that was asked for.
      process.exitCode = error.exitCode === 0 ? 0 : WRONG_USAGE;
      return;
    }
    say(
      failureWords(error, await configuredPlace(process.env['DATABASE_URL'])) ??
        `Unexpected: ${scrubError(error).message}`,
    );
    process.exitCode = BROKEN;
  });
};
