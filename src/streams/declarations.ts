import { type SQL, sql } from 'drizzle-orm';
import { isSeen } from '../db/as-of.ts';
import type { Db, Executor } from '../db/client.ts';
import { findStreamNameProblem } from './pipeline/inputs.ts';
import type { StreamRow } from './stream-rows.ts';

// Reads through which instant streams were declared complete: the greatest one of their COMPLETE operations. The index
// operations_complete has only those, so that the greatest one of a stream costs one index entry, for any number of
// declarations and other operations.

/** A stream, with the instant through which it was declared complete; null if it never was. */
export interface DeclaredStream extends Pick<StreamRow, 'name' | 'granularity'> {
  readonly completeThrough: Date | null;
}

/** SQL: the greatest declared instant of the stream `s`, as text. Not max(), for which the planner may read all declarations. */
function greatestDeclared(accountId: bigint, isRead: SQL): SQL {
  return sql`(SELECT ${formatMilliseconds(sql`o.complete_through`)} FROM operations o
    WHERE o.account_id = ${accountId}::bigint AND o.stream_id = s.id AND o.complete_through IS NOT NULL AND ${isRead}
    ORDER BY o.complete_through DESC LIMIT 1)`;
}

function formatMilliseconds(timestamp: SQL): SQL {
  return sql`to_char(${timestamp} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;
}

const toDate = (text: string | null): Date | null => (text === null ? null : new Date(text));

/**
 * Returns the streams of an account with their declarations, sorted by name.
 *
 * @param names null for all streams
 * @param watermark state of the ledger to read; null for the current one
 */
export async function readDeclarations(
  db: Executor,
  accountId: bigint,
  names: readonly string[] | null,
  watermark: string | null,
): Promise<DeclaredStream[]> {
  const sees = (id: SQL): SQL => (watermark === null ? sql`true` : isSeen(id, sql`${watermark}`));
  const isLive =
    watermark === null
      ? sql`s.deleted_at IS NULL`
      : sql`${sees(sql`s.created_xid`)} AND (s.deleted_xid IS NULL OR NOT ${sees(sql`s.deleted_xid`)})`;
  const isNamed =
    names === null
      ? sql`true`
      : sql`s.name = ANY(${sql.param(names.filter((name) => findStreamNameProblem(name) === null))}::text[])`;
  const { rows } = await db.execute<{
    name: string;
    granularity: StreamRow['granularity'];
    complete_through: string | null;
  }>(sql`
    SELECT s.name, s.granularity, ${greatestDeclared(accountId, sees(sql`o.xid`))} AS complete_through
    FROM streams s WHERE s.account_id = ${accountId}::bigint AND ${isNamed} AND ${isLive}
    ORDER BY s.name`);
  return rows.map((row) => ({
    name: row.name,
    granularity: row.granularity,
    completeThrough: toDate(row.complete_through),
  }));
}

export interface StreamActivity {
  readonly completeThrough: Date | null;
  /** When the newest operation was received. */
  readonly lastOperationAt: Date | null;
}

/** Returns what was last declared and written, by the id of the stream. */
export async function loadStreamActivity(
  db: Db,
  accountId: bigint,
  ids: readonly bigint[],
): Promise<ReadonlyMap<bigint, StreamActivity>> {
  const { rows } = await db.execute<{ id: string; complete_through: string | null; received_at: string | null }>(sql`
    SELECT s.id, ${greatestDeclared(accountId, sql`true`)} AS complete_through,
      (SELECT ${formatMilliseconds(sql`o.received_at`)} FROM operations o
        WHERE o.account_id = ${accountId}::bigint AND o.stream_id = s.id ORDER BY o.id DESC LIMIT 1) AS received_at
    FROM streams s WHERE s.account_id = ${accountId}::bigint AND s.id = ANY(${sql.param(ids.map(String))}::bigint[])`);
  return new Map(
    rows.map((row) => [
      BigInt(row.id),
      { completeThrough: toDate(row.complete_through), lastOperationAt: toDate(row.received_at) },
    ]),
  );
}
