import type { Config } from '../config/config.ts';
import type { Db } from '../db/client.ts';
import { type Clock, systemClock } from '../lib/clock.ts';
import type { LocalLog } from '../local/log.ts';
import type { Surface } from './output/terminal.ts';
import { findDatabase, openCommandDatabase } from './command-database.ts';

/** Where a command says what: its answer to standard output, words for the person to standard error. */
export interface Terminal {
  answer(text: string): void;
  say(text: string): void;
}

/** One that tables and bars are drawn on. */
export interface DrawnTerminal extends Terminal {
  /** What the answers are drawn on. */
  readonly answers: Surface;
}

/** What every command works with. */
export interface CommandContext {
  readonly terminal: Terminal;
  /** Of the embedded parts. */
  readonly log: LocalLog;
  readonly loadConfig: () => Config;
}

/** What a command works with that speaks to a server, as clients do. */
export interface ClientContext {
  readonly terminal: DrawnTerminal;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  /** Told where the command ran, and what it was about went wrong. */
  readonly onBroken: () => void;
  /** Told where Ctrl-C, or another signal, ended it. */
  readonly onInterrupted: () => void;
}

export interface OpenCommand {
  readonly db: Db;
  readonly clock: Clock;
  readonly config: Config;
}

/** Opens the database for one command and closes it after. */
export const withDatabase = async (
  context: CommandContext,
  work: (open: OpenCommand) => Promise<void>,
): Promise<void> => {
  const config = context.loadConfig();
  const found = await findDatabase(config, context.log);
  try {
    const database = openCommandDatabase(found.url, found.directUrl);
    try {
      await work({ db: database.acrossAccounts, clock: systemClock, config });
    } finally {
      await database.close();
    }
  } finally {
    await found.close();
  }
};
