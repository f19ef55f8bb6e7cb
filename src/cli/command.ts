import type { Config } from '../config.ts';
import type { Db } from '../db/client.ts';
import { type Clock, systemClock } from '../lib/clock.ts';
import type { LocalLog } from '../local/log.ts';
import { findDatabase, openCommandDatabase } from './database.ts';

/** Where a command says what: its answer to standard output, words for the person to standard error. */
export interface Terminal {
  answer(text: string): void;
  say(text: string): void;
}

/** What every command works with. */
export interface CommandContext {
  readonly terminal: Terminal;
  /** Of the embedded parts. */
  readonly log: LocalLog;
  readonly loadConfig: () => Config;
}

export interface OpenCommand {
  readonly db: Db;
  readonly clock: Clock;
}

/** Opens the database for one command and closes it after. */
export const withDatabase = async (
  context: CommandContext,
  work: (open: OpenCommand) => Promise<void>,
): Promise<void> => {
  const found = await findDatabase(context.loadConfig(), context.log);
  try {
    const database = openCommandDatabase(found.url);
    try {
      await work({ db: database.acrossAccounts, clock: systemClock });
    } finally {
      await database.close();
    }
  } finally {
    await found.close();
  }
};
