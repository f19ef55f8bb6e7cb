import { sql } from 'drizzle-orm';
import { WHICH_DATABASE } from '../../db/as-of.ts';
import type { Db } from '../../db/client.ts';
import { sessionConnection } from '../../db/connection-options.ts';
import { SessionClient } from '../../db/session-client.ts';
import { type DatabaseAddress, redactDatabaseUrl } from '../../db/database-address.ts';
import { failureWords } from '../../process/format-startup-error.ts';
import { scrubError } from '../../lib/scrub-error.ts';
import { type Finding, ok, warn } from './check-result.ts';

/** A person waits for it. */
const CONNECT_MS = 10_000;

/**
 * What doctor says of the standby that exports read from: whether it answers, whether it is one, and how far it is behind.
 * Nothing of it is broken: exports read from the primary where it cannot be used.
 */
export const checkReplica = async (primary: Db, url: string): Promise<Finding> => {
  const place = redactDatabaseUrl(url);
  const client = new SessionClient(
    sessionConnection(url, { applicationName: 'sluice-cli', connectMs: CONNECT_MS, statementTimeoutMs: CONNECT_MS }),
  );
  client.on('error', () => undefined);
  try {
    // Asked first, so that what comes in meanwhile is not counted.
    const { rows: positions } = await primary.execute<{ position: string }>(
      sql`SELECT pg_current_wal_insert_lsn()::text AS position`,
    );
    await client.connect();
    return await compare(primary, client, positions[0]?.position ?? '', place);
  } catch (error) {
    const words =
      failureWords(error, place)?.replaceAll('DATABASE_URL', 'DATABASE_READ_URL') ?? scrubError(error).message;
    return warn(`${words} Until then exports read from DATABASE_URL`);
  } finally {
    await client.end().catch(() => undefined);
  }
};

const compare = async (
  primary: Db,
  replica: SessionClient,
  position: string,
  { host, port, database }: DatabaseAddress,
): Promise<Finding> => {
  const { rows } = await replica.query<{ standby: boolean; paused: boolean; feedback: string; behind: string }>(
    `SELECT pg_is_in_recovery() AS standby, CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() END AS paused,
       current_setting('hot_standby_feedback') AS feedback,
       pg_size_pretty(greatest(pg_wal_lsn_diff($1::pg_lsn, pg_last_wal_replay_lsn()), 0)) AS behind`,
    [position],
  );
  const [state] = rows;
  const [ours, theirs] = await Promise.all([primary.execute(sql.raw(WHICH_DATABASE)), replica.query(WHICH_DATABASE)]);
  const name = `${database} on ${host}:${port}`;
  if (JSON.stringify(ours.rows) !== JSON.stringify(theirs.rows)) {
    return warn(`${name} is no copy of DATABASE_URL: exports find nothing of theirs there, and read from DATABASE_URL`);
  }
  if (!state?.standby) return warn(`${name} is no standby: it takes writes itself`);
  if (state.paused)
    return warn(`${name} has its replay paused, ${state.behind} behind: exports read from DATABASE_URL`);
  if (state.feedback !== 'on') {
    return warn(
      `${name}, ${state.behind} behind, has hot_standby_feedback off: it cancels long exports, which then begin anew on DATABASE_URL`,
    );
  }
  return ok(`${name}, ${state.behind} behind`);
};
