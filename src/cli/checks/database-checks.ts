import { sql } from 'drizzle-orm';
import { describeMissingKey } from '../../accounts/first-key.ts';
import { isRevokedKey } from '../../accounts/keys.ts';
import { foreignLedgers } from '../../db/as-of.ts';
import { migrationState } from '../../db/migrate.ts';
import { BYPASSES_RLS_SQL } from '../../db/policies.ts';
import { queueIsInstalled } from '../../db/queue.ts';
import type { Config } from '../../config/config.ts';
import { type Db, OWN_CONNECTIONS } from '../../db/client.ts';
import type { Clock } from '../../lib/clock.ts';
import { readDeploymentFigures } from '../../runs/deployment-figures.ts';
import { broken, type Finding, ok, warn } from './check-result.ts';

/** What a check looks at, and what it is held against. */
export interface Looked {
  readonly db: Db;
  readonly clock: Clock;
  readonly config: Pick<Config, 'role' | 'databasePool' | 'exportConcurrency' | 'apiKey' | 'databaseUrl'>;
}

/** The schedule is looked at every second. */
const LATE_SECONDS = 60;
const WAITED_SECONDS = 900;
const FIGURES_MS = 10_000;
const OLDEST_VERSION = 15;
const TOLERATED_MS = 5000;

/** The queue's own connections, its listener and that of the feed of runs. */
const QUEUE_AND_FEED = 5;

/** Connections that a server with these settings opens at most. */
const connectionsOf = ({ role, databasePool, exportConcurrency }: Looked['config']): number => {
  const { keys, leases, runs, schedule, acrossAccounts } = OWN_CONNECTIONS;
  const api = role === 'worker' ? 0 : databasePool + keys;
  const worker = role === 'api' ? 0 : leases + runs + schedule + exportConcurrency;
  return api + worker + acrossAccounts + QUEUE_AND_FEED;
};

const MOST_NAMES = 5;

const nameSome = (names: readonly string[]): string =>
  names.length <= MOST_NAMES
    ? names.join(', ')
    : `${names.slice(0, MOST_NAMES).join(', ')} and ${names.length - MOST_NAMES} more accounts`;

/** What doctor asks a database that it can reach, in this order. None of them changes anything. */
export const DATABASE_CHECKS: readonly {
  readonly name: string;
  /** What it reads the migrations make: where some are still to be applied, that is the one thing to say. */
  readonly needsTables?: boolean;
  readonly check: (looked: Looked) => Promise<Finding>;
}[] = [
  {
    name: 'version',
    check: async ({ db }) => {
      const { rows } = await db.execute<{ number: string; words: string }>(
        sql`SELECT current_setting('server_version_num') AS number, current_setting('server_version') AS words`,
      );
      const [version] = rows;
      return Number(version?.number) >= OLDEST_VERSION * 10_000
        ? ok(`PostgreSQL ${version?.words}`)
        : broken(`PostgreSQL ${version?.words} is too old: ${OLDEST_VERSION} is the oldest that Sluice runs on`);
    },
  },
  {
    name: 'migrations',
    check: async ({ db }) => {
      const { pending, unknown } = await migrationState(db);
      if (pending > 0) return broken(`${pending} to apply: run \`npm run -s sluice -- migrate\`, or start a server`);
      if (unknown > 0) return warn('a newer version of Sluice was here: update this one');
      return ok('up to date');
    },
  },
  {
    name: 'queue',
    needsTables: true,
    check: async ({ db }) =>
      (await queueIsInstalled(db))
        ? ok('its tables are there')
        : broken('its tables are missing: run `npm run -s sluice -- migrate`, or start a server'),
  },
  {
    name: 'ledger',
    needsTables: true,
    check: async ({ db }) => {
      const found = await foreignLedgers(db);
      return found.length > 0
        ? warn(
            `restored from a copy of another cluster, or moved to another node: ${nameSome(found.map(({ accountName }) => accountName))}. Each is repaired before it is read next; \`npm run -s sluice -- migrate\` or the start of a server repairs all`,
          )
        : ok('the ledgers belong to this database cluster: reading as of a moment is exact');
    },
  },
  {
    name: 'accounts',
    check: async ({ db }) => {
      const { rows } = await db.execute<{ passes: boolean }>(sql.raw(BYPASSES_RLS_SQL));
      return rows[0]?.passes
        ? warn(
            'its role is a superuser or has BYPASSRLS, so row-level security does not part the accounts: connect as a role that only owns the database',
          )
        : ok('row-level security parts them, whatever a statement forgets');
    },
  },
  {
    name: 'keys',
    needsTables: true,
    check: async ({ db, config }) => {
      if (config.apiKey !== null) {
        return (await isRevokedKey(db, config.apiKey))
          ? warn('the key in API_KEY was revoked and opens nothing: set another')
          : ok('the key in API_KEY, which a start stores');
      }
      if (config.databaseUrl === null) return ok('local mode makes one');
      const words = await describeMissingKey(db);
      return words === null ? ok('an account has a valid one') : warn(words);
    },
  },
  {
    name: 'clock',
    check: async ({ db, clock }) => {
      const asked = clock.now().getTime();
      const { rows } = await db.execute<{ now: string }>(sql`SELECT clock_timestamp() AS now`);
      const middle = (asked + clock.now().getTime()) / 2;
      const differenceMs = Math.round(middle - Date.parse(rows[0]?.now ?? ''));
      return Math.abs(differenceMs) <= TOLERATED_MS
        ? ok(`this machine and the database agree within ${Math.max(1, Math.ceil(Math.abs(differenceMs) / 1000))} s`)
        : warn(
            `this machine is ${Math.abs(differenceMs) / 1000} s ${differenceMs > 0 ? 'ahead of' : 'behind'} the database: set one of them right`,
          );
    },
  },
  {
    name: 'pool',
    check: async ({ db, config }) => {
      const { rows } = await db.execute<{ most: number; reserved: number; open: number }>(
        sql`SELECT current_setting('max_connections')::int AS most, current_setting('superuser_reserved_connections')::int AS reserved,
          (SELECT count(*)::int FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()) AS open`,
      );
      const { most = 0, reserved = 0, open = 0 } = rows[0] ?? {};
      const needed = connectionsOf(config);
      const words = `a server with these settings uses up to ${needed} connections; the database gives ${most - reserved}, of which ${open} are open`;
      return needed <= most - reserved ? ok(words) : warn(`${words}: lower DATABASE_POOL, or raise max_connections`);
    },
  },
  {
    name: 'schedule',
    needsTables: true,
    check: async ({ db }) => {
      const { slotLagSeconds, oldestWaitingSeconds, waiting, running } = await readDeploymentFigures(db, {
        endedSince: null,
        limitMs: FIGURES_MS,
      });
      if (slotLagSeconds > LATE_SECONDS) {
        return warn(
          `a slot has been due for ${Math.floor(slotLagSeconds)} s and has no run: does a server with ROLE=worker or all run? Its log names a job that cannot be planned`,
        );
      }
      return oldestWaitingSeconds > WAITED_SECONDS
        ? warn(
            `of ${waiting} waiting runs the oldest has waited for ${Math.floor(oldestWaitingSeconds)} s: does a worker run, and are there enough?`,
          )
        : ok(`in time; runs: ${waiting} waiting, ${running} running`);
    },
  },
];
