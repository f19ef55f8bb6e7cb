import { redactDatabaseUrl } from '../../db/database-address.ts';
import { openReport, runCheck } from '../checks/check-report.ts';
import { ok } from '../checks/check-result.ts';
import { checkCluster } from '../checks/cluster-checks.ts';
import { checkLedger } from '../checks/database-checks.ts';
import { type CommandContext, withDatabase } from '../command-context.ts';

const NOT_DISTRIBUTED = ok(
  'the database is not distributed: all accounts are on one PostgreSQL, so there is nothing to check. docs/scale-out.md describes how to distribute it',
);

/** Prints one line per check of the Citus cluster. Returns whether nothing is broken. */
export async function scaleOutCheckCommand(context: CommandContext): Promise<boolean> {
  const report = openReport(context.terminal);
  await withDatabase(context, async (open) => {
    const { databaseUrl } = open.config;
    const address = databaseUrl === null ? null : redactDatabaseUrl(databaseUrl);
    const distribution = await checkCluster(open.db, report, address);
    if (distribution === 'none') report.report('citus', NOT_DISTRIBUTED);
    if (distribution === 'coordinator') report.report('ledger', await runCheck(() => checkLedger(open), address));
  });
  return report.isSound();
}
