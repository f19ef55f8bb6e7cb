import type { Config } from '../config/config.ts';
import type { Db } from '../db/client.ts';
import { type Clock, systemClock } from '../lib/clock.ts';
import type { LocalLog } from '../local/log.ts';
import { findDatabase, openCommandDatabase } from './command-database.ts';
import type { PlainTerminal, Terminal } from '../terminal/terminal.ts';

/** The context of a command that uses the settings and the database of the server. */
export interface CommandContext {
  readonly terminal: PlainTerminal;
  /** The log of the embedded PostgreSQL. */
  readonly log: LocalLog;
  readonly loadConfig: () => Config;
}

/** The context of a command that is a client of the API. */
export interface ClientContext {
  readonly terminal: Terminal;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  /** Called when the command ran and its subject failed, such as a run. */
  readonly onBroken: () => void;
  /** Called when Ctrl-C or another signal ended the command. */
  readonly onInterrupted: () => void;
}

export interface OpenCommand {
  readonly db: Db;
  readonly clock: Clock;
  readonly config: Config;
}

/** Opens the database for one command and closes it afterwards. */
export async function withDatabase(context: CommandContext, work: (open: OpenCommand) => Promise<void>): Promise<void> {
  const config = context.loadConfig();
  await using found = await findDatabase(config, context.log);
  const database = openCommandDatabase(found.url, found.directUrl);
  try {
    await work({ db: database.acrossAccounts, clock: systemClock, config });
  } finally {
    await database.close();
  }
}
