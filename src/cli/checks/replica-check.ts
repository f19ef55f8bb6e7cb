import { sql } from 'drizzle-orm';
import { DATABASE_IDENTITY_SQL } from '../../db/as-of.ts';
import type { Db } from '../../db/client.ts';
import { buildSessionConnection } from '../../db/connection-options.ts';
import { type DatabaseAddress, redactDatabaseUrl } from '../../db/database-address.ts';
import { SessionClient } from '../../db/session-client.ts';
import { formatError } from './check-report.ts';
import { type CheckResult, ok, warn } from './check-result.ts';

const CONNECT_MS = 10_000;

/**
 * Checks the standby that exports read from. Problems are warnings, because exports read from the primary if the standby cannot be
 * used.
 */
export async function checkReplica(primary: Db, url: string): Promise<CheckResult> {
  const address = redactDatabaseUrl(url);
  const client = new SessionClient(
    buildSessionConnection(url, {
      applicationName: 'sluice-cli',
      connectMs: CONNECT_MS,
      statementTimeoutMs: CONNECT_MS,
    }),
  );
  client.on('error', () => undefined);
  try {
    // Read before connecting, so that later writes do not count as lag.
    const { rows: positions } = await primary.execute<{ position: string }>(
      sql`SELECT pg_current_wal_insert_lsn()::text AS position`,
    );
    await client.connect();
    return await compareToPrimary(primary, client, positions[0]?.position ?? '', address);
  } catch (error) {
    const message = formatError(error, address).replaceAll('DATABASE_URL', 'DATABASE_READ_URL');
    return warn(`${message} Until it is fixed, exports read from DATABASE_URL`);
  } finally {
    await client.end().catch(() => undefined);
  }
}

async function compareToPrimary(
  primary: Db,
  replica: SessionClient,
  position: string,
  { host, port, database }: DatabaseAddress,
): Promise<CheckResult> {
  const { rows } = await replica.query<{ standby: boolean; paused: boolean; feedback: string; behind: string }>(
    `SELECT pg_is_in_recovery() AS standby, CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() END AS paused,
       current_setting('hot_standby_feedback') AS feedback,
       pg_size_pretty(greatest(pg_wal_lsn_diff($1::pg_lsn, pg_last_wal_replay_lsn()), 0)) AS behind`,
    [position],
  );
  const [state] = rows;
  const [ours, theirs] = await Promise.all([
    primary.execute(sql.raw(DATABASE_IDENTITY_SQL)),
    replica.query(DATABASE_IDENTITY_SQL),
  ]);
  const name = `${database} on ${host}:${port}`;
  if (JSON.stringify(ours.rows) !== JSON.stringify(theirs.rows)) {
    return warn(`${name} is not a copy of DATABASE_URL: exports read from DATABASE_URL instead`);
  }
  if (!state?.standby) return warn(`${name} is not a standby: it accepts writes`);
  if (state.paused) return warn(`replay is paused on ${name}, ${state.behind} behind: exports read from DATABASE_URL`);
  if (state.feedback !== 'on') {
    return warn(
      `hot_standby_feedback is off on ${name}, ${state.behind} behind: PostgreSQL cancels long exports there, which then restart on DATABASE_URL`,
    );
  }
  return ok(`${name}, ${state.behind} behind`);
}
