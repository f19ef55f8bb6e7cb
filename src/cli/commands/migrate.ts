import { migrate } from '../../db/migrate.ts';
import { pluralize } from '../../lib/format-amounts.ts';
import { findDatabase } from '../command-database.ts';
import type { CommandContext } from '../command-context.ts';

export async function migrateCommand({ terminal, log, loadConfig }: CommandContext): Promise<void> {
  await using found = await findDatabase(loadConfig(), log);
  if (found.origin === 'started') {
    terminal.message('The embedded database is up to date.');
    return;
  }
  const { applied, repaired } = await migrate(found.directUrl ?? found.url);
  const count = pluralize(applied, 'migration');
  terminal.message(applied === 0 ? 'The database is up to date.' : `Applied ${count}. The database is up to date.`);
  if (repaired > 0) {
    terminal.message(
      `${repaired === 1 ? '1 account was' : `${repaired} accounts were`} restored from a copy of another cluster, or moved to another node: the transaction ids were repaired, and runs that have not ended start again.`,
    );
  }
}
