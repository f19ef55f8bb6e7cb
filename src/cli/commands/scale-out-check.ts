import { type DatabaseAddress, redactDatabaseUrl } from '../../db/database-address.ts';
import { type CheckReport, findingOf, openReport, wordsOf } from '../checks/check-report.ts';
import {
  CLUSTER_CHECKS,
  type ClusterLook,
  type Distribution,
  distributionOf,
  lookAtCluster,
} from '../checks/cluster-checks.ts';
import { type CommandContext, withDatabase } from '../command-context.ts';
import { DATABASE_CHECKS, type Looked } from '../checks/database-checks.ts';
import { broken, ok } from '../checks/check-result.ts';

const ON_A_WORKER = broken(
  'DATABASE_URL is the address of a worker: set it to the address of the coordinator, which has the jobs, the runs and the queue',
);

const NOT_DISTRIBUTED = ok(
  'the database is not distributed: all accounts are on one PostgreSQL, so there is nothing to check. docs/scale-out.md describes how to distribute it',
);

/** Prints one line for each thing that a Citus cluster needs. Returns whether nothing is broken. */
export const scaleOutCheckCommand = async (context: CommandContext): Promise<boolean> => {
  const report = openReport(context.terminal);
  await withDatabase(context, async (looked) => {
    const { databaseUrl } = looked.config;
    const place = databaseUrl === null ? null : redactDatabaseUrl(databaseUrl);
    const distribution = await checkCluster(looked, report, place);
    if (distribution === 'none') report.tell('citus', NOT_DISTRIBUTED);
    if (distribution === 'coordinator') await checkLedger(looked, report);
  });
  return report.isSound();
};

/**
 * Reports on the Citus cluster that the database is a node of, and does nothing if it is one PostgreSQL. `place` is the database
 * that a connection error names. Returns null if the database does not say what it is.
 */
export const checkCluster = async (
  { db }: Pick<Looked, 'db'>,
  { tell }: CheckReport,
  place: DatabaseAddress | null = null,
): Promise<Distribution | null> => {
  let look: ClusterLook;
  try {
    const distribution = await distributionOf(db);
    if (distribution === 'worker') tell('citus', ON_A_WORKER);
    if (distribution !== 'coordinator') return distribution;
    look = await lookAtCluster(db);
  } catch (error) {
    tell('citus', broken(wordsOf(error, place)));
    return null;
  }
  for (const { name, check } of CLUSTER_CHECKS) tell(name, await findingOf(() => check(look), place));
  return 'coordinator';
};

const checkLedger = async (looked: Looked, { tell }: CheckReport): Promise<void> => {
  for (const { name, check } of DATABASE_CHECKS) {
    if (name === 'ledger') tell(name, await findingOf(() => check(looked)));
  }
};
