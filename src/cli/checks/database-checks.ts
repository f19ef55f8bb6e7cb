import { sql } from 'drizzle-orm';
import { describeMissingKey } from '../../accounts/first-key.ts';
import { isRevokedKey } from '../../accounts/keys.ts';
import type { Config } from '../../config/config.ts';
import { findForeignLedgers } from '../../db/as-of.ts';
import { type Db, OWN_CONNECTIONS } from '../../db/client.ts';
import { readMigrationState } from '../../db/migrate.ts';
import { BYPASSES_RLS_SQL } from '../../db/policies.ts';
import { isQueueInstalled } from '../../db/queue.ts';
import type { Clock } from '../../lib/clock.ts';
import { readDeploymentFigures } from '../../runs/deployment-figures.ts';
import { broken, type CheckResult, ok, warn } from './check-result.ts';

export interface CheckContext {
  readonly db: Db;
  readonly clock: Clock;
  readonly config: Pick<Config, 'role' | 'databasePool' | 'exportConcurrency' | 'apiKey' | 'databaseUrl'>;
}

interface DatabaseCheck {
  readonly name: string;
  /** Whether the check needs the tables that migrations create. It is skipped if some are pending. */
  readonly needsTables?: boolean;
  readonly check: (context: CheckContext) => Promise<CheckResult>;
}

/** The checks of `doctor` of a database that can be reached, in this order. They change nothing. */
export const DATABASE_CHECKS: readonly DatabaseCheck[] = [
  { name: 'version', check: checkVersion },
  { name: 'migrations', check: checkMigrations },
  { name: 'queue', needsTables: true, check: checkQueue },
  { name: 'ledger', needsTables: true, check: checkLedger },
  { name: 'accounts', check: checkRowLevelSecurity },
  { name: 'keys', needsTables: true, check: checkKeys },
  { name: 'clock', check: checkClock },
  { name: 'pool', check: checkConnections },
  { name: 'schedule', needsTables: true, check: checkSchedule },
];

const OLDEST_VERSION = 15;

async function checkVersion({ db }: CheckContext): Promise<CheckResult> {
  const { rows } = await db.execute<{ number: string; name: string }>(
    sql`SELECT current_setting('server_version_num') AS number, current_setting('server_version') AS name`,
  );
  const [version] = rows;
  return Number(version?.number) >= OLDEST_VERSION * 10_000
    ? ok(`PostgreSQL ${version?.name}`)
    : broken(`PostgreSQL ${version?.name} is too old: Sluice needs ${OLDEST_VERSION} or later`);
}

async function checkMigrations({ db }: CheckContext): Promise<CheckResult> {
  const { pending, unknown } = await readMigrationState(db);
  if (pending > 0) return broken(`${pending} pending: run \`npm run -s sluice -- migrate\`, or start a server`);
  if (unknown > 0) return warn('the database was migrated by a newer version of Sluice: update this one');
  return ok('up to date');
}

async function checkQueue({ db }: CheckContext): Promise<CheckResult> {
  return (await isQueueInstalled(db))
    ? ok('its tables exist')
    : broken('its tables are missing: run `npm run -s sluice -- migrate`, or start a server');
}

const MAX_NAMES = 5;

function formatAccounts(names: readonly string[]): string {
  return names.length <= MAX_NAMES
    ? names.join(', ')
    : `${names.slice(0, MAX_NAMES).join(', ')} and ${names.length - MAX_NAMES} more accounts`;
}

/** Warns if the ledger of an account was restored from, or moved from, another database cluster. */
export async function checkLedger({ db }: CheckContext): Promise<CheckResult> {
  const foreign = await findForeignLedgers(db);
  return foreign.length === 0
    ? ok('all ledgers belong to this database cluster')
    : warn(
        `restored from a copy of another cluster, or moved to another node: ${formatAccounts(foreign.map(({ accountName }) => accountName))}. Sluice repairs each account before it reads its ledger; \`npm run -s sluice -- migrate\` or the start of a server repairs all`,
      );
}

async function checkRowLevelSecurity({ db }: CheckContext): Promise<CheckResult> {
  const { rows } = await db.execute<{ passes: boolean }>(sql.raw(BYPASSES_RLS_SQL));
  return rows[0]?.passes
    ? warn(
        'the role of DATABASE_URL is a superuser or has BYPASSRLS, so row-level security does not separate the accounts: connect as a role that only owns the database',
      )
    : ok('row-level security separates the accounts');
}

async function checkKeys({ db, config }: CheckContext): Promise<CheckResult> {
  if (config.apiKey !== null) {
    return (await isRevokedKey(db, config.apiKey))
      ? warn('the key in API_KEY is revoked: set another one')
      : ok('a server stores the key in API_KEY when it starts');
  }
  if (config.databaseUrl === null) return ok('local mode creates one');
  const problem = await describeMissingKey(db);
  return problem === null ? ok('at least one valid API key exists') : warn(problem);
}

const TOLERATED_CLOCK_MS = 5000;

async function checkClock({ db, clock }: CheckContext): Promise<CheckResult> {
  const before = clock.now().getTime();
  const { rows } = await db.execute<{ now: string }>(sql`SELECT clock_timestamp() AS now`);
  const middle = (before + clock.now().getTime()) / 2;
  const differenceMs = Math.round(middle - Date.parse(rows[0]?.now ?? ''));
  const seconds = Math.abs(differenceMs) / 1000;
  return seconds * 1000 <= TOLERATED_CLOCK_MS
    ? ok(`this machine and the database agree within ${Math.max(1, Math.ceil(seconds))} s`)
    : warn(
        `this machine is ${seconds} s ${differenceMs > 0 ? 'ahead of' : 'behind'} the database: correct one of the clocks`,
      );
}

/** Connections of the queue, of its listener and of the feed of runs. */
const QUEUE_AND_FEED = 5;

/** Returns the maximum number of connections that a server with these settings opens. */
function maxConnections({ role, databasePool, exportConcurrency }: CheckContext['config']): number {
  const { keys, leases, runs, schedule, corrections, acrossAccounts } = OWN_CONNECTIONS;
  const api = role === 'worker' ? 0 : databasePool + keys;
  const worker = role === 'api' ? 0 : leases + runs + schedule + corrections + exportConcurrency;
  return api + worker + acrossAccounts + QUEUE_AND_FEED;
}

async function checkConnections({ db, config }: CheckContext): Promise<CheckResult> {
  const { rows } = await db.execute<{ available: number; open: number }>(
    sql`SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int AS available,
      (SELECT count(*)::int FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()) AS open`,
  );
  const { available = 0, open = 0 } = rows[0] ?? {};
  const needed = maxConnections(config);
  const message = `a server with these settings opens up to ${needed} connections; the database allows ${available}, of which ${open} are open`;
  return needed <= available ? ok(message) : warn(`${message}: lower DATABASE_POOL, or raise max_connections`);
}

const FIGURES_MS = 10_000;
/** The scheduler looks for due slots every second. */
const LATE_SECONDS = 60;
const LONG_WAIT_SECONDS = 900;

async function checkSchedule({ db }: CheckContext): Promise<CheckResult> {
  const { slotLagSeconds, oldestWaitingSeconds, waiting, running } = await readDeploymentFigures(db, {
    endedSince: null,
    limitMs: FIGURES_MS,
  });
  if (slotLagSeconds > LATE_SECONDS) {
    return warn(
      `a slot has been due for ${Math.floor(slotLagSeconds)} s and has no run. Is a server with ROLE=worker or ROLE=all running? Its log names jobs that it cannot plan`,
    );
  }
  return oldestWaitingSeconds > LONG_WAIT_SECONDS
    ? warn(
        `the oldest of ${waiting} waiting runs has waited for ${Math.floor(oldestWaitingSeconds)} s. Are enough workers running?`,
      )
    : ok(`on time; runs: ${waiting} waiting, ${running} running`);
}
