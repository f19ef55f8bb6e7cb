import { querySql } from './job-steps.ts';
import { withClient } from './postgres-admin.ts';
import type { TestServer } from './server.ts';

// Moves of an account between database clusters, simulated on one PostgreSQL. A move copies the rows with their transaction
// ids, but not the counter of the cluster. So all ids of the account are shifted by the difference of the two counters.

/** The largest difference between the counters of two clusters. */
export const MOST_AHEAD = 8000n;

/** An account that starts on the first of several clusters. */
export interface TravellingAccount {
  /** Index in the list of clusters. */
  readonly cluster: number;
  /** Moves the account. A cluster has the same system identifier at every visit. */
  moveTo(cluster: number): Promise<void>;
}

/** Uses up transaction ids, so that the ids of the account are positive in a cluster that is ahead. */
export function useUpIds(server: Pick<TestServer, 'database'>): Promise<unknown> {
  return withClient(server.database.url, (client) =>
    client.query(
      `DO $$ BEGIN FOR i IN 1..${4n * MOST_AHEAD} LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$`,
    ),
  );
}

/** Returns the system identifier of a cluster that the account is not in. */
function awayFrom(cluster: number): string {
  return String(1000 + cluster);
}

/** @param counts the lead of each cluster's counter over a common origin, between -MOST_AHEAD and MOST_AHEAD */
export function startTravelling(
  server: Pick<TestServer, 'database'>,
  accountId: bigint,
  counts: readonly bigint[],
): TravellingAccount {
  let cluster = 0;
  return {
    get cluster() {
      return cluster;
    },
    moveTo: async (next) => {
      const shift = (counts[cluster] ?? 0n) - (counts[next] ?? 0n);
      await shiftIds(server, accountId, shift, [
        `UPDATE ledgers SET system_identifier = CASE
          WHEN system_identifier = ${awayFrom(next)} THEN (pg_control_system()).system_identifier
          WHEN system_identifier = (pg_control_system()).system_identifier THEN ${awayFrom(cluster)}
          ELSE system_identifier END WHERE account_id = $1`,
      ]);
      cluster = next;
    },
  };
}

/** Shifts the ids in one transaction, since a restore or a move of a shard also commits its rows together. */
function shiftIds(
  { database }: Pick<TestServer, 'database'>,
  accountId: bigint,
  shift: bigint,
  then: readonly string[],
): Promise<void> {
  return withClient(database.url, async (client) => {
    // Repaired rows have an id that is in the past in every cluster.
    const shifted = (column: string) =>
      `${column} = CASE WHEN ${column} > '3' THEN (${column}::text::numeric + ${shift})::text::xid8 ELSE ${column} END`;
    await client.query('BEGIN');
    for (const statement of [
      `UPDATE operations SET ${shifted('xid')} WHERE account_id = $1`,
      `UPDATE streams SET ${['created_xid', 'deleted_xid', 'totals_merged_xid'].map(shifted).join()} WHERE account_id = $1`,
      ...then,
    ]) {
      await client.query(statement, [accountId]);
    }
    const { rows } = await client.query<{ id: string; watermark: string }>(
      'SELECT id, watermark FROM runs WHERE account_id = $1 AND watermark IS NOT NULL',
      [accountId],
    );
    for (const { id, watermark } of rows) {
      const moved = watermark.replaceAll(/\d+/g, (number) => String(BigInt(number) + shift));
      await client.query('UPDATE runs SET watermark = $2 WHERE account_id = $3 AND id = $1', [id, moved, accountId]);
    }
    await client.query('COMMIT');
  });
}

/** Moves the account to a cluster that it has never been in. */
export function moveAway(server: Pick<TestServer, 'database'>, accountId: bigint, shift: bigint): Promise<void> {
  return shiftIds(server, accountId, shift, [
    'UPDATE ledgers SET system_identifier = system_identifier % 1000000 + 1 WHERE account_id = $1',
  ]);
}

/** Returns the epoch of the account's ledger, which a run stores with its watermark. */
export async function readEpoch(server: Pick<TestServer, 'database'>, accountId: bigint): Promise<string> {
  const [row] = await querySql<{ epoch: string }>(
    server,
    `SELECT (pg_control_system()).system_identifier || ' ' || xmin AS epoch FROM ledgers WHERE account_id = $1`,
    [accountId],
  );
  if (!row) throw new Error('The account has no ledger.');
  return row.epoch;
}
