import { migrate } from '../../db/migrate.ts';
import type { CommandContext } from '../command-context.ts';
import { findDatabase } from '../command-database.ts';

export const migrateCommand = async ({ terminal, log, loadConfig }: CommandContext): Promise<void> => {
  const found = await findDatabase(loadConfig(), log);
  try {
    if (found.place === 'started') {
      terminal.say('The embedded database is up to date.');
      return;
    }
    const { applied, repaired } = await migrate(found.directUrl ?? found.url);
    terminal.say(
      applied === 0 ? 'The database is up to date.' : `Applied ${applied} migrations: the database is up to date.`,
    );
    if (repaired > 0) {
      terminal.say(
        `${repaired === 1 ? '1 account was' : `${repaired} accounts were`} restored from a copy of another cluster, or moved to another node: the transaction ids were repaired, and runs that have not ended start again.`,
      );
    }
  } finally {
    await found.close();
  }
};
